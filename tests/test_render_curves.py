"""Lines and training curves show every value at its own place, with their bands, and mark what is no number."""

from __future__ import annotations

import numpy as np
import pytest
import render_samples as samples
import render_step_samples as steps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from test_render_planes import caption_of, heading_of, legend_words

from landscape.errors import InputError
from landscape.probes.plot import plot
from landscape.studies.settings import BUNDLED_STUDIES, load_study


def curves(axes: Axes) -> list[np.ndarray]:
    """The values of all drawn curves with more than one point, ignoring rulers and marks at an end."""
    lines = [line for line in axes.lines if line.get_transform() == axes.transData and len(line.get_xdata()) > 1]
    return [np.asarray(line.get_ydata(), dtype=float) for line in lines]


def drawn(figure: Figure, values: np.ndarray) -> bool:
    return any(
        curve.shape == values.shape and np.allclose(curve, values, equal_nan=True) for curve in curves(figure.axes[0])
    )


def test_every_seed_and_their_mean_are_drawn_point_for_point() -> None:
    dataset = samples.line(21)
    figure = plot(dataset)
    for values in [*dataset["loss"].values, dataset["loss"].values.mean(axis=0)]:
        assert drawn(figure, values)


def test_bands_are_the_spread_over_seeds_and_the_standard_error() -> None:
    dataset = samples.line(21)
    axes = plot(dataset, scale="linear").axes[0]
    loss = dataset["loss"].values
    halves = [loss.std(axis=0, ddof=1), dataset["loss_standard_error"].values.mean(axis=0)]
    for band, half in zip(axes.collections, halves, strict=True):
        top = band.get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx((loss.mean(axis=0) + half).max())


def test_lines_with_the_same_axis_share_axes_and_others_stand_side_by_side() -> None:
    other = samples.line(11, x_label="from the first checkpoint (0) to another (1)", directions="checkpoints")
    assert len(plot([samples.line(11), samples.line(11, norm="none")]).axes) == 1
    assert len(plot([samples.line(11), other]).axes) == 2
    assert len(plot([samples.line(11), samples.line(11, norm="none")], share=False).axes) == 2


def test_panels_of_lines_share_their_scale() -> None:
    other = samples.line(11, surface=lambda x, y, seed: 2 + x, x_label="another direction")
    first, second = plot([samples.line(11), other]).axes
    assert first.get_ylim() == second.get_ylim()


def test_the_checkpoint_is_marked_at_its_own_loss() -> None:
    dataset = samples.line(21)
    axes = plot(dataset).axes[0]
    ring = next(line for line in axes.lines if line.get_marker() == "o")
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (0, pytest.approx(float(dataset["checkpoint_loss"])))


def test_points_of_a_line_without_a_number_are_crossed_at_the_top_and_not_joined() -> None:
    dataset = samples.line(21, seeds=(0,))
    dataset["loss"][0, 3] = np.inf
    dataset["loss"][0, 4] = np.nan
    dataset["status"][0, 9] = 0
    axes = plot(dataset).axes[0]
    cross = next(line for line in axes.lines if line.get_marker() == "x")
    assert cross.get_xdata() == pytest.approx(dataset["x"].values[3:5])
    assert np.isnan(curves(axes)[0][[3, 4, 9]]).all()
    assert {"not finite: NaN at 1 point, +∞ at 1 point", "not measured: 1 point"} <= set(legend_words(axes))


def test_a_point_between_two_gaps_is_still_seen() -> None:
    dataset = samples.line(5, seeds=(0,))
    dataset["loss"][0, [1, 3]] = np.nan
    dots = next(line for line in plot(dataset).axes[0].lines if line.get_marker() == ".")
    assert dots.get_xdata()[np.isfinite(dots.get_ydata())].tolist() == [-1.0, 0.0, 1.0]


def test_a_clipped_line_ends_at_the_clip() -> None:
    figure = plot(samples.line(21), loss_max=3)
    assert figure.axes[0].get_ylim()[1] == 3
    assert "Values above 3 are clipped" in caption_of(figure)


def test_a_dead_line_is_called_dead_and_not_blown_up() -> None:
    dataset = samples.line(21, surface=lambda x, y, seed: np.log(10) + 1e-9 * x, dead=1, dead_reason="no gradient")
    figure = plot(dataset)
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    assert high - low > 0.1
    assert [text.get_text() for text in axes.texts] == ["dead"]
    assert "Dead network, not a smooth one: no gradient" in caption_of(figure)


def test_histories_are_drawn_solid_for_training_and_dashed_for_validation() -> None:
    history = samples.history(20)
    loss, accuracy = plot(history).axes
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        train, validation = (line for line in axes.lines if len(line.get_xdata()) == 20)
        assert train.get_ydata() == pytest.approx(history[f"train_{name}"].values)
        assert validation.get_ydata() == pytest.approx(history[f"validation_{name}"].values)
        assert train.get_linestyle() == "-" and validation.get_linestyle() == "--"
        test = next(line for line in axes.lines if line.get_marker() == "D")
        assert (test.get_xdata()[0], test.get_ydata()[0]) == (20, pytest.approx(float(history[f"test_{name}"])))


def test_every_run_has_one_colour_in_all_panels() -> None:
    figure = plot([samples.history(5), samples.history(5, norm="none", learns=False)], quantity="all")
    colours = [list(dict.fromkeys(line.get_color() for line in axes.lines)) for axes in figure.axes]
    assert len(figure.axes) == 3 and len(colours[0]) == 2
    assert colours[0] == colours[1] == colours[2]


def test_everything_drawn_lies_within_the_axes() -> None:
    short = samples.history(2)
    for axes in plot([short, samples.history(2, learns=False)]).axes:
        low, high = axes.get_ylim()
        values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
        assert low < values.min() and values.max() < high


def test_a_diverged_run_is_named_so_and_its_epochs_without_a_number_are_crossed() -> None:
    history = samples.history(10)
    history["train_loss"][7:] = np.nan
    history.attrs["status"] = "diverged"
    figure = plot([history, samples.history(10, norm="none")])
    axes = figure.axes[0]
    cross = next(line for line in axes.lines if line.get_marker() == "x")
    assert cross.get_xdata().tolist() == [8, 9, 10]
    assert {"BatchNorm (diverged)", "no BatchNorm"} <= set(legend_words(axes))
    assert heading_of(figure) == "vgg38"
    assert "not finite [vgg38, BatchNorm]" in legend_words(axes)
    assert "Not finite [vgg38, BatchNorm]: 3 epochs" in caption_of(figure)


def test_a_history_without_validation_or_accuracy_is_drawn_with_what_it_has() -> None:
    history = samples.history(5).drop_vars(
        ["validation_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "test_loss"]
    )
    figure = plot(history)
    assert len(figure.axes) == 1
    with pytest.raises(InputError, match="quantity: no history has 'accuracy'"):
        plot(history, quantity="accuracy")


def test_a_single_epoch_is_visible() -> None:
    axes = plot(samples.history(1)).axes[0]
    assert all(line.get_marker() not in ("", "None") for line in axes.lines)
    low, high = axes.get_xlim()
    assert low < 1 < high


def test_histories_that_differ_in_their_seed_alone_are_one_curve_their_mean_in_their_range() -> None:
    histories = steps.sweep(values=[1e-3], seeds=(0, 1, 4), epochs=10)
    figure = plot(histories)
    axes = figure.axes[0]
    every = np.stack([history["train_loss"].values for history in histories])
    assert drawn(figure, every.mean(axis=0)) and all(drawn(figure, one) for one in every)
    assert len(curves(axes)) == 2 * (1 + 3) + 1  # training and validation, mean and seeds, and the test's range
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == pytest.approx((every.min(), every.max()))
    assert heading_of(figure) == "vgg38, BatchNorm (3 seeds)"
    assert "seeds 0, 1, 4" in caption_of(figure)


def test_a_swept_setting_colours_and_orders_the_curves() -> None:
    figure = plot(steps.sweep("learning_rate", (1e-2, 1e-4, 5e-4), (0, 1)))
    axes = figure.axes[0]
    assert legend_words(axes)[:3] == [f"learning rate {rate} (2 seeds)" for rate in ("1e-4", "5e-4", "1e-2")]
    colours = [line.get_color() for line in figure.legends[0].get_lines()[:3]]
    lightness = [np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in colours]
    assert lightness == sorted(lightness) and len(set(lightness)) == 3
    assert heading_of(figure) == "vgg38, BatchNorm"


def test_a_sweep_of_batch_sizes_may_differ_in_epochs_and_nothing_else() -> None:
    runs = [samples.history(4, batch_size=size, settings=f'{{"epochs": {size}}}') for size in (200, 50)]
    assert legend_words(plot(runs).axes[0])[:2] == ["batch size 50", "batch size 200"]
    runs[0].attrs["settings"] = '{"weight_decay": 0.1}'
    assert legend_words(plot(runs).axes[0])[:2] == ["batch size 200", "batch size 50"]


def test_runs_of_one_seed_or_with_names_of_the_users_own_are_not_pooled() -> None:
    same = [samples.history(3), samples.history(3)]
    assert legend_words(plot(same).axes[0])[:2] == ["BatchNorm (1)", "BatchNorm (2)"]
    seeds = steps.sweep(values=[1e-3], seeds=(0, 1), epochs=3)
    assert legend_words(plot(seeds, labels=["A", "B"]).axes[0])[:2] == ["A", "B"]


def test_a_pooled_run_that_diverged_is_named_and_keeps_its_gap() -> None:
    histories = steps.sweep(values=(1e-3, 1e-2), seeds=(0, 1, 2), epochs=8)
    histories[4]["train_loss"][5:] = np.nan
    histories[4].attrs["status"] = "diverged"
    figure = plot(histories)
    axes = figure.axes[0]
    assert "learning rate 1e-2 (3 seeds, 1 of them diverged)" in legend_words(axes)
    cross = next(line for line in axes.lines if line.get_marker() == "x")
    assert cross.get_xdata().tolist() == [6, 7, 8]
    assert "State: diverged (seed 1) [learning rate 1e-2]" in caption_of(figure)


def test_seeds_of_unequal_length_are_compared_over_the_epochs_that_all_have() -> None:
    long, short = steps.sweep(values=[1e-3], seeds=(0, 1), epochs=9)
    axes = plot([long, short.isel(epoch=slice(6))]).axes[0]
    assert max(curve.size for curve in curves(axes)) == 6


def test_more_runs_than_colours_still_have_a_colour_each() -> None:
    axes = plot([samples.history(3, optimizer=f"optimiser {k}") for k in range(10)]).axes[0]
    assert len({line.get_color() for line in axes.lines}) == 10


def test_the_loss_alone_has_one_panel_with_the_values_of_both_splits() -> None:
    history = samples.history(6)
    figure = plot(history, quantity="loss_alone")
    assert len([axes for axes in figure.axes if axes.lines]) == 1
    assert drawn(figure, history["train_loss"].values)
    assert drawn(figure, history["validation_loss"].values)


@pytest.mark.parametrize("study", BUNDLED_STUDIES)
def test_the_curves_that_bundled_studies_ask_for_can_be_drawn(study: str) -> None:
    wanted = [p.quantity for p in load_study(study).pictures if p.kind == "curves"]
    assert wanted
    for quantity in wanted:
        assert plot(samples.history(3), **({} if quantity is None else {"quantity": quantity})).axes
