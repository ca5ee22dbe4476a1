"""The one scale that panels share: linear or logarithmic, clipped or not, with its levels."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from landscape.errors import InputError, unknown_choice
from landscape.pictures.arrays import Floats
from landscape.pictures.style import number, power_of_ten

SCALES = ("auto", "linear", "log")
LOG_FROM_DECADES = 1.5
MOST_MIXED = 10**4.5  # the ratio of ends from which a log scale's round values are powers of ten alone
HALVES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of a symmetric scale
BANDS = 28  # about as many fills as the eye takes for a gradient, and few enough for a small file


@dataclass(frozen=True)
class Scale:
    """From ``low`` to ``high``; ``over`` and ``under`` say that values beyond them exist and are drawn clipped."""

    log: bool
    low: float
    high: float
    over: bool = False
    under: bool = False

    @property
    def extend(self) -> str:
        """matplotlib's word for which ends of the colour bar are arrows."""
        return {(False, False): "neither", (True, False): "max", (False, True): "min", (True, True): "both"}[
            self.over, self.under
        ]

    def norm(self) -> Normalize:
        return (LogNorm if self.log else Normalize)(self.low, self.high)

    def lines(self) -> list[float]:
        """Round levels strictly inside the scale: steps of 1-2-5 or 1-3, or powers of ten where there are many."""
        margin = 1e-9 * (self.high - self.low)
        low, high = self.low + margin, self.high - margin
        if self.log:  # of many decades, where a part of the whole is more than the lowest ones
            low, high = self.low * (1 + 1e-9), self.high * (1 - 1e-9)
        return [v for v in self._round_values() if low < v < high]

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """Ticks in words, no two alike: powers of ten on a long logarithmic scale, else as many decimals as the step needs."""
        if self.log and self.high > MOST_MIXED * self.low:
            return [power_of_ten(tick) for tick in ticks]
        if self.log and self.high >= 10 * self.low:
            return [number(tick) for tick in ticks]
        return tick_labels(ticks)

    def bands(self) -> list[float]:
        """Levels of the fill: the ends, the lines, and equal steps between them."""
        edges = [self.low, *self.lines(), self.high]
        steps = max(1, round(BANDS / (len(edges) - 1)))
        between = np.geomspace if self.log else np.linspace
        parts = [between(a, b, steps + 1)[:-1] for a, b in itertools.pairwise(edges)]
        return [*(float(v) for v in np.concatenate(parts)), self.high]

    def _round_values(self) -> list[float]:
        decades = math.log10(self.high / self.low) if self.log else 0.0
        if decades < 1:
            ticks = MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            return [float(v) for v in ticks]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        if self.high <= MOST_MIXED * self.low:
            return [m * 10.0**p for p in powers for m in ((1, 2, 5) if decades <= 2.2 else (1, 3))]
        step = math.ceil(decades / 9)
        return [10.0**p for p in powers if p % step == 0]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Evenly spaced ticks in words: as many decimals as the step between them needs, the power of ten apart where it is far.

    No two are alike as long as the ticks themselves are told apart by doubles.
    """
    if not len(ticks):
        return []
    most = max(abs(tick) for tick in ticks)
    step = min((b - a for a, b in itertools.pairwise(sorted(ticks)) if b > a), default=most) or 1.0
    power = math.floor(math.log10(most)) if most > 0 else 0
    if -4 < power < 5:
        return _decimals(ticks, step, most)
    words = _decimals([tick / 10.0**power for tick in ticks], step / 10.0**power, most / 10.0**power)
    raised = power_of_ten(10.0**power)
    return [word if float(word.replace("−", "-")) == 0 else f"{word}×{raised}" for word in words]


def _decimals(ticks: Sequence[float], step: float, most: float) -> list[str]:
    """With the decimals that tell values, up to ``most``, apart that differ by ``step``; step and ticks of few digits exactly."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))  # a step that was divided may lie below its power of ten
    # of a difference between numbers that are large beside it
    rounding = max(1e-6, 4 * sys.float_info.epsilon * most / step) * step

    def exact(values: Sequence[float], more: int) -> bool:
        return all(abs(round(v, decimals + more) - v) < rounding for v in values)

    fits = [n for n in range(3) if exact([step], n)]
    decimals += next((n for n in fits if exact(ticks, n)), fits[0] if fits else 0)
    return [_decimal(tick, min(decimals, 16)) for tick in ticks]


def _decimal(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return ("0" + text.lstrip("-0") if float(text) == 0 and "." in text else text).replace("-", "−")


def symmetric_scale(values: Sequence[Floats], *, scale: str = "auto") -> Scale | None:
    """A linear scale from −m to m for signed fractions of all panels together; None if there are none.

    m is the first of 0.01, 0.02, 0.05, 0.1, 0.2, 0.5 and 1 that holds them; what lies beyond ±1 is clipped.

    Raises:
        InputError: for another scale than a linear one.
    """
    if scale not in SCALES:
        raise unknown_choice("scale", scale, SCALES)
    if scale == "log":
        raise InputError("scale: 'log' needs positive values, and these have a sign. Try 'linear'.")
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values]) if values else np.empty(0)
    if finite.size == 0:
        return None
    most = float(np.abs(finite).max())
    end = next((m for m in HALVES if most <= m), HALVES[-1])
    return Scale(False, -end, end, over=bool(finite.max() > end), under=bool(finite.min() < -end))


def choose_scale(
    values: Sequence[Floats],
    *,
    scale: str = "auto",
    maximum: float | None = None,
    still: bool = False,
    decades: float | None = None,
) -> Scale | None:
    """A scale for all finite values together; None if there are none.

    Args:
        values: of every panel that shares it.
        scale: ``linear``, ``log``, or ``auto``: log where positive values span more than 1.5 decades below ``maximum``.
        maximum: values above it are clipped.
        still: keep a constant surface constant: the scale spans at least ±10 % of its value.
        decades: a log scale reaches at most so far below its top; without it, all positive values are on it.

    Raises:
        InputError: for an unknown scale, a maximum at or below the lowest value, or a log scale of negative values.
    """
    if scale not in SCALES:
        raise unknown_choice("scale", scale, SCALES)
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values]) if values else np.empty(0)
    if finite.size == 0:
        return None
    low, top = float(finite.min()), float(finite.max())
    high = top if maximum is None else _checked_maximum(maximum, low)
    log = _is_log(scale, finite[finite <= high], high)
    if log:
        low = float(finite[finite > 0].min())
        low = low if decades is None else max(low, high / 10**decades)
        low = min(low, high)
    under = bool(finite.min() < low)
    if still or high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = _widened(low, high, top)
    return Scale(log, low, high, over=top > high, under=under)


def _checked_maximum(maximum: float, low: float) -> float:
    if (
        isinstance(maximum, bool)
        or not isinstance(maximum, int | float)
        or not math.isfinite(maximum)
        or maximum <= low
    ):
        raise InputError(
            f"loss_max: expected a number above the lowest value drawn, {low:.6g}, got {maximum!r}. Try {2 * abs(low) + 1:.3g}."
        )
    return float(maximum)


def can_be_log(values: Floats) -> bool:
    """Whether no value is negative and some are positive; zeros then lie under the scale."""
    return bool((values > 0).any() and not (values < 0).any())


def _is_log(scale: str, kept: Floats, high: float) -> bool:
    positive = kept[kept > 0]
    if scale == "linear":
        return False
    possible = can_be_log(kept)
    if scale == "log" and not possible:
        raise InputError(f"scale: 'log' needs positive values, and the lowest is {kept.min():.6g}. Try 'linear'.")
    return scale == "log" or bool(possible and math.log10(high / positive.min()) > LOG_FROM_DECADES)


def _widened(low: float, high: float, top: float) -> tuple[float, float]:
    """At least ±10 % around the middle; the upper end moves only if nothing is clipped there."""
    middle = (low + high) / 2
    half = 0.1 * abs(middle) or 1.0
    return min(low, middle - half), max(high, middle + half) if top <= high else high
