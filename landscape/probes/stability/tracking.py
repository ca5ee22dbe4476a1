"""The largest eigenvalue of a symmetric operator that changes a little from one time to the next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.lanczos import Lanczos, Operator
from landscape.numerics.seeds import generator

FRESH = 0.1  # share of a random vector in each start, so that an eigenvector which overtakes the last one is found
KEPT = 3  # Ritz vectors that the next time begins with


@dataclass(frozen=True)
class Tracked:
    """λ, its residual ‖A v − λ v‖₂, the products it took, and whether the residual is within the tolerance."""

    value: float
    residual: float
    products: int
    converged: bool


class LargestEigenvalue:
    """Lanczos that begins where it ended the last time: with the uppermost Ritz vectors, and a random one mixed in.

    Args:
        tolerance: of the residual, relative to |λ|. The eigenvalue errs by less: by about the residual's square over the
            distance to the next eigenvalue.
        max_products: at most so many products a time.

    Attributes:
        start: what the next time begins with, ``(n,)``; None before the first. Put back, it makes the next time the same.
    """

    def __init__(self, tolerance: float = 0.01, max_products: int = 50) -> None:
        self.tolerance, self.max_products = tolerance, max_products
        self.start: Tensor | None = None

    def of(self, operator: Operator, like: Tensor, seed: int) -> Tracked:
        """λ_max of ``operator``, on vectors such as ``like`` ``(n,)``; ``seed`` is that of the random one.

        Raises:
            InputError: for a product that is not finite, and a ``start`` of another size.
        """
        drawn = torch.randn(like.numel(), generator=generator(seed, "tracking")).to(like)
        start = drawn / torch.linalg.vector_norm(drawn)
        if self.start is not None:
            if self.start.shape != like.shape:
                raise InputError(f"start: expected a vector {tuple(like.shape)}, got {tuple(self.start.shape)}.")
            last = self.start.to(like)
            start = last / torch.linalg.vector_norm(last) + FRESH * start
        space = Lanczos(operator, start, capacity=self.max_products, seed=seed)
        converged = False
        while not converged and not space.full:
            space.step()
            found = space.krylov.ritz()
            value, residual = float(found.values[-1]), float(found.residuals[-1])
            # One vector alone says nothing of the others.
            converged = (space.krylov.steps > 1 or space.krylov.exhausted) and residual <= self.tolerance * abs(value)
        upper = torch.from_numpy(found.vectors[:, ::-1][:, :KEPT].copy()).to(like)
        weights = 0.5 ** torch.arange(upper.shape[1]).to(like)
        self.start = (upper @ weights) @ space.krylov.basis
        return Tracked(value, residual, space.krylov.products, converged)
