"""Comparisons tell a difference as often as they should, never rank the dead, and never mix what was made differently."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from comparison_samples import history, plane, steps, study, training
from matplotlib.text import Text
from scipy import stats

import landscape as ls
from landscape.comparison import Comparison
from landscape.comparison.rows import Pair, Row
from landscape.errors import InputError

VERDICTS = {"higher", "lower", "in these runs only", "cannot tell", "no difference tested"}


def row(made: Comparison, name: str) -> Row:
    return next(row for row in made.rows if row.measure.name == name)


def pair(made: Comparison, name: str, label: str | None = None) -> Pair:
    pairs = row(made, name).pairs
    return pairs[0] if label is None else next(pair for pair in pairs if pair.label == label)


def runs(values: dict[Any, list[float]], by: str = "batch_size", **settings: Any) -> list[xr.Dataset]:
    """Histories with these losses, one a seed."""
    return [
        history(loss, batch_size=100, **{**settings, by: value, "seed": seed})
        if by != "batch_size"
        else history(loss, **{**settings, by: value, "seed": seed})
        for value, losses in values.items()
        for seed, loss in enumerate(losses)
    ]


def test_a_large_difference_is_found_and_said() -> None:
    made = ls.compare(study({50: 1.0, 800: 2.0}, 5, np.random.default_rng(3)), by="batch_size")
    found = pair(made, "train_loss")
    assert found.verdict == "lower"
    assert found.p_holm < 0.05
    assert "50 is lower by" in found.sentence
    assert "n = 5 pairs of training seeds" in found.sentence
    assert "after Holm over 2 comparisons" in found.sentence


def test_runs_of_equal_seeds_are_pairs_and_others_are_not() -> None:
    a, b = [1.0, 2.0, 3.5], [1.5, 2.4, 4.1]
    paired = pair(ls.compare(runs({1: a, 2: b}), by="batch_size"), "train_loss")
    assert paired.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert paired.method == "paired t"
    others = [history(loss, batch_size=2, seed=10 + k) for k, loss in enumerate(b)]
    welch = pair(ls.compare([*runs({1: a}), *others], by="batch_size"), "train_loss")
    assert welch.p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert welch.method == "Welch t"
    assert "Welch t, n = 3 and 3 training seeds" in welch.sentence


def test_only_seeds_with_a_partner_enter_a_paired_difference() -> None:
    a, b = [1.0, 2.0, 3.5, 9.0], [1.5, 2.4, 4.1]
    made = ls.compare(runs({1: a, 2: b}), by="batch_size")
    assert pair(made, "train_loss").p == pytest.approx(stats.ttest_rel(a[:3], b).pvalue)
    assert row(made, "train_loss").cells["1"].mean == pytest.approx(np.mean(a))


def test_the_final_five_epochs_count() -> None:
    loss = [99.0, 99.0, 99.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    made = ls.compare([history(loss, batch_size=1), history(loss, batch_size=2)], by="batch_size")
    assert row(made, "train_loss").cells["1"].mean == 3.0


def test_values_that_span_decades_are_compared_as_ratios() -> None:
    draws = np.random.default_rng(4)
    noise = np.exp(0.1 * draws.standard_normal((2, 4)))
    data = [
        steps([v, 100 * v], batch_size=b, seed=s) for b, level in ((1, 0), (2, 1)) for s, v in enumerate(noise[level])
    ]
    made = ls.compare(data, by="batch_size")
    cell, found = row(made, "loss_variation:gradient").cells["1"], pair(made, "loss_variation:gradient")
    assert cell.mean == pytest.approx(10 * stats.gmean(noise[0]))
    assert found.difference == pytest.approx(stats.gmean(noise[0]) / stats.gmean(noise[1]))
    assert found.p == pytest.approx(stats.ttest_rel(np.log(noise[0]), np.log(noise[1])).pvalue)
    tenfold = [
        d.assign(loss_variation=10 * d["loss_variation"]) if d.attrs["training"]["batch_size"] == 1 else d for d in data
    ]
    scaled = pair(ls.compare(tenfold, by="batch_size"), "loss_variation:gradient")
    assert (scaled.low, scaled.high) == pytest.approx((10 * found.low, 10 * found.high))
    assert scaled.verdict == "higher"
    assert "1 has" in scaled.sentence and "smoother" not in scaled.sentence


def test_one_seed_cannot_tell() -> None:
    made = ls.compare(runs({50: [1.0], 800: [9.0]}), by="batch_size")
    found = pair(made, "train_loss")
    assert found.verdict == "cannot tell"
    assert math.isnan(found.low) and math.isnan(found.p)
    assert "cannot tell" in found.sentence
    assert any("One training seed only (seed 0) for 50, 800" in note for note in made.notes)


def test_where_too_few_runs_are_left_the_message_names_those_that_were_left_out() -> None:
    data = runs({50: [1.0], 800: [9.0]})
    unfinished = data[1].assign_attrs(status="running")
    with pytest.raises(InputError, match=r"have batch_size 50; nothing to compare.*data set 2 .*training is not over"):
        ls.compare([data[0], unfinished], by="batch_size")


def test_replicates_that_do_not_vary_cannot_tell() -> None:
    found = pair(ls.compare(runs({50: [1.0, 1.0], 800: [2.0, 2.0]}), by="batch_size"), "train_loss")
    assert found.verdict == "cannot tell"
    assert "do not vary" in found.sentence


def test_a_dead_network_is_listed_and_never_ranked() -> None:
    smooth = [
        steps([1e-9] * 3, batch_size=50, seed=s, attrs={"dead": 1, "dead_reason": "gradient 1e-20"}) for s in (0, 1, 2)
    ]
    alive = [steps([1.0 + s * b / 1000] * 3, batch_size=b, seed=s) for b in (100, 200) for s in (0, 1, 2)]
    made = ls.compare([*smooth, *alive], by="batch_size")
    for one in (p for _, p in made.each_pair() if p.a == "50"):
        assert one.verdict == "no difference tested"
        assert all(math.isnan(v) for v in (one.difference, one.low, one.high, one.p, one.p_holm))
        assert "gradient 1e-20" in one.sentence
        assert "smoother" not in one.sentence
    assert made.dataset()["dead"].values.tolist() == [1, 0, 0]
    assert "50 (dead)" in made.markdown()
    assert row(made, "loss_variation:gradient").cells["50"].mean == pytest.approx(1e-9)
    assert pair(made, "loss_variation:gradient", "100 vs 200").comparisons == 4  # the dead are no comparisons


def test_one_dead_seed_keeps_its_setting_from_being_ranked() -> None:
    data = runs({50: [1.0, 1.1, 1.2], 100: [5.0, 5.2, 5.1]})
    data[2] = data[2].assign_attrs(dead=1, dead_reason="guessing")
    made = ls.compare(data, by="batch_size")
    assert pair(made, "train_loss").verdict == "no difference tested"
    assert any("Leave the run out to compare its other 2" in note for note in made.notes)


def test_a_training_that_diverged_is_not_left_to_its_survivors() -> None:
    data = runs({50: [1.0, 1.1, 1.2], 100: [5.0, 5.2, math.nan]})
    marked = [*data[:-1], data[-1].assign_attrs(status="diverged", diverged_epoch=3)]
    for given, words in ((data, "survivors"), (marked, "diverged in epoch 3")):
        found = pair(ls.compare(given, by="batch_size"), "train_loss")
        assert found.verdict == "no difference tested"
        assert words in found.sentence


def test_steps_within_one_run_are_not_called_evidence_between_runs() -> None:
    draws = np.random.default_rng(5)
    shared = np.exp(draws.standard_normal(60))
    data = [
        steps(factor * shared * np.exp(0.1 * draws.standard_normal(60)), batch_size=b) for b, factor in ((1, 1), (2, 2))
    ]
    made = ls.compare(data, by="batch_size")
    found = pair(made, "loss_variation:update")
    assert row(made, "loss_variation:update").replication == "steps within one run (block bootstrap)"
    assert found.low <= 0.5 <= found.high
    assert found.verdict == "in these runs only"
    assert "blocks of" in found.sentence
    assert "one run of each says nothing about batch_size" in found.sentence
    assert "smoother" not in found.sentence
    assert "| in these runs only |" in made.markdown()
    assert "paired blocks" in found.sentence
    assert any("no evidence between runs" in note for note in made.notes)
    two = ls.compare([*data, *(steps(shared, batch_size=b, seed=1) for b in (1, 2))], by="batch_size")
    assert row(two, "loss_variation:update").replication == "training seeds"


def test_a_range_of_steps_can_be_chosen() -> None:
    data = [steps([1.0] * 5 + [level] * 5, batch_size=b) for b, level in ((1, 4.0), (2, 9.0))]
    made = ls.compare(data, by="batch_size", steps=(5, None))
    assert row(made, "loss_variation:gradient").cells["2"].mean == pytest.approx(9)
    with pytest.raises(InputError, match="0 to 9"):
        ls.compare(data, by="batch_size", steps=(50, 60))
    trained = [*data, *(history(1.0, batch_size=b) for b in (1, 2))]
    with pytest.raises(
        InputError, match=r"measure: nothing of 'steps' was made alike .*no measured step lies in 50:60"
    ):
        ls.compare(trained, by="batch_size", steps=(50, 60), measures=["steps"])


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_probes_at_different_steps_are_told_whatever_the_replicates(seeds: tuple[int, ...]) -> None:
    data = [steps([1.0 + s, 2.0, 3.0], every=b, batch_size=b, seed=s) for b in (1, 2) for s in seeds]
    notes = " ".join(ls.compare(data, by="batch_size").notes)
    assert "probed at different steps: 0 to 2 (3); 0 to 4 (3)" in notes
    same = [steps([1.0 + s, 2.0, 3.0], batch_size=b, seed=s) for b in (1, 2) for s in seeds]
    assert "different steps" not in " ".join(ls.compare(same, by="batch_size").notes)


def test_planes_of_one_network_each_vary_by_direction_and_of_several_by_training() -> None:
    one = ls.compare([plane([1.0, 2.0, 3.0], batch_size=b) for b in (1, 2)], by="batch_size")
    assert row(one, "curvature_mean").replication == "direction seeds"
    assert row(one, "curvature_mean").cells["1"].n == 3
    data = [plane([1.0 + s, 4.0 * (1 + s)], batch_size=b, seed=s) for b in (1, 2) for s in (0, 1, 2)]
    several = row(ls.compare(data, by="batch_size"), "curvature_mean")
    assert several.replication == "training seeds"
    # Averaged within a run first, geometrically: √(c · 4c) times what one plane of curvature 1 has.
    unit = (
        row(ls.compare([plane([1.0, 1.0], batch_size=b) for b in (1, 2)], by="batch_size"), "curvature_mean")
        .cells["1"]
        .mean
    )
    assert [several.cells["1"].values[s] for s in (0, 1, 2)] == pytest.approx([2 * unit, 4 * unit, 6 * unit])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"index_hash": "bb"}, "samples bb instead of aa"),
        ({"bn_policy": "batch"}, "BatchNorm policy batch instead of frozen"),
        ({"loss_max": 5.0}, "clip 5 instead of none"),
        ({"checkpoint": "run-best"}, "checkpoint best instead of last"),
        ({"normalization": "layer"}, "normalisation layer instead of filter"),
        ({"direction_origins": [[{"orthogonalized": 1}]]}, "directions orthogonalised instead of as drawn"),
        ({"complete": 0}, "not complete"),
        ({"directions": "file"}, "no random sample"),
    ],
)
def test_a_plane_that_was_made_differently_is_left_out_by_name(changed: dict[str, Any], words: str) -> None:
    data = [plane([1.0, 2.0], batch_size=b) for b in (1, 2, 3)]
    data[2] = data[2].assign_attrs(title="the odd one", **changed)
    made = ls.compare(data, by="batch_size")
    assert made.rows[0].cells["1"].n == 2
    assert "3" not in made.settings or not made.rows[0].cells["3"].values
    assert any("the odd one" in message and words in message for message in made.left_out)


@pytest.mark.parametrize("change", ["grid", "seeds"])
def test_planes_over_other_points_or_directions_are_not_mixed(change: str) -> None:
    other = plane([1.0, 2.0], n=9, batch_size=3) if change == "grid" else plane([1.0, 2.0, 3.0], batch_size=3)
    made = ls.compare([plane([1.0, 2.0], batch_size=b) for b in (1, 2)] + [other], by="batch_size")
    assert len(made.left_out) >= 1
    assert not made.rows[0].cells["3"].values


def test_a_network_without_batchnorm_fits_any_policy() -> None:
    data = [
        plane([1.0, 2.0], norm="none", attrs={"bn_policy": "none (the model has no BatchNorm)"}),
        plane([3.0, 4.0], norm="batch"),
        plane([5.0, 6.0], norm="batch", attrs={"bn_policy": "batch"}),
    ]
    made = ls.compare(data, by="norm")
    names = {row.measure.name for row in made.rows}
    assert {"roughness [BatchNorm policy frozen]", "roughness [BatchNorm policy batch]"} <= names
    assert not made.left_out
    for one in made.rows:
        assert len(one.cells["none"].values) == len(one.cells["batch"].values) == 2


def test_segments_of_another_length_are_named_as_a_reason_to_call_nobody_smoother() -> None:
    data = [
        steps([lr * (1 + s / 50)] * 3, norm="none", learning_rate=lr, seed=s) for lr in (0.1, 0.7) for s in (0, 1, 2)
    ]
    made = ls.compare(data, by="learning_rate")
    assert not any("smoother" in sentence for sentence in made.sentences)
    assert any(
        "loss_variation" in note and "learning_rate, which decides where it looks" in note for note in made.notes
    )


def test_networks_seen_on_other_losses_of_their_trainings_are_not_called_smoother_and_at_other_rates_they_are() -> None:
    def relative(by: str, values: tuple[float, float], *, grouped: bool = False) -> Comparison:
        groups = {
            str(value): [
                steps([value * (1 + s ** (1 + k) / 50)] * 3, seed=s, **({} if grouped else {by: value})).assign_coords(
                    along=["gradient", "relative"]
                )
                for s in (0, 1, 2)
            ]
            for k, value in enumerate(values)
        }
        data = groups if grouped else [one for group in groups.values() for one in group]
        return ls.compare(data, by=by, measures=["loss_variation:relative"])

    for by, grouped in (
        ("batch_size", False),
        ("augment", False),
        ("model", False),
        ("recipe", True),
    ):  # of groups nothing is known
        made = relative(by, (1, 16), grouped=grouped)
        assert pair(made, "loss_variation:relative").verdict == "lower", by
        assert "smoother" not in pair(made, "loss_variation:relative").sentence, by
        said = next(note for note in made.notes if "smoother" in note)
        assert f"{by}, as each is seen on its own loss" in said and "rescaled" not in said
    made = relative("learning_rate", (0.1, 0.7))
    assert "0.1 is the smoother one" in pair(made, "loss_variation:relative").sentence


def test_steps_at_unequal_distances_have_no_interval() -> None:
    draws = np.random.default_rng(5)
    data = [steps(np.exp(draws.standard_normal(60)), batch_size=b) for b in (1, 2)]
    even = np.round(np.linspace(0, 90, 60))  # to whole steps: 1 and 2 apart
    uneven = np.geomspace(1, 1000, 60).round() + np.arange(60)
    for at, words in ((even, "interval"), (uneven, "not at equal distances")):
        made = ls.compare([one.assign_coords(step=at.astype(int)) for one in data], by="batch_size")
        found = row(made, "loss_variation:update")
        assert words in found.pairs[0].sentence
        assert math.isnan(found.cells["1"].low) == math.isnan(found.pairs[0].p) == (at is uneven)


def test_a_difference_that_rounding_makes_is_none() -> None:
    data = runs({50: [1.0, 1.1, 1.3], 100: [1.00003, 1.10003, 1.300031]})
    found = pair(ls.compare(data, by="batch_size"), "train_loss")
    assert found.p_holm < 0.05
    assert found.verdict == "cannot tell"
    assert "equal within 0.01 %" in found.sentence


def test_the_number_of_updates_is_stated_as_what_may_explain_a_difference() -> None:
    data = [history(1.0, batch_size=b, attrs={"updates": u}) for b, u in ((50, 95000), (800, 6000))]
    notes = " ".join(ls.compare(data, by="batch_size").notes)
    assert "50: 95,000; 800: 6,000" in notes
    assert "may come from the number of updates" in notes
    equal = [d.assign_attrs(updates=6000) for d in data]
    assert "equal, so not the reason" in " ".join(ls.compare(equal, by="batch_size").notes)


def test_networks_of_ones_own_are_compared_in_groups_as_they_are_given() -> None:
    def own(level: float, **attrs: Any) -> xr.Dataset:
        """As somebody's own loop makes it: nothing says how it was trained."""
        made = steps([level] * 3)
        return made.drop_attrs().assign_attrs(kind="steps", loss_name="cross_entropy", data="tensors", **attrs)

    levels = {"plain": [1.0, 1.1, 1.2, 1.05], "ours": [2.0, 2.1, 2.3]}
    made = ls.compare({name: [own(level) for level in given] for name, given in levels.items()})
    found = pair(made, "loss_variation:gradient")
    expected = stats.ttest_ind(np.log(levels["ours"]), np.log(levels["plain"]), equal_var=False)
    assert (made.by, found.label, found.method, found.n) == ("group", "ours vs plain", "Welch t", (3, 4))
    assert found.p == pytest.approx(expected.pvalue) and found.verdict == "higher"
    seeded = {n: [own(v, seed=s) for s, v in enumerate(given[:3])] for n, given in levels.items()}
    made = ls.compare(seeded, by="recipe")
    assert pair(made, "loss_variation:gradient").method == "paired t" and made.by == "recipe"
    trained = {"plain": [history(1.0, seed=0), [history(1.1, seed=1)]], "ours": [history(2.0, learning_rate=9.0)]}
    assert any("trainings differ in: learning_rate" in note for note in ls.compare(trained).notes)


@pytest.mark.parametrize("groups", [{"a": [], "b": []}, {"a": "one.h5", "b": "two.h5"}, {"a": None}])
def test_groups_that_are_none_are_refused_in_a_sentence(groups: Any) -> None:
    with pytest.raises(InputError, match=r"the group 'a' is .*; expected a list of its networks"):
        ls.compare(groups)
    with pytest.raises(InputError, match="by: say by which setting"):
        ls.compare([history(1.0)])


def test_final_epochs_that_are_other_parts_of_the_training_are_told() -> None:
    data = [
        history(1.0 + s, batch_size=b, seed=s).isel(epoch=slice(epochs))
        for b, epochs in ((50, 3), (200, 8), (400, 6))
        for s in (0, 1)
    ]
    notes = " ".join(ls.compare(data, by="batch_size").notes)
    assert "of other parts of the training, by batch_size: 50: all 3; 200: 5 of 8; 400: 5 of 6" in notes
    assert "Fewer than 5" not in notes
    alike = " ".join(ls.compare([*data[:2], history(1.0, batch_size=9).isel(epoch=slice(3))], by="batch_size").notes)
    assert "Fewer than 5 epochs" in alike and "other parts" not in alike
    without = [steps([1.0] * 3, batch_size=b, seed=7) for b in (50, 200)]  # no history, so of no epochs
    assert "batch_size: 50: all 3; 200: 5 of 8;" in " ".join(ls.compare([*data, *without], by="batch_size").notes)
    losses = ls.compare([one.assign(test_loss=1.0) for one in data], by="batch_size", measures=["test_loss"])
    assert "other parts" not in " ".join(losses.notes)


def test_holm_takes_all_comparisons_of_a_family_together_and_fewer_when_fewer_are_asked() -> None:
    data = study(dict.fromkeys((1, 2, 3), 1.0), 4, np.random.default_rng(6))
    every = ls.compare(data, by="batch_size")
    assert {p.comparisons for _, p in every.each_pair()} == {6}
    raw = np.array([p.p for _, p in every.each_pair()])
    smallest = int(raw.argmin())
    assert list(every.each_pair())[smallest][1].p_holm == pytest.approx(min(1, 6 * raw.min()))
    asked = ls.compare(data, by="batch_size", measures=["train_*"], reference=2)
    assert [p.label for _, p in asked.each_pair()] == ["1 vs 2", "3 vs 2"]
    assert {p.comparisons for _, p in asked.each_pair()} == {2}


def test_many_settings_are_compared_with_the_first() -> None:
    made = ls.compare(study({2**k: 1.0 for k in range(8)}, 2, np.random.default_rng(7)), by="batch_size")
    assert [p.b for p in made.rows[0].pairs] == ["1"] * 7
    assert any("first alone" in note for note in made.notes)


def test_every_verdict_is_one_of_the_four_and_has_its_sentence() -> None:
    made = ls.compare(study({1: 1.0, 2: 1.0, 3: 4.0}, 3, np.random.default_rng(8)), by="batch_size")
    for _, one in made.each_pair():
        assert one.verdict in VERDICTS
        assert ("cannot tell" in one.sentence) == (one.verdict == "cannot tell")
        if one.low <= 0 <= one.high:
            assert one.verdict == "cannot tell"


def test_the_picture_of_a_comparison_is_that_of_its_file(tmp_path: Path) -> None:
    made = ls.compare(runs({50: [1.0, 1.2], 100: [2.0, 2.1]}), by="batch_size")
    ls.save(made.dataset(), tmp_path / "made.h5")
    stored = ls.load(tmp_path / "made.h5")
    assert json.loads(stored.attrs["notes"]) == json.loads(made.dataset().attrs["notes"]) == list(made.notes)
    figures = [ls.plot(dataset) for dataset in (made.dataset(), stored)]
    texts = [{text.get_text() for text in figure.findobj(Text)} for figure in figures]
    assert texts[0] == texts[1] and figures[0].caption == figures[1].caption
    assert "taken alone" in figures[0].caption


def test_the_training_is_read_from_json_as_it_is_stored() -> None:
    data = runs({50: [1.0, 1.2], 100: [2.0, 2.1]})
    stored = [d.assign_attrs(training=json.dumps(d.attrs["training"])) for d in data]
    assert ls.compare(stored, by="batch_size").sentences == ls.compare(data, by="batch_size").sentences


def test_without_stored_settings_the_single_attributes_do() -> None:
    data = []
    for one in runs({50: [1.0, 1.2], 100: [2.0, 2.1]}):
        recipe = one.attrs.pop("training")
        data.append(one.assign_attrs({k: recipe[k] for k in ("batch_size", "seed", "learning_rate", "model")}))
    assert pair(ls.compare(data, by="batch_size"), "train_loss").method == "paired t"


def test_settings_are_flat_and_what_was_only_watched_is_no_setting() -> None:
    data = [
        one.assign_attrs(training={**one.attrs["training"], "probe_every": k})
        for k, one in enumerate(runs({50: [1.0, 1.2], 100: [2.0, 2.1]}))
    ]
    assert len(ls.compare(data, by="batch_size").settings) == 2
    assert training(norm="none")["model_options"] == {"norm": "none"}
