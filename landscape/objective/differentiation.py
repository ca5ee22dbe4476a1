"""Derivatives of an objective at a point: its gradient, and products with its Hessian and Gauss–Newton matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.parameters import ParameterVector, ordinary
from landscape.objective.labels import check_loss_count
from landscape.objective.operators import SymmetricOperator, operator_of
from landscape.objective.point_measurement import PointMeasurement
from landscape.objective.second_derivatives import CheckedDerivatives
from landscape.objective.values import Gradient

if TYPE_CHECKING:
    from landscape.objective.objective import Objective


class Differentiation(PointMeasurement):
    """The part of :class:`landscape.objective.objective.Objective` that differentiates; made by it alone.

    Of a stochastic objective derivatives are means over its draws.
    """

    device: torch.device
    _derivatives: CheckedDerivatives

    def gradient(self, theta: ParameterVector | Tensor | None = None) -> Gradient:
        """∇L(θ) of the loss over the samples, batch gradients summed in float64.

        Under ``reestimated`` the recomputed statistics are held constant; under ``batch`` the gradient flows through them.

        Example:
            >>> gradient = objective.gradient().vector
            >>> objective.evaluate(objective.theta.vector - 0.1 * gradient.vector).loss < objective.evaluate().loss
            True
        """
        vector = self._load(theta)
        passes = [one.gradient(vector, self._batches) for one in self._drawn()]
        losses, total = (torch.stack(parts).mean(0) for parts in zip(*passes, strict=True))
        check_loss_count(losses, self.n_samples)
        loss, _ = self.spread.mean(self._batches.in_order(losses).cpu())
        return Gradient(loss, ParameterVector(self._of_these(total), self._theta.layout))

    def hessian_product(
        self, vector: Tensor, theta: ParameterVector | Tensor | None = None, *, names: Sequence[str] | None = None
    ) -> Tensor:
        """H(θ) v for the Hessian H of the mean loss over the samples: shape ``(n,)``; see :mod:`landscape.objective.derivatives`.

        The first is held against differences, see :mod:`landscape.objective.product_check`. Under ``reestimated`` the recomputed
        statistics are constant; under ``batch`` H flows through them. With ``names``, v and the result hold these parameters alone.

        Raises:
            InputError: where module or loss have no second derivative, or PyTorch a wrong one; the layer is named.

        Example:
            >>> v = objective.gradient().vector.vector
            >>> round(float(v @ objective.hessian_product(v) / (v @ v)), 2)  # the curvature along the gradient
            0.73
        """
        point, along = self._load(theta), self._along(vector)
        made = [one.hessian_product(point, along, self._batches, names) for one in self._drawn()]
        return self._of_these(torch.stack(made).mean(0))

    def gauss_newton_product(
        self, vector: Tensor, theta: ParameterVector | Tensor | None = None, *, names: Sequence[str] | None = None
    ) -> Tensor:
        """G(θ) v for the generalised Gauss–Newton matrix G = 1/N Σ Jᵢᵀ ∇²ℓᵢ Jᵢ; otherwise as :meth:`hessian_product`.

        ℓᵢ are the shares in the loss, whose mean it is.

        Raises:
            InputError: also for a loss over model and batch, which has none.

        Example:
            >>> v = objective.gradient().vector.vector
            >>> bool(v @ objective.gauss_newton_product(v) > 0)  # of a convex loss
            True
        """
        point, along = self._load(theta), self._along(vector)
        if self._runner.own_loss:
            raise InputError(
                "gauss_newton: a loss over model and batch has no Gauss–Newton matrix, as nobody knows where the outputs end and "
                "the loss begins. Give a loss of (outputs, targets), or take the Hessian."
            )
        made = [one.gauss_newton_product(point, along, self._batches, names) for one in self._drawn()]
        return self._of_these(torch.stack(made).mean(0))

    def hessian(
        self, theta: ParameterVector | Tensor | None = None, *, names: Sequence[str] | None = None
    ) -> SymmetricOperator:
        """H(θ) as an operator: :meth:`hessian_product` by ``H @ v``, which iterative solvers take; θ is copied.

        With ``names`` it is the diagonal block of these parameters.

        Raises:
            InputError: for a θ of another shape or layout.

        Example:
            >>> from scipy.sparse.linalg import eigsh
            >>> H = objective.hessian()
            >>> eigsh(H, k=2, return_eigenvectors=False).round(2)
            array([0.58, 1.02], dtype=float32)
        """
        return operator_of(cast("Objective", self), "Hessian", self.hessian_product, theta, names)

    def gauss_newton(
        self, theta: ParameterVector | Tensor | None = None, *, names: Sequence[str] | None = None
    ) -> SymmetricOperator:
        """G(θ) as an operator: :meth:`gauss_newton_product` by ``G @ v``; otherwise as :meth:`hessian`.

        Example:
            >>> v = np.ones(objective.theta.layout.size)
            >>> bool(v @ objective.gauss_newton() @ v > 0)
            True
        """
        return operator_of(cast("Objective", self), "Gauss–Newton matrix", self.gauss_newton_product, theta, names)

    def _along(self, vector: Tensor) -> Tensor:
        if not isinstance(vector, Tensor):
            raise InputError(
                f"vector: expected a flat tensor, got a {type(vector).__name__}. Arrays are taken by the operators: "
                "objective.hessian() @ array."
            )
        return ordinary(vector.to(self.device, self._dtype))

    def _drawn(self) -> list[CheckedDerivatives]:
        """The derivatives, once for each draw."""
        seeds = (None,) if self._draws is None else self._draws.seeds
        return [self._derivatives.at_draw(seed) for seed in seeds]
