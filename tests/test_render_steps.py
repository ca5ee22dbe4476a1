"""Probed steps and ranges over runs: the range itself, along the direction that was asked for, and nothing smoothed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import render_step_samples as samples
import xarray as xr
from commands import fails, run
from figure_checks import extents
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from test_render_flow import markers_at
from test_render_page import Page
from test_render_planes import caption_of, heading_of, legend_words

from landscape.errors import InputError
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.results import save_result


def bands(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lower and upper edge of every shade, at each step."""
    found = []
    for shade in axes.collections:
        assert isinstance(shade, PolyCollection)
        x, y = shade.get_paths()[0].vertices.T
        steps = np.unique(x)
        found.append((np.array([y[x == s].min() for s in steps]), np.array([y[x == s].max() for s in steps])))
    return found


def curves(axes: Axes) -> list[np.ndarray]:
    lines = [line for line in axes.lines if line.get_transform() == axes.transData]
    return [np.asarray(line.get_ydata(), dtype=float) for line in lines]


def has_curve(axes: Axes, values: np.ndarray) -> bool:
    return any(curve.shape == values.shape and np.allclose(curve, values, equal_nan=True) for curve in curves(axes))


@pytest.mark.parametrize("along", ["gradient", "update"])
def test_the_three_panels_show_the_ranges_and_beta_along_the_wanted_direction(along: str) -> None:
    dataset = samples.steps(40)
    chosen = dataset.sel(along=along)
    loss, predictiveness, beta = plot(dataset, along=along).axes
    for axes, low, high in (
        (loss, "loss_minimum", "loss_maximum"),
        (predictiveness, "gradient_distance_minimum", "gradient_distance_maximum"),
    ):
        ((lower, upper),) = bands(axes)
        assert lower == pytest.approx(chosen[low].values) and upper == pytest.approx(chosen[high].values)
    assert has_curve(loss, chosen["loss"].values) and has_curve(beta, chosen["effective_beta"].values)


def test_axis_and_caption_say_which_direction_and_that_adams_update_is_another() -> None:
    for options, title, point, words in (
        (
            {},
            "loss along the gradient",
            "θ − ηg",
            "g is the minibatch's gradient; the update of adam has another direction",
        ),
        (
            {"along": "relative"},
            "loss along the relative step",
            "θ + ηr",
            "r is −θ²⊙g of the length ‖r/θ‖₂ = 0.25 / learning rate, and g the minibatch's gradient",
        ),
        (
            {"along": "update"},
            "loss along the update",
            "θ + ηu",
            "u is the next update of adam divided by the learning rate",
        ),
    ):
        dataset = samples.steps(20, along=("gradient", "update", "relative"), relative_length=0.25)
        figure = plot(dataset, quantity="loss", **options)
        assert figure.axes[0].get_title(loc="left") == title and heading_of(figure) == "vgg38, BatchNorm"
        assert point in figure.axes[0].get_ylabel() and words in caption_of(figure)
    assert "another direction" not in caption_of(plot(samples.steps(20, optimizer="sgd")))
    assert "8 values of η from 0.5 to 4 × learning rate" in caption_of(plot(samples.steps(20)))


QUANTITIES = {
    "loss": ["loss"],
    "predictiveness": ["gradient_distance_minimum"],
    "beta": ["effective_beta"],
    "lipschitz": ["lipschitz_loss", "lipschitz_gradient"],
    "normalized": [
        "loss_variation", "gradient_predictiveness_normalized", "effective_beta_normalized",
        "lipschitz_loss_normalized", "lipschitz_gradient_normalized",
    ],
}  # fmt: skip


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_quantity_has_the_panels_of_its_variables(quantity: str) -> None:
    dataset = samples.steps(30)
    axes = plot(dataset, quantity=quantity).axes
    for one, name in zip(axes, QUANTITIES[quantity], strict=True):
        values = dataset[name] if "along" not in dataset[name].dims else dataset[name].sel(along="gradient")
        assert has_curve(one, values.values)


def test_estimates_are_called_lower_bounds() -> None:
    for quantity in ("beta", "lipschitz"):
        assert "lower bound" in caption_of(plot(samples.steps(20), quantity=quantity))


def test_runs_lie_over_each_other_in_one_colour_each_named_once() -> None:
    figure = plot([samples.steps(30), samples.steps(30, rough=4, norm="none")])
    assert len(figure.axes) == 3
    assert legend_words(figure.axes[0])[:2] == ["BatchNorm", "no BatchNorm"] and heading_of(figure) == "vgg38"
    colours = [list(dict.fromkeys(line.get_color() for line in axes.lines)) for axes in figure.axes]
    assert len(colours[0]) == 2 and colours[0] == colours[1] == colours[2]
    apart = plot([samples.steps(30), samples.steps(30, norm="none")], share=False)
    assert len(apart.axes) == 6
    assert [axes.get_title(loc="left").split(":")[0] for axes in apart.axes[::3]] == [
        "BatchNorm",
        "no BatchNorm",
    ]


def test_the_axis_is_logarithmic_from_one_and_a_half_decades_on() -> None:
    near, far = ([samples.steps(30), samples.steps(30, rough=rough, norm="none")] for rough in (2, 200))
    assert [plot(runs, quantity="beta").axes[0].get_yscale() for runs in (near, far)] == ["linear", "log"]


def test_a_long_run_is_drawn_step_by_step_with_a_thin_line() -> None:
    dataset = samples.steps(3000)
    axes = plot(dataset, quantity="loss").axes[0]
    assert has_curve(axes, dataset["loss"].values)
    assert max(line.get_linewidth() for line in axes.lines) < 0.5
    assert "3,000 steps, none smoothed" in caption_of(plot(dataset))


def test_a_dead_run_is_called_so_sets_no_axis_and_is_said_to_lie_below_it() -> None:
    alive = samples.steps(30)
    figure = plot([alive, samples.dead_steps(30)])
    loss, predictiveness, beta = figure.axes
    assert "no BatchNorm (dead)" in legend_words(loss)
    assert has_curve(loss, np.full(30, np.log(100)))
    assert predictiveness.get_ylim() == plot(alive).axes[1].get_ylim()
    assert set(markers_at(beta, "v")[1]) == {0.0}
    assert "vgg38, no BatchNorm (dead): below the axis" in legend_words(beta)
    assert re.search(
        r"no BatchNorm \(dead\): below the axis: .*at most [^;]+\[effective β-smoothness\]", caption_of(figure)
    )
    assert "the axes are those of the living runs" in caption_of(figure)


def test_dead_runs_alone_have_an_axis_on_which_they_are_flat() -> None:
    low, high = plot(samples.dead_steps(30), quantity="loss").axes[0].get_ylim()
    assert high - low > 0.1 and low < np.log(100) < high


def test_steps_that_are_no_number_are_crossed_at_the_top_and_counted() -> None:
    dataset = samples.steps(30)
    for name in ("loss_maximum", "effective_beta"):
        dataset[name][10:14] = np.inf
    figure = plot(dataset)
    loss, predictiveness, beta = figure.axes
    for axes in (loss, beta):
        assert markers_at(axes, "x") == ([100, 110, 120, 130], [1.0] * 4)
    assert "not finite" in legend_words(loss)
    assert "Not finite: 4 steps [loss along the gradient; effective β-smoothness]" in caption_of(figure)
    assert markers_at(predictiveness, "x") == ([], [])
    ((lower, _),) = bands(predictiveness)
    assert lower.size == 30


def test_losses_above_the_clip_end_at_the_axis_and_the_caption_says_so() -> None:
    figure = plot(samples.steps(30), loss_max=3.0)
    assert figure.axes[0].get_ylim()[1] == 3.0 and figure.axes[1].get_ylim()[1] != 3.0
    assert "Losses above 3 are clipped" in caption_of(figure)


def test_a_direction_that_was_not_probed_is_refused_with_those_that_were() -> None:
    with pytest.raises(
        InputError, match=r"along: 'vgg38, BatchNorm' was not probed along 'update'\. It was along: gradient"
    ):
        plot(samples.steps(10, along=("gradient",)), along="update")
    with pytest.raises(InputError, match=r"along: unknown value 'updates'\. Did you mean 'update'"):
        plot(samples.steps(10), along="updates")
    with pytest.raises(InputError, match=r"quantity: unknown value 'normalised'\. Did you mean 'normalized'"):
        plot(samples.steps(10), quantity="normalised")
    with pytest.raises(InputError, match="'vgg38, BatchNorm' has no probed step yet"):
        plot(samples.steps(10).isel(step=slice(0)))
    with pytest.raises(InputError, match=r"along: a training history has no directions to choose from, got 'update'"):
        plot(samples.history(3), along="update")


def test_a_range_over_runs_says_that_it_is_not_along_the_step() -> None:
    dataset = samples.run_range(30)
    figure = plot(dataset)
    for axes, name in zip(figure.axes, ("loss", "gradient_norm"), strict=True):
        ((lower, upper),) = bands(axes)
        assert lower == pytest.approx(dataset[f"{name}_minimum"].values)
        assert upper == pytest.approx(dataset[f"{name}_maximum"].values)
        assert "over separate runs" in " ".join(axes.get_title(loc="left").split())
    caption = caption_of(figure)
    assert "Range over separately trained runs (not along the step)" in caption
    assert "Runs: learning rate 1e-4; learning rate 1e-3; learning rate 1e-2" in caption


def test_the_page_has_the_ranges_the_dead_and_a_scale_for_every_chart() -> None:
    dataset = samples.steps(20)
    data = Page(interactive([dataset, samples.dead_steps(20)], along="update")).data
    assert [chart["title"] for chart in data["charts"]] == [
        "Loss along the update", "Gradient predictiveness", "Effective β-smoothness",
    ]  # fmt: skip
    chosen = dataset.sel(along="update")
    band = next(line["bands"][0] for line in data["charts"][1]["lines"] if line["bands"])
    assert band["lower"] == pytest.approx(chosen["gradient_distance_minimum"].values)
    assert band["upper"] == pytest.approx(chosen["gradient_distance_maximum"].values)
    assert data["groups"][1]["name"] == "vgg38, no BatchNorm (dead)"
    assert any("below the axis" in note for note in data["charts"][2]["notes"])
    low, high = data["charts"][2]["axis"]["range"]
    assert low < float(chosen["effective_beta"].min()) < float(chosen["effective_beta"].max()) < high


PICTURES: dict[str, Any] = {
    "all": lambda: plot([samples.steps(30), samples.steps(30, rough=4, norm="none")]),
    "dead": lambda: plot([samples.steps(30), samples.dead_steps(30)]),
    "normalized": lambda: plot([samples.steps(30), samples.steps(30, norm="none")], quantity="normalized"),
    "column": lambda: plot(samples.steps(30), quantity="loss", along="update"),
    "few": lambda: plot(samples.steps(1)),
    "runs": lambda: plot([samples.run_range(30), samples.run_range(30, rough=3, norm="none")]),
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


def run_folder(name: str, dataset: xr.Dataset | None = None, **attrs: Any) -> str:
    """A run's folder in the working directory with a history, a gradient flow and, if given, probed steps."""
    save_result(samples.history(3, **attrs), Path(name) / "history.h5")
    save_result(samples.flow(4, 3, **attrs), Path(name) / "gradient_flow.h5")
    if dataset is not None:
        save_result(dataset, Path(name) / "steps.h5")
    return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_runs_folder_stands_for_the_file_that_the_kind_draws(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = run_folder("run", samples.steps(6))
    for kind, made in (("auto", "history.png"), ("flow", "gradient_flow.png"), ("steps", "steps.png")):
        finished = run(capsys, "plot", name, "--kind", kind)
        assert finished.status == 0, finished.err
        assert finished.out.split() == [f"run/{made}"]


def test_a_run_without_probed_steps_is_told_to_train_with_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = run_folder("run")
    says = "kind: 'steps' draws run/steps.h5, which does not exist. Train with --probe-every"
    fails(capsys, "plot", name, "--kind", "steps", status=2, says=says)


def test_the_steps_of_several_runs_become_a_range_for_each_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [
        run_folder(f"{norm}-{rate}", samples.steps(6, rough=rate * 1e3, norm=norm, learning_rate=rate))
        for norm in ("batch", "none")
        for rate in (1e-3, 1e-2)
    ]
    finished = run(capsys, "plot", *names, "--kind", "run-range", "--out", "range.html")
    assert finished.status == 0, finished.err
    page = Page(Path("range.html").read_text(encoding="utf-8"))
    assert [group["name"] for group in page.data["groups"]] == ["vgg38, BatchNorm", "vgg38, no BatchNorm"]
    assert "Runs: learning rate 1e-3; learning rate 1e-2." in page.words
    fails(capsys, "plot", names[0], "--kind", "run-range", status=2, says="expected at least two runs")
    fails(
        capsys,
        "plot",
        *names,
        "--kind",
        "run-range",
        "--label",
        "a",
        status=2,
        says="labels: expected one for each of the 4",
    )


def test_options_reach_the_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run_folder("run", samples.steps(6))
    out = ["--kind", "steps", "--along", "update", "--quantity", "beta", "--out", "beta.svg"]
    assert run(capsys, "plot", name, *out).status == 0
    words = Path("beta.svg").read_text(encoding="utf-8")
    assert "u is the next update of adam" in words and "gradient predictiveness" not in words
