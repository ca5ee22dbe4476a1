"""Tests of independent units beyond the t of a pair: contrasts over settings, sign flips, equivalence, and what n can find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from landscape.errors import InputError
from landscape.numerics.inference import CONFIDENCE, Difference, paired_t

Floats = NDArray[np.float64]

_RESAMPLES = 20_000  # all sign flips of up to 14 pairs; beyond, so many at random
_EXACT_COLUMNS = 7  # 5,040 orders; with more it takes seconds


def contrast_t(groups: Sequence[ArrayLike], weights: ArrayLike, *, paired: bool) -> Difference:
    """Σ wₖ μₖ over the means of ``groups``, with t's interval and two-sided p; a slope over z where wₖ = (zₖ − z̄)/Σ(z − z̄)².

    ``paired``: the j-th values of all groups share their random numbers, and the contrasts of each j are the units: nothing is
    assumed of how settings vary together, or of equal variances. Otherwise all values are independent, and the variances
    wₖ² sₖ²/nₖ add up with Satterthwaite's degrees of freedom, which for two groups is Welch's t. The effect size is NaN for those,
    and Hedges' g of the units' contrasts where paired. NaN as in :func:`landscape.numerics.inference.t_interval`.

    Raises:
        InputError: for weights that are not as many as the groups, and paired groups of different lengths.
    """
    values, w = [np.asarray(group, dtype=np.float64) for group in groups], np.asarray(weights, dtype=np.float64)
    if len(w) != len(values):
        raise InputError(f"weights: expected as many as the {len(values)} groups, got {len(w)}.")
    sizes = tuple(len(x) for x in values)
    if paired:
        if len(set(sizes)) > 1:
            raise InputError(f"groups: expected as many values in all where they are paired, got {sizes}.")
        units = w @ np.stack(values)
        return replace(paired_t(units, np.zeros_like(units)), method="paired contrast")
    nothing = Difference(math.nan, math.nan, math.nan, math.nan, math.nan, sizes, "contrast")
    if not all(len(x) > 1 and np.isfinite(x).all() for x in values):
        return nothing
    slope = float(sum(k * x.mean() for k, x in zip(w, values, strict=True)))
    parts = np.array([k**2 * x.var(ddof=1) / len(x) for k, x in zip(w, values, strict=True)])
    if not parts.sum() > 0:
        return replace(nothing, difference=slope)
    error = math.sqrt(parts.sum())
    freedom = float(parts.sum() ** 2 / (parts**2 / (np.array(sizes) - 1)).sum())
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(slope) / error, freedom))
    return replace(
        nothing, difference=slope, low=slope - half, high=slope + half, p=p, standard_error=error, freedom=freedom
    )


def slope_weights(z: ArrayLike) -> Floats:
    """(zₖ − z̄)/Σ(z − z̄)²: the least-squares slope over ``z`` as a contrast of means."""
    places = np.asarray(z, dtype=np.float64)
    centred = places - places.mean()
    return np.asarray(centred / (centred @ centred))


def distribution_free_p(a: ArrayLike, b: ArrayLike, *, paired: bool) -> tuple[float, float]:
    """Two-sided p of the difference of means without a distribution's form, and the smallest p that so many values can give.

    ``paired``: over all sign flips of the differences, which assumes them symmetric about 0 under no difference; the smallest is
    2/2ⁿ. Otherwise over all exchanges between both sides, which assumes one distribution for both; the smallest is 2/(n+m over n).
    The p is NaN where the smallest is above 0.05: no data could reach it.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    least = 2 / 2 ** len(x) if paired else 2 / float(special.comb(len(x) + len(y), len(x)))
    least = min(least, 1.0)
    if least > 1 - CONFIDENCE or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return math.nan, least
    if paired:
        found = stats.permutation_test(
            (x - y,), np.mean, permutation_type="samples", vectorized=True, n_resamples=_RESAMPLES, rng=0
        )
    else:
        found = stats.permutation_test((x, y), _apart, vectorized=True, n_resamples=_RESAMPLES, rng=0)
    return float(found.pvalue), least


def trend_p(table: ArrayLike) -> float:
    """Two-sided p of Page's test for a monotone trend along the columns of ``table`` ``(n, k)``, a row for each seed.

    Under no trend all orders within a row are equally likely; rows are independent. Nothing else is assumed. Exact for up to 7
    columns, else by the normal approximation.

    References:
        Page, "Ordered hypotheses for multiple treatments: a significance test for linear ranks", JASA 58, 1963.
    """
    rows = np.asarray(table, dtype=np.float64)
    method: Literal["exact", "asymptotic"] = "exact" if rows.shape[1] <= _EXACT_COLUMNS else "asymptotic"
    up, down = (float(stats.page_trend_test(side, method=method).pvalue) for side in (rows, rows[:, ::-1]))
    return min(1.0, 2 * min(up, down))


def equivalence_p(found: Difference, margin: float) -> float:
    """p of the claim that the true difference lies within ±``margin``: the larger of two one-sided t tests; NaN where ``found`` is.

    References:
        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinetics 15, 1987.
    """
    if not found.standard_error > 0:
        return math.nan
    scaled = np.array([found.difference + margin, margin - found.difference]) / found.standard_error
    return float(stats.t.sf(scaled, found.freedom).max())


def critical_t(n: int, comparisons: int, *, paired: bool) -> float:
    """The |t| that the smallest p of so many ``comparisons`` must pass under Holm, with ``n`` pairs or ``n`` values a side."""
    return float(stats.t.isf((1 - CONFIDENCE) / 2 / comparisons, _freedom(n, paired)))


def power(n: int, comparisons: int, effect: float, *, paired: bool) -> float:
    """How likely a true difference of ``effect`` standard deviations passes :func:`critical_t`.

    The standard deviation is that of the paired differences, or that of either side.
    """
    shift = effect * math.sqrt(n if paired else n / 2)
    return float(stats.nct.sf(critical_t(n, comparisons, paired=paired), _freedom(n, paired), shift))


@cache
def units_needed(comparisons: int, effect: float, *, paired: bool, wanted: float = 0.8, most: int = 1000) -> int:
    """The fewest pairs, or values a side, that find ``effect`` with a probability of ``wanted``; ``most`` where it takes more."""
    return next((n for n in range(2, most) if power(n, comparisons, effect, paired=paired) >= wanted), most)


def _freedom(n: int, paired: bool) -> int:
    return n - 1 if paired else 2 * n - 2


def _apart(x: Floats, y: Floats, axis: int) -> Floats:
    return np.asarray(x.mean(axis=axis) - y.mean(axis=axis))
