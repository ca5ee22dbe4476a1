"""The largest and smallest eigenvalues of a symmetric operator to a tolerance, with their residuals.

Measured against scipy's ``eigsh`` (ARPACK) on the same operators, this takes fewer products to the same tolerance, because it looks
after every product instead of after a whole restart, and one Krylov space serves both ends of the spectrum: see
``docs/performance.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.lanczos import Floats, Krylov, Lanczos, Operator, Ritz

CRITERIA = ("residual", "value")
BASIS_BYTES = 2**27
LEAST_BESIDE = 12  # basis vectors that a restarted space has room for besides twice the wanted ones
# Bounds stay so far below the tolerance, because a gap is known only from below and a product only to rounding.
MARGIN = 0.7


@dataclass(frozen=True)
class Extremes:
    """Eigenpairs at both ends of a spectrum.

    Attributes:
        ranks: 1, 2, … from the largest down, then −1, −2, … from the smallest up; shape ``(k,)``.
        values: λ, Rayleigh quotients, shape ``(k,)``.
        vectors: y, of unit length, in rows, shape ``(k, n)``.
        residuals: ‖H y − λ y‖₂, shape ``(k,)``: an eigenvalue lies no further than this from λ.
        error_bounds: of λ, shape ``(k,)``: the residual, or residual² / gap where that is less (Kato–Temple); the gap is that to
            the other Ritz values, less their residuals.
        converged: whether the criterion's bound is at most the tolerance times the largest |λ|, shape ``(k,)``.
        products: how many it took.
    """

    ranks: NDArray[np.int64]
    values: Floats
    vectors: Tensor
    residuals: Floats
    error_bounds: Floats
    converged: NDArray[np.bool_]
    products: int


@dataclass(frozen=True)
class Search:
    """What is looked for, and how well.

    Attributes:
        top, bottom: how many of the largest and of the smallest eigenvalues.
        tolerance: relative to the largest |λ|.
        criterion: what the tolerance is of: the ``residual``, or the error bound of the ``value``, which is met earlier, with
            eigenvectors that are less exact.
        max_products: stop after so many, with what there is then.

    Raises:
        InputError: for values that cannot be meant.
    """

    top: int
    bottom: int
    tolerance: float = 1e-3
    criterion: str = "residual"
    max_products: int = 500

    def __post_init__(self) -> None:
        if min(self.top, self.bottom) < 0 or self.wanted < 1:
            raise InputError(
                f"top, bottom: expected one eigenvalue at least, got top={self.top!r}, bottom={self.bottom!r}."
            )
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance: expected a number between 0 and 1, such as 1e-3, got {self.tolerance!r}.")
        if self.criterion not in CRITERIA:
            raise unknown_choice("criterion", self.criterion, CRITERIA)
        if self.max_products < 1:
            raise InputError(f"max_products: expected at least 1, got {self.max_products!r}.")

    @property
    def wanted(self) -> int:
        return self.top + self.bottom

    def capacity(self, size: int, itemsize: int) -> int:
        """As many basis vectors as 128 MiB hold, but at least twice the wanted ones and a dozen, and at most 300 or the space."""
        least = 2 * self.wanted + LEAST_BESIDE
        return min(max(least, min(BASIS_BYTES // (size * itemsize), 300)), size)

    def chosen(self, found: Ritz) -> NDArray[np.int64]:
        """Which Ritz values are wanted: from the top down, then from the bottom up."""
        return np.asarray(np.r_[len(found.values) - 1 - np.arange(self.top), np.arange(self.bottom)], dtype=np.int64)

    def bounds(self, found: Ritz, error_bounds: Floats) -> Floats:
        """What the criterion looks at, of every Ritz value."""
        return found.residuals if self.criterion == "residual" else error_bounds

    def met(self, krylov: Krylov) -> bool:
        """Whether all wanted eigenvalues are known to the tolerance."""
        if krylov.steps < self.wanted + (not krylov.exhausted):
            return False
        found = krylov.ritz()
        bounds = self.bounds(found, _error_bounds(found))[self.chosen(found)]
        return bool((bounds <= MARGIN * self.tolerance * found.scale).all())

    def confirmed(self, krylov: Krylov) -> bool:
        """Whether it was met at a few products in turn.

        An eigenvalue whose vector the start hardly holds appears late, among others that have converged, and unsettles them. The
        more eigenvalues are wanted, the further inside the spectrum they lie, where that happens.
        """
        if krylov.exhausted or not krylov.coupling.any():
            return self.met(krylov)
        earlier = (krylov.before(back) for back in range(1 + self.wanted // 3))
        return all(state is not None and self.met(state) for state in earlier)


def extremes(
    operator: Operator,
    start: Tensor | Krylov,
    search: Search,
    *,
    seed: int = 0,
    capacity: int | None = None,
    observer: Callable[[Krylov], None] | None = None,
) -> tuple[Extremes, Krylov]:
    """The wanted eigenvalues, and the decomposition that they were taken from.

    A repeated eigenvalue is found as often as rounding tells its copies apart.

    Args:
        operator: v ``(n,)`` ↦ H v ``(n,)``, symmetric.
        start: a vector ``(n,)``, or a decomposition that ``observer`` was told, which is continued bit for bit.
        seed: of vectors that are drawn where the space is exhausted.
        capacity: of the basis, at least ``top + bottom + 4``; by default :meth:`Search.capacity`.
        observer: told of the decomposition after every product.

    Raises:
        InputError: for more eigenvalues than there are, or a product that is not finite.
    """
    vector = start.following if isinstance(start, Krylov) else start
    size = vector.numel()
    if search.wanted > size:
        raise InputError(
            f"top, bottom: expected at most {size:,} eigenvalues in all, one for each parameter, "
            f"got top={search.top!r}, bottom={search.bottom!r}."
        )
    room = search.capacity(size, vector.element_size()) if capacity is None else capacity
    space = Lanczos(operator, start, capacity=max(room, min(search.wanted + 4, size)), seed=seed)
    while not _is_done(space.krylov, search):
        if space.full:
            space.restart(search.top, search.bottom)
        space.step()
        if observer is not None:
            observer(space.krylov)
    return _outcome(space.krylov, search), space.krylov


def _is_done(krylov: Krylov, search: Search) -> bool:
    if krylov.steps < search.wanted:
        return False
    return krylov.exhausted or krylov.products >= search.max_products or search.confirmed(krylov)


def _error_bounds(found: Ritz) -> Floats:
    distances = np.abs(found.values[:, None] - found.values[None]) - found.residuals[None]
    np.fill_diagonal(distances, np.inf)
    gaps = distances.min(axis=1, initial=np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        quadratic = np.where((gaps > 0) & np.isfinite(gaps), found.residuals**2 / gaps, np.inf)
    return np.minimum(found.residuals, quadratic)


def _outcome(krylov: Krylov, search: Search) -> Extremes:
    found = krylov.ritz()
    errors, chosen = _error_bounds(found), search.chosen(found)
    rows = torch.from_numpy(found.vectors[:, chosen].T.copy()).to(krylov.basis) @ krylov.basis
    return Extremes(
        ranks=np.r_[1 : search.top + 1, -np.arange(1, search.bottom + 1)].astype(np.int64),
        values=found.values[chosen],
        vectors=rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True),
        residuals=found.residuals[chosen],
        error_bounds=errors[chosen],
        converged=search.bounds(found, errors)[chosen] <= search.tolerance * found.scale,
        products=krylov.products,
    )
