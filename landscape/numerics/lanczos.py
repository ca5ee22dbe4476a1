"""Lanczos with full reorthogonalisation and thick restarts, on a symmetric operator that is known by its products.

The state is a Krylov decomposition H Vᵀ = Vᵀ G + v bᵀ with orthonormal rows V ``(m, n)``, G = V H Vᵀ ``(m, m)``, and v ``(n,)``
orthogonal to V. Nothing else decides what comes next, so a decomposition that was stored and read back continues bit for bit.
G is kept as the products gave it: rounding makes it a little unsymmetric, and residuals count that too.

References:
    Wu and Simon 2000 (thick restarts), Stewart 2002 (Krylov–Schur), Parlett 1998, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.seeds import generator

Operator = Callable[[Tensor], Tensor]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Krylov:
    """H Vᵀ = Vᵀ G + v bᵀ as its four parts, and how it came to be.

    Attributes:
        basis: V, shape ``(m, n)``, in the operator's precision.
        projection: G, shape ``(m, m)``, float64.
        following: v, shape ``(n,)``, of unit length; zeros where V spans the whole space.
        coupling: b, shape ``(m,)``, float64.
        products: how many were made; m, or more after a restart.
        retained: how many rows of V are Ritz vectors that the last restart kept.
    """

    basis: Tensor
    projection: Floats
    following: Tensor
    coupling: Floats
    products: int
    retained: int = 0

    @property
    def steps(self) -> int:
        """m, the number of basis vectors."""
        return len(self.projection)

    @property
    def exhausted(self) -> bool:
        """Whether V spans the whole space, so that G has all of H's eigenvalues."""
        return self.steps == self.following.numel()

    def before(self, products: int) -> Krylov | None:
        """The decomposition as it was so many products ago; None where that was before the start or the last restart."""
        kept = self.steps - products
        if products == 0 or kept <= self.retained:
            return None if products else self
        coupling = self.projection[kept, :kept]
        inner = self.projection[:kept, :kept]
        return Krylov(self.basis[:kept], inner, self.basis[kept], coupling, self.products - products, self.retained)

    def ritz(self) -> Ritz:
        """The eigenpairs of G's symmetric part."""
        values, vectors = np.linalg.eigh((self.projection + self.projection.T) / 2)
        inside = np.linalg.norm(self.projection @ vectors - vectors * values, axis=0)
        return Ritz(values, vectors, np.hypot(inside, self.coupling @ vectors))


@dataclass(frozen=True)
class Ritz:
    """The eigenpairs of G's symmetric part, ascending, as approximations λ, y of H's.

    Attributes:
        values: λ, shape ``(m,)``.
        vectors: s in columns, shape ``(m, m)``; y = Vᵀ s.
        residuals: ‖H y − λ y‖₂, shape ``(m,)``, with H y the same combination Σ sⱼ H vⱼ of the products that were made.
    """

    values: Floats
    vectors: Floats
    residuals: Floats

    @property
    def scale(self) -> float:
        """The largest |λ|: what tolerances are relative to."""
        return float(np.abs(self.values).max(initial=0.0))


class Lanczos:
    """A Krylov space that grows by one product a step and is cut down to its extremes on request.

    Args:
        operator: v ``(n,)`` ↦ H v ``(n,)``, symmetric.
        start: the first vector ``(n,)``, of any length but zero, or a stored decomposition.
        capacity: how many basis vectors there is room for.
        seed: of the vectors that are taken where H maps the space into itself.

    Raises:
        InputError: for a start of zero or infinite length.
    """

    def __init__(self, operator: Operator, start: Tensor | Krylov, *, capacity: int, seed: int = 0) -> None:
        self._operator, self._seed = operator, seed
        self.krylov = start if isinstance(start, Krylov) else _empty(start)
        size = self.krylov.following.numel()
        self._room = self.krylov.following.new_empty((min(capacity, size), size))
        self._room[: self.krylov.steps] = self.krylov.basis

    @property
    def full(self) -> bool:
        """Whether there is no room for another basis vector."""
        return self.krylov.steps == len(self._room)

    def step(self) -> None:
        """One product more. The state changes only once the product is there, so that an interruption leaves it whole.

        Raises:
            InputError: for a product that is not finite.
        """
        state, count = self.krylov, self.krylov.steps
        product = checked_product(self._operator, state.following)
        self._room[count] = state.following
        basis = self._room[: count + 1]
        rest, along = _orthogonalised(product, basis)
        projection = np.block([[state.projection, along[:count, None]], [state.coupling[None], along[count:, None]]])
        following, length = self._following(rest, basis, float(torch.linalg.vector_norm(product)))
        coupling = np.zeros(count + 1)
        coupling[count] = length
        self.krylov = Krylov(basis, projection, following, coupling, state.products + 1, state.retained)

    def restart(self, top: int, bottom: int) -> None:
        """Keep the ``top`` largest and ``bottom`` smallest Ritz vectors and some beside them; v stays as it is."""
        state, found = self.krylov, self.krylov.ritz()
        beside = (len(self._room) - top - bottom) // 4
        upper, lower = (count + beside if count else 0 for count in (top, bottom))
        kept = np.r_[:lower, state.steps - upper : state.steps]
        chosen = found.vectors[:, kept]
        rotation = torch.from_numpy(chosen.T.copy()).to(state.basis)
        room = torch.empty_like(self._room)  # the old one belongs to the old state
        torch.mm(rotation, state.basis, out=room[: len(kept)])
        projection, coupling = chosen.T @ state.projection @ chosen, state.coupling @ chosen
        self.krylov = Krylov(room[: len(kept)], projection, state.following, coupling, state.products, len(kept))
        self._room = room

    def _following(self, rest: Tensor, basis: Tensor, length: float) -> tuple[Tensor, float]:
        """What is left of a product, of unit length, and its length; where nothing is left, another vector and 0."""
        left = float(torch.linalg.vector_norm(rest))
        if len(basis) == rest.numel():
            return torch.zeros_like(rest), 0.0
        if left > 10 * torch.finfo(rest.dtype).eps * length:
            return rest / left, left
        draws = generator(self._seed, "krylov", self.krylov.products)
        other, _ = _orthogonalised(torch.randn(rest.numel(), generator=draws).to(rest), basis)
        return other / torch.linalg.vector_norm(other), 0.0


def rademacher(size: int, seed: int, purpose: str, index: int, like: Tensor) -> Tensor:
    """A vector ``(size,)`` of independent signs ±1, of ``like``'s type and device, drawn from (seed, purpose, index)."""
    bits = torch.randint(2, (size,), generator=generator(seed, purpose, index))
    return (2 * bits - 1).to(like)


def checked_product(operator: Operator, vector: Tensor) -> Tensor:
    """H v, which must be finite.

    Raises:
        InputError: where it is not.
    """
    product = operator(vector)
    broken = int((~torch.isfinite(product)).sum())
    if broken:
        raise InputError(
            f"product: H v is NaN or infinite in {broken:,} of its {product.numel():,} entries, so there is no spectrum. "
            "Expected a point with a finite loss and gradient; try precision fp64, or an earlier checkpoint."
        )
    return product


def _empty(start: Tensor) -> Krylov:
    length = float(torch.linalg.vector_norm(start))
    if not 0 < length < np.inf:
        raise InputError(f"start: expected a finite vector other than zero, got one of length {length!r}.")
    return Krylov(start.new_empty((0, start.numel())), np.zeros((0, 0)), start / length, np.zeros(0), 0)


def _orthogonalised(vector: Tensor, basis: Tensor) -> tuple[Tensor, Floats]:
    """What is left of a vector after its part in the span of ``basis`` (twice, which is enough), and that part."""
    total = np.zeros(len(basis))
    for _ in range(2):
        along = basis @ vector
        vector = vector - along @ basis
        total += along.cpu().double().numpy()
    return vector, total
