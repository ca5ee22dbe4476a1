"""Filled contours of planes, side by side on one scale, with the spread over direction seeds beside or under them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.text import Text

from landscape.pictures import layout, markers
from landscape.pictures.caption import scale_note
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale
from landscape.pictures.style import (
    COLUMN,
    INK,
    MISSING_GREY,
    PAGE,
    SMALL,
    PaperFigure,
    colour_map,
    number,
    on_colour,
    width_of,
)
from landscape.probes.plane import marks
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.panels import (
    Panel,
    best_of,
    cell_edges,
    colour_bar,
    flat_words,
    inside,
    limits,
    panels_of,
    ratio_of,
    scales_of,
    value_words,
    within_clip,
)
from landscape.probes.plane.reading import PlaneData, read_planes

NARROW = 1.5  # inches of a panel under which five tick labels would run into each other
COARSE = 15  # up to so many points an axis, the measured points themselves are shown


# draws more over a panel than its own quantity, and gives the legend's entries for it
Overlay = Callable[[Axes, Panel], list[markers.Entry]]


def contour_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Filled contours; see :func:`landscape.probes.plot.plot`."""
    return planes_figure(read_planes(datasets, options.quantity, options.labels), options)


def planes_figure(
    planes: Sequence[PlaneData], options: Options, *, note: str = "", overlay: Overlay | None = None
) -> PaperFigure:
    """Filled panels of planes, with the spread over their seeds.

    Args:
        note: for the caption, after what is said of the scale.
        overlay: draws over each panel of values, which then has no lines of its own.
    """
    values, spreads = panels_of(planes, options.seed)
    spreads = within_clip(values, spreads, options.loss_max)
    rows = _rows(values, spreads)
    columns = max(len(row) for row in rows)
    figure = layout.new_figure(width_of(options.width, COLUMN if columns == 1 else PAGE))
    scales = scales_of(values, spreads, options)
    cells = [_cells(figure, row, scales, options, overlay) for row in rows]
    hidden = "The spread lies beyond its scale where the mean is clipped" if spreads and options.loss_max else ""
    notes = [scale_note(scales[id(values[0])]) if options.share else "", hidden, note]
    caption = plane_caption([p.plane for p in values], [p.field for p in values], ". ".join(filter(None, notes)))
    layout.finish(figure, cells, caption, options.note)
    for axes in figure.axes:
        label_levels(figure, axes)
    return figure


def _rows(values: list[Panel], spreads: list[Panel]) -> list[list[Panel]]:
    """At most three panels a row, four as two and two; spread right of a single plane, under several."""
    if len(values) == 1:
        return [values + spreads]
    across = 2 if len(values) in (2, 4) else 3
    rows = []
    for start in range(0, len(values), across):
        row = values[start : start + across]
        rows.append(row)
        under = [s for panel in row for s in spreads if s.plane is panel.plane]
        if under:
            rows.append(under)
    return rows


def _cells(
    figure: PaperFigure,
    row: list[Panel],
    scales: dict[int, Scale | None],
    options: Options,
    overlay: Overlay | None,
) -> list[layout.Cell]:
    """The panels of one row; a colour bar where the next panel has another scale."""
    cells = []
    for position, panel in enumerate(row):
        scale = scales[id(panel)]
        alone = position + 1 == len(row) or scales[id(row[position + 1])] is not scale
        first = position == 0 or _axis_words(panel) != _axis_words(row[position - 1])
        axes = figure.add_subplot()
        over = None if panel.quantity == "spread" else overlay
        more = [] if over is None else over(axes, panel)
        dress = draw_panel(axes, panel, scale, first=first, points=options.points, more=more, lines=over is None)
        bar = None
        if scale is not None and (alone or not options.share):
            bar = colour_bar(figure, axes, scale, panel.quantity, value_words(panel))
        cells.append(layout.Cell(axes, ratio_of(panel.plane), dress, bar))
    return cells


def _axis_words(panel: Panel) -> tuple[str, str]:
    return panel.plane.x.label, panel.plane.y.label if panel.plane.y is not None else ""


def draw_panel(
    axes: Axes,
    panel: Panel,
    scale: Scale | None,
    *,
    first: bool,
    points: bool,
    more: Sequence[markers.Entry] = (),
    lines: bool = True,
) -> Callable[[float], None]:
    """Everything inside one pair of axes; returns what dresses it in words once its width is known.

    ``more`` are legend entries for what else is drawn there; ``lines`` says whether levels have lines besides their fill.
    """
    plane = panel.plane
    assert plane.y is not None
    ratio, (x_words, y_words) = ratio_of(plane), _axis_words(panel)
    axes.set_facecolor(MISSING_GREY)
    if scale is not None:
        _fill(axes, panel, scale, lines=lines)
    entries = [*more, *_mark(axes, panel, scale, points=points)]
    axes.set_xlim(*limits(plane.x))
    axes.set_ylim(*limits(plane.y))
    note = _explanation(axes)
    words = flat_words(plane, panel.field) if panel.quantity != "spread" else ""
    note.set_visible(bool(words))

    def dress(width: float) -> None:
        axes.locator_params(nbins=5 if width > NARROW else 3)
        layout.title(axes, panel.title, width)
        lines = layout.axis_labels(axes, x_words, y_words if first else "", width, width * ratio)
        layout.legend_below(axes, entries, width=width, lines=lines)
        note.set_text("\n".join(layout.wrap(cast(PaperFigure, axes.figure), words, 0.8 * width, SMALL)))

    return dress


def _fill(axes: Axes, panel: Panel, scale: Scale, *, lines: bool) -> None:
    """Fill and lines between grid points; cells of one colour where an axis has a single point."""
    plane = panel.plane
    assert plane.y is not None
    cmap, norm = colour_map(panel.quantity), scale.norm()
    shown = np.ma.masked_invalid(panel.field.values)
    if min(shown.shape) < 2:
        axes.pcolormesh(cell_edges(plane.x.values), cell_edges(plane.y.values), shown, cmap=cmap, norm=norm)
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
    points = points or max(field.values.shape) <= COARSE
    _mark_gaps(axes, panel)
    if points and scale is not None:
        _mark_points(axes, panel, scale)
    if inside(plane.x, 0.0) and inside(plane.y, 0.0):
        axes.plot(0, 0, **markers.ORIGIN_RIM, zorder=5)
        axes.plot(0, 0, **markers.ORIGIN, zorder=5)
        entries.append(
            marks.origin_entry(plane) if panel.quantity != "spread" else (marks.origin_entry(plane)[0], "checkpoint")
        )
    if plane.between_checkpoints:
        ends = [(x, y) for x, y in ((1.0, 0.0), (0.0, 1.0)) if inside(plane.x, x) and inside(plane.y, y)]
        if ends:
            axes.plot(*np.array(ends).T, **markers.OTHER, zorder=5, clip_on=False)
            entries.append((markers.handle(markers.OTHER), "the other checkpoints"))
    best = best_of(panel)
    if best is not None:
        at, entry = best
        axes.plot(*at, **markers.LOWEST, zorder=6, clip_on=False)
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


def _explanation(axes: Axes) -> Text:
    """A box for words on a panel that looks smooth for no good reason, or that holds no number at all."""
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": INK, "linewidth": 0.6}
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "top"}
    return axes.text(0.5, 0.84, "", fontsize=SMALL, bbox=box, zorder=7, parse_math=False, **place)


def label_levels(figure: PaperFigure, axes: Axes) -> None:
    """Write each level on its line, where it covers nothing."""
    for contours in [c for c in axes.collections if isinstance(c, ContourSet) and not c.filled]:
        keep = [line for line in axes.get_lines() if line.get_zorder() >= 5]
        notes = [text for text in axes.texts if text.get_visible()]
        options: dict[str, Any] = {"fmt": number, "fontsize": SMALL - 0.5}
        tried = list(axes.clabel(contours, inline=False, **options))
        free = layout.without_overlaps(figure, tried, [*keep, *notes], axes.get_window_extent())
        places = [text.get_position() for text in free]
        for text in tried:
            text.remove()
        if places:  # only now are the lines broken, where a label stays
            axes.clabel(contours, manual=places, inline=True, inline_spacing=3, **options)
