"""Planes as surfaces in three dimensions, with their contours on the floor; side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator, NullLocator
from mpl_toolkits.mplot3d import Axes3D  # type: ignore[import-untyped]

from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import scale_note
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale
from landscape.pictures.style import COLUMN, INK, PAGE, SMALL, TEXT, PaperFigure, colour_map, number, width_of
from landscape.probes.plane import marks
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.panels import (
    Panel,
    best_of,
    colour_bar,
    flat_words,
    inside,
    limits,
    panels_of,
    ratio_of,
    scales_of,
    value_words,
)
from landscape.probes.plane.reading import read_planes

VIEW = {"elev": 28.0, "azim": -58.0}
MOST_TICKS = 5  # upright, in perspective
FLOOR = 0.22  # of the height, left free under the surface for its contours and marks


def surface_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Surfaces; see :func:`landscape.probes.plot.plot`."""
    planes = read_planes(datasets, options.quantity, options.labels)
    panels, _ = panels_of(planes, options.seed)
    scales = scales_of(panels, [], options)
    across = len(panels) if len(panels) < 4 else 2 if len(panels) == 4 else 3
    figure = layout.new_figure(width_of(options.width, COLUMN if across == 1 else PAGE))
    cells = []
    for number_, panel in enumerate(panels):
        last = number_ + 1 == len(panels) or (number_ + 1) % across == 0
        cells.append(_cell(figure, panel, scales[id(panel)], bar=last or not options.share, points=options.points))
    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    notes = [scale_note(scales[id(panels[0])], "height and colours") if options.share else "", _axis_words(panels)]
    caption = plane_caption([p.plane for p in panels], [p.field for p in panels], ". ".join(n for n in notes if n))
    return layout.finish(figure, rows, caption, options.note)


def _axis_words(panels: Sequence[Panel]) -> str:
    """What x and y mean, for the caption: the axes in perspective have no room for it."""
    words = [f"x: {p.plane.x.label}; y: {p.plane.y.label}" for p in panels if p.plane.y is not None]
    return " / ".join(dict.fromkeys(words))


def _cell(figure: PaperFigure, panel: Panel, scale: Scale | None, *, bar: bool, points: bool) -> layout.Cell:
    axes = cast(Axes3D, figure.add_subplot(projection="3d", computed_zorder=False))
    entries: list[markers.Entry] = []
    _dress_axes(axes, panel)
    if scale is not None:
        _draw_surface(axes, panel, scale)
        entries = _mark(axes, panel, scale, points=points)
    entries += marks.nonfinite_entries(panel.field)
    words = flat_words(panel.plane, panel.field)
    note = axes.text2D(0.4, 0.97, "", transform=axes.transAxes, ha="center", va="top", fontsize=SMALL, zorder=20)
    note.set_bbox({"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": INK, "linewidth": 0.6})
    note.set_visible(bool(words))

    def dress(width: float) -> None:
        layout.title(axes, panel.title, width)
        layout.legend_below(axes, entries, width=width, lines=0)
        note.set_text("\n".join(layout.wrap(figure, words, 0.72 * width, SMALL)))

    place = colour_bar(figure, axes, scale, panel.quantity, value_words(panel)) if bar and scale is not None else None
    return layout.Cell(axes, 0.82, dress, place)


def _heights(values: Floats, scale: Scale) -> Floats:
    """Values as heights: themselves or their log₁₀, at the ends of the scale where they lie beyond; NaN where not finite."""
    with np.errstate(invalid="ignore"):
        kept = np.where(np.isfinite(values), np.clip(values, scale.low, scale.high), np.nan)
    return np.log10(kept) if scale.log else kept


def _ends(scale: Scale) -> tuple[float, float, float]:
    """Heights of the floor, the lowest and the highest value."""
    low, high = (float(v) for v in _heights(np.array([scale.low, scale.high]), scale))
    return low - FLOOR * (high - low), low, high


def _draw_surface(axes: Axes3D, panel: Panel, scale: Scale) -> None:
    plane = panel.plane
    assert plane.y is not None
    floor, _, high = _ends(scale)
    x, y = np.meshgrid(plane.x.values, plane.y.values)
    heights = _heights(panel.field.values, scale)
    cmap, norm = colour_map(panel.quantity), scale.norm()
    if min(x.shape) < 2:  # no surface to span: the points themselves
        axes.scatter(x, y, heights, c=cmap(norm(panel.field.values)).reshape(-1, 4), s=14, depthshade=False, zorder=3)
    elif np.isfinite(heights).any():
        every = {"rcount": x.shape[0], "ccount": x.shape[1]}  # by default it would leave points out of a large grid
        colours = _patch_colours(panel, scale)
        patches = axes.plot_surface(x, y, heights, facecolors=colours, shade=False, zorder=3, **every)
        patches.set_edgecolor((0.1, 0.1, 0.1, 0.28))
        patches.set_linewidth(0.15)
        _floor_contours(axes, x, y, heights, scale, floor, panel.quantity)
    axes.set_zlim(floor, high)
    ticks = scale.lines()
    ticks = ticks[:: -(-len(ticks) // MOST_TICKS)] if ticks else []
    axes.set_zticks(_heights(np.array(ticks), scale).tolist(), [number(tick) for tick in ticks])
    axes.zaxis.set_minor_locator(NullLocator())


def _patch_colours(panel: Panel, scale: Scale) -> Any:
    """The colour of each patch: its corners' mean height, before clipping, so that what is clipped looks it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = np.log10(panel.field.values) if scale.log else panel.field.values
    corners = np.ma.masked_invalid([raw[1:, 1:], raw[1:, :-1], raw[:-1, 1:], raw[:-1, :-1]])
    means = corners.mean(axis=0).filled(np.nan)
    return colour_map(panel.quantity)(scale.norm()(10**means if scale.log else means))


def _floor_contours(
    axes: Axes3D, x: Floats, y: Floats, heights: Floats, scale: Scale, floor: float, quantity: str
) -> None:
    lines = scale.lines()
    levels = _heights(np.array(lines), scale)
    crossed = (levels > np.nanmin(heights)) & (levels < np.nanmax(heights))
    if crossed.any():
        colours = [colour_map(quantity)(scale.norm()(v)) for v, keep in zip(lines, crossed, strict=True) if keep]
        options: dict[str, Any] = {"levels": levels[crossed], "colors": colours, "linewidths": 0.8, "zorder": 1}
        axes.contour(x, y, np.ma.masked_invalid(heights), zdir="z", offset=floor, **options)


def _mark(axes: Axes3D, panel: Panel, scale: Scale, *, points: bool) -> list[markers.Entry]:
    """Marks on the floor, where the surface hides none of its own: checkpoint, lowest value, crosses, rings."""
    plane, field = panel.plane, panel.field
    assert plane.y is not None
    floor, *_ = _ends(scale)
    low = float(np.nanmean(_heights(field.values, scale))) if plane.dead or field.flat else floor
    x, y = np.meshgrid(plane.x.values, plane.y.values)
    size = float(np.clip(40.0 / max(x.shape), 1.0, 3.0))
    for mask, look in ((field.nonfinite, markers.NONFINITE), (field.missing, markers.MISSING)):
        if mask.any():
            axes.plot(x[mask], y[mask], floor, **{**look, "markersize": size}, zorder=2)
    entries: list[markers.Entry] = []
    if inside(plane.x, 0.0) and inside(plane.y, 0.0):
        level = 4 if low > floor else 2
        axes.plot([0], [0], low, **markers.ORIGIN_RIM, zorder=level)
        axes.plot([0], [0], low, **markers.ORIGIN, zorder=level)
        entries.append(marks.origin_entry(plane))
    best = best_of(panel)
    if best is not None:
        (bx, by), entry = best
        axes.plot([bx], [by], floor, **markers.LOWEST, zorder=2.1)
        entries.append(entry)
    if points:
        for mask, look in ((field.measured, markers.MEASURED), (field.above, markers.ABOVE_CLIP)):
            look = {**look, "markersize": 0.8 * size, "markeredgewidth": 0.3}
            axes.plot(x[mask], y[mask], floor, **look, zorder=1.5)
        entries += marks.point_entries(field)
    return entries


def _dress_axes(axes: Axes3D, panel: Panel) -> None:
    plane = panel.plane
    assert plane.y is not None
    axes.view_init(**VIEW)
    axes.set_box_aspect((1, ratio_of(plane), 0.72), zoom=1.05)
    axes.set_xlim(*limits(plane.x))
    axes.set_ylim(*limits(plane.y))
    for axis in (axes.xaxis, axes.yaxis):  # the ends of both axes meet in one corner, where their numbers would collide
        axis.set_major_locator(MaxNLocator(5, prune="both"))
    axes.tick_params(labelsize=SMALL - 0.5, pad=-2)
    axes.set_xlabel("x", fontsize=TEXT, labelpad=-8)
    axes.set_ylabel("y", fontsize=TEXT, labelpad=-8)
    axes.set_zlabel("")
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set_facecolor("white")
        axis.pane.set_edgecolor("#bbbbbb")
        axis._axinfo["grid"].update(color="#dddddd", linewidth=0.4)
