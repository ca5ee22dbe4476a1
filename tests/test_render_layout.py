"""Pictures fit their paper: no words cover others or leave the figure, the caption says how it was made, files keep text."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import render_samples as samples
import render_step_samples as steps
import xarray as xr
from figure_checks import extents, faults
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_render_planes import caption_of

from landscape.pictures.labels import labels_of
from landscape.pictures.style import number
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot

LONG = "a/very/long/path/without/any/space/" + "x" * 150 + "/last.pt"

PICTURES: dict[str, Callable[[], Figure]] = {
    "one plane": lambda: plot(samples.plane(21, 21)),
    "narrow": lambda: plot(samples.plane(21, 21), width=2.2),
    "dead beside living": lambda: plot(
        [samples.dead_plane(13, 13), samples.plane(13, 13)], labels=["VGG38 without BN", "VGG38 with BN"]
    ),
    "dead alone": lambda: plot(samples.dead_plane(9, 9)),
    "spread": lambda: plot(samples.plane(11, 11, seeds=(0, 1, 2)), quantity="spread"),
    "spread of two": lambda: plot(
        [samples.plane(9, 9, seeds=(0, 1)), samples.dead_plane(9, 9, seeds=(0, 1))], quantity="spread"
    ),
    "holes and clip": lambda: plot(
        [samples.plane(21, 21), samples.with_holes(samples.plane(51, 31, extent=(-1, 1, -0.5, 0.5)))], loss_max=10
    ),
    "six": lambda: plot([samples.plane(9, 9, norm=f"norm {k}") for k in range(6)]),
    "low": lambda: plot(samples.plane(31, 11, extent=(-1, 1, -0.4, 0.4))),
    "own scales": lambda: plot([samples.plane(9, 9), samples.dead_plane(9, 9)], share=False),
    "checkpoints": lambda: plot(samples.plane(9, 9, extent=(-0.5, 1.5, -0.5, 1.5), directions="checkpoints")),
    "long names": lambda: plot(
        [samples.plane(9, 9, checkpoint=LONG), samples.plane(9, 9)], labels=["many words " * 12, "$x_1$ costs $5"]
    ),
    "surface": lambda: plot(samples.plane(15, 15), kind="surface"),
    "surfaces": lambda: plot([samples.dead_plane(9, 9), samples.with_holes(samples.plane(21, 21))], kind="surface"),
    "lines": lambda: plot([samples.line(21), samples.line(21, norm="none")]),
    "line panels": lambda: plot([samples.line(21), samples.line(21, norm="none")], share=False),
    "curves": lambda: plot([samples.history(20), samples.history(20, norm="none", learns=False)], quantity="all"),
    "noise scale": lambda: plot(steps.noise_scale()),
    "noise scales": lambda: plot(
        [
            steps.noise_scale(),
            steps.noise_scale(5e5, error=1e6, resolved=0, norm="input"),
            steps.noise_scale(np.nan, resolved=0, **steps.DEAD),
        ],
        labels=["many words " * 12, LONG, "$x_1$ costs $5"],
    ),
    "few epochs": lambda: plot([samples.history(2), samples.history(2, norm="none", learns=False)], width="column"),
}


@functools.cache
def picture(name: str) -> Figure:
    return PICTURES[name]()


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_leave_the_figure_or_cover_others(name: str) -> None:
    figure = picture(name)
    assert len(extents(figure)) > 5
    assert not faults(figure, least=0.0)


@pytest.mark.parametrize("name", PICTURES)
def test_panels_do_not_overlap_and_keep_a_readable_size(name: str) -> None:
    figure = picture(name)
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert panels
    for axes in panels:
        assert axes.get_window_extent().width > 0.25 * figure.bbox.width - 30
    for a, b in itertools.combinations([axes.get_window_extent() for axes in figure.axes], 2):
        assert not a.overlaps(b)


def test_both_axes_of_random_directions_have_one_scale_on_paper() -> None:
    for nx, ny, extent in ((21, 11, (-1.0, 1.0, -0.5, 0.5)), (9, 15, (-0.5, 0.5, -1.0, 1.0))):
        axes = plot(samples.plane(nx, ny, extent=extent)).axes[0]
        box = axes.get_window_extent()
        assert box.width / box.height == pytest.approx((extent[1] - extent[0]) / (extent[3] - extent[2]), rel=0.01)


@pytest.mark.parametrize(("width", "inches"), [("column", 3.5), ("page", 7.0), (5.25, 5.25)])
def test_the_width_is_the_one_asked_for(width: str | float, inches: float) -> None:
    assert plot(samples.plane(5, 5), width=width).get_size_inches()[0] == inches


def test_the_caption_says_how_the_picture_was_made() -> None:
    caption = caption_of(plot(samples.plane(9, 9, seeds=(0, 1, 2))))
    for part in (
        "random directions, filter-normalised",
        "BN policy: frozen, 37 BN layers",
        "Data: fashion-mnist-10k/train, 1,000 samples",
        "Direction seeds: 0, 1, 2 (their mean is drawn)",
        "cos(d₁, d₂): 0.01, −0.02, 0.03",
        "Checkpoint: vgg38-batch-1f2e3d4c-last",
        "Standard error over the samples: 0.021 at the checkpoint",
        "Logarithmic colours",
    ):
        assert part in caption


def test_the_caption_says_for_each_panel_what_differs_and_once_what_does_not() -> None:
    figure = plot([samples.plane(5, 5, n_samples=128), samples.plane(5, 5, n_samples=256)], labels=["A", "B"])
    caption = caption_of(figure)
    assert "128 samples [A]; fashion-mnist-10k/train, 256 samples [B]" in caption
    assert caption.count("frozen") == 1


def test_the_caption_leaves_out_what_the_data_set_does_not_say() -> None:
    dataset = samples.plane(5, 5)
    dataset.attrs = {"kind": "plane"}
    caption = caption_of(plot(dataset.drop_vars(["direction_cosine", "loss_standard_error"])))
    assert "None" not in caption and "BN policy" not in caption and "Data" not in caption


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("contour", lambda: samples.plane(5, 5)),
        ("surface", lambda: samples.plane(5, 5)),
        ("line", lambda: samples.line(5)),
        ("curves", lambda: samples.history(3)),
    ],
)
def test_what_the_data_sets_want_said_comes_first_in_caption_and_page(
    kind: str, make: Callable[[], xr.Dataset]
) -> None:
    said = make().assign_attrs(note="Scaled to 0.1.")
    assert caption_of(plot([said, said], kind=kind)).startswith("Scaled to 0.1. ")
    assert caption_of(plot([said, said], kind=kind)).count("Scaled to") == 1
    assert "Scaled to 0.1." in interactive(said)
    assert "Scaled" not in caption_of(plot(make(), kind=kind))


def test_panels_are_told_apart_by_model_and_norm_then_by_what_else_differs() -> None:
    one = samples.plane(3, 3)
    assert labels_of([one, samples.plane(3, 3, norm="none")], None) == ["vgg38, BatchNorm", "vgg38, no BatchNorm"]
    assert labels_of([one, samples.plane(3, 3, data="x/test")], None)[1] == "vgg38, BatchNorm, x/test"
    assert labels_of([one, samples.plane(3, 3, checkpoint="later")], None)[1] == "vgg38, BatchNorm, later"
    assert labels_of([one, one], None) == ["vgg38, BatchNorm (1)", "vgg38, BatchNorm (2)"]


def saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def test_files_keep_their_text_as_text() -> None:
    figure = plot(samples.plane(5, 5))
    assert b">BN policy" in saved(figure, "svg") or b"BN policy: frozen" in saved(figure, "svg")
    pdf = saved(figure, "pdf")
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_the_same_picture_is_saved_with_the_same_bytes(kind: str) -> None:
    first, second = (saved(plot(samples.plane(5, 5)), kind) for _ in range(2))
    assert first == second


def test_drawing_leaves_the_data_set_as_it_was() -> None:
    dataset = samples.with_holes(samples.plane(9, 9, seeds=(0, 1)))
    copy = dataset.copy(deep=True)
    plot(dataset)
    assert dataset.identical(copy)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"), (-0.0, "0"), (2.5, "2.5"), (1000.0, "1000"), (-0.04, "−0.04"), (1e5, "10⁵"), (2.34e-7, "2.34×10⁻⁷"),
        (12345.678, "12300"), (float("nan"), "NaN"), (float("-inf"), "−∞"), (0.00099999, "0.001"), (99999.9, "10⁵"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_in_print(value: float, words: str) -> None:
    assert number(value) == words


def test_colour_blind_readers_can_tell_the_maps_levels_apart_by_lightness() -> None:
    axes: Axes = plot(samples.plane(5, 5), scale="linear").axes[0]
    colours = axes.collections[0].get_cmap()(np.linspace(0, 1, 64))[:, :3]
    lightness = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(lightness) > 0)
