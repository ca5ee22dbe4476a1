"""Parameters -> loss, gradient and Hessian product over data, with the BatchNorm policy named."""
