"""Intervals, tests, Holm's correction and block bootstrap against scipy, hand-worked numbers and simulation."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from landscape.errors import InputError
from landscape.numerics.inference import (
    SHORTEST_SERIES,
    block_difference,
    block_interval,
    block_length,
    effective_size,
    hedges_correction,
    holm,
    paired_t,
    t_interval,
    welch_t,
)

DRAWS = np.random.default_rng(0)
A, B = DRAWS.normal(1, 2, 7), DRAWS.normal(0, 1, 7)


def autoregression(n: int, phi: float, draws: np.random.Generator) -> np.ndarray:
    """x_t = φ x_{t−1} + noise, stationary, with mean 0."""
    return signal.lfilter([1], [1, -phi], draws.standard_normal(n + 200))[200:]


def test_the_interval_is_scipys_and_a_worked_one() -> None:
    made, theirs = t_interval(A), stats.ttest_1samp(A, 0).confidence_interval(0.95)
    assert (made.low, made.high) == pytest.approx((theirs.low, theirs.high))
    # 1, 2, 3: mean 2, s = 1, and t of two degrees of freedom is 4.302653.
    worked = t_interval([1, 2, 3])
    assert (worked.mean, worked.n) == (2, 3)
    assert worked.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert t_interval(A, confidence=0.5).high < made.high


def test_the_paired_test_is_scipys() -> None:
    made, theirs = paired_t(A, B), stats.ttest_rel(A, B)
    interval = theirs.confidence_interval(0.95)
    assert made.p == pytest.approx(theirs.pvalue)
    assert (made.low, made.high) == pytest.approx((interval.low, interval.high))
    assert made.difference == pytest.approx(A.mean() - B.mean())
    assert made.n == (7,)


def test_welchs_test_is_scipys_for_sizes_that_differ() -> None:
    made, theirs = welch_t(A, B[:4]), stats.ttest_ind(A, B[:4], equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert made.p == pytest.approx(theirs.pvalue)
    assert (made.low, made.high) == pytest.approx((interval.low, interval.high))
    assert made.n == (7, 4)


def test_what_is_shared_by_pairs_does_not_widen_their_interval() -> None:
    shared = 100 * DRAWS.standard_normal(7)
    alone, together = paired_t(A, B), paired_t(A + shared, B + shared)
    assert together.high - together.low == pytest.approx(alone.high - alone.low)
    assert welch_t(A + shared, B + shared).high > 10 * alone.high


def test_effect_sizes_are_standardised_and_corrected() -> None:
    d = A - B
    assert paired_t(A, B).effect_size == pytest.approx(hedges_correction(6) * d.mean() / d.std(ddof=1))
    # The usual approximation, to its own accuracy.
    for freedom in (4, 10, 30):
        assert hedges_correction(freedom) == pytest.approx(1 - 3 / (4 * freedom - 1), abs=3e-3)
    equal = welch_t(A, A + 3)
    freedom = 12.0  # Welch's for equal variances and sizes
    assert equal.effect_size == pytest.approx(-3 / A.std(ddof=1) * hedges_correction(freedom))


def test_the_corrected_effect_size_is_unbiased() -> None:
    draws = np.random.default_rng(1)
    found = [paired_t(x, np.zeros(5)).effect_size for x in draws.normal(1, 1, (1000, 5))]
    assert np.mean(found) == pytest.approx(1, abs=3 * np.std(found) / math.sqrt(1000))


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0], [1.0, math.nan, 2.0], [1.0, math.inf]])
def test_what_cannot_tell_its_spread_has_no_interval(values: list[float]) -> None:
    made = t_interval(values)
    assert math.isnan(made.low) and math.isnan(made.high)
    assert math.isnan(paired_t(values, [0.0] * len(values)).p)
    assert math.isnan(welch_t(values, values).p)
    assert made.n == len(values)


def test_pairs_need_partners() -> None:
    with pytest.raises(InputError, match="7 and 4"):
        paired_t(A, B[:4])


def test_holm_is_the_worked_example() -> None:
    # Sorted .005 .01 .03 .04 times 4 3 2 1, kept from falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([]).size == 0


def test_what_was_not_tested_does_not_count() -> None:
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert holm([[0.01, 0.04], [0.03, 0.005]]) == pytest.approx(np.array([[0.03, 0.06], [0.06, 0.02]]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_p_and_bonferroni_and_keeps_their_order(p: list[float]) -> None:
    raw, adjusted = np.array(p), holm(p)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(len(p) * raw, 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_blocks_of_one_are_the_usual_interval() -> None:
    series = DRAWS.standard_normal(40)
    made, usual = block_interval(series, block=1), t_interval(series)
    assert (made.low, made.high, made.standard_error) == pytest.approx((usual.low, usual.high, usual.standard_error))


def test_the_closed_form_is_the_bootstraps() -> None:
    n, length = 60, 5
    series = autoregression(n, 0.6, DRAWS)
    starts = DRAWS.integers(0, n, (20000, n // length))
    resampled = series[(starts[..., None] + np.arange(length)) % n].mean(axis=(1, 2))
    expected = resampled.std() * math.sqrt(n / (n - length))
    assert block_interval(series, block=length).standard_error == pytest.approx(expected, rel=0.03)


def test_the_length_of_blocks_grows_with_correlation_and_is_one_without_spread() -> None:
    typical = [np.median([block_length(autoregression(300, phi, DRAWS)) for _ in range(30)]) for phi in (0.0, 0.5, 0.9)]
    assert typical[0] < typical[1] < typical[2] <= 100
    assert block_length(np.ones(50)) == 1


SERIES = [(0.0, 40), (0.3, 50), (0.5, 50), (0.5, 200), (0.8, 50), (0.8, 100), (0.9, 100), (0.9, 300), (0.95, 200)]


def covered(phi: float, n: int, draws: np.random.Generator, series: int) -> tuple[float, float]:
    """Of the intervals for so many series: how often they hold the mean, where they are given, and how often they are."""
    made = [block_interval(autoregression(n, phi, draws)) for _ in range(series)]
    told = [one for one in made if not math.isnan(one.low)]
    return float(np.mean([one.low <= 0 <= one.high for one in told])), len(told) / series


@pytest.mark.parametrize(("phi", "n"), [(0.0, 60), (0.5, 150), (0.8, 300)])
def test_the_block_interval_covers_the_mean_of_a_correlated_series(phi: float, n: int) -> None:
    draws = np.random.default_rng(2)
    held, told = covered(phi, n, draws, 300)
    assert 0.91 <= held <= 0.99
    assert told == 1
    if phi == 0.8:  # what an interval for independent values would do
        naive = [t_interval(autoregression(n, phi, draws)) for _ in range(100)]
        assert np.mean([made.low <= 0 <= made.high for made in naive]) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "n"), SERIES)
def test_of_five_independent_values_or_more_the_block_interval_covers_95_percent(phi: float, n: int) -> None:
    assert n * (1 - phi) / (1 + phi) >= 5
    held, told = covered(phi, n, np.random.default_rng(12), 3000)
    assert held == pytest.approx(0.95, abs=0.02 + 2 * math.sqrt(0.05 * 0.95 / 3000))
    assert told >= 0.8


def test_a_series_of_few_independent_values_has_no_interval() -> None:
    draws = np.random.default_rng(13)
    _, told = covered(0.97, 60, draws, 100)
    assert told < 0.4
    slow = np.cumsum(draws.standard_normal(60))
    assert effective_size(slow) < 3
    assert math.isnan(block_interval(slow).low)
    assert math.isnan(block_difference(slow, slow[::-1], paired=False).p)


def test_the_effective_size_is_that_of_the_variance_of_the_mean() -> None:
    draws = np.random.default_rng(14)
    means = [autoregression(400, 0.7, draws).mean() for _ in range(1000)]
    expected = (1 / (1 - 0.7**2)) / np.var(means)  # variance of a value over that of the mean
    found = np.median([effective_size(autoregression(400, 0.7, draws)) for _ in range(200)])
    assert found == pytest.approx(expected, rel=0.1)
    assert effective_size(np.tile([1.0, -1.0], 20)) == 40  # never more than there are
    assert effective_size(np.ones(40)) == 40


def test_series_that_share_their_ups_and_downs_are_compared_sharply() -> None:
    common = 10 * autoregression(200, 0.9, DRAWS)
    x, y = common + DRAWS.standard_normal(200) + 1, common + DRAWS.standard_normal(200)
    paired, apart = block_difference(x, y, paired=True), block_difference(x, y, paired=False)
    assert paired.p < 1e-6
    assert paired.low <= 1 <= paired.high
    assert apart.high - apart.low > 10 * (paired.high - paired.low)
    assert apart.low <= 1 <= apart.high
    assert (paired.n, apart.n) == ((200,), (200, 200))


def test_a_short_series_cannot_tell() -> None:
    made = block_interval(DRAWS.standard_normal(SHORTEST_SERIES - 1))
    assert math.isnan(made.low)
    assert math.isnan(block_difference(np.arange(5.0), np.ones(5), paired=True).p)


def persistence(series: np.ndarray) -> float:
    """φ of :func:`effective_size`, as its docstring has it."""
    x, n = series - series.mean(), len(series)
    r = sum(x[i] * x[i + 1] for i in range(n - 1)) / sum(x**2)
    return min(max((n * r + 1) / (n - 3), 0), 0.99)


@pytest.mark.parametrize("phi", [-0.5, 0.2, 0.7, 0.999])
def test_the_effective_size_is_its_formula(phi: float) -> None:
    series = autoregression(37, phi, np.random.default_rng(3)) + 5
    found = persistence(series)
    assert effective_size(series) == pytest.approx(37 * (1 - found) / (1 + found))
    assert 0 <= found < 1
    assert phi > 0 or found == 0


def test_the_effective_size_of_the_shortest_series() -> None:
    assert effective_size([1.0, 2.0, 3.0]) == 3
    assert effective_size([1.0, 2.0, 3.0, 4.0]) == pytest.approx(4 * 0.01 / 1.99)  # r = 1/4: φ = 2, kept to 0.99
    assert effective_size([]) == 0


@pytest.mark.parametrize(("phi", "n"), [(0.0, 30), (0.4, 30), (0.4, 61), (0.8, 61), (0.8, 128)])
def test_the_error_of_blocks_is_divided_by_what_they_see_of_an_autoregression(phi: float, n: int) -> None:
    """The mean of the estimate under the covariance matrix φ^|i−j|, block by block, over the variance of the mean."""
    series = autoregression(n, phi, np.random.default_rng(n)) + 3
    made = block_interval(series)
    given_length = block_interval(series, block=made.block)
    i = np.arange(n)
    covariance = persistence(series) ** np.abs(i[:, None] - i)
    of_mean = np.full(n, 1 / n)
    estimates = []
    for start in range(n):
        block = np.zeros(n)
        block[(start + np.arange(made.block)) % n] = 1 / made.block
        estimates.append((block - of_mean) @ covariance @ (block - of_mean))
    seen = np.mean(estimates) * made.block / (n - made.block) / (of_mean @ covariance @ of_mean)
    ratio = given_length.standard_error**2 / made.standard_error**2
    assert ratio == pytest.approx(min(1, seen), rel=1e-9)
    half = stats.t.ppf(0.975, n / made.block - 1) * made.standard_error
    assert (made.low, made.high) == pytest.approx((series.mean() - half, series.mean() + half))
    assert (made.mean, made.standard_deviation) == pytest.approx((series.mean(), series.std(ddof=1)))
    assert (made.n, given_length.block) == (n, block_length(series))


def block_length_by_definition(series: np.ndarray) -> int:
    """Politis and White's length, lag by lag."""
    n = len(series)
    x = series - series.mean()
    quiet = max(5, math.ceil(math.log10(n)))
    last = math.ceil(math.sqrt(n)) + quiet
    covariance = [sum(x[i] * x[i + k] for i in range(n - k)) / n for k in range(last + 1)]
    bound = 2 * math.sqrt(math.log10(n) / n)
    loud = [k for k in range(1, last + 1) if abs(covariance[k]) >= bound * covariance[0]]
    m = next((m for m in range(last - quiet + 1) if not any(m < k <= m + quiet for k in loud)), max(loud, default=0))
    reach = min(2 * max(m, 1), last)
    slope = level = 0.0
    for k in range(-reach, reach + 1):
        window = min(1.0, 2 * (1 - abs(k) / reach))
        slope += window * abs(k) * covariance[abs(k)]
        level += window * covariance[abs(k)]
    optimal = (2 * slope**2 / (4 / 3 * level**2)) ** (1 / 3) * n ** (1 / 3)
    return int(min(max(1, math.ceil(2.5 * optimal)), n // 3))


@pytest.mark.parametrize("phi", [-0.6, 0.0, 0.5, 0.9, 0.98])
def test_the_length_of_blocks_is_politis_and_whites_definition(phi: float) -> None:
    draws = np.random.default_rng(4)
    lengths = set()
    for n in (30, 31, 47, 100, 200):
        for _ in range(6):
            series = autoregression(n, phi, draws) + 2
            lengths.add(block_length(series))
            assert block_length(series) == block_length_by_definition(series)
    assert len(lengths) > 3


def test_a_wave_that_never_ends_is_cut_in_the_longest_blocks_that_are_allowed() -> None:
    wave = np.sin(np.arange(60) / 3)
    assert block_length(wave) == block_length_by_definition(wave)
    assert block_length(np.arange(SHORTEST_SERIES - 1.0)) == 1
    assert block_length(np.arange(float(SHORTEST_SERIES))) == SHORTEST_SERIES // 3


def test_independent_blocks_are_welchs_test_with_the_errors_of_the_blocks() -> None:
    draws = np.random.default_rng(5)
    a, b = autoregression(90, 0.5, draws) + 3, 2 * autoregression(60, 0.3, draws) + 1
    x, y = block_interval(a), block_interval(b)
    made = block_difference(a, b, paired=False)
    parts = [one.standard_error**2 for one in (x, y)]
    freedom = sum(parts) ** 2 / sum(p**2 / (one.n / one.block - 1) for p, one in zip(parts, (x, y), strict=True))
    error, theirs = math.sqrt(sum(parts)), stats.t(freedom)
    assert made.difference == pytest.approx(a.mean() - b.mean())
    assert made.high - made.difference == pytest.approx(made.difference - made.low)
    assert made.high - made.difference == pytest.approx(theirs.ppf(0.975) * error)
    assert made.p == pytest.approx(2 * theirs.sf(made.difference / error))
    assert made.effect_size == pytest.approx(made.difference / math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    assert (made.n, made.block, made.method) == ((90, 60), (x.block, y.block), "independent blocks")
    swapped = block_difference(b, a, paired=False)
    assert (swapped.difference, swapped.p) == pytest.approx((-made.difference, made.p))
    narrow = block_difference(a, b, paired=False, confidence=0.5)
    assert narrow.high - narrow.difference == pytest.approx(theirs.ppf(0.75) * error)


def test_paired_blocks_are_the_interval_of_the_differences() -> None:
    draws = np.random.default_rng(6)
    a, b = autoregression(80, 0.5, draws) + 0.3, autoregression(80, 0.5, draws)
    interval, made = block_interval(a - b, confidence=0.8), block_difference(a, b, paired=True, confidence=0.8)
    assert (made.low, made.high, made.difference) == (interval.low, interval.high, interval.mean)
    distance = abs(interval.mean) / interval.standard_error
    assert made.p == pytest.approx(2 * stats.t.sf(distance, 80 / interval.block - 1))
    assert made.effect_size == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert (made.n, made.block, made.method) == ((80,), (interval.block,), "paired blocks")


def test_every_test_says_what_it_is_of_also_where_nothing_can_be_said() -> None:
    assert (paired_t(A, B).method, paired_t(A, B).block) == ("paired t", (1,))
    welch = welch_t(A, B[:4])
    assert (welch.method, welch.block, welch.difference) == ("Welch t", (1,), pytest.approx(A.mean() - B[:4].mean()))
    assert welch.effect_size == pytest.approx(
        hedges_correction(stats.ttest_ind(A, B[:4], equal_var=False).df)
        * welch.difference
        / math.sqrt((A.var(ddof=1) + B[:4].var(ddof=1)) / 2)
    )
    untested = [
        (paired_t([3.0], [1.0]), (1,), "paired t", (1,)),
        (welch_t([3.0, 3.0], [1.0, 1.0]), (2, 2), "Welch t", (1,)),
        (welch_t([3.0], [0.5, 1.5]), (1, 2), "Welch t", (1,)),
        (block_difference(np.full(5, 3.0), np.ones(5), paired=True), (5,), "paired blocks", (1,)),
        (block_difference(np.full(40, 3.0), np.ones(50), paired=False), (40, 50), "independent blocks", (1, 1)),
    ]
    for made, n, method, block in untested:
        assert (made.difference, made.n, made.method, made.block) == (2.0, n, method, block)
        assert all(math.isnan(value) for value in (made.low, made.high, made.p, made.effect_size))


def test_two_values_are_enough_and_one_side_with_a_spread_too() -> None:
    made = t_interval([1.0, 3.0])
    assert (made.standard_deviation, made.standard_error, made.block) == (pytest.approx(math.sqrt(2)), 1.0, 1)
    assert made.high == pytest.approx(2 + stats.t.ppf(0.975, 1))
    assert welch_t([1.0, 3.0], [2.0, 2.0, 2.0]).low == pytest.approx(-stats.t.ppf(0.975, 1))
    assert math.isnan(paired_t([1.0, 3.0], [0.0, 0.0]).effect_size)  # J of one degree of freedom
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(t_interval([]).mean)
    alternating = block_interval(np.tile([1.0, -1.0], 20), block=2)  # every block has the mean of the whole
    assert math.isnan(alternating.low)
    assert (alternating.block, alternating.n) == (2, 40)


def test_a_spread_of_rounding_is_none() -> None:
    assert math.isnan(t_interval([-1.0, -1.0 - 2e-16, -1.0]).low)
    assert t_interval([-1.0, -1.0 - 2e-16, -1.0]).standard_deviation == 0
    assert t_interval([1.0, 1.0 + 1e-11, 1.0]).low < 1.0
    assert math.isnan(t_interval([0.0, 0.0]).low)


@pytest.mark.parametrize("block", [0, 16, -1])
def test_a_block_is_at_most_half_of_the_series(block: int) -> None:
    series = np.random.default_rng(7).standard_normal(30)
    with pytest.raises(InputError, match=rf"^block: expected a length from 1 to half of the 30 values, got {block}\.$"):
        block_interval(series, block=block)
    assert block_interval(series, block=15).low < block_interval(series, block=15).high


def test_values_have_one_dimension_and_infinities_no_interval() -> None:
    with pytest.raises(InputError, match=r"^values: expected one dimension, got shape \(2, 1\)\.$"):
        t_interval([[1.0], [2.0]])
    made = block_interval([math.inf, *range(40)])
    assert (made.mean, made.n, made.block) == (math.inf, 41, 1)
    assert math.isnan(made.low)
    short = block_interval([1.0, 3.0])
    assert (short.mean, short.n, short.block) == (2.0, 2, 1)
    assert short.standard_deviation == pytest.approx(math.sqrt(2))
