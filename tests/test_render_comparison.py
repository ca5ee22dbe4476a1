"""Comparisons show every replicate beside its mean and interval, on each measure's own scale, and rank no dead network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import render_step_samples as samples
from figure_checks import extents
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_render_flow import markers_at
from test_render_page import Page
from test_render_planes import caption_of, legend_words

from landscape.errors import InputError
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot


def points(axes: Axes, gid: str) -> tuple[np.ndarray, np.ndarray]:
    """Places and values of all marks of one sort."""
    found = [line for line in axes.lines if line.get_gid() == gid]
    return tuple(np.concatenate([np.asarray(part(line), dtype=float) for line in found]) for part in (_x, _y))  # type: ignore[return-value]


def _x(line: Any) -> Any:
    return line.get_xdata()


def _y(line: Any) -> Any:
    return line.get_ydata()


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_measure_has_its_panel_with_means_intervals_and_all_replicates() -> None:
    dataset = samples.comparison(measures=["validation_accuracy", "sharpness"])
    figure = plot(dataset)
    titles = [words(axes.get_title(loc="left")) for axes in figure.axes]
    assert titles == ["validation accuracy, mean over the final 5 epochs", "SAM sharpness at ρ = 0.05, nat"]
    for axes, measure in zip(figure.axes, range(2), strict=True):
        own = dataset.isel(measure=measure)
        places, means = points(axes, "mean")
        assert places.tolist() == list(range(6)) and means == pytest.approx(own["mean"].values)
        assert np.sort(points(axes, "replicates")[1]) == pytest.approx(np.sort(own["value"].values.ravel()))
        ends = points(axes, "interval")[1].reshape(-1, 2)
        assert ends == pytest.approx(np.stack([own["low"].values, own["high"].values], axis=1))


def test_settings_stand_in_the_given_order_evenly_under_their_own_names() -> None:
    axes = plot(samples.comparison(measures=["sharpness"])).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1e-4", "5e-4", "1e-3", "5e-3", "1e-2", "5e-2"]
    assert np.diff(axes.get_xticks()).tolist() == [1] * 5


def test_the_scale_is_the_measures_own_unless_another_is_asked_for() -> None:
    dataset = samples.comparison(measures=["validation_accuracy", "sharpness"])
    assert [axes.get_yscale() for axes in plot(dataset).axes] == ["linear", "log"]
    assert [axes.get_yscale() for axes in plot(dataset, scale="linear").axes] == ["linear", "linear"]
    assert "on a logarithmic axis the mean is geometric" in caption_of(plot(dataset))


def test_a_measure_that_reaches_below_zero_has_no_logarithmic_axis() -> None:
    dataset = samples.comparison(measures=["sharpness"])
    dataset["low"][0, 0] = -0.2
    assert plot(dataset).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("measure", "seeds", "said"),
    [
        ("sharpness", 3, "learning rate, n = 3 training seeds"),
        ("sharpness", 1, "learning rate, n = 1 training seed"),
        ("plane_range", 4, "learning rate, n = 4 direction seeds"),
        ("effective_beta", 9, "learning rate, n = 9 steps within one run (block bootstrap)"),
    ],
)
def test_what_the_interval_is_over_stands_beneath_each_panel(measure: str, seeds: int, said: str) -> None:
    assert words(plot(samples.comparison(measures=[measure], seeds=seeds)).axes[0].get_xlabel()) == said


def test_unequal_numbers_of_replicates_are_named_and_padding_is_not_drawn() -> None:
    dataset = samples.comparison(measures=["sharpness"])
    dataset["value"][0, 1, 2:] = np.nan
    dataset["n"][0, 1] = 2
    axes = plot(dataset).axes[0]
    assert "n = 2 to 3 training seeds" in words(axes.get_xlabel())
    assert points(axes, "replicates")[1].size == 17
    assert legend_words(axes) == []


def test_a_replicate_that_is_no_number_is_crossed_and_counted() -> None:
    dataset = samples.comparison(measures=["sharpness"])
    dataset["value"][0, 1, 0] = np.inf
    dataset["value"][0, 3, 1] = np.nan
    axes = plot(dataset).axes[0]
    assert sorted(round(place) for place in markers_at(axes, "x")[0]) == [1, 3]
    assert "not finite: 2 values" in legend_words(axes)


def test_a_single_replicate_has_a_mean_and_no_interval() -> None:
    axes = plot(samples.comparison(measures=["sharpness"], seeds=1)).axes[0]
    assert points(axes, "mean")[1].size == 6
    assert not [line for line in axes.lines if line.get_gid() == "interval"]


def test_a_dead_setting_is_grey_named_and_leaves_the_scale_to_the_living() -> None:
    figure = plot(samples.comparison(measures=["sharpness"], dead=["5e-2"]))
    axes = figure.axes[0]
    label = axes.get_xticklabels()[5]
    assert label.get_text() == "5e-2\ndead"
    low, _ = axes.get_ylim()
    living = samples.comparison(measures=["sharpness"]).isel(setting=slice(5))
    assert 0.5 * float(living["low"].min()) < low
    grey = {to_hex(line.get_color()) for line in axes.lines if 5 in np.round(np.atleast_1d(line.get_xdata())).tolist()}
    assert grey == {to_hex(label.get_color())}
    assert markers_at(axes, "v") == ([5.0], [0.0])
    assert any(entry.startswith("5e-2 (dead): below the axis") for entry in legend_words(axes))
    assert "Grey: a dead network, which has no rank" in caption_of(figure)


def test_settings_are_not_joined_by_a_line() -> None:
    axes = plot(samples.comparison(measures=["sharpness"])).axes[0]
    for line in axes.lines:
        assert line.get_linestyle() == "None" or len(set(np.atleast_1d(line.get_xdata()).tolist())) == 1


def test_the_caption_carries_the_confidence_and_the_notes() -> None:
    caption = caption_of(plot(samples.comparison(measures=["sharpness"], confidence=0.9)))
    assert "mean and its 90 % interval" in caption
    assert (
        "With equal epochs, runs of another batch size make another number of updates. p-values are Holm's." in caption
    )


def test_one_measure_can_be_chosen_and_an_unknown_one_is_refused() -> None:
    assert len(plot(samples.comparison(), quantity="validation_loss").axes) == 1
    with pytest.raises(InputError, match=r"quantity: unknown value 'sharpnes'\. Did you mean 'sharpness'"):
        plot(samples.comparison(), quantity="sharpnes")
    with pytest.raises(InputError, match=r"share: a comparison has nothing that could share a scale, got False"):
        plot(samples.comparison(), share=False)


MANY = {f"2024-vgg38-{k}": 1 + k / 9 for k in range(9)}
PICTURES: dict[str, Any] = {
    "six": lambda: plot(samples.comparison(dead=["5e-2"])),
    "twelve": lambda: plot(samples.comparison(measures=[*samples.MEASURES, *samples.MEASURES])),
    "long names": lambda: plot(samples.comparison(MANY, ["sharpness", "validation_loss"], by="run")),
    "column": lambda: plot(samples.comparison({"none": 1, "batch": 1.2}, ["sharpness"], by="norm", dead=["none"])),
}


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_leave_the_figure_or_cover_others(name: str) -> None:
    figure: Figure = PICTURES[name]()
    boxes = extents(figure)
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0, text
    for number, (first, a) in enumerate(boxes):
        for second, b in boxes[number + 1 :]:
            assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 1, (
                f"{first!r} {second!r}"
            )


def test_the_page_has_a_chart_a_measure_with_what_the_tests_said() -> None:
    dataset = samples.comparison(measures=["sharpness", "validation_loss"], dead=["5e-2"])
    data = Page(interactive(dataset)).data
    assert data["scale"] is None
    chart = data["charts"][0]
    assert chart["ticks"]["words"][-2:] == ["1e-2", "5e-2\ndead"]
    assert chart["notes"][0].startswith("SAM sharpness at ρ = 0.05: higher at 1e-3 than at 1e-4")
    assert "5e-2 (dead): below the axis" in chart["notes"]
    means = next(line for line in chart["lines"] if line["errors"] and not line["open"])
    own = dataset.isel(measure=0, setting=slice(5))
    assert means["y"] == pytest.approx(own["mean"].values, rel=1e-8)
    assert means["errors"]["plus"] == pytest.approx((own["high"] - own["mean"]).values, rel=1e-6)
    assert means["errors"]["minus"] == pytest.approx((own["mean"] - own["low"]).values, rel=1e-6)
    assert [chart["axis"]["log"] for chart in data["charts"]] == [True, False]
