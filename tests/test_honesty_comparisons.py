"""How often every claim of a comparison is right, over simulated studies; docs/honesty.md has the table and is held to it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from comparison_samples import history, steps
from test_comparison import row
from test_comparison_coverage import correlated

import landscape as ls
from landscape.comparison import Comparison
from landscape.comparison.rows import Row

STUDIES = 1000
SIZES = (50, 100, 200, 400)
SLOPE = 0.1  # of the loss, with every doubling
WINNERS = {"higher", "lower", "rises", "falls"}
Values = np.ndarray
Fractions = dict[str, float]


class Studies:
    """Trainings at several batch sizes, made once and filled with the losses and accuracies of one study after another."""

    def __init__(self, sizes: tuple[int, ...], seeds: int, *, shared: bool) -> None:
        self._runs = [
            [
                history(1.0, batch_size=size, seed=seed if shared else 100 * k + seed).copy(deep=True)
                for seed in range(seeds)
            ]
            for k, size in enumerate(sizes)
        ]

    def compare(self, values: Sequence[Values] | Values, **options: object) -> Comparison:
        """``values``: shape ``(settings, seeds, 2)``."""
        data: list[xr.Dataset] = []
        for setting, numbers in zip(self._runs, values, strict=True):
            for run, (loss, accuracy) in zip(setting, numbers, strict=False):  # a setting may have fewer seeds
                run["train_loss"].values[:], run["validation_accuracy"].values[:] = loss, accuracy
                data.append(run)
        return ls.compare(data, by="batch_size", **options)  # type: ignore[arg-type]


def of_seeds(draws: np.random.Generator, settings: int, seeds: int) -> Values:
    """What a seed shifts in all of its runs, and what is a run's own."""
    return 0.2 * draws.standard_normal((1, seeds, 2)) + 0.05 * draws.standard_normal((settings, seeds, 2))


def no_difference(seeds: int, studies: int) -> Fractions:
    draws, of = np.random.default_rng(seeds), Studies(SIZES, seeds, shared=True)
    counted = {name: [] for name in ("pairs", "trends", "either", "page", "flips")}
    for _ in range(studies):
        made = of.compare(1.0 + of_seeds(draws, len(SIZES), seeds))
        pairs = any(pair.verdict in WINNERS for _, pair in made.each_pair())
        trends = any(trend.verdict in WINNERS for one in made.rows for trend in one.trends)
        loss = row(made, "train_loss")
        now = (pairs, trends, pairs or trends, loss.trends[0].free_p <= 0.05, loss.pairs[0].free_p <= 0.05)
        for name, value in zip(counted, now, strict=True):
            counted[name].append(value)
    return {name: float(np.mean(values)) for name, values in counted.items()}


def linear(seeds: int, studies: int, *, shared: bool = True) -> Fractions:
    """A loss that rises; without shared seeds the noise rises too, to three times."""
    draws, of = np.random.default_rng(10 + seeds), Studies(SIZES, seeds, shared=shared)
    rise = SLOPE * np.arange(len(SIZES))[:, None, None]
    growth = np.linspace(0.05, 0.15, len(SIZES))[:, None, None]
    held: dict[str, list[bool]] = {"slope": [], "pair": []}
    for _ in range(studies):
        alone = growth * draws.standard_normal((len(SIZES), seeds, 2))
        made = of.compare(1.0 + rise + (of_seeds(draws, len(SIZES), seeds) if shared else alone))
        _count(held, row(made, "train_loss"))
    return {name: float(np.mean(values)) for name, values in held.items()}


def _count(held: dict[str, list[bool]], of: Row) -> None:
    trend, pair = of.trends[0], of.pairs[2]
    assert pair.label == "50 vs 400"
    held["slope"].append(trend.low <= SLOPE <= trend.high)
    held["pair"].append(pair.low <= -3 * SLOPE <= pair.high)


def rare(draws: np.random.Generator, seeds: int) -> Values:
    """Noise of one setting of mean 0, and lognormal: most seeds are near, a few far off to one side."""
    return 0.1 * (np.exp(draws.standard_normal((seeds, 2))) - math.exp(0.5))


def skewed(seeds: int, studies: int) -> Fractions:
    """Such noise in the largest batch alone."""
    draws, of = np.random.default_rng(30), Studies(SIZES, seeds, shared=True)
    rise = SLOPE * np.arange(len(SIZES))[:, None, None]
    held: dict[str, list[bool]] = {"slope": [], "pair": []}
    for _ in range(studies):
        values = 1.0 + rise + 0.01 * draws.standard_normal((len(SIZES), seeds, 2))
        values[-1] += rare(draws, seeds)
        _count(held, row(of.compare(values), "train_loss"))
    return {name: float(np.mean(values)) for name, values in held.items()}


def skewed_margin(seeds: int, studies: int) -> Fractions:
    """Apart by the margin, with the same noise in one setting: the few far off seeds that make the difference are often missed."""
    draws, of = np.random.default_rng(60 + seeds), Studies((50, 400), seeds, shared=True)
    wrong = []
    for _ in range(studies):
        values = 1.0 + 0.01 * draws.standard_normal((2, seeds, 2))
        values[-1] += 0.1 + rare(draws, seeds)
        made = of.compare(values, measures=["train_loss"], equivalence={"train_loss": 0.1})
        wrong.append(any(pair.p_equivalent < 0.05 for _, pair in made.each_pair()))
    return {"claims": float(np.mean(wrong))}


def at_the_margin(seeds: int, studies: int) -> Fractions:
    """Two measures, both as far apart as what a user calls no difference: every claim that they are nearer is false."""
    draws, of = np.random.default_rng(40 + seeds), Studies((50, 400), seeds, shared=True)
    apart = np.array([0.0, 0.1])[:, None, None]
    wrong = []
    for _ in range(studies):
        made = of.compare(1.0 + apart + of_seeds(draws, 2, seeds), equivalence={"training": 0.1})
        wrong.append(any(pair.p_equivalent < 0.05 for _, pair in made.each_pair()))
    return {"claims": float(np.mean(wrong))}


def single_runs(seeds: int, studies: int) -> Fractions:
    """One run a setting, which differ as trainings do and not by their setting."""
    draws, winners, told = np.random.default_rng(50), [], []
    for _ in range(studies):
        data = [steps(np.exp(draws.standard_normal() + 0.1 * correlated(draws)), batch_size=b) for b in (1, 2)]
        made = ls.compare(data, by="batch_size", measures=["loss_variation:gradient"])
        verdicts = {pair.verdict for _, pair in made.each_pair()}
        winners.append(bool(verdicts & WINNERS))
        told.append("in these runs only" in verdicts)
    return {"winner": float(np.mean(winners)), "these": float(np.mean(told))}


def uneven(seeds: int, studies: int) -> Fractions:
    """Few seeds of one setting against six of the other, no difference, as normal and as independent as can be."""
    draws, of = np.random.default_rng(70 + seeds), Studies((50, 400), 6, shared=False)
    wrong = []
    for _ in range(studies):
        values = [1.0 + 0.1 * draws.standard_normal((n, 2)) for n in (seeds, 6)]
        made = of.compare(values, measures=["train_loss"])
        assert any("Welch's t is an approximation" in note for note in made.notes) == (seeds < 6)
        wrong.append(any(pair.verdict in WINNERS for _, pair in made.each_pair()))
    return {"named": float(np.mean(wrong))}


def independent(seeds: int, studies: int) -> Fractions:
    return linear(seeds, studies, shared=False)


HOLDS, FALSE = (0.93, 0.97), (0.0, 0.065)
# Of each scenario: its number of seeds, and what is stated of each fraction: words in the table, and the bounds it must keep.
SCENARIOS: list[tuple[Callable[[int, int], Fractions], int, dict[str, tuple[str, tuple[float, float]]]]] = [
    *(
        (linear, n, {
            "pair": (f"paired t, {n} seeds: the interval holds the true difference", HOLDS),
            "slope": (f"trend, {n} shared seeds: the interval holds the true slope", HOLDS),
        })
        for n in (3, 6)
    ),
    *(
        (independent, n, {
            "pair": (f"Welch's t, {n} and {n} seeds, noise 1 : 3: the interval holds the true difference", HOLDS),
            "slope": (f"trend, {n} seeds each that none share, noise 1 to 3: the interval holds the true slope", HOLDS),
        })
        for n in (3, 6)
    ),
    *(
        (no_difference, n, {
            "pairs": (f"12 pairs, {n} seeds, no difference: any verdict", FALSE),
            "trends": (f"2 trends, {n} seeds, no difference: any verdict", FALSE),
            "either": (f"both families together, {n} seeds, no difference: any verdict", (0.0, 0.115)),
            "page": (f"Page's test, {n} seeds, no difference: p ≤ 0.05", FALSE),
            **({"flips": (f"sign flips, {n} seeds, no difference: p ≤ 0.05", FALSE)} if n > 5 else {}),
        })
        for n in (3, 6)
    ),
    *(
        (at_the_margin, n, {"claims": (f"equivalence, {n} seeds, two measures apart by the margin: any claim", FALSE)})
        for n in (3, 6)
    ),
    (single_runs, 1, {
        "winner": ("one run of each, which differ as runs do: a winner", (0.0, 0.0)),
        "these": ("one run of each, which differ as runs do: `in these runs only`", (0.5, 1.0)),
    }),
    (uneven, 6, {"named": ("Welch's t, 6 against 6 seeds that none share, no difference: named", FALSE)}),
    (uneven, 2, {"named": ("broken: Welch's t, 2 against 6 seeds that none share, no difference: named", (0.055, 0.12))}),
    (skewed, 6, {
        "pair": ("broken: lognormal noise in one setting, 6 seeds: paired t's interval holds", (0.7, 0.95)),
        "slope": ("broken: the same: the trend's interval holds", (0.7, 0.95)),
    }),
    *(
        (skewed_margin, n, {"claims": (f"broken: the same noise, {n} seeds, apart by the margin: equivalence claimed", (0.1, 0.4))})
        for n in (3, 6)
    ),
]  # fmt: skip
IDS = [f"{scenario.__name__}-{seeds}" for scenario, seeds, _ in SCENARIOS]


def table() -> dict[str, float]:
    """What docs/honesty.md says, by its words."""
    text = (Path(__file__).parents[1] / "docs" / "honesty.md").read_text(encoding="utf-8")
    section = text.partition("## Comparisons")[2].partition("\n## ")[0]
    found = re.findall(r"^\| ([^|]+?) \| [^|]+ \| ([\d.]+) % \|$", section, flags=re.MULTILINE)
    return {words: float(percent) / 100 for words, percent in found}


def test_the_table_of_claims_lists_what_is_simulated_and_all_of_it_is_within_bounds() -> None:
    stated = {words: bounds for _, _, fractions in SCENARIOS for words, bounds in fractions.values()}
    said = table()
    assert list(said) == list(stated)
    assert all(low <= said[words] <= high for words, (low, high) in stated.items())


@pytest.mark.parametrize(("scenario", "seeds"), [(linear, 3), (no_difference, 3), (at_the_margin, 6)])
def test_in_a_few_studies_most_claims_are_right(scenario: Callable[[int, int], Fractions], seeds: int) -> None:
    found = scenario(seeds, 30)
    assert all(found[name] >= 0.83 for name in ("pair", "slope") if name in found)
    assert all(found[name] <= 0.17 for name in ("pairs", "trends", "claims") if name in found)


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "seeds", "fractions"), SCENARIOS, ids=IDS)
def test_over_a_thousand_studies_every_claim_is_as_often_right_as_the_table_says(
    scenario: Callable[[int, int], Fractions], seeds: int, fractions: dict[str, tuple[str, tuple[float, float]]]
) -> None:
    found, said = scenario(seeds, STUDIES), table()
    for name, (words, (low, high)) in fractions.items():
        assert low <= found[name] <= high, words
        assert said[words] == pytest.approx(found[name], abs=0.0006), words
