"""The signed difference of two lines or planes point by point, with its error."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from landscape.errors import InputError
from landscape.pictures import layout
from landscape.pictures.arrays import Floats, error_band
from landscape.pictures.bars import Bar, bar_of
from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import (
    COLUMN,
    DIVERGING,
    INK,
    MISSING_GREY,
    PaperFigure,
    number,
    paper_style,
    width_of,
)
from landscape.pictures.value_axis import set_value_axis
from landscape.probes.plane.panels import Panel, cell_edges, limits
from landscape.probes.plane.reading import Field, PlaneData, read_planes
from landscape.probes.plot import opened

WITHIN = 2.0  # errors: differences as small as these are hatched
BANDS = 24
HATCH = "#55555599"


def difference(
    a: xr.Dataset | str | os.PathLike[str],
    b: xr.Dataset | str | os.PathLike[str],
    *,
    quantity: str = "loss",
    seed: int | str | None = None,
    labels: Sequence[str] | None = None,
    width: float | str | None = None,
) -> PaperFigure:
    """A picture of a − b at every point of two lines or planes over the same grid, red where a is above b.

    What is no more than two errors from 0 is hatched. The error of a difference over different samples is √(σ_a² + σ_b²). Over the
    same samples it depends on what both have in common, which the two alone do not say; σ_a + σ_b is taken, which it never exceeds.

    Args:
        a, b: data sets of kind ``plane``, or files of them, with the same coordinates and direction seeds.
        quantity: as of :func:`landscape.plot`.
        seed: which direction seed; None: the mean of the difference over all.
        labels: a name for each.
        width: as of :func:`landscape.plot`.

    Returns:
        A figure, which ``save`` writes and a notebook shows.

    Raises:
        InputError: for results that are no planes, or of other coordinates, seeds or directions.

    Example:
        >>> here, there = (ls.plane(ls.Objective(m, "cross_entropy", data), x=(-1, 1, 5), y=(-1, 1, 5)) for m in (net, other))
        >>> figure = ls.difference(here, there, labels=["net", "other"])
    """
    sets, _ = opened([a, b])
    for one in sets:
        if not isinstance(one, xr.Dataset) or one.attrs.get("kind") != "plane":
            kind = one.attrs.get("kind") if isinstance(one, xr.Dataset) else type(one).__name__
            raise InputError(f"difference: expected two results of kind 'plane' or 'line', got {kind!r}.")
    if labels is not None and (isinstance(labels, str) or len(labels) != 2):
        raise InputError(f"labels: expected two, got {labels!r}.")
    with paper_style():
        planes = read_planes(sets, quantity, None if labels is None else tuple(labels))
        _check_alike(planes, sets)
        fields = [plane.field(seed) for plane in planes]
        return _drawn(planes, fields, sets, width)


def _check_alike(planes: Sequence[PlaneData], sets: Sequence[xr.Dataset]) -> None:
    first, second = planes
    axes = [(first.x, second.x)] + ([(first.y, second.y)] if first.y is not None and second.y is not None else [])
    if (first.y is None) != (second.y is None) or any(
        one.values.shape != other.values.shape or not np.allclose(one.values, other.values) for one, other in axes
    ):
        raise InputError("difference: the two have other coordinates. Measure both over the same x and y.")
    seeds = [one.field(None).seeds for one in planes]
    if seeds[0] != seeds[1]:
        raise InputError(
            f"difference: the two have other direction seeds, {seeds[0]} and {seeds[1]}. Measure both with the same."
        )
    for name in ("directions", "normalization"):
        said = [one.attrs.get(name) for one in sets]
        if said[0] != said[1]:
            raise InputError(f"difference: the two have other {name}, {said[0]!r} and {said[1]!r}.")


def _same_samples(sets: Sequence[xr.Dataset]) -> bool:
    """Whether both are over the same samples, or it is not known that they are not."""
    return all(sets[0].attrs.get(name) == sets[1].attrs.get(name) for name in ("data_fingerprint", "index_hash"))


def _error(fields: Sequence[Field], paired: bool) -> Floats:
    errors = [np.full(f.values.shape, np.nan) if f.standard_error is None else f.standard_error for f in fields]
    return np.asarray(errors[0] + errors[1] if paired else np.hypot(errors[0], errors[1]))


def _drawn(
    planes: Sequence[PlaneData], fields: Sequence[Field], sets: Sequence[xr.Dataset], width: float | str | None
) -> PaperFigure:
    with np.errstate(invalid="ignore"):
        values = fields[0].values - fields[1].values
    paired = _same_samples(sets)
    error = _error(fields, paired)
    figure = layout.new_figure(width_of(width, COLUMN))
    axes = figure.add_subplot()
    labels = labels_of(sets, [plane.label for plane in planes])
    unit = f" ({planes[0].unit})" if planes[0].unit else ""
    words = f"{planes[0].words}, {labels[0]} − {labels[1]}{unit}"
    draw = _draw_line if planes[0].y is None else _draw_plane
    bar, entries = draw(figure, axes, planes[0], values, error, words)
    y_label = words if planes[0].y is None else planes[0].y.label
    flat = planes[0].y is not None
    ratio = Panel(planes[0], fields[0], planes[0].quantity, "").ratio if flat else 0.62
    title = f"{labels[0]} − {labels[1]}"
    cell = layout.Cell(axes, ratio, title, planes[0].x.label, y_label, entries, fixed=flat)
    caption = _caption(labels, sets, values, error, paired, flat)
    return layout.finish(figure, [cell], caption, Options("difference"), bar=bar)


def _draw_plane(
    figure: PaperFigure, axes: Axes, plane: PlaneData, values: Floats, error: Floats, words: str
) -> tuple[Bar | None, list[tuple[Any, str]]]:
    assert plane.y is not None
    axes.set_facecolor(MISSING_GREY)
    finite = np.abs(values[np.isfinite(values)])
    most = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    norm, shown = Normalize(-most, most), np.ma.masked_invalid(values)
    x, y = plane.x.values, plane.y.values
    if min(values.shape) < 2:
        mesh: Any = axes.pcolormesh(cell_edges(x), cell_edges(y), shown, norm=norm, cmap=DIVERGING.reversed())
    else:
        mesh = axes.contourf(
            x, y, shown, levels=np.linspace(-most, most, BANDS + 1), norm=norm, cmap=DIVERGING.reversed()
        )
        if shown.min() < 0 < shown.max():
            axes.contour(x, y, shown, levels=[0.0], colors=INK, linewidths=0.8)
    entries: list[tuple[Any, str]] = []
    near = np.abs(values) <= WITHIN * error
    if near.any() and min(values.shape) > 1:
        hatched = axes.contourf(x, y, near.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set_edgecolor(HATCH)
        entries.append(
            (Patch(facecolor="white", edgecolor=HATCH, hatch="////", linewidth=0.3), "within two errors of 0")
        )
    axes.set_xlim(*limits(plane.x))
    axes.set_ylim(*limits(plane.y))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2.5, 5, 10]))
    scale = Scale(False, -most, most)
    ticks = scale.lines()
    return bar_of(figure, mesh, words, ticks, scale.labels(ticks)), entries


def _draw_line(
    figure: PaperFigure, axes: Axes, plane: PlaneData, values: Floats, error: Floats, words: str
) -> tuple[Bar | None, list[tuple[Any, str]]]:
    x = plane.x.values
    ends = error_band(values, WITHIN * error)
    set_value_axis(axes, choose_scale([*ends, np.zeros(1)], scale="linear"))
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.fill_between(x, *ends, color="#0072B2", alpha=0.25, linewidth=0)
    axes.plot(x, np.where(np.isfinite(values), values, np.nan), color="#0072B2", linewidth=1.2)
    axes.set_xlim(*limits(plane.x))
    axes.spines[["top", "right"]].set_visible(False)
    return None, [(Patch(color="#0072B2", alpha=0.25, linewidth=0), "two errors to either side")]


def _caption(
    labels: Sequence[str], sets: Sequence[xr.Dataset], values: Floats, error: Floats, paired: bool, coloured: bool
) -> str:
    attrs = [dict(one.attrs) for one in sets]
    known = error[np.isfinite(error)]
    how = "the sum of both, an upper limit over the same samples" if paired else "√(σ₁² + σ₂²), over different samples"
    far = int((np.abs(values) > WITHIN * error).sum())
    counted = f"{far} of {int(np.isfinite(values).sum())} points are more than two errors from 0" if known.size else ""
    sentences = [
        "Red: above, blue: below" if coloured else "",
        f"Error: {how}; median {number(float(np.median(known)), 2)}" if known.size else "No error is known",
        counted,
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
    ]
    return joined(sentences)
