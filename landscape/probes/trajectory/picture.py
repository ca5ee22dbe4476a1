"""A training's path over the plane of its principal components, and beside it what every checkpoint's loss really is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import joined, once, scale_note
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLOURS, INK, PAGE, PaperFigure, number, points, width_of
from landscape.pictures.value_axis import RATIO, count_ticks, given_ticks, mark_at_edge, set_value_axis
from landscape.pictures.words import text_width
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.contour import label_levels, panel_cell
from landscape.probes.plane.panels import Panel, colour_bar, panels_of, scales_of, value_words
from landscape.probes.plane.reading import read_planes
from landscape.probes.trajectory.result import explained_words, is_path, statistics_words

SMALLEST, LARGEST = 2.2, 8.0  # points: diameters of the markers of the smallest and the largest residual
ROUTE: dict[str, Any] = {"color": "white", "linewidth": 1.1, "solid_joinstyle": "round"}
STOP: dict[str, Any] = {"marker": "o", "markerfacecolor": "#ffffffb0", "markeredgecolor": INK, "linestyle": "none"}
Name = tuple[float, float, float]  # left, right and middle of a name that is written, in inches
LINES = sorted(range(-40, 41), key=lambda k: (abs(k), k))  # up or down that a name may move
# what is known of every checkpoint's loss: variable, words, look
LOSSES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("path_loss", "the checkpoint itself", {"color": COLOURS[0], "linestyle": "-", "marker": "o"}),
    (
        "path_weights_loss",
        "its weights",
        {"color": COLOURS[2], "linestyle": (0, (4, 1.6)), "marker": "s"},
    ),
    (
        "path_plane_loss",
        "on the plane, projected",
        {"color": COLOURS[1], "linestyle": (0, (1, 1.2)), "marker": "D"},
    ),
)


@dataclass(frozen=True)
class Route:
    """The checkpoints of one trajectory: where they are, how far off the plane, and their losses."""

    dataset: xr.Dataset

    def values(self, name: str) -> Floats:
        return np.asarray(self.dataset[name].values, dtype=float)

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.dataset["checkpoint"].values]

    @property
    def is_path(self) -> bool:
        """Whether they follow one another."""
        return is_path(self.dataset)

    @property
    def stress(self) -> float | None:
        """How well the plane keeps distances; None where a file does not say it."""
        return float(self.dataset["stress"]) if "stress" in self.dataset else None

    @property
    def clock(self) -> tuple[str, Floats]:
        """What the checkpoints are numbered by, in words, and their numbers."""
        epochs = self.values("path_epoch")
        known = bool(np.isfinite(epochs).all()) and self.is_path
        return ("epoch", epochs) if known else ("checkpoint" if self.is_path else "", np.arange(1.0, epochs.size + 1))

    @property
    def diameters(self) -> Floats:
        """Of the markers, their area growing with the distance from the plane."""
        residuals = self.values("path_residual")
        part = residuals / residuals.max() if residuals.max() > 0 else residuals
        return SMALLEST + (LARGEST - SMALLEST) * np.sqrt(part)

    def spans(self) -> list[Floats]:
        """All losses that are drawn, and the ends of the first one's error."""
        drawn = [self.values(name) for name, _, _ in self.shown_losses()]
        error = self.values("path_loss_standard_error")
        return [*drawn, drawn[0] - error, drawn[0] + error]

    def shown_losses(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Those that are there; the weights' own only where they differ from the checkpoint's."""
        own, weights = self.values("path_loss"), self.values("path_weights_loss")
        same = bool(np.allclose(own, weights, rtol=1e-6, equal_nan=True))
        of_itself, of_plane = statistics_words(str(self.dataset.attrs.get("bn_policy", "")))
        return [
            (name, words + (of_itself if name == "path_loss" else of_plane), look)
            for name, words, look in LOSSES
            if not (same and name == "path_weights_loss")
        ]


def trajectory_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A row for each trajectory: contours with the path, losses by checkpoint; see :func:`landscape.probes.plot.plot`."""
    planes = read_planes(datasets, options.quantity, options.labels)
    values, _ = panels_of(planes, options)
    drawn = [float(np.nanmax(np.where(np.isfinite(plane.values), plane.values, np.nan))) for plane in planes]
    if (
        options.loss_max is not None and max(drawn) <= options.loss_max
    ):  # nothing to clip: the colours end where the loss does
        options = replace(options, loss_max=None)
    figure = layout.new_figure(width_of(options.width, PAGE))
    scales = scales_of(values, [], options)
    routes = [Route(dataset) for dataset in datasets]
    shared = scales[id(values[0])] if options.share else None
    rows = [
        (
            _plane_cell(figure, panel, route, scales[id(panel)], options),
            _loss_cell(figure, route, routes if options.share else [route]),
        )
        for panel, route in zip(values, routes, strict=True)
    ]
    bar = None if shared is None else colour_bar(figure, shared, values[0].quantity, value_words(values[0]))
    abreast = 2 if len(rows) > 2 else layout.across(2, float(figure.get_size_inches()[0]), 1.0)
    labels = [panel.title for panel in values]
    note = joined(
        [
            scale_note(shared),
            once(labels, [route_words(route) for route in routes], ""),
        ]
    ).removesuffix(".")
    caption = plane_caption([p.plane for p in values], [p.field for p in values], note)
    heading = values[0].title if len(values) == 1 else ""
    for row in rows if heading else []:
        row[0].title = ""
    cells = [cell for row in rows for cell in row]
    layout.finish(figure, cells, caption, options, abreast=abreast, heading=heading, bar=bar)
    for panel, row, route in zip(values, rows, routes, strict=True):
        if not route.is_path:
            _name_models(figure, row[0].axes, route)
        label_levels(figure, row[0].axes, scales[id(panel)])
    return figure


def route_words(route: Route) -> str:
    """How much the plane holds of where the checkpoints are, and how far off it they lie."""
    explained = route.values("explained_variance")
    residuals, distances = route.values("path_residual"), route.values("path_distance")
    far = int(np.argmax(residuals))
    off = residuals[far] / distances[far] if distances[far] > 0 else 0.0
    what = f"Path through {residuals.size} checkpoints" if route.is_path else f"{residuals.size} models"
    kept = f"; it keeps distances to a stress of {number(route.stress, 2)}" if route.stress is not None else ""
    return (
        f"{what}: the plane explains {100 * float(explained[:2].sum()):.3g} % of {explained_words(route.dataset)}{kept}; "
        f"at most {number(float(residuals[far]), 2)} off the plane ({route.names[far]}: {number(100 * float(off), 2)} % of its "
        f"distance to {'the last' if route.is_path else route.names[-1]})"
    )


def _plane_cell(figure: PaperFigure, panel: Panel, route: Route, scale: Scale | None, options: Options) -> layout.Cell:
    axes = figure.add_subplot()
    entries = _route_entries(route)
    cell = panel_cell(axes, panel, scale, points=options.points, more=entries)
    _draw_route(axes, route)
    if scale is not None and not options.share:
        cell.bar = colour_bar(figure, scale, panel.quantity, value_words(panel))
    return cell


def _draw_route(axes: Axes, route: Route) -> None:
    x, y = route.values("path_x"), route.values("path_y")
    if route.is_path:
        rim = [patheffects.Stroke(linewidth=2.2, foreground=INK), patheffects.Normal()]
        axes.plot(x, y, **ROUTE, path_effects=rim, zorder=5.2)
    for place in zip(x[:-1], y[:-1], route.diameters[:-1], strict=True):
        axes.plot(place[0], place[1], **STOP, markersize=place[2], markeredgewidth=0.6, zorder=5.4)


def _name_models(figure: PaperFigure, axes: Axes, route: Route) -> None:
    """Each model's name beside its dot, towards the middle; a line higher or lower, with a lead, where another name stands."""
    inch, height = 1 / figure.dpi, 1.25 * points("tick") / 72
    rim = [patheffects.Stroke(linewidth=1.6, foreground="white"), patheffects.Normal()]
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": points("tick"), "color": INK, "va": "center"}
    taken: list[Name] = []
    middle = float(axes.transAxes.transform((0.5, 0.5))[0]) * inch
    places = axes.transData.transform(np.column_stack([route.values("path_x"), route.values("path_y")])) * inch
    at = zip(route.names, route.values("path_x"), route.values("path_y"), places, route.diameters, strict=True)
    for name, x, y, (across, up), size in at:
        side = -1 if across > middle else 1
        near = across + side * (size / 2 + 2) / 72
        left, right = sorted([near, near + side * text_width(figure, name, points("tick"))])
        lines = next(
            (k for k in LINES if not any(_meet(other, (left, right, up + k * height), height) for other in taken)), 0
        )
        taken.append((left, right, up + lines * height))
        lead = {"arrowstyle": "-", "linewidth": 0.5, "color": INK, "shrinkA": 0, "shrinkB": 0} if lines else None
        offset = (side * (size / 2 + 2), 72 * lines * height)
        axes.annotate(
            name, (x, y), offset, ha="left" if side > 0 else "right", arrowprops=lead, zorder=5.6, **look
        ).set_path_effects(rim)


def _meet(one: Name, other: Name, height: float) -> bool:
    return one[0] < other[1] and other[0] < one[1] and abs(one[2] - other[2]) < height


def _route_entries(route: Route) -> list[markers.Entry]:
    residuals, sizes = route.values("path_residual"), route.diameters
    far = int(np.argmax(residuals))
    line = Line2D([], [], color=INK, linewidth=1.4)
    entries: list[markers.Entry] = []
    if route.is_path:
        entries.append(markers.Named(line, "path", f"{route.names[0]} to {route.names[-1]}"))
    if residuals[far] > 0:
        words = f"{number(float(residuals[far]), 2)} at {route.names[far]}"
        look = Line2D([], [], **STOP, markersize=float(sizes[far]), markeredgewidth=0.6)
        entries.append(markers.Named(look, "distance from the plane", words))
    return entries


def _loss_cell(figure: PaperFigure, route: Route, beside: Sequence[Route]) -> layout.Cell:
    """The losses of one trajectory, on the axis of all that stand beside it."""
    axes = figure.add_subplot()
    what, x = route.clock
    shown = route.shown_losses()
    drawn = [route.values(name) for name, _, _ in shown]
    error = route.values("path_loss_standard_error")
    set_value_axis(axes, choose_scale([values for one in beside for values in one.spans()]))
    entries: list[markers.Entry] = []
    for (_, words, look), values in zip(shown, drawn, strict=True):
        look = look if route.is_path else {**look, "linestyle": "none"}
        _draw_losses(axes, x, values, look)
        line = Line2D([], [], **look, markersize=2.8, markeredgewidth=0.6, markerfacecolor="white")
        what_of, _, statistics = words.partition(", with ")
        entries.append(markers.Named(line, what_of, f"with {statistics}" if statistics else ""))
    sign = _draw_error(axes, x, drawn[0], error, shown[0][2]["color"], route.is_path)
    if np.isfinite(error).any():
        entries.insert(1, (sign, "± its standard error"))
    measured = np.asarray(route.dataset["path_measured"].values) == 1
    gaps = np.any([~np.isfinite(values) for values in drawn], axis=0) & measured
    mark_at_edge(axes, x, gaps, {**markers.NONFINITE, "markersize": 3.5}, top=True)
    if gaps.any():
        entries.append(
            markers.Named(markers.handle(markers.NONFINITE, 4), "not finite", f"{int(gaps.sum())} checkpoints")
        )
    room = 0.04 * float(np.ptp(x))
    axes.set_xlim(float(x.min()) - room, float(x.max()) + room)
    axes.spines[["top", "right"]].set_visible(False)
    unit = str(route.dataset["path_loss"].attrs.get("units", "1"))
    words = "loss" + (f" ({unit})" if unit != "1" else "")
    fit = partial(count_ticks, axes.xaxis) if route.is_path else partial(given_ticks, axes, x, route.names)
    return layout.Cell(axes, RATIO, "", what, words, entries, fit=fit)


def _draw_error(axes: Axes, x: Floats, values: Floats, error: Floats, colour: str, is_path: bool) -> Artist:
    """A band along a path, a bar for each of several models; and what the legend shows of it."""
    if not is_path:
        bars: dict[str, Any] = {"color": colour, "linewidth": 1.0}
        axes.vlines(x, values - error, values + error, **bars, zorder=2)
        return Line2D([], [], marker="|", markersize=6, linestyle="none", color=colour)
    band: dict[str, Any] = {"color": colour, "alpha": 0.18, "linewidth": 0}
    axes.fill_between(x, values - error, values + error, where=np.isfinite(values).tolist(), **band)
    return Patch(**band)


def _draw_losses(axes: Axes, x: Floats, values: Floats, look: dict[str, Any]) -> None:
    options: dict[str, Any] = {"linewidth": 1.1, "markersize": 2.8, "markerfacecolor": "white", "markeredgewidth": 0.6}
    axes.plot(x, np.where(np.isfinite(values), values, math.nan), **look, **options, zorder=3)
