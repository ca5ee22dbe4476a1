"""Contrasts, sign flips, equivalence and power agree with what they are by definition, counted or drawn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from landscape.errors import InputError
from landscape.numerics.contrasts import (
    contrast_t,
    critical_t,
    distribution_free_p,
    equivalence_p,
    power,
    slope_weights,
    trend_p,
    units_needed,
)
from landscape.numerics.inference import paired_t, welch_t

DRAWS = np.random.default_rng(0)


def test_a_paired_slope_is_the_t_of_each_seeds_own_regression() -> None:
    z = np.array([0.0, 1.0, 3.0, 4.0])
    values = DRAWS.normal(size=(4, 5)) + z[:, None]
    found = contrast_t(list(values), slope_weights(z), paired=True)
    slopes = [stats.linregress(z, values[:, seed]).slope for seed in range(5)]
    oracle = stats.ttest_1samp(slopes, 0)
    interval = oracle.confidence_interval()
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_an_independent_contrast_of_two_groups_is_welchs_t() -> None:
    a, b = DRAWS.normal(size=6), 3 * DRAWS.normal(size=4)
    found, oracle = contrast_t([a, b], [1, -1], paired=False), welch_t(a, b)
    assert (found.p, found.low, found.high, found.freedom) == pytest.approx(
        (oracle.p, oracle.low, oracle.high, oracle.freedom)
    )


@pytest.mark.parametrize("paired", [True, False])
def test_groups_that_say_nothing_of_their_spread_give_no_interval(paired: bool) -> None:
    for values in (1.0, 2.0, 4.0), (math.nan, 2.0, 4.0):
        assert math.isnan(contrast_t([[v] for v in values], [-1, 0, 1], paired=paired).p)
    with pytest.raises(InputError, match="as many as the 2 groups, got 3"):
        contrast_t([[1.0], [2.0]], [1, 2, 3], paired=paired)


def test_the_p_of_sign_flips_counts_them() -> None:
    d = DRAWS.normal(size=7) + 0.7
    flipped = [abs(np.mean(d * np.array(signs))) for signs in itertools.product((-1, 1), repeat=7)]
    counted = float(np.mean(np.array(flipped) >= abs(d.mean()) * (1 - 1e-9)))
    assert distribution_free_p(d, np.zeros(7), paired=True) == pytest.approx((counted, 2 / 2**7))


def test_the_p_of_exchanges_counts_them() -> None:
    a, b = DRAWS.normal(size=4), DRAWS.normal(size=4) + 1.5
    both = np.concatenate([a, b])
    apart = [
        abs(both[list(chosen)].mean() - np.delete(both, list(chosen)).mean())
        for chosen in itertools.combinations(range(8), 4)
    ]
    counted = float(np.mean(np.array(apart) >= abs(a.mean() - b.mean()) * (1 - 1e-9)))
    assert distribution_free_p(a, b, paired=False) == pytest.approx((counted, 2 / 70))


@pytest.mark.parametrize(("n", "least"), [(2, 0.5), (3, 0.25), (5, 0.0625)])
def test_few_pairs_allow_no_distribution_free_claim_whatever_they_are(n: int, least: float) -> None:
    p, smallest = distribution_free_p(np.arange(n) + 1e6, np.zeros(n), paired=True)
    assert math.isnan(p)
    assert smallest == least


def test_pages_p_of_a_perfect_order_counts_the_orders() -> None:
    rows = np.tile([1.0, 2.0, 3.0, 4.0], (3, 1))
    assert trend_p(rows) == pytest.approx(2 / math.factorial(4) ** 3)
    assert trend_p(rows[:, ::-1]) == pytest.approx(2 / math.factorial(4) ** 3)


@pytest.mark.parametrize("paired", [True, False])
def test_equivalence_is_the_larger_of_two_one_sided_tests(paired: bool) -> None:
    a, b = DRAWS.normal(size=6), DRAWS.normal(size=6)
    test = stats.ttest_rel if paired else stats.ttest_ind
    other = {} if paired else {"equal_var": False}
    below = test(a + 1.5, b, alternative="greater", **other).pvalue
    above = test(a - 1.5, b, alternative="less", **other).pvalue
    found = paired_t(a, b) if paired else welch_t(a, b)
    assert equivalence_p(found, 1.5) == pytest.approx(max(below, above))


def test_270_comparisons_of_two_pairs_need_a_t_above_3400() -> None:
    assert 3400 < critical_t(2, 270, paired=True) < 3500
    assert power(2, 270, 2.0, paired=True) < 0.001


@pytest.mark.parametrize("paired", [True, False])
def test_as_many_units_as_are_called_for_find_the_effect_as_often_as_said(paired: bool) -> None:
    needed = units_needed(6, 2.0, paired=paired)
    draws = np.random.default_rng(1).normal(size=(2, 4000, needed))
    t = stats.ttest_1samp(draws[0] + 2, 0, axis=1) if paired else stats.ttest_ind(draws[0] + 2, draws[1], axis=1)
    assert np.mean(t.pvalue < 0.05 / 6) == pytest.approx(power(needed, 6, 2.0, paired=paired), abs=0.02)
    assert power(needed - 1, 6, 2.0, paired=paired) < 0.8 <= power(needed, 6, 2.0, paired=paired)
