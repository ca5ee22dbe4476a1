"""landscape: train networks, measure the shape of their loss, store it with its uncertainty, show it.

The public names, grouped, are in the stub beside this file. Each is imported when it is first used, so that importing the package
costs nothing. The examples in their docstrings go on from here:

    >>> import numpy as np
    >>> import torch
    >>> import landscape as ls
    >>> _ = torch.manual_seed(0)
    >>> net, other = (torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)) for _ in "ab")
    >>> inputs = torch.randn(60, 2)
    >>> data = (inputs, (inputs.prod(1) > 0).long())
    >>> objective = ls.Objective(net, "cross_entropy", data, device="cpu")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
