"""Planes as surfaces in three dimensions: smooth, cut where they are clipped, with their contours on the floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import xarray as xr
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D, proj3d  # type: ignore[import-untyped]
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection  # type: ignore[import-untyped]

from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import scale_note
from landscape.pictures.grid import NUMBERED, box_of
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, tick_labels
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, colour_map, points, width_of
from landscape.pictures.words import canvas, state
from landscape.probes.plane import marks
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.mesh import Mesh, mesh_of, shade, sheet
from landscape.probes.plane.panels import (
    Panel,
    best_of,
    colour_bar,
    flat_note,
    flat_tag,
    inside,
    panels_of,
    scales_of,
    value_words,
    window_note,
)
from landscape.probes.plane.reading import read_planes

AZIMUTH, ELEVATION = -58.0, 28.0
LETTER = 2.5  # points of room for each letter of a number that has more than three
RATIO, TALL = 0.8, 0.72  # height over width on paper, and of the box in space
BARE_PAD = -15  # points of an axis' name that has none under it
MOST_TICKS = 5  # upright, in perspective
FLOOR = 0.22  # of the height, left free under the surface for its contours and marks
THREADS = 9  # lines each way along a flat surface
DROP: dict[str, Any] = {"color": INK, "linewidth": 0.7, "linestyle": (0, (2, 1.2)), "zorder": 5}


def surface_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Surfaces; see :func:`landscape.probes.plot.plot`."""
    planes = read_planes(datasets, options.quantity, options.labels)
    panels, _ = panels_of(planes, options)
    scales = scales_of(panels, [], options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    cells = [_cell(figure, panel, scales[id(panel)], options) for panel in panels]
    shared = scales[id(panels[0])] if options.share else None
    bar = None if shared is None else colour_bar(figure, shared, panels[0].quantity, value_words(panels[0]))
    between = "Between the grid's points: monotone cubic interpolation" if any(map(_spanned, panels)) else ""
    notes = [scale_note(shared, "height and colours"), flat_note(panels), window_note(panels), between]
    note = ". ".join(filter(None, notes))
    caption = plane_caption([p.plane for p in panels], [p.field for p in panels], note, axes=True)
    return layout.finish(figure, cells, caption, options, bar=bar)


def _spanned(panel: Panel) -> bool:
    return bool(min(panel.field.values.shape) > 1)


def _cell(figure: PaperFigure, panel: Panel, scale: Scale | None, options: Options) -> layout.Cell:
    axes = cast(Axes3D, figure.add_subplot(projection="3d", computed_zorder=False))
    entries: list[markers.Entry] = []
    _dress_axes(axes, panel, options.view)
    if scale is not None:
        mesh = _draw_surface(axes, panel, scale)
        entries = _mark(axes, panel, scale, mesh, points=options.points)
    entries += marks.nonfinite_entries(panel.field)
    tag = flat_tag(panel.plane, panel.field)
    if tag:
        state(axes, tag)
    bar = None
    if scale is not None and not options.share:
        bar = colour_bar(figure, scale, panel.quantity, value_words(panel))

    zoom = 1.0

    def fit(width: float) -> None:
        if width < NUMBERED:
            axes.tick_params(labelbottom=False, labelleft=False, labelright=False, labeltop=False)
            axes.xaxis.labelpad = axes.yaxis.labelpad = BARE_PAD
        nonlocal zoom
        zoom = _filling(axes, panel.ratio, zoom)

    return layout.Cell(axes, RATIO, panel.title, entries=entries, bar=bar, fixed=True, fit=fit)


def _heights(values: Floats, scale: Scale) -> Floats:
    """Values as heights, themselves or their log₁₀; what lies under the scale at its lower end, NaN where not finite."""
    with np.errstate(invalid="ignore"):
        kept = np.where(np.isfinite(values), np.maximum(values, scale.low), np.nan)
    return np.log10(kept) if scale.log else kept


def _ends(scale: Scale) -> tuple[float, float, float]:
    """Heights of the floor, the lowest and the highest value."""
    low, high = (float(v) for v in _heights(np.array([scale.low, scale.high]), scale))
    return low - FLOOR * (high - low), low, high


def _draw_surface(axes: Axes3D, panel: Panel, scale: Scale) -> Mesh | None:
    plane = panel.plane
    assert plane.y is not None
    floor, _, high = _ends(scale)
    heights = _heights(panel.field.values, scale)
    cmap, norm = colour_map(panel.quantity), scale.norm()
    mesh = None
    if not _spanned(panel):  # no surface to span: the points themselves
        x, y = np.meshgrid(plane.x.values, plane.y.values)
        colours = cmap(norm(panel.field.values)).reshape(-1, 4)
        axes.scatter(x, y, np.minimum(heights, high), c=colours, s=14, depthshade=False, zorder=3)
    elif np.isfinite(heights).any():
        mesh = mesh_of(plane.x.values, plane.y.values, heights, high)
        _draw_sheet(axes, mesh, scale, panel.quantity, high)
        if panel.plane.dead or panel.field.flat:
            _draw_threads(axes, mesh)
        _floor_contours(axes, mesh, scale, floor, panel.quantity)
    axes.set_zlim(floor, high)
    ticks = scale.lines()
    ticks = ticks[:: -(-len(ticks) // MOST_TICKS)] if ticks else []
    words = scale.labels(ticks) if scale.log else tick_labels(ticks)
    axes.set_zticks(_heights(np.array(ticks), scale).tolist(), words)
    axes.zaxis.set_minor_locator(NullLocator())
    return mesh


def _draw_sheet(axes: Axes3D, mesh: Mesh, scale: Scale, quantity: str, top: float) -> None:
    """The surface up to the clip, in the colours of the bar under a light, and its rim where it is cut."""
    polygons, rim = sheet(mesh, top if scale.over else np.inf)
    if not len(polygons):
        return
    middle = np.array([polygon[:, 2].mean() for polygon in polygons])
    values = np.clip(10.0**middle if scale.log else middle, scale.low, scale.high)
    across, along = (float(np.ptp(limit)) for limit in (axes.get_xlim(), axes.get_ylim()))
    colours = colour_map(quantity)(scale.norm()(values))
    colours[:, :3] = shade(polygons, colours[:, :3], (across, along, (top - _ends(scale)[0]) or 1.0))
    look: dict[str, Any] = {"facecolors": colours, "edgecolors": colours, "linewidths": 0.25, "zorder": 3}
    skin = Poly3DCollection(polygons, **look, rasterized=True)
    # Limits are ours: matplotlib would read them off, beside the polygons, what pads the shorter ones, which is not set.
    axes.add_collection3d(skin, autolim=False)
    if len(rim):
        axes.add_collection3d(Line3DCollection(rim, colors=INK, linewidths=0.5, alpha=0.7, zorder=3.5), autolim=False)


def _draw_threads(axes: Axes3D, mesh: Mesh) -> None:
    """Lines along a flat surface, which without them looks like the top of a block."""
    rows, columns = (np.linspace(0, size - 1, THREADS).round().astype(int) for size in mesh.z.shape)
    x, y = np.meshgrid(mesh.x, mesh.y)
    points = np.stack([x, y, mesh.z], axis=-1)
    lines = [*points[rows], *points[:, columns].transpose(1, 0, 2)]
    threads = Line3DCollection(lines, colors="white", linewidths=0.4, alpha=0.8, zorder=3.2)
    axes.add_collection3d(threads, autolim=False)


def _floor_contours(axes: Axes3D, mesh: Mesh, scale: Scale, floor: float, quantity: str) -> None:
    lines = scale.lines()
    levels = _heights(np.array(lines), scale)
    crossed = (levels > np.nanmin(mesh.z)) & (levels < np.nanmax(mesh.z))
    if crossed.any():
        colours = [colour_map(quantity)(scale.norm()(v)) for v, keep in zip(lines, crossed, strict=True) if keep]
        options: dict[str, Any] = {"levels": levels[crossed], "colors": colours, "linewidths": 0.8, "zorder": 1}
        axes.contour(mesh.x, mesh.y, np.ma.masked_invalid(mesh.z), zdir="z", offset=floor, **options)


def _mark(axes: Axes3D, panel: Panel, scale: Scale, mesh: Mesh | None, *, points: bool) -> list[markers.Entry]:
    """Checkpoint and lowest value on the surface, each with a line down to the floor; crosses and rings on the floor."""
    plane, field = panel.plane, panel.field
    assert plane.y is not None
    floor, _, high = _ends(scale)
    x, y = np.meshgrid(plane.x.values, plane.y.values)
    size = float(np.clip(40.0 / max(x.shape), 1.0, 3.0))
    for mask, look in ((field.nonfinite, markers.NONFINITE), (field.missing, markers.MISSING)):
        if mask.any():
            axes.plot(x[mask], y[mask], floor, **{**look, "markersize": size}, zorder=2)
    entries: list[markers.Entry] = []
    if inside(plane.x, 0.0) and inside(plane.y, 0.0):
        entries.append(marks.origin_entry(plane))
        for look in (markers.ORIGIN_RIM, markers.ORIGIN):
            _stand(axes, (0.0, 0.0), mesh, (floor, high), look)
    best = best_of(panel)
    if best is not None:
        at, entry, mark = best
        _stand(axes, at, mesh, (floor, high), mark)
        entries.append(entry)
    if points:
        for mask, look in ((field.measured, markers.MEASURED), (field.above, markers.ABOVE_CLIP)):
            look = {**look, "markersize": 0.8 * size, "markeredgewidth": 0.3}
            axes.plot(x[mask], y[mask], floor, **look, zorder=1.5)
        entries += marks.point_entries(field)
    return entries


def _stand(
    axes: Axes3D, at: tuple[float, float], mesh: Mesh | None, ends: tuple[float, float], look: dict[str, Any]
) -> None:
    """A mark on the surface with a line down to its place on the floor; on the floor where there is no surface under it."""
    floor, high = ends
    height = floor if mesh is None else mesh.at(*at)
    height = min(height, high) if np.isfinite(height) else floor
    if height > floor:
        axes.plot([at[0]] * 2, [at[1]] * 2, [floor, height], **DROP)
        axes.plot([at[0]], [at[1]], floor, marker=".", color=INK, markersize=2.5, zorder=5)
    axes.plot([at[0]], [at[1]], height, **look, zorder=6)


def _dress_axes(axes: Axes3D, panel: Panel, view: tuple[float, float] | None) -> None:
    plane = panel.plane
    assert plane.y is not None
    azimuth, elevation = (AZIMUTH, ELEVATION) if view is None else view
    axes.view_init(azim=azimuth, elev=elevation)
    axes.set_box_aspect((1, panel.ratio, TALL))
    axes.set_xlim(*panel.limits[0])
    axes.set_ylim(*panel.limits[1])
    for axis, name, ends in zip((axes.xaxis, axes.yaxis), "xy", panel.limits, strict=True):
        ticks = _inner_ticks(*ends)  # the ends of both axes meet in one corner, where their numbers would collide
        words = tick_labels(ticks)
        axis.set_ticks(ticks, words)
        room = max(map(len, words), default=0) - 3  # beside longer numbers their name stands further out
        axis.set_label_text(name, fontsize=points("text"))
        axis.labelpad = -8 + max(0, room) * LETTER
    axes.tick_params(labelsize=points("tick") - 0.5, pad=-2)
    axes.set_zlabel("")
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set_facecolor("white")
        axis.pane.set_edgecolor("#bbbbbb")
        axis._axinfo["grid"].update(color="#dddddd", linewidth=0.4)


def _filling(axes: Axes3D, ratio: float, zoom: float) -> float:
    """Zoom so far that all of it, with its numbers and words, just fits into its place; from the zoom that it has."""
    figure = cast(PaperFigure, axes.figure)
    renderer, box = canvas(figure), box_of(axes)
    heavy = [artist for artist in axes.collections if artist.get_visible()]
    for artist in heavy:
        artist.set_visible(False)
    with renderer._draw_disabled():  # puts the axes' words where they are measured next
        axes.draw(renderer)
    for artist in heavy:
        artist.set_visible(True)
    corners = [(x, y, z) for x in axes.get_xlim() for y in axes.get_ylim() for z in axes.get_zlim()]
    projected = [proj3d.proj_transform(*corner, axes.get_proj())[:2] for corner in corners]
    drawn = Bbox.null()
    drawn.update_from_data_xy(axes.transData.transform(np.array(projected)))
    words = [axis.get_tightbbox(renderer) for axis in (axes.xaxis, axes.yaxis, axes.zaxis)]
    whole = Bbox.union([drawn, *(one for one in words if one is not None)])
    middle = (box.x0 + box.width / 2, box.y0 + box.height / 2)
    reach = (max(whole.x1 - middle[0], middle[0] - whole.x0), max(whole.y1 - middle[1], middle[1] - whole.y0))
    zoom *= min(box.width / 2 / reach[0], box.height / 2 / reach[1])
    axes.set_box_aspect((1, ratio, TALL), zoom=zoom)
    return zoom


def _inner_ticks(low: float, high: float) -> list[float]:
    """The middle and two places between it and the ends."""
    middle, half = (low + high) / 2, (high - low) / 2
    step = float(f"{half * 0.62:.1g}")
    return [middle - step, middle, middle + step]
