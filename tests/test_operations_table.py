"""Hessian products of 181 operations against differences of plain autograd's gradients: right, or refused in a sentence."""

from __future__ import annotations

import pytest
import torch
from operations import OPERATIONS
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.errors import InputError
from landscape.objective.objective import Objective

# PyTorch has no second derivative of these, and of bessel_j0 not even a first one; the householder map is not continuous.
REFUSED = {
    "ctc_loss",
    "embedding_bag max",
    "embedding_bag mean",
    "embedding_bag sum",
    "multi_margin_loss",
    "orthogonal householder",
    "segment_reduce",
    "bessel_j0",
}


def losses(outputs: Tensor, targets: Tensor | None = None) -> Tensor:
    flat = outputs.flatten(1)
    return (flat.sin() + 0.3 * flat.square()).mean(1)


def difference(net: nn.Module, inputs: Tensor, along: dict[str, Tensor], step: float = 1e-4) -> dict[str, Tensor]:
    """H v by differences of gradients of fourth order, without anything of the product."""

    def gradient(scale: float) -> dict[str, Tensor]:
        moved = {n: (p + scale * along[n]).detach().requires_grad_() for n, p in net.named_parameters()}
        with sdpa_kernel(SDPBackend.MATH):
            loss = losses(functional_call(net, moved, (inputs,))).mean()
        found = torch.autograd.grad(loss, [*moved.values()], allow_unused=True, materialize_grads=True)
        return dict(zip(moved, found, strict=True))

    near, far = ((gradient(h), gradient(-h), 2 * h) for h in (step, 2 * step))
    by = {name: [(above[name] - below[name]) / width for above, below, width in (near, far)] for name in along}
    return {name: (4 * first - second) / 3 for name, (first, second) in by.items()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_product_is_that_of_differences_or_is_refused(name: str) -> None:
    net, inputs = OPERATIONS[name]()
    objective = Objective(net.eval(), losses, (inputs, torch.zeros(len(inputs))), device="cpu")
    layout = objective.theta.layout
    vector = torch.randn(layout.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if name in REFUSED:
        with pytest.raises(
            InputError, match=r"cannot be differentiated twice|gradient is not that of its value|values jump"
        ):
            objective.hessian_product(vector)
        return
    expected = layout.pack(difference(objective.structure, inputs, layout.views(vector)))
    assert float(torch.linalg.vector_norm(expected)) > 1e-6  # or nothing would be compared
    found = objective.hessian_product(vector)
    assert float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)) < 1e-5
