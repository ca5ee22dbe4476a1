"""Curvature maps show each ratio in its own colour around 0, on one scale, with the loss over it and what did not converge."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import render_samples as samples
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from test_render_planes import caption_of, legend_words, panel, pixels

from landscape.errors import InputError
from landscape.pictures.style import MISSING_GREY, colour_map
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot


def curvature_map(
    n: int = 9, *, top: float = 0.4, seeds: tuple[int, ...] = (0,), tilt: float = 0.0, **attrs: Any
) -> xr.Dataset:
    """A ratio of −``top`` at x = −1 to ``top`` at x = 1, over a loss that grows with y alone."""
    data = samples.plane(n, n, seeds=seeds, surface=lambda x, y, seed: 1 + (y + 1.5) + 0 * x)
    ratio = np.broadcast_to(top * data["x"].values + tilt * data["y"].values[:, None], data["loss"].shape)
    dims = data["loss"].dims
    largest = np.full(ratio.shape, 5.0)
    made: dict[str, Any] = {
        "curvature_ratio": (ratio.copy(), "ratio λ_min/λ_max of the Hessian", "1"),
        "eigenvalue_largest": (largest, "λ_max", "nat"),
        "eigenvalue_smallest": (5 * ratio, "λ_min", "nat"),
        "eigenvalue_largest_residual": (0.01 * largest, "residual", "nat"),
        "eigenvalue_smallest_residual": (0.02 * largest, "residual", "nat"),
        "eigenvalue_largest_converged": (np.ones(ratio.shape, np.int8), "whether", "1"),
        "eigenvalue_smallest_converged": (np.ones(ratio.shape, np.int8), "whether", "1"),
    }
    data = data.assign(loss_status=data["status"].copy(deep=True))
    for name, (array, words, units) in made.items():
        data[name] = (dims, array, {"long_name": words, "units": units})
    data["checkpoint_curvature_ratio"] = ((), -0.0, {"long_name": "ratio of the checkpoint", "units": "1"})
    return data.assign_attrs(kind="curvature_map", title="curvature map", eigenvalue_tolerance=0.01, **attrs)


def bare(axes: Axes) -> None:
    for artist in [*axes.lines, *axes.texts]:
        artist.set_visible(False)
    for collection in axes.collections:
        if isinstance(collection, ContourSet) and not collection.filled:
            collection.set_visible(False)


def fills(figure: Figure) -> list[ContourSet]:
    return [c for axes in figure.axes for c in axes.collections if isinstance(c, ContourSet) and c.filled]


def lines(axes: Axes) -> list[ContourSet]:
    return [c for c in axes.collections if isinstance(c, ContourSet) and not c.filled]


def test_the_colour_at_a_coordinate_is_that_of_the_ratio_there_and_zero_is_in_the_middle() -> None:
    figure = plot(curvature_map(21, tilt=0.1))
    axes = panel(figure)
    bare(axes)
    points = np.array([(-0.9, 0.5), (-0.4, -0.6), (0.3, 0.7), (0.9, -0.5)])
    seen = pixels(figure, axes, points)[:, :3]
    expected = colour_map("curvature_ratio")((points @ np.array([0.4, 0.1]) + 0.5) / 1.0)[:, :3]
    assert seen == pytest.approx(expected, abs=0.06)
    assert fills(figure)[0].get_clim() == (-0.5, 0.5)


def test_maps_share_one_scale_that_holds_them_all() -> None:
    figure = plot([curvature_map(top=0.01), curvature_map(top=0.13)], labels=["a", "b"])
    assert [fill.get_clim() for fill in fills(figure)] == [(-0.2, 0.2)] * 2
    assert len(figure.axes) == 3
    figure = plot([curvature_map(top=0.01), curvature_map(top=0.13)], labels=["a", "b"], share=False)
    assert [fill.get_clim() for fill in fills(figure)] == [(-0.01, 0.01), (-0.2, 0.2)]


def test_ratios_beyond_one_are_clipped_and_the_picture_says_so() -> None:
    figure = plot(curvature_map(21, top=3.0))
    fill = fills(figure)[0]
    assert fill.get_clim() == (-1.0, 1.0)
    assert fill.extend == "both"
    assert "values below −1 are clipped" in caption_of(figure)
    bare(panel(figure))
    colours = pixels(figure, panel(figure), np.array([(-0.95, 0.0), (0.95, 0.0)]))
    assert not np.allclose(colours[:, :3], np.array([[0xE4 / 255] * 3] * 2), atol=0.02), MISSING_GREY


def test_the_lines_are_those_of_the_loss() -> None:
    figure = plot(curvature_map(21))
    [contours] = lines(panel(figure))
    for level, segments in zip(contours.levels, contours.allsegs, strict=True):
        for segment in segments:
            # The loss is y + 2.5, whatever x.
            assert segment[:, 1] == pytest.approx(level - 2.5)
    assert contours.levels.size >= 3
    written = [float(text.get_text()) for text in contours.labelTexts]
    assert written and set(written) <= set(contours.levels.round(6))
    assert "loss (nat)" in legend_words(panel(figure))


def test_points_that_did_not_converge_are_marked_where_they_are() -> None:
    data = curvature_map(9)
    data["eigenvalue_smallest_converged"][0, 2, 7] = 0
    data["eigenvalue_largest_converged"][0, 5, 1] = 0
    # One that was not measured says nothing of its convergence.
    data["eigenvalue_largest_converged"][0, 0, 0] = 0
    data["status"][0, 0, 0] = 2
    figure = plot(data)
    squares = next(line for line in panel(figure).lines if line.get_marker() == "s")
    x, y = data["x"].values, data["y"].values
    assert set(zip(*squares.get_data(), strict=True)) == {(x[7], y[2]), (x[1], y[5])}
    assert "not converged: 2 points" in legend_words(panel(figure))
    assert "not converged" not in " ".join(legend_words(panel(plot(curvature_map(9)))))


def test_a_ratio_that_is_no_number_is_crossed_and_an_adaptive_map_says_how_well_it_is_known() -> None:
    said = {"picture_error": 0.0341, "picture_error_estimate": 0.012, "picture_audits": 45}
    data = curvature_map(9, tolerance=0.01, measured_points=60, **said)
    data["curvature_ratio"][0, 4, 4] = np.nan
    figure = plot(data)
    crosses = next(line for line in panel(figure).lines if line.get_marker() == "x")
    assert list(zip(*crosses.get_data(), strict=True)) == [(0.0, 0.0)]
    assert "60 points measured, 95 % of the picture within 1.2 % of its range (upper limit 3.5 %), by 45" in caption_of(
        figure
    )


def test_several_seeds_are_drawn_as_their_mean_and_spread_or_one_by_one() -> None:
    data = curvature_map(9, seeds=(0, 1))
    data["curvature_ratio"][1] += 0.2
    titles = [axes.get_title(loc="left") for axes in plot(data, quantity="spread").axes]
    assert any("spread over seeds" in title for title in titles)
    figure = plot(data)
    assert fills(figure)[0].get_clim() == (-0.5, 0.5)
    assert fills(plot(data, seed=1))[0].get_clim() == (-1.0, 1.0)


def page_data(text: str) -> dict[str, Any]:
    found = re.search(r'<script[^>]*class="figure-data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_reads_out_both_eigenvalues_and_the_loss_and_has_its_lines() -> None:
    data = curvature_map(9)
    data["eigenvalue_smallest_converged"][0, 2, 7] = 0
    page = page_data(interactive(data))
    layer = page["panels"][0]["layers"][0]
    assert page["scale"]["limits"] == {"linear": [-0.5, 0.5], "log": None}
    others = {other["name"]: other["values"] for other in layer["others"]}
    assert others["λ_max"][3][4] == 5.0
    assert others["λ_min"][3][0] == pytest.approx(-2.0)
    assert others["loss"][8][0] == pytest.approx(3.5)
    assert layer["lines"]["values"] == others["loss"]
    assert layer["lines"]["levels"]
    assert layer["unsettled"] == [[2], [7]]
    assert "not converged: 1 point" in layer["key"]


def test_the_page_says_where_ratios_are_drawn_at_its_ends() -> None:
    assert page_data(interactive(curvature_map(9, top=3.0)))["scale"]["limits"]["linear"] == [-1.0, 1.0]
    assert "Ratios beyond ±1 are drawn as ±1." in interactive(curvature_map(9, top=3.0))
    assert "beyond ±1" not in interactive(curvature_map(9))


def test_what_a_map_has_no_use_for_is_refused() -> None:
    with pytest.raises(InputError, match="quantity: a curvature map draws 'curvature_ratio'"):
        plot(curvature_map(), quantity="loss")
    with pytest.raises(InputError, match="scale: 'log' needs positive values, and these have a sign"):
        plot(curvature_map(), scale="log")
    with pytest.raises(InputError, match="loss_max"):
        plot(curvature_map(), loss_max=3.0)
    with pytest.raises(InputError, match="cannot share one picture"):
        plot([curvature_map(), samples.plane(5, 5)])
    with pytest.raises(InputError, match="has no 'curvature_ratio'"):
        plot(samples.plane(5, 5), quantity="curvature_ratio")
