"""Gradient flow: every record over every weight tensor in depth order, on a logarithmic axis that hides no zero."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import render_step_samples as samples
import xarray as xr
from figure_checks import extents
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_render_page import Page
from test_render_planes import caption_of, heading_of, legend_words, panel

from landscape.errors import InputError
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot


def records(axes: Axes) -> list[Any]:
    """The lines of records: those in the data's own coordinates that join points."""
    return [line for line in axes.lines if line.get_transform() == axes.transData and line.get_linestyle() != "None"]


def markers_at(axes: Axes, marker: str) -> tuple[list[float], list[float]]:
    """Where a marker stands: places along the axis, and height as a part of the panel."""
    found = [line for line in axes.lines if line.get_marker() == marker and line.get_transform() != axes.transData]
    return [float(x) for line in found for x in line.get_xdata()], [
        float(y) for line in found for y in line.get_ydata()
    ]


def weights(dataset: xr.Dataset, quantity: str = "mean_abs_gradient") -> np.ndarray:
    return np.asarray(dataset[quantity].sel(tensor=dataset["role"] == "weight").values)


@pytest.mark.parametrize("quantity", ["mean_abs_gradient", "gradient_norm"])
def test_every_record_is_a_line_over_the_weight_tensors_alone(quantity: str) -> None:
    dataset = samples.flow(12, 5)
    lines = records(plot(dataset, quantity=quantity).axes[0])
    assert [line.get_ydata() for line in lines] == [pytest.approx(row) for row in weights(dataset, quantity)]
    assert all(line.get_xdata().tolist() == list(range(1, 13)) for line in lines)


def test_tensors_stand_in_depth_order_whatever_their_order_in_the_file() -> None:
    dataset = samples.flow(10, 2)
    turned = dataset.isel(tensor=slice(None, None, -1))
    for first, second in zip(records(plot(dataset).axes[0]), records(plot(turned).axes[0]), strict=True):
        assert first.get_ydata() == pytest.approx(second.get_ydata())


def test_layers_with_several_weight_tensors_are_counted_by_tensor() -> None:
    dataset = samples.flow(6, 2)
    dataset["depth"][dataset["depth"].values == 3] = 2
    axes = plot(dataset).axes[0]
    assert records(axes)[0].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert axes.get_xlabel().startswith("weight tensor (1:\u00a0input.conv")


def test_the_axis_is_logarithmic_and_shared_by_all_panels() -> None:
    figure = plot([samples.dead_flow(38, 9), samples.flow(38, 9)])
    first, second = (panel(figure, index) for index in (0, 1))
    assert first.get_yscale() == second.get_yscale() == "log"
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] < 1e-19
    words = [label.get_text() for label in first.get_yticklabels()]
    assert "10⁻¹⁸" in words and "10⁻³" in words
    own = plot([samples.dead_flow(38, 9), samples.flow(38, 9)], share=False)
    assert panel(own, 1).get_ylim()[0] > 1e-5


def test_exact_zeros_stand_at_the_lower_edge_and_are_counted() -> None:
    axes = panel(plot(samples.dead_flow(38, 20, zeros=3)))
    places, heights = markers_at(axes, "v")
    assert places == [1, 2, 3] and set(heights) == {0.0}
    assert "exactly 0: 57 of 760 values, in 3 of 38 tensors" in legend_words(axes)
    assert np.isnan(records(axes)[5].get_ydata()[:3]).all()


def test_on_a_linear_axis_zeros_are_drawn_where_they_are() -> None:
    axes = panel(plot(samples.dead_flow(38, 20, zeros=3), scale="linear"))
    assert axes.get_yscale() == "linear" and markers_at(axes, "v") == ([], [])
    assert records(axes)[5].get_ydata()[:3].tolist() == [0, 0, 0]


def test_a_network_without_any_gradient_is_still_a_picture_that_says_so() -> None:
    dataset = samples.flow(8, 3)
    dataset["mean_abs_gradient"][...] = 0.0
    axes = panel(plot(dataset))
    assert "exactly 0: 24 of 24 values, in 8 of 8 tensors" in legend_words(axes)
    assert markers_at(axes, "v")[0] == list(range(1, 9))


def test_gradients_that_are_no_number_are_crossed_at_the_upper_edge_and_counted() -> None:
    dataset = samples.flow(8, 5)
    dataset["mean_abs_gradient"][3:, 0] = np.nan
    dataset["mean_abs_gradient"][4, 3] = np.inf
    axes = panel(plot(dataset))
    assert markers_at(axes, "x") == ([1, 2], [1.0, 1.0])
    assert "not finite: 3 of 40 values, in 2 of 8 tensors" in legend_words(axes)


def test_the_colour_is_the_epochs_from_dark_to_light_and_a_bar_names_its_ends() -> None:
    figure = plot([samples.flow(9, 30), samples.flow(9, 60, norm="none")])
    light = [
        [np.dot(line.get_color()[:3], [0.2126, 0.7152, 0.0722]) for line in records(panel(figure, k))] for k in (0, 1)
    ]
    assert all(np.all(np.diff(one) > 0) for one in light)
    assert light[0][29] == pytest.approx(light[1][29])  # one colour an epoch, in both
    bar = figure.axes[-1]
    ticks = [float(label.get_text()) for label in bar.get_xticklabels()]
    assert (bar.get_xlabel(), ticks[0], ticks[-1]) == ("epoch", 1, 60)


def test_several_records_an_epoch_are_coloured_by_step() -> None:
    figure = plot(samples.flow(9, 2, per_epoch=3))
    assert figure.axes[-1].get_xlabel() == "step"
    colours = {tuple(line.get_color()) for line in records(figure.axes[0])}
    assert len(colours) == 6


def test_a_single_record_has_no_colour_bar_but_its_epoch_in_the_legend() -> None:
    figure = plot(samples.flow(9, 1))
    assert len(figure.axes) == 1
    assert legend_words(figure.axes[0]) == ["epoch 1"]


def test_a_dead_network_is_called_so_over_its_panel_and_the_caption_says_why() -> None:
    figure = plot([samples.dead_flow(38, 9), samples.flow(38, 9)])
    titles = [panel(figure, index).get_title(loc="left") for index in (0, 1)]
    assert titles == ["no BatchNorm (dead)", "BatchNorm"] and heading_of(figure) == "vgg38"
    assert "Dead: loss 4.6053 is that of guessing, ln 100 = 4.6052 [vgg38, no BatchNorm]" in caption_of(figure)


@pytest.mark.parametrize("layers", [1, 2, 8, 38, 200])
def test_layer_numbers_are_few_round_and_include_both_ends(layers: int) -> None:
    dataset = samples.flow(38, 2)
    dataset = dataset.sel(tensor=dataset["role"] == "weight").isel(tensor=np.arange(layers) % 38)
    dataset = dataset.assign_coords(depth=("tensor", np.arange(1, layers + 1)))
    ticks = plot(dataset).axes[0].get_xticks().tolist()
    assert ticks[0] == 1 and ticks[-1] == layers and 1 <= len(ticks) <= 9
    assert all(tick in (1, layers) or layers <= 10 or tick % 5 == 0 for tick in ticks)


PICTURES: dict[str, Any] = {
    "three": lambda: plot([samples.dead_flow(38, 5), samples.flow(8, 5, model="vgg08"), samples.flow(38, 5)]),
    "column": lambda: plot(samples.dead_flow(38, 5)),
    "five": lambda: plot([samples.flow(38, 3, seed=k) for k in range(5)]),
    "one record": lambda: plot([samples.flow(8, 1), samples.dead_flow(8, 1)], quantity="gradient_norm"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_leave_the_figure_or_cover_others(name: str) -> None:
    figure: Figure = PICTURES[name]()
    boxes = extents(figure)
    for words, box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0, words
    for number, (first, a) in enumerate(boxes):
        for second, b in boxes[number + 1 :]:
            assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 1, (
                f"{first!r} {second!r}"
            )


def test_the_page_reads_out_tensor_epoch_and_value_and_singles_out_records() -> None:
    data = Page(interactive([samples.dead_flow(8, 4, zeros=1), samples.flow(8, 4)])).data
    first, second = data["charts"]
    assert data["records"]["name"] == "epoch" and data["records"]["values"] == [1, 2, 3, 4]
    assert [line["record"] for line in second["lines"]] == [0, 1, 2, 3]
    assert second["lines"][2]["texts"][0].startswith("input.conv.weight<br>epoch 3: ")
    assert first["title"] == "vgg38, no BatchNorm (dead)"
    assert "exactly 0: 3 of 32 values, in 1 of 8 tensors" in first["notes"]
    zeros = first["gaps"][0]
    assert (zeros["x"], zeros["bottom"], zeros["logOnly"]) == ([1], True, True)
    assert data["scale"]["log"] is True
    drawn = np.array(json.loads(json.dumps(second["lines"][1]["y"])), dtype=float)
    assert drawn == pytest.approx(weights(samples.flow(8, 4))[1], rel=1e-8)


@pytest.mark.parametrize("draw", [plot, interactive])
def test_what_cannot_be_drawn_of_a_gradient_flow_is_refused(draw: Any) -> None:
    with pytest.raises(InputError, match="quantity: unknown value 'loss'"):
        draw(samples.flow(4, 2), quantity="loss")
    with pytest.raises(InputError, match="the gradient flow 'vgg38, BatchNorm' has no record yet"):
        draw(samples.flow(4, 2).isel(record=slice(0)))
    with pytest.raises(InputError, match="has no tensor of the role 'weight'"):
        draw(samples.flow(4, 2).isel(tensor=[1]))
    with pytest.raises(InputError, match=r"loss_max: a gradient flow has no loss to clip, got 3\.0\. Leave it out"):
        draw(samples.flow(4, 2), loss_max=3.0)
    with pytest.raises(InputError, match="cannot share one picture: a gradient flow, probed training steps"):
        draw([samples.flow(4, 2), samples.steps(4)])
