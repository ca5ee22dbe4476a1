"""Trends over settings in order, claims of equivalence, and warnings where a study can tell too little."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from commands import run
from comparison_samples import history, steps, study
from scipy import stats
from test_comparison import pair, row

import landscape as ls
from landscape.comparison.rows import Trend
from landscape.errors import InputError

SIZES = (50, 100, 200, 400)


def rising(slope: float, seeds: int = 4, noise: float = 0.05) -> list:
    """A loss that rises by ``slope`` with every doubling of the batch."""
    truth = {size: 1.0 + slope * k for k, size in enumerate(SIZES)}
    return study(truth, seeds, np.random.default_rng(0), noise=noise)


def trend(data: list, name: str = "train_loss", by: str = "batch_size") -> Trend:
    return row(ls.compare(data, by=by), name).trends[0]


def test_a_trend_is_the_t_of_each_seeds_own_slope_over_doublings() -> None:
    data = rising(0.1)
    found = trend(data)
    losses = {
        (d.attrs["training"]["batch_size"], d.attrs["training"]["seed"]): float(d["train_loss"][-1]) for d in data
    }
    slopes = [stats.linregress(np.log2(SIZES), [losses[b, s] for b in SIZES]).slope for s in range(4)]
    assert found.slope == pytest.approx(np.mean(slopes))
    assert found.p == pytest.approx(stats.ttest_1samp(slopes, 0).pvalue)
    assert found.verdict == "rises"
    assert "with every doubling of batch_size" in found.sentence
    assert "4 settings, n = 4 training seeds" in found.sentence
    assert found.free_p < 0.001 and "Page's test" in found.sentence
    down = trend(rising(-0.1))
    assert down.verdict == "falls" and f"falls by {-down.slope:.3g} with every doubling" in down.sentence


def test_of_ratios_the_trend_is_a_power_law() -> None:
    draws = np.random.default_rng(1)
    data = [
        steps([float(b**-0.5 * np.exp(0.05 * draws.standard_normal()))] * 3, batch_size=b, seed=s)
        for b in SIZES
        for s in range(4)
    ]
    found = trend(data, "loss_variation:gradient")
    assert found.low < 2**-0.5 < found.high
    assert found.verdict == "falls"
    assert "log-log slope -0.5" in found.sentence


def test_a_trend_is_found_where_no_pair_can_be() -> None:
    made = ls.compare(rising(0.03, seeds=3), by="batch_size", measures=["train_loss"])
    assert made.rows[0].trends[0].verdict == "rises"
    assert {p.verdict for p in made.rows[0].pairs} == {"cannot tell"}


def test_settings_that_share_no_seed_have_a_trend_of_independent_values() -> None:
    data = [d.assign_attrs(training={**d.attrs["training"], "seed": i}) for i, d in enumerate(rising(0.3))]
    found = trend(data)
    assert found.method == "contrast" and math.isnan(found.free_p)
    assert found.verdict == "rises"


def test_settings_that_share_some_seeds_are_neither_pairs_nor_independent() -> None:
    data = rising(0.3)
    first = data[0].attrs["training"]["batch_size"]
    moved = [
        d.assign_attrs(training={**d.attrs["training"], "seed": 10 + d.attrs["training"]["seed"]})
        if d.attrs["training"]["batch_size"] == first
        else d
        for d in data
    ]
    found = trend(moved)
    assert (found.verdict, math.isnan(found.p), math.isnan(found.slope)) == ("no difference tested", True, True)
    assert "in several settings" in found.sentence and "or each its own" in found.sentence


@pytest.mark.parametrize(
    "data",
    [
        study({50: 1.0, 100: 2.0}, 4, np.random.default_rng(2)),  # two settings are a pair
        [steps([1.0 + b] * 40, batch_size=b) for b in (1, 2, 3)],  # single runs
        [history(1.0 + s, optimizer=o, batch_size=1, seed=s) for o in ("a", "b", "c") for s in (0, 1)],
    ],
)
def test_where_settings_have_no_order_or_no_seeds_there_is_no_trend(data: list) -> None:
    by = "optimizer" if "optimizer" in data[0].attrs["training"] else "batch_size"
    assert all(not one.trends for one in ls.compare(data, by=by).rows)


def test_a_trend_over_a_setting_that_may_be_zero_is_per_unit() -> None:
    data = [
        history(1.0 + 3 * w + s / 10 + s * w / 5, weight_decay=w, seed=s) for w in (0.0, 0.1, 0.3) for s in range(3)
    ]
    found = trend(data, by="weight_decay")
    assert (found.per, found.slope) == ("unit", pytest.approx(3.2))


def test_a_dead_setting_has_no_trend() -> None:
    data = rising(0.3)
    data[0] = data[0].assign_attrs(dead=1, dead_reason="guessing")
    found = trend(data)
    assert found.verdict == "no difference tested"
    assert math.isnan(found.p) and "guessing" in found.sentence


def test_trends_are_corrected_among_themselves_and_leave_the_pairs_as_they_are() -> None:
    made = ls.compare(rising(0.1), by="batch_size")
    trends = [one.trends[0] for one in made.rows]
    raw = sorted(one.p for one in trends)
    assert min(one.p_holm for one in trends) == pytest.approx(2 * raw[0])
    assert {p.comparisons for _, p in made.each_pair()} == {12}


def test_no_difference_larger_than_a_margin_is_a_claim_of_its_own() -> None:
    data = study({50: 1.0, 100: 1.0}, 6, np.random.default_rng(3))
    wide = pair(ls.compare(data, by="batch_size", equivalence={"train_loss": 0.5}), "train_loss")
    assert wide.verdict == "equivalent"
    assert "no difference larger than 0.5 nat" in wide.sentence
    tight = pair(ls.compare(data, by="batch_size", equivalence={"train_*": 0.01}), "train_loss")
    assert tight.verdict == "cannot tell" and tight.p_equivalent > 0.05
    assert math.isnan(pair(ls.compare(data, by="batch_size"), "train_loss").p_equivalent)


def test_of_one_run_each_nothing_is_equivalent() -> None:
    draws = np.random.default_rng(4)
    data = [steps(np.exp(0.1 * draws.standard_normal(60)), batch_size=b) for b in (1, 2)]
    found = pair(ls.compare(data, by="batch_size", equivalence={"steps": 10.0}), "loss_variation:gradient")
    assert math.isnan(found.p_equivalent) and found.verdict == "cannot tell"


@pytest.mark.parametrize(
    ("margins", "words"),
    [
        ({"train_los": 0.1}, "Did you mean 'train_loss'"),
        ({"train_loss": -1.0}, "a difference above 0 for train_loss"),
        ({"loss_variation:*": 0.5}, "a ratio above 1 for loss_variation:gradient"),
    ],
)
def test_a_margin_that_is_none_is_refused(margins: dict[str, float], words: str) -> None:
    runs = [{"batch_size": b, "seed": s} for b in (1, 2) for s in (0, 1)]
    data = [made for of in runs for made in (history(1.0, **of), steps([1.0] * 3, **of))]
    with pytest.raises(InputError, match=words):
        ls.compare(data, by="batch_size", equivalence=margins)


def test_a_family_that_can_tell_little_says_how_many_seeds_would_do() -> None:
    few = ls.compare(rising(0.0, seeds=2), by="batch_size").notes
    said = next(note for note in few if "can tell little" in note)
    assert "training: 12 comparisons of 2 pairs of training seeds" in said and "8 pairs of training seeds" in said
    assert not any("little" in note for note in ls.compare(rising(0.0, seeds=8), by="batch_size").notes)


def test_every_seed_and_trend_and_margin_is_in_the_tables_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{i}.h5" for i in range(16)]
    for data, path in zip(rising(0.1), paths, strict=True):
        ls.save(data, path)
    asked = ("--by", "batch_size", "--equivalence", "train_loss=2.5", "--out", str(tmp_path / "made"))
    finished = run(capsys, "compare", *map(str, paths), *asked)
    assert finished.status == 0, finished.err
    said = " ".join(finished.out.split())
    assert "trend over batch_size 50 … 400: rises" in said and "no difference larger than 2.5 nat" in said
    markdown = (tmp_path / "made.md").read_text()
    value = row(ls.compare(rising(0.1), by="batch_size"), "train_loss").cells["50"].values[2]
    assert "## Trends" in markdown and f"2: {value:.3g}" in markdown
    assert "n too small (0.125 at least)" in markdown
    stored = ls.load(tmp_path / "made.h5")
    assert float(stored["trend_slope"].sel(measure="train_loss")[0]) == pytest.approx(0.1, abs=0.05)
    assert stored["margin"].sel(measure="train_loss").values.tolist() == [2.5] * 6
    assert "paired contrast,rises" in (tmp_path / "made.csv").read_text()
