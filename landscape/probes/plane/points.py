"""The points of a grid on one or several subspaces, measured coarse to fine, or only where a picture needs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landscape.errors import InputError
from landscape.numerics.audit import Known
from landscape.numerics.grids import Grid
from landscape.numerics.refinement import COARSE, Refined, Refinement, refine

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class GridPoints:
    """What there is to measure, and how: the values themselves are kept by whoever made it.

    Attributes:
        grid: whose points, by their flat indices.
        seeds: the direction seed of each subspace; subspaces are told apart by their number.
        known: the number of a subspace -> which of its points have been measured, ``(P,)``.
        shown: the number of a subspace -> the values that its picture shows, ``(P,)``; any number where not measured.
        measure: measures points of a subspace that are not known.
        at_once: points that ``measure`` is asked for at once.
        passes: the number of a subspace -> how many passes over all samples each measured point took, ``(P,)``; None: one each.
    """

    grid: Grid
    seeds: tuple[int, ...]
    known: Callable[[int], NDArray[np.bool_]]
    shown: Callable[[int], NDArray[np.float64]]
    measure: Callable[[int, Indices], None]
    at_once: int = 1
    passes: Callable[[int], NDArray[np.float64]] | None = None

    def measure_all(self) -> None:
        """Every point. All seeds share a mesh level before any goes finer, so that a stop leaves them alike."""
        for wanted in self._requests(self.grid.coarse_to_fine):
            for number in range(len(self.seeds)):
                self._ask(number, wanted)

    def refine(
        self, refinement: Refinement, *, scale: str = "auto", coarse: int = COARSE
    ) -> Iterator[tuple[int, Refined]]:
        """Where the picture needs it: each subspace's number, and what its refinement came to.

        What an earlier, unfinished run has measured answers the same questions again, so nothing is measured twice.

        Raises:
            InputError: for a grid that is not two-dimensional.
        """
        if len(self.grid.axes) != 2:
            raise InputError(f"refinement: only planes are refined, this grid has {len(self.grid.axes)} axes.")
        start, count = time.monotonic(), len(self.seeds)
        shape = (self.grid.shape[0], self.grid.shape[1])
        for number, seed in enumerate(self.seeds):
            share = _share(refinement, start, count - number)

            def answer(points: Indices, number: int = number) -> NDArray[np.float64]:
                for request in self._requests(points):
                    self._ask(number, request)
                return self.shown(number)[points]

            def taken(points: Indices, number: int = number) -> NDArray[np.float64]:
                return np.ones(len(points)) if self.passes is None else self.passes(number)[points]

            yield number, refine(shape, share, answer, seed=seed, scale=scale, coarse=coarse, passes=taken)

    def _requests(self, points: Indices) -> list[Indices]:
        return np.array_split(points, -(-len(points) // self.at_once)) if len(points) else []

    def _ask(self, number: int, wanted: Indices) -> None:
        missing: Indices = wanted[~self.known(number)[wanted]]
        if missing.size:
            self.measure(number, missing)


def _share(refinement: Refinement, start: float, planes: int) -> Refinement:
    """The same with what one of ``planes`` planes still has of the time since ``start``."""
    if refinement.minutes is None:
        return refinement
    left = refinement.minutes - (time.monotonic() - start) / 60
    return replace(refinement, minutes=max(left / planes, 1e-9))


def known_attributes(known: Sequence[Known]) -> dict[str, float | int]:
    """How well planes are known, as attributes of their result: of several what the least certain one is."""
    return {
        "picture_error": float(np.max([one.limit for one in known])),
        "picture_error_estimate": float(np.max([one.error for one in known])),
        "picture_audits": int(np.min([one.audits for one in known])),
    }
