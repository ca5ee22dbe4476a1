"""Dense second derivatives of small networks by plain autograd, in the order of an objective's parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.numerics.parameters import Layout

Loss = Callable[[Any, Any], Tensor]


def dense_hessian(net: nn.Module, loss: Loss, data: tuple[Any, Tensor], layout: Layout) -> NDArray[np.float64]:
    """∇² of the mean over the samples of ``loss`` (one value a sample), with the module in the mode it is in."""
    function, vector = _outputs(net, data[0], layout)
    with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
        dense = torch.autograd.functional.hessian(lambda v: loss(function(v), data[1]).mean(), vector)
    return np.asarray(dense)


def dense_gauss_newton(net: nn.Module, loss: Loss, data: tuple[Any, Tensor], layout: Layout) -> NDArray[np.float64]:
    """Jᵀ (∇²_z mean loss) J, from the Jacobian J of all outputs z in one array."""
    function, vector = _outputs(net, data[0], layout)
    outputs = function(vector)
    with sdpa_kernel(SDPBackend.MATH):
        jacobian = torch.autograd.functional.jacobian(lambda v: function(v).flatten(), vector)
    bent = torch.autograd.functional.hessian(
        lambda z: loss(z.view_as(outputs), data[1]).mean(), outputs.detach().flatten()
    )
    return np.asarray(jacobian.T @ bent @ jacobian)


def _outputs(net: nn.Module, inputs: Any, layout: Layout) -> tuple[Callable[[Tensor], Any], Tensor]:
    private = copy.deepcopy(net)
    others = {n: p.detach() for n, p in private.named_parameters() if n not in layout.names}
    own = {n: p.detach() for n, p in private.named_parameters() if n in layout.names}

    def function(vector: Tensor) -> Any:
        return functional_call(private, {**others, **layout.views(vector)}, (inputs,))

    return function, layout.pack(own)
