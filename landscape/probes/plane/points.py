"""The points of a grid on one or several subspaces, measured coarse to fine, or only where a picture needs them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.errors import InputError
from landscape.execution.team import Arrived, Flight, Team, Work
from landscape.numerics.audit import Known
from landscape.numerics.grids import Grid
from landscape.numerics.refinement import COARSE, Refined, Refinement, Refiner, refine

Indices = NDArray[np.int64]

PART_SECONDS = 0.25  # of a part of a whole grid: long against the milliseconds that sending it takes
ROUND_SECONDS = 0.05  # and of a round, for whose last part all wait
LEAST_SECONDS = 0.1  # of any part, however many workers there are: sending one takes the client some milliseconds
LARGEST_PART = 256  # points
AHEAD = 48  # points of a plane that are measured before they are wanted, or kept aside: three rounds
QUEUED = 2  # parts for each worker while a round waits for its last: one that runs, and the next


@dataclass(frozen=True)
class GridPoints:
    """What there is to measure, and how: the values themselves are kept by whoever made it.

    Attributes:
        grid: whose points, by their flat indices.
        seeds: the direction seed of each subspace; subspaces are told apart by their number.
        known: the number of a subspace -> which of its points have been measured, ``(P,)``.
        shown: the number of a subspace -> the values that its picture shows, ``(P,)``; any number where not measured.
        work: measures points. What it gives has as many entries as there are points, and gives some of them for a slice.
        asked: the number of a subspace and indices of its points -> what ``work`` takes.
        keep: takes the number of a subspace, indices of its points and what ``work`` gave for them.
        lose: the same for points that nobody could measure, with the reason.
        lost: the number of a subspace -> which of its points were lost, ``(P,)``.
        at_once: points that ``work`` is asked for at once in this process.
        together: points that it measures in one pass.
        pace: seconds that a point may take, as far as can be told before the first.
        passes: the number of a subspace -> how many passes over all samples each measured point took, ``(P,)``; None: one each.
    """

    grid: Grid
    seeds: tuple[int, ...]
    known: Callable[[int], NDArray[np.bool_]]
    shown: Callable[[int], NDArray[np.float64]]
    work: Work
    asked: Callable[[int, Indices], tuple[Any, ...]]
    keep: Callable[[int, Indices, Any], None]
    lose: Callable[[int, Indices, str], None]
    lost: Callable[[int], NDArray[np.bool_]]
    at_once: int = 1
    together: int = 1
    pace: float = math.inf
    passes: Callable[[int], NDArray[np.float64]] | None = None

    def measure_all(self) -> None:
        """Every point. All seeds share a mesh level before any goes finer, so that a stop leaves them alike."""
        if self.work.team is not None:
            self._measure_all_by(self.work.team)
            return
        for wanted in self._requests(self.grid.coarse_to_fine):
            for number in range(len(self.seeds)):
                self._ask(number, wanted)

    def refine(
        self, refinement: Refinement, *, scale: str = "auto", coarse: int = COARSE
    ) -> Iterator[tuple[int, Refined]]:
        """Where the picture needs it: each subspace's number, and what its refinement came to.

        What an earlier, unfinished run has measured answers the same questions again, so nothing is measured twice.

        A team measures the rounds of all subspaces side by side, and, while one waits for its last points, those that are likely
        to be wanted next. These are kept aside, and become part of the result if they are wanted: what is wanted follows
        from the values of the rounds alone, so that neither picture nor error depend on how many workers there are.

        Raises:
            InputError: for a grid that is not two-dimensional.
        """
        if len(self.grid.axes) != 2:
            raise InputError(f"refinement: only planes are refined, this grid has {len(self.grid.axes)} axes.")
        shape = (self.grid.shape[0], self.grid.shape[1])

        def taken(number: int, points: Indices) -> NDArray[np.float64]:
            return np.ones(len(points)) if self.passes is None else self.passes(number)[points]

        if self.work.team is not None:
            refiners = {
                k: Refiner(shape, refinement, seed=seed, scale=scale, coarse=coarse, passes=partial(taken, k))
                for k, seed in enumerate(self.seeds)
            }
            yield from _Rounds(self, self.work.team, refiners).results()
            return
        start, count = time.monotonic(), len(self.seeds)
        for number, seed in enumerate(self.seeds):
            share = _share(refinement, start, count - number)

            def answer(points: Indices, number: int = number) -> NDArray[np.float64]:
                for request in self._requests(points):
                    self._ask(number, request)
                return self.shown(number)[points]

            passes = partial(taken, number)
            yield number, refine(shape, share, answer, seed=seed, scale=scale, coarse=coarse, passes=passes)

    def open(self, number: int) -> NDArray[np.bool_]:
        """Which points of a subspace are neither measured nor lost, ``(P,)``."""
        return ~(self.known(number) | self.lost(number))

    def flight(self) -> Flight[tuple[int, Indices]]:
        """For parts that a team measures, whose points go one by one where one of them ends its worker."""

        def split(key: tuple[int, Indices], _: tuple[Any, ...]) -> list[tuple[Any, tuple[Any, ...]]]:
            number, points = key
            if len(points) == 1:
                return []
            return [((number, one), self.asked(number, one)) for one in np.split(points, len(points))]

        return self.work.flight(split)

    def _requests(self, points: Indices) -> list[Indices]:
        return np.array_split(points, -(-len(points) // self.at_once)) if len(points) else []

    def _ask(self, number: int, wanted: Indices) -> None:
        missing: Indices = wanted[self.open(number)[wanted]]
        if missing.size:
            self.keep(number, missing, self.work.here(*self.asked(number, missing)))

    def _measure_all_by(self, team: Team) -> None:
        sizes, order = _Sizes(self.together, PART_SECONDS, self.pace), self.grid.coarse_to_fine

        def parts() -> Iterator[tuple[tuple[int, Indices], tuple[Any, ...]]]:
            begun = 0
            while begun < len(order):
                fair = -(-(len(order) - begun) * len(self.seeds) // (4 * max(team.workers, 1)))
                wanted = order[begun : begun + sizes.most(fair)]
                begun += len(wanted)
                for number in range(len(self.seeds)):
                    missing = wanted[self.open(number)[wanted]]
                    if missing.size:
                        yield (number, missing), self.asked(number, missing)

        with self.flight() as flight:
            for arrived in flight.all(parts()):
                number, points = arrived.key
                if arrived.lost:
                    self.lose(number, points, arrived.lost)
                else:
                    sizes.learn(len(points), arrived.seconds)
                    self.keep(number, points, arrived.value)


class _Sizes:
    """How many points a part has: as many as take so many ``seconds``, in multiples of those measured ``together``."""

    def __init__(self, together: int, seconds: float, pace: float) -> None:
        self._together, self._seconds, self._pace, self._guessed = together, seconds, pace, True

    def learn(self, points: int, seconds: float) -> None:
        """That so many points took so long."""
        found = max(seconds, 1e-6) / points
        self._pace, self._guessed = found if self._guessed else min(self._pace, found), False

    def most(self, fair: int) -> int:
        """How many points the next part has: at most ``fair``, but for cheap ones."""
        wanted = min(self._seconds / self._pace, max(fair, LEAST_SECONDS / self._pace), LARGEST_PART)
        return max(1, round(wanted / self._together)) * self._together


class _Rounds:
    """The rounds of several refinements, measured by a team."""

    def __init__(self, points: GridPoints, team: Team, refiners: dict[int, Refiner]) -> None:
        self._points, self._team, self._refiners = points, team, refiners
        self._wanted: dict[int, set[int]] = {}  # of the present round, and not known yet
        self._out: set[tuple[int, int]] = set()
        self._aside: dict[tuple[int, int], Arrived[Any]] = {}  # measured before they were wanted
        self._sizes = _Sizes(points.together, ROUND_SECONDS, points.pace)

    def results(self) -> Iterator[tuple[int, Refined]]:
        """Each refinement's number, and what it came to, as they end."""
        with self._points.flight() as flight:
            for number in self._refiners:
                self._begin(number, flight)
            while self._refiners:
                yield from self._ended(flight)
                self._send_ahead(flight)
                if len(flight):
                    self._take(flight.next())

    def _begin(self, number: int, flight: Flight[tuple[int, Indices]]) -> None:
        """A round: what is known already, what was kept aside, and what has to be sent."""
        wanted = self._refiners[number].wanted
        missing = wanted[self._points.open(number)[wanted]].tolist()
        self._wanted[number] = set(missing)
        for point in missing:
            if (number, point) in self._aside:
                self._keep(number, point, self._aside.pop((number, point)))
        unsent = np.array([p for p in missing if p in self._wanted[number] and (number, p) not in self._out], np.int64)
        fair = -(-len(unsent) // (2 * max(self._team.workers, 1)))
        self._send(number, unsent, self._sizes.most(fair), flight)

    def _send(self, number: int, points: Indices, size: int, flight: Flight[tuple[int, Indices]]) -> None:
        for begun in range(0, len(points), size):
            some = points[begun : begun + size]
            self._out |= {(number, point) for point in some.tolist()}
            flight.send((number, some), self._points.asked(number, some))

    def _send_ahead(self, flight: Flight[tuple[int, Indices]]) -> None:
        """Points that are likely to be wanted, so that no worker waits for a round's last ones."""
        if self._sizes.most(1) > 1:
            return  # they cost less than it takes to send them
        for number, refiner in self._refiners.items():
            mine = [p for of, p in (*self._out, *self._aside) if of == number and p not in self._wanted[number]]
            room = min(QUEUED * self._team.workers - len(flight), AHEAD - len(mine))
            if room <= 0:
                continue
            some = [
                p for p in refiner.ahead(room + len(mine)).tolist() if p not in mine and (number, p) not in self._out
            ]
            open_ones = self._points.open(number)
            self._send(number, np.array([p for p in some if open_ones[p]][:room], np.int64), 1, flight)

    def _take(self, arrived: Arrived[tuple[int, Indices]]) -> None:
        number, points = arrived.key
        if not arrived.lost:
            self._sizes.learn(len(points), arrived.seconds)
        for place, point in enumerate(points.tolist()):
            self._out.discard((number, point))
            one = arrived if arrived.lost else replace(arrived, value=arrived.value[place : place + 1])
            if point in self._wanted.get(number, ()):
                self._keep(number, point, one)
            elif number in self._refiners:
                self._aside[number, point] = one

    def _keep(self, number: int, point: int, arrived: Arrived[Any]) -> None:
        self._wanted[number].remove(point)
        if arrived.lost:
            self._points.lose(number, np.array([point]), arrived.lost)
        else:
            self._points.keep(number, np.array([point]), arrived.value)

    def _ended(self, flight: Flight[tuple[int, Indices]]) -> Iterator[tuple[int, Refined]]:
        """Go on to the next round wherever the present one is known, and give what ends by that."""
        for number, refiner in list(self._refiners.items()):
            while refiner.result is None and not self._wanted[number]:
                asked = refiner.wanted
                refiner.give(self._points.shown(number)[asked], self._points.lost(number)[asked])
                if refiner.result is None:
                    self._begin(number, flight)
            if refiner.result is not None:
                del self._refiners[number], self._wanted[number]
                yield number, refiner.result


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
