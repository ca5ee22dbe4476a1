"""Gauss–Newton products against dense Jᵀ ∇²ℓ J, and modules that cannot be differentiated twice, or not forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from curvature_samples import OPERATORS, QUICK, cross_entropy, margin, mlp, objective_of
from dense import dense_gauss_newton
from networks import images
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from landscape.errors import InputError
from landscape.objective.objective import Objective
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.measure import curvature


@pytest.mark.parametrize("loss", ["mse", nn.HuberLoss(delta=0.3), margin])
def test_the_gauss_newton_matrix_is_that_of_any_loss(loss: Any) -> None:
    net, (inputs, labels) = mlp(), images()
    targets = labels if loss is margin else nn.functional.one_hot(labels, 4).double()
    objective = Objective(net, loss, (inputs, targets), device="cpu")
    unreduced = {"mse": lambda z, t: (z - t) ** 2, "HuberLoss": nn.HuberLoss(delta=0.3, reduction="none")}
    plain = margin if loss is margin else unreduced[loss if isinstance(loss, str) else type(loss).__name__]
    dense = dense_gauss_newton(net, plain, (inputs, targets), objective.theta.layout)
    vectors = torch.randn(3, len(dense), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    products = torch.stack([objective.gauss_newton_product(v) for v in vectors])
    assert products.numpy() == pytest.approx(vectors.numpy() @ dense, rel=1e-9, abs=1e-12)


class Several(nn.Module):
    """Outputs in a mapping, one of them labels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp()

    def forward(self, x: Tensor) -> dict[str, Any]:
        logits = self.inner(x)
        return {"logits": logits, "square": logits**2, "best": logits.argmax(1)}


def of_several(outputs: Any, targets: Tensor) -> Tensor:
    return cross_entropy(outputs["logits"], targets) + 0.1 * outputs["square"].pow(2).sum(1)


def test_outputs_may_be_nested() -> None:
    net = Several()
    objective = objective_of(net, loss=of_several)

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net.inner

        def forward(self, x: Tensor) -> Tensor:
            logits = self.inner(x)
            return torch.cat([logits, logits**2], 1)

    def of_flat(outputs: Tensor, targets: Tensor) -> Tensor:
        return of_several({"logits": outputs[:, :4], "square": outputs[:, 4:]}, targets)

    dense = dense_gauss_newton(Flat(), of_flat, images(), objective.theta.layout)
    vector = torch.randn(len(dense), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert objective.gauss_newton_product(vector).numpy() == pytest.approx(dense @ vector.numpy(), rel=1e-9)


def test_outputs_without_a_floating_point_tensor_are_refused() -> None:
    class Labels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"best": self.inner(x).argmax(1)}

    objective = objective_of(Labels(), loss=lambda outputs, targets: (outputs["best"] - targets).double())
    with pytest.raises(InputError, match="expected outputs that hold floating-point tensors, got dict"):
        objective.gauss_newton_product(objective.theta.vector)


class WithoutForwardDerivative(torch.autograd.Function):
    """x³, whose backward can be differentiated, without a jvp."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class Once(torch.autograd.Function):
    """x³, whose backward cannot."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class Cubed(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.inner, self._function = mlp(), function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(self.inner(x))


@pytest.mark.parametrize("operator", OPERATORS)
def test_without_a_forward_derivative_the_products_are_the_same(operator: str) -> None:
    objective = objective_of(Cubed(WithoutForwardDerivative.apply))
    reference = objective_of(Cubed(lambda x: x**3))
    vector = torch.randn(objective.theta.vector.numel(), generator=torch.Generator().manual_seed(0)).double()
    name = f"{operator.replace('-', '_')}_product"
    found, expected = (getattr(one, name)(vector) for one in (objective, reference))
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_module_that_can_be_differentiated_once_is_named(operator: str) -> None:
    with pytest.raises(InputError, match=r"module, loss: cannot be differentiated twice.*once_differentiable"):
        curvature(objective_of(Cubed(Once.apply)), CurvatureConfig(operator=operator, **QUICK))
