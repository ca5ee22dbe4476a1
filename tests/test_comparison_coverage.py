"""How often comparisons are right: over simulated studies whose true differences are known, from data sets to verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from comparison_samples import steps, study
from scipy import signal
from test_comparison import pair

import landscape as ls

STUDIES = 1000
ERROR = 2 * math.sqrt(0.05 * 0.95 / STUDIES)  # of a fraction of 5 % over so many, two standard errors


def coverage(studies: int, seeds: int = 4) -> float:
    """How often the interval of a difference of 0.3 holds it."""
    draws = np.random.default_rng(0)
    found = [
        pair(ls.compare(study({50: 1.0, 800: 1.3}, seeds, draws), by="batch_size"), "train_loss")
        for _ in range(studies)
    ]
    return float(np.mean([one.low <= -0.3 <= one.high for one in found]))


def family_wise(studies: int, seeds: int = 4) -> float:
    """How often a table of four equal settings and two measures, twelve comparisons, has no verdict but "cannot tell"."""
    draws = np.random.default_rng(1)
    equal = dict.fromkeys((50, 100, 200, 400), 1.0)
    tables = [ls.compare(study(equal, seeds, draws), by="batch_size") for _ in range(studies)]
    return float(np.mean([all(p.verdict == "cannot tell" for _, p in made.each_pair()) for made in tables]))


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    assert 0.88 <= coverage(60) <= 1


def test_equal_settings_are_not_told_apart() -> None:
    assert family_wise(25) >= 0.88


def unpaired(studies: int, seeds: int) -> float:
    """How often the interval of a difference of 0.3 holds it between trainings that share no seed."""
    draws, held = np.random.default_rng(10), []
    for _ in range(studies):
        one, other = study({50: 1.0}, seeds, draws), study({800: 1.3}, seeds, draws, noise=0.1)
        other = [
            data.assign_attrs(training={**data.attrs["training"], "seed": 100 + k}) for k, data in enumerate(other)
        ]
        found = pair(ls.compare([*one, *other], by="batch_size"), "train_loss")
        assert found.method == "Welch t"
        held.append(found.low <= -0.3 <= found.high)
    return float(np.mean(held))


def within(studies: int, *, shared: float) -> tuple[float, float]:
    """Of one run each with 100 correlated steps: how often the interval of a ratio of 2 holds it, and there is one."""
    draws, held = np.random.default_rng(11), []
    for _ in range(studies):
        common = shared * correlated(draws)
        one, other = (
            steps(factor * np.exp(common + 0.3 * correlated(draws)), every=50, batch_size=b)
            for b, factor in ((1, 1.0), (2, 2.0))
        )
        if not shared:  # probed at other steps, so that nothing pairs them
            other = other.assign_coords(step=other["step"] + 7)
        found = pair(ls.compare([one, other], by="batch_size"), "loss_variation:gradient")
        assert found.method == ("paired blocks" if shared else "independent blocks")
        held.append(math.nan if math.isnan(found.low) else float(found.low <= 0.5 <= found.high))
    return float(np.nanmean(held)), float(np.mean(~np.isnan(held)))


def correlated(draws: np.random.Generator, n: int = 100, phi: float = 0.8) -> np.ndarray:
    """A stationary autoregression x_t = φ x_{t−1} + noise."""
    return signal.lfilter([1], [1, -phi], draws.standard_normal(n + 200))[200:]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_over_a_thousand_studies_the_interval_holds_the_true_difference_in_95_percent(seeds: int) -> None:
    assert coverage(STUDIES, seeds) == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_over_a_thousand_studies_of_seeds_that_are_no_pairs_it_does_so_too(seeds: int) -> None:
    # Welch's degrees of freedom are an approximation; with three values and unequal variances it errs to the careful side.
    assert 0.93 <= unpaired(STUDIES, seeds) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_over_a_thousand_studies_of_one_run_each_blocks_of_steps_do_so_too(shared: float) -> None:
    held, told = within(STUDIES, shared=shared)
    assert held == pytest.approx(0.95, abs=0.02)
    assert told > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_over_a_thousand_studies_of_equal_settings_95_percent_have_no_false_verdict(seeds: int) -> None:
    assert family_wise(STUDIES, seeds) >= 0.95 - ERROR


@pytest.mark.slow
def test_over_a_thousand_pairs_of_equal_runs_95_percent_have_no_false_verdict() -> None:
    draws, clean = np.random.default_rng(12), []
    for _ in range(STUDIES):
        data = [steps(np.exp(correlated(draws)), batch_size=b) for b in (1, 2, 3)]
        made = ls.compare(data, by="batch_size", measures=["loss_variation:gradient"])
        clean.append(all(one.verdict == "cannot tell" for _, one in made.each_pair()))
    assert np.mean(clean) >= 0.95 - ERROR
