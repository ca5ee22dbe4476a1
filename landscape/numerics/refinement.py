"""Which points of a grid a picture does not know yet: adaptive refinement with an error that it measures itself.

Values are compared on the displayed scale: z = log₁₀ of the value (linear where values are not all positive), clipped above.
Between the measured points two radial basis interpolants of different order are drawn, and where they disagree the next points are
measured. Each new point is predicted first; a few of them are drawn at random, and the ratio of their errors to the
disagreement there, carried over to the disagreement everywhere else, is a guess at the error of the points that were not measured.
The guess says when to stop, and nothing else.

What a picture is known to is then asked of a sample: points drawn at random among all that were not measured, each as likely as any
other, which had no part in the interpolant. The order statistics of their errors bound a percentile of the picture's error by the
hypergeometric distribution, whatever the values are like: cliffs, strips and holes included. Single points get a bound of their
own from the same sample: a multiple of the disagreement at the point, which a sampled point meets as often as any other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from landscape.checking import check_numbers
from landscape.errors import InputError
from landscape.numerics.audit import QUANTILE, Known, audits_for, bound_factor, known_by
from landscape.numerics.interpolation import grid_places
from landscape.numerics.seeds import derive_seed

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

COARSE = 10  # mesh widths along each axis of the first, coarse grid
ROUND = 16  # points a round
AUDITS = 3  # of which this many are drawn at random where the value is open
CHECKS = 1  # and this many where both interpolants lie above the clip
MARGIN = 0.5  # how far above the clip values still shape the interpolant, in displayed ranges
MIN_AUDITS = 24


@dataclass(frozen=True)
class Refinement:
    """How an adaptive plane is refined.

    Attributes:
        tolerance: stop when 95 % of the picture seem to be known to this fraction of the displayed range.
        value_max: values above it are displayed as equal to it; None: 10, or four times the centre's value where that is above 5.
        max_points: stop at this many measured points; None: no limit. The coarse mesh of 11 × 11 comes first whatever the limit, so
            that a small grid is measured whole.
        max_passes: stop where one more point could exceed this many passes over all samples. A point that is seen to lie above the
            clip takes only part of one, so that a picture of steep walls may have more points for the same work. In a curvature map
            each point counts as one. The command's default is :func:`default_budget`; here there is none.
        minutes: stop after this long; the only setting that makes a result depend on the machine's speed.
        quantity: of which picture: ``loss``, ``accuracy``, or the name of another height that is measured, which is not clipped.

    Example:
        >>> coarse = ls.Refinement(tolerance=0.02, max_points=200)
        >>> plane = ls.plane(objective, x=(-1, 1, 41), y=(-1, 1, 41), refinement=coarse)
        >>> int((plane["status"] == 1).sum()), plane["loss"].size  # measured, and interpolated between
        (200, 1681)
    """

    tolerance: float = 0.01
    value_max: float | None = None
    max_points: int | None = None
    minutes: float | None = None
    max_passes: float | None = None
    quantity: str = "loss"

    def __post_init__(self) -> None:
        check_numbers(**{name: value for name, value in vars(self).items() if name != "quantity"})
        if not isinstance(self.quantity, str):
            raise InputError(f"quantity: expected a name, such as 'loss' or 'accuracy', got {self.quantity!r:.40}.")
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance: expected a fraction between 0 and 1, such as 0.01, got {self.tolerance!r}.")
        if self.quantity != "loss" and self.value_max is not None:
            raise InputError(f"loss_max: clips the loss, and the picture is of {self.quantity!r}. Leave it out.")
        if self.value_max is not None and not math.isfinite(self.value_max):
            raise InputError(f"loss_max: expected a finite number, such as 10, got {self.value_max!r}.")
        if self.max_points is not None and self.max_points < 1:
            raise InputError(f"max_points: expected at least 1, got {self.max_points!r}.")
        for name, given in (("minutes", self.minutes), ("max_passes", self.max_passes)):
            if given is not None and not given > 0:
                raise InputError(f"{name}: expected a positive number, got {given!r}.")

    def settings(self) -> dict[str, Any]:
        """What decides a result, by name; without a budget of passes where there is none, as before there were any."""
        left_out = {"max_passes"} if self.max_passes is None else set[str]()
        left_out |= {"quantity"} if self.quantity == "loss" else set[str]()
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def most(self, points: int) -> int:
        """How many of ``points`` are measured at most, if each takes a whole pass: an upper bound of the passes."""
        limits = [limit for limit in (self.max_points, self.max_passes) if limit is not None]
        return int(min([points, *limits]))

    def around(self, centre: float) -> Refinement:
        """The same with a definite ``value_max``, for a grid whose centre has this value.

        Raises:
            InputError: where the centre itself would be clipped.
        """
        if self.quantity != "loss":
            return self
        if self.value_max is None:
            return replace(self, value_max=4 * centre if math.isfinite(centre) and centre > 5 else 10.0)
        if centre >= self.value_max:
            raise InputError(
                f"loss_max: the loss at the centre is {centre:.5g}, not below {self.value_max:g}, so nothing would be seen. "
                f"Try {4 * abs(centre):.2g}."
            )
        return self


@dataclass(frozen=True)
class Refined:
    """What a refinement came to.

    Attributes:
        values: every point of the grid, flat: measured where measured, interpolated elsewhere.
        measured: which points were measured.
        predicted: what was predicted for a point before it was measured; NaN for the others and the coarse mesh.
        known: how well the others are known.
        bounds: of each interpolated point, :func:`bound_factor` times the disagreement there, as a fraction of the displayed range;
            NaN where measured.
        scale: ``log`` or ``linear``.
    """

    values: Floats
    measured: NDArray[np.bool_]
    predicted: Floats
    known: Known
    bounds: Floats
    scale: str


def refine(
    shape: tuple[int, int],
    settings: Refinement,
    measure: Callable[[Indices], Floats],
    *,
    seed: int = 0,
    scale: str = "auto",
    coarse: int = COARSE,
    passes: Callable[[Indices], Floats] | None = None,
) -> Refined:
    """Measure a two-dimensional grid of ``shape`` where its picture needs it.

    ``measure`` gives the values of flat indices. The sequence of questions follows from its answers and ``seed`` alone, so a
    refinement that is done again with remembered answers asks the same.

    Args:
        scale: ``auto``, logarithmic where all values are positive, or ``linear``.
        coarse: mesh widths along each axis of the first grid; fewer for values that are dear.
        passes: how many passes over all samples the measured points of these indices took; one each by default.
    """
    refiner = Refiner(shape, settings, seed=seed, scale=scale, coarse=coarse, passes=passes)
    while refiner.result is None:
        refiner.give(measure(refiner.wanted))
    return refiner.result


class Refiner:
    """A refinement that is told values instead of asking for them: until there is a ``result``, give those of ``wanted``.

    Whoever has several workers gives them the points of a round, and meanwhile some of :meth:`ahead`, which are likely to be
    wanted next. What is wanted follows from the values that were given and ``seed`` alone, whoever measured them, in which order.

    Attributes:
        wanted: flat indices of the points of this round.
        result: what the refinement came to; None before its end.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        settings: Refinement,
        *,
        seed: int = 0,
        scale: str = "auto",
        coarse: int = COARSE,
        passes: Callable[[Indices], Floats] | None = None,
    ) -> None:
        self._state = _State(shape, settings, seed, scale, coarse, passes)
        self.wanted = self._state.coarse_mesh()
        self.result: Refined | None = None
        self._audit = False

    def give(self, values: Floats, lost: NDArray[np.bool_] | None = None) -> None:
        """The values of :attr:`wanted`; ``lost``: which of them nobody could measure, of whose values nothing is supposed."""
        state = self._state
        if self._audit:
            self.result = state.outcome(state.audited(self.wanted, values, lost))
            return
        state.tell(self.wanted, values, lost)
        self._audit = state.is_done()
        self.wanted = state.sample() if self._audit else state.next_points()
        if not len(self.wanted):
            self.give(np.zeros(0))

    def ahead(self, count: int) -> Indices:
        """Up to so many points that are likely to be wanted in the next rounds: those of largest disagreement after this one's."""
        state, wanted = self._state, self.wanted
        return wanted[:0] if self._audit else state.largest(count, state.random, np.setdiff1d(wanted, state.random))


def default_budget(shape: Sequence[int], coarse: int = COARSE) -> int:
    """Passes over all samples: a sixth of the grid's, or half as many again as the coarse mesh's, and those of the sample."""
    points = math.prod(shape)
    refined = max(points // 6, 3 * math.prod(len(_every(n, coarse)) for n in shape) // 2)
    return refined + audits_for(points, points - refined)


class _State:
    def __init__(
        self,
        shape: tuple[int, int],
        settings: Refinement,
        seed: int,
        scale: str,
        coarse: int,
        passes: Callable[[Indices], Floats] | None,
    ) -> None:
        self.shape, self.settings = shape, settings
        self.scale, self.coarse = scale, coarse
        self.passes_of, self.passes = passes, 0.0
        count = math.prod(shape)
        self.places = grid_places(shape)
        self.values = np.full(count, np.nan)
        self.measured = np.zeros(count, dtype=bool)
        self.lost = np.zeros(count, dtype=bool)  # of what was measured, or rather was not: nobody could
        self.predicted = np.full(count, np.nan)
        self.ratios: list[float] = []  # error over disagreement, at audits where the value was open
        self.slips: list[float] = []  # error, at checks of points that both interpolants put above the clip
        self.draws = np.random.default_rng(derive_seed(seed, "refinement"))
        self.raw = np.zeros(count)  # the finer interpolant, and clipped as it is displayed
        self.fine = np.zeros(count)
        self.disagreement = np.zeros(count)
        self.begun = time.monotonic()
        self.deadline = math.inf if settings.minutes is None else self.begun + 60 * settings.minutes
        self.random: Indices = np.zeros(0, dtype=np.int64)
        self.open = np.zeros(count, dtype=bool)
        self.bounds = np.full(count, np.nan)

    def coarse_mesh(self) -> Indices:
        rows, columns = (_every(n, self.coarse) for n in self.shape)
        return np.ravel_multi_index(np.meshgrid(rows, columns, indexing="ij"), self.shape).ravel().astype(np.int64)

    def tell(self, points: Indices, values: Floats, lost: NDArray[np.bool_] | None = None) -> None:
        """Take the values of the points, keep how far off their predictions were, and interpolate anew."""
        predicted = self._unscaled(self.fine[points]) if self.measured.any() else np.full(len(points), np.nan)
        self.values[points] = values
        self.lost[points] = False if lost is None else lost
        self.passes += len(points) if self.passes_of is None else float(self.passes_of(points).sum())
        self.predicted[points] = predicted
        self.measured[points] = True
        told = self.random[~self.lost[self.random]]
        supposed = [(p, self.fine[p], max(self.disagreement[p], self._floor()), self.open[p]) for p in told]
        positive = bool((self.values[self._known & np.isfinite(self.values)] > 0).all())
        self.log = self.scale == "auto" and positive
        found = self._displayed(self.values)
        for point, fine, disagreement, was_open in supposed:
            error = float(abs(fine - found[point]))
            if was_open:
                self.ratios.append(error / disagreement if disagreement > 0 else 0.0)
            else:
                self.slips.append(error)
        self._interpolate()

    def is_done(self) -> bool:
        if self.measured.all() or self._budget() <= 0 or self._is_late():
            return True
        enough = len(self.ratios) >= MIN_AUDITS or not self.open.any()
        return enough and self.supposed_error() <= self.settings.tolerance

    def sample(self) -> Indices:
        """A random sample of what is interpolated."""
        unmeasured = np.flatnonzero(~self.measured)
        wanted = max(0, min(audits_for(len(self.measured), len(unmeasured)), self._left()))
        return self.draws.choice(unmeasured, wanted, replace=False).astype(np.int64)

    def audited(self, points: Indices, values: Floats, lost: NDArray[np.bool_] | None = None) -> Known:
        """What the values of the sample say of the picture; they change nothing about the interpolant."""
        unmeasured = int((~self.measured).sum())
        self.predicted[points] = self._unscaled(self.fine[points])
        self.values[points] = values
        self.measured[points], self.lost[points] = True, False if lost is None else lost
        off = np.abs(self._displayed(self.values[points]) - self.fine[points])
        off[self.lost[points]] = np.inf  # it may be off by anything
        extent = self._range()
        self._bound(points, off, extent)
        return known_by(off / extent if extent else np.zeros(len(points)), len(self.measured), unmeasured)

    def _bound(self, points: Indices, off: Floats, extent: float) -> None:
        """The bound of each point that stays interpolated, by how far ``off`` the sampled ``points`` were."""
        left = ~self.measured
        self.bounds[left] = 0.0
        if extent:
            disagreement = np.maximum(self.disagreement, self._floor())
            self.bounds[left] = bound_factor(off / disagreement[points]) * disagreement[left] / extent

    def next_points(self) -> Indices:
        """The points of largest disagreement, apart from each other, and a few at random."""
        count = min(ROUND, self._budget())
        self.random = np.concatenate(
            [self._drawn(self.open, min(AUDITS, count)), self._drawn(~self.open & ~self.measured, CHECKS)]
        )[:count]
        chosen = self.largest(count - len(self.random), self.random)
        return np.concatenate([chosen, self.random])

    def largest(self, count: int, without: Indices, around: Sequence[int] | Indices = ()) -> Indices:
        """Up to ``count`` points of largest disagreement, apart from each other and from ``around``."""
        score = self.disagreement.reshape(self.shape).copy()
        score.flat[without] = -1.0

        def leave(point: int) -> None:
            row, column = np.unravel_index(point, self.shape)
            score[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = -1.0

        for point in around:
            leave(int(point))
        chosen: list[int] = []
        while len(chosen) < count:
            best = int(score.argmax())
            if score.flat[best] <= 0:
                break
            chosen.append(best)
            leave(best)
        return np.array(chosen, dtype=np.int64)

    def supposed_error(self) -> float:
        """A guess at the 95th percentile of the error over the grid, as a fraction of the displayed range, to stop by.

        Each open point may err by its disagreement times any of the audited ratios, each closed one by any of the checked
        slips, each measured one not at all; the percentile is that of all these possibilities.
        """
        extent = self._range()
        if extent == 0 or self.measured.all():
            return 0.0
        if self.open.any() and not self.ratios:
            return math.nan
        supposed = np.maximum(self.disagreement[self.open], self._floor())
        possible = np.outer(supposed, self.ratios[-2 * MIN_AUDITS :]).ravel()
        slips = np.array(self.slips or [0.0])
        closed = int((~self.open & ~self.measured).sum())
        errors = np.concatenate([possible, slips, [0.0]])
        weights = np.concatenate(
            [
                np.full(possible.size, supposed.size / max(possible.size, 1)),
                np.full(slips.size, closed / slips.size),
                [float(self.measured.sum())],
            ]
        )
        order = errors.argsort()
        reached = np.searchsorted(weights[order].cumsum(), QUANTILE * weights.sum())
        return float(errors[order][min(reached, len(errors) - 1)] / extent)

    def outcome(self, known: Known) -> Refined:
        # not clipped, so that a point above the clip is seen to lie above it
        values = np.where(self._known, self.values, self._unscaled(self.raw))
        return Refined(values, self._known, self.predicted, known, self.bounds, "log" if self.log else "linear")

    @property
    def _known(self) -> NDArray[np.bool_]:
        """Which points have values."""
        return self.measured & ~self.lost

    def _is_late(self) -> bool:
        """Whether no more time is left than the sample will take."""
        now, done = time.monotonic(), int(self.measured.sum())
        wanted = audits_for(len(self.measured), len(self.measured) - done)
        return now + wanted * (now - self.begun) / done > self.deadline

    def _budget(self) -> int:
        """Points that may still be measured before the sample is drawn."""
        limited = self.settings.max_points is not None or self.settings.max_passes is not None
        unmeasured = int((~self.measured).sum())
        return self._left() - (audits_for(len(self.measured), unmeasured) if limited else 0)

    def _left(self) -> int:
        """Points that may still be measured, if each takes a whole pass."""
        done, settings = int(self.measured.sum()), self.settings
        left = [len(self.measured) - done]
        left += [] if settings.max_points is None else [settings.max_points - done]
        left += [] if settings.max_passes is None else [math.floor(settings.max_passes - self.passes + 1e-9)]
        return min(left)

    def _interpolate(self) -> None:
        known = self._known
        ceiling = self._ceiling() + MARGIN * self._range()
        z = np.minimum(np.nan_to_num(self._scaled(self.values[known]), nan=ceiling, posinf=ceiling), ceiling)
        if known.sum() < 4 or np.ptp(z) == 0:
            first = second = np.full(len(known), z.mean())
        else:
            first, second = (
                RBFInterpolator(self.places[known], z, kernel=kernel)(self.places)
                for kernel in ("cubic", "thin_plate_spline")
            )
        top = self._ceiling()
        self.open = ~self.measured & (np.minimum(first, second) < top)
        self.raw = np.minimum(first, ceiling)
        self.fine, self.disagreement = np.minimum(first, top), np.abs(np.minimum(first, top) - np.minimum(second, top))
        self.fine = np.where(known, self._displayed(self.values), self.fine)
        self.disagreement[self.measured] = 0.0

    def _drawn(self, among: NDArray[np.bool_], count: int) -> Indices:
        candidates = np.flatnonzero(among)
        return self.draws.choice(candidates, min(count, len(candidates)), replace=False).astype(np.int64)

    def _floor(self) -> float:
        """Disagreements below this say nothing: two smooth curves also cross where both are wrong."""
        typical = float(np.median(self.disagreement[self.open])) if self.open.any() else 0.0
        return max(0.1 * self.settings.tolerance * self._range(), typical)

    def _ceiling(self) -> float:
        """The clip on the displayed scale."""
        if self.settings.quantity != "loss":
            z = self._scaled(self.values[self.measured])
            z = z[np.isfinite(z)]
            return float(z.max() + np.ptp(z)) if z.size else math.inf  # beyond all that was seen
        top = 10.0 if self.settings.value_max is None else self.settings.value_max
        if self.log and top <= 0:
            return math.inf
        return math.log10(top) if self.log else top

    def _range(self) -> float:
        z = self._displayed(self.values[self._known])
        z = z[np.isfinite(z)]
        return float(np.ptp(z)) if z.size else 0.0

    def _displayed(self, values: Floats) -> Floats:
        """Values on the displayed scale; NaN and +inf lie above the clip, as they do in a picture."""
        return np.minimum(np.nan_to_num(self._scaled(values), nan=np.inf, posinf=np.inf), self._ceiling())

    def _scaled(self, values: Floats) -> Floats:
        if not self.log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log10(values))

    def _unscaled(self, z: Floats) -> Floats:
        return 10.0**z if self.log else z


def _every(count: int, coarse: int) -> Indices:
    """Evenly spaced indices from 0 to ``count − 1``, about ``coarse`` mesh widths."""
    return np.unique(np.linspace(0, count - 1, min(count, coarse + 1)).round()).astype(np.int64)
