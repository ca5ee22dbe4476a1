"""Pictures of spectra: the stored density down to a tenth of one eigenvalue, the extremes marked, dead networks told."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
from figure_checks import extents
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from networks import conv_net, images
from test_render_page import Page
from test_render_planes import caption_of, legend_words

from landscape.errors import InputError
from landscape.objective.objective import Objective
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.measure import curvature
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot

CONFIG = CurvatureConfig(top=5, bottom=2, trace_probes=4, density_probes=3, density_steps=15)


@functools.cache
def spectrum(policy: str = "frozen", **options: Any) -> xr.Dataset:
    objective = Objective(conv_net(), "cross_entropy", images(), batch_norm=policy, device="cpu")
    return curvature(objective, CurvatureConfig(**{**vars(CONFIG), **options})).assign_attrs(model="vgg08", norm=policy)


def dead(dataset: xr.Dataset) -> xr.Dataset:
    """The same as if of a dead network: everything shrunk to nothing."""
    shrunk = {name: dataset[name] * 1e-9 for name in ("eigenvalues", "residuals", "density_at")}
    return dataset.assign(shrunk).assign_attrs(dead=1, dead_reason="loss 1.3863 is that of guessing", norm="none")


def curve_of(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in axes.lines if line.get_transform() == axes.transData)
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def test_the_density_is_the_stored_one_on_a_log_axis_that_ends_at_a_tenth_of_one_eigenvalue() -> None:
    dataset = spectrum()
    axes = plot(dataset, quantity="density").axes[0]
    x, y = curve_of(axes)
    floor = 0.1 / (419 * np.sqrt(2 * np.pi * float(dataset["density_variance"])))
    assert axes.get_yscale() == "log"
    assert floor / 2 < axes.get_ylim()[0] <= floor * 1.01
    stored = dict(zip(dataset["density_at"].values, dataset["density"].values, strict=True))
    above = [(a, value) for a, value in zip(x, y, strict=True) if value > floor]
    assert above and all(stored[a] == pytest.approx(value, rel=1e-12) for a, value in above)
    assert len(above) == int((dataset["density"] > floor).sum())


def test_nothing_is_drawn_between_clusters_of_nodes() -> None:
    dataset = spectrum()
    x, y = curve_of(plot(dataset, quantity="density").axes[0])
    step = np.diff(dataset["density_at"].values).min()
    pairs = np.flatnonzero(np.diff(x) > 1.5 * step)
    assert pairs.size and all(np.isnan(y[k]) or np.isnan(y[k + 1]) for k in pairs)


def test_every_extreme_eigenvalue_is_marked_and_open_where_it_has_not_converged() -> None:
    values = spectrum()["eigenvalues"].values
    axes = plot(spectrum(), quantity="density").axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "|"]
    assert sorted(np.concatenate([m.get_xdata() for m in marks])) == pytest.approx(sorted(values))
    rough = spectrum(max_products=9, tolerance=1e-9)
    figure = plot(rough)
    opened = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    expected = rough["eigenvalues"].values[rough["converged"].values == 0]
    assert sorted(np.concatenate([m.get_xdata() for m in opened])) == pytest.approx(sorted(expected))
    assert "not converged" in legend_words(figure.axes[0])


def test_spectra_of_like_widths_share_their_axes_and_others_say_that_they_do_not() -> None:
    shared = plot([spectrum(), spectrum("batch")])
    first, second, ranks = shared.axes
    assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()
    assert "axes of its own" not in caption_of(shared)
    assert len(legend_words(ranks)) == 2
    wide = (
        spectrum().assign({n: spectrum()[n] * 100 for n in ("eigenvalues", "density_at")}).assign_attrs(norm="blocks")
    )
    apart = plot([spectrum(), wide])
    assert apart.axes[0].get_xlim()[1] < 0.1 * apart.axes[1].get_xlim()[1]
    assert "Each density has axes of its own" in caption_of(apart)


def test_a_dead_network_is_labelled_and_dashed_and_does_not_set_the_scale() -> None:
    figure = plot([spectrum(), dead(spectrum())])
    alone = plot(spectrum())
    assert figure.axes[2].get_ylim() == pytest.approx(alone.axes[1].get_ylim())
    assert "(dead)" in figure.axes[1].get_title(loc="left")
    assert "Dead: loss 1.3863 is that of guessing" in caption_of(figure)
    assert next(iter(figure.axes[1].lines)).get_linestyle() != "-"


def test_the_caption_says_matrix_policy_samples_and_trace() -> None:
    caption = caption_of(plot(spectrum("batch", operator="gauss-newton")))
    for words in (
        "Gauss–Newton matrix of the mean loss over 419 parameters",
        "BN policy: batch, 2 BN layers",
        "24 samples",
    ):
        assert words in caption
    assert "Trace" in caption and "Frobenius norm" in caption and "over 3 random vectors" in caption


def test_layers_are_drawn_in_order_with_their_intervals() -> None:
    dataset = spectrum(per_layer=True)
    figure = plot(dataset)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Largest eigenvalue, λ₁ (nat)", "Trace (nat)", "Frobenius norm (nat)"]
    names = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert names == list(dataset["block"].values)
    assert curve_of(figure.axes[1])[1] == pytest.approx(dataset["trace"].values)
    assert "the diagonal block of each layer" in caption_of(figure)
    assert len(plot(dataset, quantity="density").axes) == 5


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(InputError, match="by layer and of whole matrices cannot share one picture"):
        plot([spectrum(), spectrum(per_layer=True)])
    with pytest.raises(InputError, match=r"quantity: 'trace' is drawn layer by layer"):
        plot(spectrum(), quantity="trace")
    with pytest.raises(InputError, match=r"quantity: unknown value 'densty'. Did you mean 'density'"):
        plot(spectrum(), quantity="densty")
    with pytest.raises(InputError, match="nothing has been measured yet of the quantity 'density'"):
        plot(spectrum(density_probes=0), quantity="density")
    with pytest.raises(InputError, match="loss_max: a curvature has no loss to clip"):
        plot(spectrum(), loss_max=3.0)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("quantity", ["all", "density", "eigenvalues"])
def test_words_stay_inside_the_figure_and_off_each_other(count: int, quantity: str) -> None:
    several = [spectrum(), spectrum("batch"), dead(spectrum())][:count]
    figure = plot(several, quantity=quantity)
    paper, boxes = figure.bbox, extents(figure)
    for words, box in boxes:
        inside = paper.x0 <= box.x0 and box.x1 <= paper.x1 and paper.y0 <= box.y0 and box.y1 <= paper.y1
        assert inside, f"{words!r} leaves the figure"
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        overlap = Bbox.intersection(a, b)
        assert overlap is None or min(overlap.width, overlap.height) < 1, f"{first!r} covers {second!r}"


def test_the_page_holds_curve_and_eigenvalues() -> None:
    page = Page(interactive([spectrum(), spectrum("batch")], labels=["a < b", "other"]))
    data = json.loads(next(text for text in page.raw["script"] if text.startswith("{")))
    assert [chart["title"] for chart in data["charts"]] == ["a < b", "other", "Extreme eigenvalues"]
    curve = data["charts"][0]["lines"][0]
    drawn = [(x, y) for x, y in zip(curve["x"], curve["y"], strict=True) if y is not None]
    assert max(y for _, y in drawn) == pytest.approx(float(spectrum()["density"].max()), rel=1e-8)
    ranked = [line for line in data["charts"][2]["lines"] if line["group"] == "g1"]
    values = sorted(value for line in ranked for value in line["y"])
    assert values == pytest.approx(sorted(spectrum("batch")["eigenvalues"].values), rel=1e-8)
