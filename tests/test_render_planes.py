"""Contours and surfaces show each value at its own place, on one scale, and nothing where there is no number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import render_samples as samples
import render_step_samples as steps
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from landscape.errors import InputError
from landscape.numerics.grids import Axis, Grid
from landscape.pictures.scale import choose_scale
from landscape.pictures.style import MISSING_GREY, colour_map
from landscape.probes.plane.mesh import mesh_of, sheet
from landscape.probes.plane.reading import read_planes
from landscape.probes.plot import plot


def tilted(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """No symmetry in which x and y, or the direction of either, could be exchanged unnoticed."""
    return np.asarray(3 + seed + 1.5 * x - 0.5 * y)


def bare(figure: Figure) -> None:
    """Leave only the fill, so that a pixel's colour is the value's."""
    for axes in figure.axes:
        for artist in [*axes.lines, *axes.texts]:
            artist.set_visible(False)
        for collection in axes.collections:
            if isinstance(collection, ContourSet) and not collection.filled:
                collection.set_visible(False)


def pixels(figure: Figure, axes: Axes, points: np.ndarray) -> np.ndarray:
    """The colours (P, 4) at data coordinates (P, 2) of the figure as drawn."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba()) / 255.0
    columns, rows = axes.transData.transform(points).T.astype(int)
    return image[image.shape[0] - 1 - rows, columns]


def value_of(colours: np.ndarray, quantity: str, low: float, high: float) -> np.ndarray:
    """Invert the colour map."""
    table = colour_map(quantity)(np.linspace(0, 1, 256))
    nearest = np.linalg.norm(colours[:, None, :3] - table[None, :, :3], axis=-1).argmin(axis=1)
    return low + (high - low) * nearest / 255


def panel(figure: Figure, index: int = 0) -> Axes:
    return [axes for axes in figure.axes if axes.get_title(loc="left")][index]


def legend_words(axes: Axes) -> list[str]:
    figure: Any = axes.get_figure()
    return [" ".join(text.get_text().split()) for legend in figure.legends for text in legend.get_texts()]


def caption_of(figure: Figure) -> str:
    return " ".join(figure.caption.split())  # type: ignore[attr-defined]


def heading_of(figure: Figure) -> str:
    return next(text for text in figure.texts if text.get_gid() == "heading").get_text()


@pytest.mark.parametrize("size", [(7, 5), (51, 31), (3, 2)])
def test_the_colour_at_a_coordinate_is_that_of_the_value_there(size: tuple[int, int]) -> None:
    figure = plot(samples.plane(*size, extent=(-1.0, 1.0, -0.5, 0.7), surface=tilted), scale="linear")
    bare(figure)
    points = np.array([(-0.9, -0.4), (0.9, -0.4), (-0.9, 0.6), (0.8, 0.55), (0.3, 0.1), (-0.35, 0.4)])
    seen = value_of(pixels(figure, panel(figure), points), "loss", 1.15, 4.75)
    assert seen == pytest.approx(tilted(points[:, 0], points[:, 1], 0), abs=0.1)


@pytest.mark.parametrize("size", [(1, 1), (4, 1), (1, 3)])
def test_a_grid_too_thin_for_contours_is_drawn_as_points_in_their_colours(size: tuple[int, int]) -> None:
    dataset = samples.plane(*size, extent=(0.0, 1.0, 0.0, 1.0), surface=tilted)
    figure = plot(dataset, scale="linear", quantity="loss")
    bare(figure)
    dots = panel(figure).collections[0]
    points = np.array([(x, y) for x in dataset["x"].values for y in dataset["y"].values])
    inwards = points + 0.005 * np.sign(0.5 - points)
    seen = value_of(pixels(figure, panel(figure), inwards), "loss", *dots.get_clim())
    assert seen == pytest.approx(tilted(points[:, 0], points[:, 1], 0), abs=0.05)


def skin(axes: Axes) -> np.ndarray:
    """The first three corners of a surface's polygons, ``(polygon, corner, xyz)``."""
    drawn = next(c for c in axes.collections if isinstance(c, Poly3DCollection))
    return np.stack([np.asarray(polygon)[:3] for polygon in drawn._faces])


@pytest.mark.parametrize("loss_max", [None, 4.0])
def test_a_surface_stands_at_each_value_and_is_cut_where_it_is_clipped(loss_max: float | None) -> None:
    axes = panel(plot(samples.plane(7, 5, surface=tilted), kind="surface", scale="linear", loss_max=loss_max))
    x, y, z = np.moveaxis(skin(axes), -1, 0)
    assert z == pytest.approx(tilted(x, y, 0), abs=1e-6)
    assert z.max() == pytest.approx(5.0 if loss_max is None else loss_max, abs=0.05)
    rims = [c for c in axes.collections if isinstance(c, Line3DCollection)]
    assert len(rims) == (loss_max is not None)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_smooth_sheet_goes_through_every_value_and_never_beyond_its_neighbours(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(5, 6))
    x, y = np.linspace(-1, 1, 6), np.linspace(-1, 2, 5)
    mesh = mesh_of(x, y, values)
    assert mesh.z[np.ix_(np.searchsorted(mesh.y, y), np.searchsorted(mesh.x, x))] == pytest.approx(values)
    assert values.min() - 1e-12 <= mesh.z.min() and mesh.z.max() <= values.max() + 1e-12


def test_a_sheet_has_no_part_next_to_a_hole_and_ends_at_the_height_where_it_is_cut() -> None:
    x = np.linspace(-1, 1, 5)
    values = x[None, :] + 2 * x[:, None]
    values[2, 2] = np.nan
    mesh = mesh_of(x, x, values)
    polygons, rim = sheet(mesh, 0.25)
    corners = np.concatenate(polygons)
    assert not ((abs(corners[:, 0]) < 0.49) & (abs(corners[:, 1]) < 0.49)).any()
    assert corners[:, 2].max() == pytest.approx(0.25) and rim[..., 2] == pytest.approx(0.25)
    assert rim[..., 0] + 2 * rim[..., 1] == pytest.approx(0.25, abs=0.03)


def test_a_logarithmic_surface_stands_at_the_logarithm_and_is_labelled_with_the_value() -> None:
    figure = plot(samples.plane(13, 13), kind="surface", scale="log")
    axes = panel(figure)
    heights = axes.get_zticks()
    labels = [float(label.get_text()) for label in axes.get_zticklabels()]
    assert np.log10(labels) == pytest.approx(heights)


def test_panels_share_one_scale_and_one_colour_bar() -> None:
    figure = plot([samples.plane(9, 9), samples.dead_plane(9, 9)])
    fills = [c for axes in figure.axes for c in axes.collections if isinstance(c, ContourSet) and c.filled]
    assert len(fills) == 2
    assert fills[0].get_clim() == fills[1].get_clim()
    assert len(figure.axes) == 3


def test_panels_that_do_not_share_have_scales_of_their_own() -> None:
    figure = plot([samples.plane(9, 9), samples.plane(9, 9, surface=tilted)], share=False)
    fills = [c for axes in figure.axes for c in axes.collections if isinstance(c, ContourSet) and c.filled]
    assert fills[1].get_clim() == pytest.approx((1.0, 5.0))
    assert fills[0].get_clim()[1] > 1000
    assert len(figure.axes) == 4


def test_points_without_a_number_are_crossed_and_left_grey() -> None:
    dataset = samples.with_holes(samples.plane(21, 21))
    figure = plot(dataset)
    axes = panel(figure)
    loss, status = dataset["loss"].values[0], dataset["status"].values[0]
    for marker, mask in (("x", (status == 1) & ~np.isfinite(loss)), ("o", status == 0)):
        line = next(line for line in axes.lines if line.get_marker() == marker)
        rows, columns = np.nonzero(mask)
        expected = set(zip(dataset["x"].values[columns], dataset["y"].values[rows], strict=True))
        assert set(zip(*line.get_data(), strict=True)) == expected
    bare(figure)
    points = np.array([(0.85, 0.65), (-0.95, 0.05), (0.75, 0.35)])
    assert pixels(figure, axes, points) == pytest.approx(np.array([to_rgba(MISSING_GREY)] * 3), abs=0.01)
    words = " ".join(legend_words(axes))
    assert f"NaN at {int((np.isnan(loss) & (status == 1)).sum())} points" in words
    assert f"+∞ at {int(np.isposinf(loss).sum())} points" in words
    assert f"not measured: {int((status == 0).sum())} points" in words


def test_one_hole_is_not_filled_from_its_neighbours() -> None:
    dataset = samples.plane(9, 9, surface=tilted)
    dataset["loss"][0, 4, 4] = np.nan
    figure = plot(dataset)
    bare(figure)
    colour = pixels(figure, panel(figure), np.array([(0.0, 0.0), (0.06, 0.06)]))
    assert colour == pytest.approx(np.array([to_rgba(MISSING_GREY)] * 2), abs=0.01)


def test_a_plane_without_any_number_says_so_and_has_no_colour_bar() -> None:
    dataset = samples.plane(5, 5)
    dataset["loss"][...] = np.nan
    for kind in ("contour", "surface"):
        figure = plot(dataset, kind=kind)
        assert len(figure.axes) == 1
        assert any("no finite value" in text.get_text() for text in figure.axes[0].texts)


def test_clipping_gives_the_bar_an_arrow_and_the_caption_a_sentence() -> None:
    figure = plot(samples.plane(21, 21), loss_max=10)
    fill = next(c for c in panel(figure).collections if isinstance(c, ContourSet) and c.filled)
    assert fill.extend == "max"
    assert fill.get_clim()[1] == 10
    assert "Values above 10 are clipped" in caption_of(figure)


def test_a_dead_network_is_one_colour_and_is_called_dead() -> None:
    figure = plot(samples.dead_plane(21, 21))
    axes = panel(figure)
    assert [text.get_text() for text in axes.texts] == ["dead"]
    said = caption_of(figure)
    assert "Dead network, not a smooth one: loss 2.3026" in said and "gradient| 3e-20" in said
    assert not [c for c in axes.collections if isinstance(c, ContourSet) and not c.filled]
    assert not any("lowest" in entry for entry in legend_words(axes))
    bare(figure)
    points = np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 9), np.linspace(-0.9, 0.9, 9)), -1).reshape(-1, 2)
    assert np.unique(pixels(figure, axes, points), axis=0).shape[0] == 1


def test_rounding_noise_is_not_blown_up_to_a_landscape() -> None:
    figure = plot(samples.dead_plane(21, 21, dead_reason=""), scale="auto")
    flat = samples.dead_plane(21, 21)
    flat.attrs["dead"] = 0
    for drawn in (figure, plot(flat)):
        low, high = panel(drawn).collections[0].get_clim()
        assert high - low > 0.1
    assert [text.get_text() for text in panel(plot(flat)).texts] == ["flat"]
    assert "Flat: all values within" in caption_of(plot(flat))


def test_a_network_called_dead_whose_plane_has_walls_is_still_drawn_with_them() -> None:
    figure = plot(samples.plane(21, 21, dead=1, dead_reason="for some reason"))
    assert [c for c in panel(figure).collections if isinstance(c, ContourSet) and not c.filled]


def test_the_lowest_measured_value_is_marked_where_it_is() -> None:
    dataset = samples.plane(11, 7, surface=tilted)
    axes = panel(plot(dataset))
    star = next(line for line in axes.lines if line.get_marker() == "*")
    assert [float(v[0]) for v in star.get_data()] == [-1.0, 1.0]
    assert "lowest: 1 at (−1, 1)" in legend_words(axes)


def test_the_origin_is_marked_only_where_the_plane_holds_it() -> None:
    inside, outside = (
        panel(plot(samples.plane(5, 5, extent=extent))) for extent in ((-1, 1, -1, 1), (0.5, 1.0, 0.5, 1.0))
    )
    assert "+" in [line.get_marker() for line in inside.lines]
    assert "+" not in [line.get_marker() for line in outside.lines]


def test_the_accuracy_marks_its_highest_value() -> None:
    dataset = samples.plane(11, 11)
    axes = panel(plot(dataset, quantity="accuracy"))
    best = float(dataset["accuracy"].max())
    assert any(entry.startswith(f"highest: {best:.4g}") for entry in legend_words(axes))


def test_several_seeds_are_drawn_as_their_mean_and_their_spread_where_it_is_asked_for() -> None:
    dataset = samples.plane(5, 4, seeds=(0, 1, 2))
    field = read_planes([dataset])[0].field(None)
    assert field.values == pytest.approx(dataset["loss"].values.mean(axis=0))
    assert field.spread == pytest.approx(dataset["loss"].values.std(axis=0, ddof=1))
    for quantity, title in (("loss", "vgg38, BatchNorm"), ("spread", "vgg38, BatchNorm: spread over seeds")):
        figure = plot(dataset, quantity=quantity)
        assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")] == [title]
    with pytest.raises(InputError, match="quantity: 'spread' needs planes over several direction seeds"):
        plot(samples.plane(5, 4), quantity="spread")


def test_a_mean_exists_only_where_every_seed_was_measured() -> None:
    dataset = samples.plane(4, 3, seeds=(0, 1))
    dataset["status"][1, 2, 3] = 0
    field = read_planes([dataset])[0].field("mean")
    assert field.missing.sum() == 1 and field.missing[2, 3]
    assert np.isnan(field.values[2, 3])


def test_a_chosen_seed_is_drawn_alone() -> None:
    figure = plot(samples.plane(5, 5, seeds=(3, 8), surface=tilted), seed=8)
    assert "lowest: 9 at (−1, 1)" in legend_words(panel(figure))
    assert "Direction seeds: 8." in caption_of(figure)
    assert sum(bool(axes.get_title(loc="left")) for axes in figure.axes) == 1


@pytest.mark.parametrize(("points", "mesh"), [(24, (3, 3)), (25, (5, 5)), (80, (5, 5)), (81, (9, 9)), (138, (17, 9))])
def test_a_measurement_stopped_early_is_drawn_on_its_finest_complete_mesh(points: int, mesh: tuple[int, int]) -> None:
    dataset = samples.plane(17, 9, surface=tilted)
    measured = np.zeros(153, dtype=bool)
    measured[Grid((Axis(-1, 1, 17), Axis(-1, 1, 9))).coarse_to_fine[:points]] = True
    dataset["status"][...] = measured.reshape(1, 9, 17)
    dataset["loss"][...] = dataset["loss"].where(dataset["status"] == 1).values
    plane = read_planes([dataset])[0]
    assert plane.y is not None and (plane.x.values.size, plane.y.values.size) == mesh
    drawn = dataset["loss"].sel(x=plane.x.values, y=plane.y.values).values
    assert plane.values == pytest.approx(drawn, nan_ok=True)
    if mesh != (17, 9):
        assert not plane.missing.any()
        words = f"{points} of 153 points measured; drawn on the finest complete mesh, {mesh[0]} × {mesh[1]}"
        assert words in caption_of(plot(dataset))


def test_descending_coordinates_and_transposed_arrays_change_nothing() -> None:
    dataset = samples.plane(6, 4, surface=tilted)
    turned = dataset.isel(x=slice(None, None, -1), y=slice(None, None, -1)).transpose("x", "y", ...)
    assert read_planes([turned])[0].values == pytest.approx(read_planes([dataset])[0].values)


def test_a_selected_seed_needs_no_seed_dimension() -> None:
    dataset = samples.plane(6, 4, seeds=(5, 7))
    plane = read_planes([dataset.isel(seed=1)])[0]
    assert plane.seeds == (7,)
    assert plane.values[0] == pytest.approx(dataset["loss"].values[1])
    assert plane.checkpoint_value == pytest.approx(float(dataset["checkpoint_loss"]))


@pytest.mark.parametrize(
    ("values", "log"),
    [((1.0, 31.0), False), ((1.0, 32.0), True), ((0.0, 1.0, 40.0), True), ((-1.0, 1.0, 1000.0), False)],
)
def test_the_scale_is_logarithmic_from_one_and_a_half_decades_of_values_that_are_not_negative(
    values: tuple[float, ...], log: bool
) -> None:
    scale = choose_scale([np.array(values)])
    assert scale is not None and scale.log is log
    assert scale.under is (log and 0.0 in values)


def test_the_clip_counts_for_the_choice_of_scale() -> None:
    scale = choose_scale([np.geomspace(1, 1e4, 9)], maximum=10)
    assert scale is not None and (scale.log, scale.high, scale.over) == (False, 10, True)


@pytest.mark.parametrize("ends", [(0.5, 0.52), (0.5, 9.0), (1e-3, 70.0), (2.0, 2e4), (1e-9, 1e9), (-3.0, 40.0)])
def test_levels_are_round_few_and_inside_and_the_bands_reach_from_end_to_end(ends: tuple[float, float]) -> None:
    scale = choose_scale([np.array(ends)])
    assert scale is not None
    lines, bands = scale.lines(), scale.bands()
    assert 3 <= len(lines) <= 11
    assert all(ends[0] < level < ends[1] and float(f"{level:.3g}") == pytest.approx(level) for level in lines)
    assert (bands[0], bands[-1]) == pytest.approx(ends)
    assert np.all(np.diff(bands) > 0) and set(lines) <= set(bands)


def test_a_log_scale_of_negative_values_is_refused_with_the_lowest() -> None:
    with pytest.raises(InputError, match=r"scale: 'log' needs positive values, and the lowest is -2"):
        plot(samples.plane(5, 5, surface=lambda x, y, seed: x - y), scale="log")


def test_measured_points_are_marked_and_told_from_those_known_to_lie_above_the_clip() -> None:
    dataset = steps.adaptive(samples.plane(21, 17))
    status = dataset["status"].values[0]
    for kind in ("contour", "surface"):
        axes = panel(plot(dataset, kind=kind, points=True))
        words = legend_words(axes)
        assert f"measured: {(status == 1).sum()} of 357 points; unmarked: interpolated" in words
        assert f"above the clip by part of the samples: {(status == 3).sum()} points" in words
    axes = panel(plot(dataset, points=True))
    x, y = np.meshgrid(dataset["x"].values, dataset["y"].values)
    for marker, mask in ((".", status == 1), ("^", status == 3)):
        drawn = np.concatenate([np.stack(line.get_data(), -1) for line in axes.lines if line.get_marker() == marker])
        assert {tuple(p) for p in drawn} == {tuple(p) for p in np.stack([x[mask], y[mask]], -1)}


def test_points_are_marked_only_when_asked_or_on_a_coarse_grid() -> None:
    fine, coarse = steps.adaptive(samples.plane(21, 17)), steps.adaptive(samples.plane(9, 9))
    assert not any(words.startswith("measured: ") for words in legend_words(panel(plot(fine))))
    assert any(words.startswith("measured: ") for words in legend_words(panel(plot(coarse))))


def test_over_several_seeds_a_point_is_measured_where_every_seed_was() -> None:
    dataset = samples.plane(17, 17, seeds=(0, 1), surface=tilted)
    dataset["status"][0, 3, 4] = 2
    dataset["status"][1, 5, 6] = 3
    words = legend_words(panel(plot(dataset, points=True)))
    assert "measured: 287 of 289 points; unmarked: interpolated" in words
    assert "above the clip by part of the samples: 1 point" in words


def test_points_are_refused_where_nothing_is_interpolated() -> None:
    with pytest.raises(InputError, match="points: a 1-D plane has no interpolated points"):
        plot(samples.line(5), points=True)


def test_powers_of_ten_far_below_the_top_have_lines_and_labels() -> None:
    scale = choose_scale([np.array([1e-20, 1.0])])
    assert scale is not None
    assert min(scale.lines()) < 1e-17 and all(words.startswith("10") for words in scale.labels(scale.lines()))


def test_the_scale_of_spreads_ends_where_the_means_are_clipped() -> None:
    dataset = samples.plane(9, 9, seeds=(0, 1))
    dataset["loss"][:, 4, 4] = [1.0, 1.2]
    dataset["loss"][:, 0, 0] = [1e3, 1e9]
    spread = dataset["loss"].std("seed", ddof=1)
    drawn = float(spread.where(dataset["loss"].mean("seed") <= 5).max())
    figure = plot(dataset, loss_max=5, quantity="spread")
    bars = [axes for axes in figure.axes if "SD over" in axes.get_xlabel()]
    assert bars[0].get_xlim()[1] == pytest.approx(drawn)
    assert "The spread lies beyond its scale where the mean is clipped" in caption_of(figure)
