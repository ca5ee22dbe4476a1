"""Filled contours of planes on one scale, or the spread over their direction seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet

from landscape.errors import InputError
from landscape.pictures import layout, markers
from landscape.pictures.caption import scale_note
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale
from landscape.pictures.style import (
    COLUMN,
    INK,
    MISSING_GREY,
    PAGE,
    PaperFigure,
    colour_map,
    on_colour,
    points,
    width_of,
)
from landscape.pictures.value_axis import few_ticks
from landscape.pictures.words import state, without_overlaps
from landscape.probes.plane import marks
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.panels import (
    Panel,
    axis_words,
    best_of,
    colour_bar,
    flat_note,
    flat_tag,
    inside,
    panels_of,
    scales_of,
    value_words,
    window_note,
    within_clip,
)
from landscape.probes.plane.reading import PlaneData, read_planes

COARSE = 15  # up to so many points an axis, the measured points themselves are shown
# draws more over a panel than its own quantity, and gives the legend's entries for it
Overlay = Callable[[Axes, Panel], list[markers.Entry]]


def contour_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Filled contours; see :func:`landscape.probes.plot.plot`."""
    quantity = "loss" if options.quantity == "spread" else options.quantity
    return planes_figure(read_planes(datasets, quantity, options.labels), options)


def planes_figure(
    planes: Sequence[PlaneData], options: Options, *, note: str = "", overlay: Overlay | None = None
) -> PaperFigure:
    """Filled panels of planes, or of the spread over their seeds where the quantity is ``spread``.

    Args:
        note: for the caption, after what is said of the scale.
        overlay: draws over each panel of values, which then has no lines of its own.

    Raises:
        InputError: for a view, and for the spread over a single seed.
    """
    if options.view is not None:
        raise InputError(f"view: a contour is drawn flat, got {options.view!r}. Draw kind 'surface', or leave it out.")
    values, spreads = panels_of(planes, options)
    scales = scales_of(values, spreads, options)
    notes = [note]
    panels = values
    if options.quantity == "spread":
        if len(spreads) < len(values):
            raise InputError(
                "quantity: 'spread' needs planes over several direction seeds, and a mean over them. Try 'loss'."
            )
        panels, overlay = within_clip(values, spreads, options.loss_max), None
        scales = {id(new): scales[id(old)] for new, old in zip(panels, spreads, strict=True)}
        notes.insert(0, "The spread lies beyond its scale where the mean is clipped" if options.loss_max else "")
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    cells = [_cell(figure, panel, scales[id(panel)], options, overlay) for panel in panels]
    shared = scales[id(panels[0])] if options.share else None
    bar = None if shared is None else colour_bar(figure, shared, panels[0].quantity, value_words(panels[0]))
    notes = [scale_note(shared), flat_note(values), window_note(panels), *notes]
    caption = plane_caption([p.plane for p in panels], [p.field for p in values], ". ".join(filter(None, notes)))
    layout.finish(figure, cells, caption, options, bar=bar)
    for panel, cell in zip(panels, cells, strict=True):
        label_levels(figure, cell.axes, scales[id(panel)])
    return figure


def _cell(
    figure: PaperFigure, panel: Panel, scale: Scale | None, options: Options, overlay: Overlay | None
) -> layout.Cell:
    axes = figure.add_subplot()
    more = [] if overlay is None else overlay(axes, panel)
    cell = panel_cell(axes, panel, scale, points=options.points, more=more, lines=overlay is None)
    if scale is not None and not options.share:
        cell.bar = colour_bar(figure, scale, panel.quantity, value_words(panel))
    return cell


def panel_cell(
    axes: Axes,
    panel: Panel,
    scale: Scale | None,
    *,
    points: bool,
    more: Sequence[markers.Entry] = (),
    lines: bool = True,
) -> layout.Cell:
    """Draw everything inside one pair of axes.

    ``more`` are legend entries for what else is drawn there; ``lines`` says whether levels have lines besides their fill.
    """
    plane = panel.plane
    assert plane.y is not None
    axes.set_facecolor(MISSING_GREY if min(panel.field.values.shape) > 1 else "white")
    if scale is not None:
        _fill(axes, panel, scale, lines=lines)
    entries = [*more, *_mark(axes, panel, scale, points=points)]
    axes.set_xlim(*panel.limits[0])
    axes.set_ylim(*panel.limits[1])
    tag = flat_tag(plane, panel.field) if panel.quantity != "spread" else ""
    if tag:
        state(axes, tag)

    def fit(width: float) -> None:
        few_ticks(axes.xaxis, width)
        few_ticks(axes.yaxis, width * panel.ratio)

    x, y = axis_words(plane.x), axis_words(plane.y)
    keys = ((x, panel.limits[0]), (y, panel.limits[1]))
    return layout.Cell(axes, panel.ratio, panel.title, x, y, entries, None, panel.equal, *keys, fit)


def _fill(axes: Axes, panel: Panel, scale: Scale, *, lines: bool) -> None:
    """Fill and lines between grid points; where an axis has a single point, the points themselves, as there is no area."""
    plane = panel.plane
    assert plane.y is not None
    cmap, norm = colour_map(panel.quantity), scale.norm()
    shown = np.ma.masked_invalid(panel.field.values)
    if min(shown.shape) < 2:
        x, y = np.meshgrid(plane.x.values, plane.y.values)
        dots: dict[str, Any] = {"s": 26, "edgecolors": INK, "linewidths": 0.4, "clip_on": False, "zorder": 2}
        axes.scatter(x.ravel(), y.ravel(), c=shown.ravel(), cmap=cmap, norm=norm, **dots)
        return
    if shown.count() == 0:
        return
    options: dict[str, Any] = {"norm": norm, "extend": scale.extend}
    # what lies under a logarithmic scale may be 0, which has no logarithm: half of its low end is under it, too
    under = scale.low / 2 if scale.log else -math.inf
    raised = np.ma.maximum(shown, under if scale.under else scale.low)
    filled = axes.contourf(plane.x.values, plane.y.values, raised, levels=_opened(scale), cmap=cmap, **options)
    filled.set_edgecolor("face")  # otherwise viewers of PDF show hairlines between the bands
    filled.set_linewidth(0.3)
    levels = scale.lines()
    inside = [v for v in levels if shown.min() < v < shown.max()]
    if lines and inside:
        colours = [on_colour(cmap(norm(level))) for level in inside]
        axes.contour(plane.x.values, plane.y.values, shown, levels=inside, colors=colours, linewidths=0.5, alpha=0.75)


def _opened(scale: Scale) -> list[float]:
    """The bands with ends that take in the extreme values themselves."""
    bands = scale.bands()
    if not scale.over:
        bands[-1] = float(np.nextafter(bands[-1], math.inf))
    return bands


def _mark(axes: Axes, panel: Panel, scale: Scale | None, *, points: bool) -> list[markers.Entry]:
    """Draw the markers; returns their legend."""
    plane, field = panel.plane, panel.field
    assert plane.y is not None
    entries: list[markers.Entry] = []
    points = points or (max(field.values.shape) <= COARSE and not field.measured.all())
    _mark_gaps(axes, panel)
    if points and scale is not None:
        _mark_points(axes, panel, scale)
    if inside(plane.x, 0.0) and inside(plane.y, 0.0):
        axes.plot(0, 0, **markers.ORIGIN_RIM, zorder=5)
        axes.plot(0, 0, **markers.ORIGIN, zorder=5)
        entries.append(
            marks.origin_entry(plane)
            if panel.quantity != "spread"
            else markers.Named(marks.origin_entry(plane).handle, "checkpoint")
        )
    if plane.between_checkpoints:
        ends = [(x, y) for x, y in ((1.0, 0.0), (0.0, 1.0)) if inside(plane.x, x) and inside(plane.y, y)]
        if ends:
            axes.plot(*np.array(ends).T, **markers.OTHER, zorder=5, clip_on=False)
            entries.append((markers.handle(markers.OTHER), "the other checkpoints"))
    best = best_of(panel)
    if best is not None:
        at, entry, look = best
        axes.plot(*at, **look, zorder=6, clip_on=False)
        entries.append(entry)
    if points:
        entries += marks.point_entries(field)
    return entries + marks.nonfinite_entries(field)


def _mark_gaps(axes: Axes, panel: Panel) -> None:
    """Crosses where the value is no number, rings where there is none yet."""
    plane, field = panel.plane, panel.field
    assert plane.y is not None
    x, y = np.meshgrid(plane.x.values, plane.y.values)
    size = float(np.clip(60.0 / max(x.shape), 1.6, 4.0))
    for mask, look in ((field.nonfinite, markers.NONFINITE), (field.missing, markers.MISSING)):
        if mask.any():
            axes.plot(x[mask], y[mask], **{**look, "markersize": size}, zorder=3, clip_on=False)


def _mark_points(axes: Axes, panel: Panel, scale: Scale) -> None:
    """Dots at measured points, in the ink that reads on the colour there; triangles at those known to lie above the clip."""
    plane, field = panel.plane, panel.field
    assert plane.y is not None
    x, y = np.meshgrid(plane.x.values, plane.y.values)
    size = float(np.clip(40.0 / max(x.shape), 0.9, 2.2))
    cmap, norm = colour_map(panel.quantity), scale.norm()
    under = np.ma.masked_invalid(np.maximum(field.values, scale.low))
    inks = np.array([on_colour(colour) for colour in cmap(norm(under)).reshape(-1, 4)]).reshape(x.shape)
    for ink in (INK, "white"):
        mask = field.measured & ~field.nonfinite & (inks == ink)
        if mask.any():
            look = {**markers.MEASURED, "color": ink, "markersize": size}
            axes.plot(x[mask], y[mask], **look, markeredgewidth=0, zorder=2.5, clip_on=False)
    if field.above.any():
        look = {**markers.ABOVE_CLIP, "markersize": 1.2 * size}
        axes.plot(x[field.above], y[field.above], **look, zorder=2.5, clip_on=False)


def label_levels(figure: PaperFigure, axes: Axes, scale: Scale | None) -> None:
    """Write each level on its line, where it covers nothing."""
    if scale is None:
        return
    for contours in [c for c in axes.collections if isinstance(c, ContourSet) and not c.filled]:
        levels = [float(level) for level in contours.levels]
        of_colours = set(levels) <= set(scale.lines())  # and not laid over them, such as the loss over a ratio
        own = scale if of_colours else Scale(levels[0] > 0, levels[0], levels[-1])
        words = dict(zip(levels, own.labels(levels), strict=True))
        keep = [line for line in axes.get_lines() if line.get_zorder() >= 5]
        notes = [text.get_bbox_patch() or text for text in axes.texts if text.get_visible()]
        options: dict[str, Any] = {"fmt": words, "fontsize": points("small") - 0.5}
        tried = list(axes.clabel(contours, inline=False, **options))
        free = without_overlaps(figure, tried, [*keep, *notes], axes.get_window_extent())
        places = [text.get_position() for text in free]
        for text in tried:
            text.remove()
        if places:  # only now are the lines broken, where a label stays
            axes.clabel(contours, manual=places, inline=True, inline_spacing=3, **options)
