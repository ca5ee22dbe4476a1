"""An affine piece of parameter space, θ + Σ cₖ dₖ, whose points are named by their coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.directions import Direction
from landscape.numerics.parameters import ParameterVector


class AffineMap:
    """c ↦ o + Σ cₖ bₖ for an origin ``(n,)`` and a basis ``(K, n)`` of flat vectors: one fused operation."""

    def __init__(self, origin: Tensor, basis: Tensor) -> None:
        self._origin, self._basis = origin, basis

    def point(self, coefficients: Tensor) -> Tensor:
        """The flat vector ``(n,)`` at ``coefficients`` ``(K,)``."""
        return torch.addmv(self._origin, self._basis.T, coefficients.to(self._basis))


class Subspace:
    """The origin θ and K directions of its layout; ``point(c)`` is one fused operation on flat vectors.

    Attributes:
        origin: θ.
        directions: the K directions; their vectors are the rows of :attr:`basis`.
        basis: their vectors, shape ``(K, n)``.
        statistics: the changes of the BatchNorm running statistics, shape ``(K, s)``; ``None`` where a direction has none.

    Raises:
        InputError: for no direction, or one of another layout.

    Example:
        >>> theta = objective.theta
        >>> plane = ls.Subspace(theta, [ls.random_direction(theta, seed=0, axis=axis) for axis in (0, 1)])
        >>> torch.equal(plane.point(torch.zeros(2)), theta.vector)
        True
    """

    def __init__(self, origin: ParameterVector, directions: Sequence[Direction]) -> None:
        if not directions:
            raise InputError("directions: expected at least one.")
        for number, direction in enumerate(directions):
            if direction.layout != origin.layout:
                raise InputError(
                    f"directions: number {number} belongs to another model: its parameters differ from θ's."
                )
        self.origin = origin
        self.basis = torch.stack([d.vector.to(origin.vector) for d in directions])
        self.directions = tuple(replace(d, vector=row) for d, row in zip(directions, self.basis, strict=True))
        self._map = AffineMap(origin.vector, self.basis)
        changes = [None if d.statistics is None else d.statistics.to(origin.vector.device) for d in directions]
        self.statistics = torch.stack([c for c in changes if c is not None]) if None not in changes else None

    def point(self, coefficients: Tensor) -> Tensor:
        """θ + Σ cₖ dₖ as a flat vector ``(n,)``, from ``coefficients`` ``(K,)``."""
        return self._map.point(coefficients)
