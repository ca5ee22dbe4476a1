"""The forest plot of a comparison: every difference with its interval on one axis, and the trends that were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from landscape.errors import InputError
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import joined
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale
from landscape.pictures.style import INK, PAGE, PaperFigure, cycle, points, width_of
from landscape.pictures.value_axis import given_ticks
from landscape.pictures.words import shortened_within
from landscape.probes.comparison.picture import (
    comparison_figure,
    comparison_notes,
    measures_figure,
    read_measures,
)

OPEN = "#9a9a9a"  # cannot tell, or not tested
TOLD = ("higher", "lower", "equivalent", "rises", "falls")
MOST_PAIRS = 3  # that share a row
MOST_TRENDS = 6  # measures, whose trends are drawn
ROW, LABEL_OVER = 0.17, 0.12  # inches of a row, and of a label over it
SPREAD = 0.62  # of a row, between its first and its last pair
WIDE = 5.0  # inches of a figure from which both blocks stand abreast
REACH = 4.0  # times the farthest estimate from the line of no difference: an axis's end
DOT: dict[str, Any] = {"marker": "o", "markersize": 3.2, "linestyle": "none"}
AXES = {"log": "ratio", "linear": "difference / standard deviation"}


@dataclass(frozen=True)
class Row:
    """A measure's difference between two settings, or its trend: an estimate with its interval, whose ends may be NaN."""

    family: str
    measure: str
    name: str
    pair: str
    log: bool
    value: float
    low: float
    high: float
    told: bool

    @property
    def distance(self) -> float:
        """From no difference, on the axis."""
        return abs(float(np.log(self.value))) if self.log else abs(self.value)


def forest_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A block for ratios and one for standardised differences; see :func:`landscape.probes.plot.plot`.

    Ratios are those of measures that are compared on a logarithmic scale. All others are differences divided by the standard
    deviation s of the replicates, s² being the mean of both settings' variances (N − 1).
    """
    measures = read_measures(datasets, options)  # refuses an unknown quantity
    wanted = {measure.name for measure in measures}
    rows = [row for dataset in datasets for row in read_rows(dataset) if row.measure in wanted]
    if not rows:
        return comparison_figure(datasets, options)
    pairs = list(dict.fromkeys(row.pair for row in rows))
    shown, left = (pairs, 0) if len(pairs) <= MOST_PAIRS else (pairs[:MOST_PAIRS], len(pairs) - MOST_PAIRS)
    rows = [row for row in rows if row.pair in shown]
    figure = layout.new_figure(width_of(options.width, PAGE))
    blocks = [[row for row in rows if row.log == log] for log in (True, False)]
    cells = [_cell(figure, block, shown) for block in blocks if block]
    abreast = len(cells) if figure.get_size_inches()[0] >= WIDE else 1
    for cell in cells if abreast > 1 else ():  # so that rows of both are as far apart
        cell.tall = max(other.tall or 0.0 for other in cells)
        cell.axes.set_ylim(cell.tall, 0.0)
    lost = sorted(wanted - {row.measure for row in rows})
    caption = joined(
        [
            "Dot and bar: how the first setting differs from the second, with the interval of the difference",
            "Ratios where a measure is compared by them; else differences over the standard deviation of the replicates",
            "Grey: cannot tell, or not tested; arrow: the interval goes on beyond the axis",
            f"{left} further pairs are in the table" if left else "",
            f"Without a difference to draw: {', '.join(lost)}" if lost else "",
            *comparison_notes(datasets),
        ]
    )
    looks = {pair: _colour(shown, pair) for pair in shown}
    names = [markers.Named(Line2D([], [], color=colour, **DOT), pair) for pair, colour in looks.items()]
    names.append(markers.Named(Line2D([], [], color=OPEN, **DOT), "cannot tell"))
    heading = "; ".join(dict.fromkeys(str(dataset.attrs.get("title", "comparison")) for dataset in datasets))
    return layout.finish(
        figure, cells, caption, options, abreast=abreast, heading=heading.replace("_", " "), names=names
    )


def trend_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """The measures whose trends are surest, a panel each; see :func:`landscape.probes.plot.plot`.

    Raises:
        InputError: for comparisons without a trend: of settings that have no order, or of fewer than three.
    """
    if not all("trend_p" in dataset and dataset.sizes["trend"] for dataset in datasets):
        raise InputError(
            "kind: 'trend' needs settings in order, at least three of them, and this has none. Try 'forest'."
        )
    found = read_measures(datasets, options)
    sure: dict[str, float] = {}
    for dataset in datasets:
        least = np.nanmin(np.where(np.isnan(dataset["trend_p"]), np.inf, dataset["trend_p"]), axis=1)
        sure |= dict(zip(map(str, dataset["measure"].values), least.tolist(), strict=True))
    chosen = sorted(found, key=lambda measure: sure[measure.name])[:MOST_TRENDS]
    kept = [measure for measure in found if measure in chosen]
    note = f"The {len(kept)} of {len(found)} measures with the surest trends" if len(kept) < len(found) else ""
    return measures_figure(datasets, kept, options, note)


def read_rows(dataset: xr.Dataset) -> list[Row]:
    """Every difference that can stand on one of the two axes, the largest of each family first, families in the file's order."""
    if not {"difference", "difference_low", "difference_high", "verdict"} <= set(dataset):
        return []
    families = dataset["family"].values if "family" in dataset else [""] * dataset.sizes["measure"]
    rows = []
    for m, measure in enumerate(map(str, dataset["measure"].values)):
        one = dataset.isel(measure=m)
        log = str(one["scale"].item()) == "log"
        for p, pair in enumerate(map(str, dataset["pair"].values)):
            cells = [float(one[name][p]) for name in ("difference", "difference_low", "difference_high")]
            unit = 1.0 if log else _deviation(one, pair)
            if not np.isfinite(cells[0]) or not unit > 0 or (log and cells[0] <= 0):
                continue
            told = str(one["verdict"].values[p]) in TOLD
            name = str(one["long_name"].item()) if "long_name" in one else measure
            value, low, high = (cell / unit for cell in cells)
            rows.append(Row(str(families[m]), measure, name, pair, log, value, low, high, told))
    order = {family: place for place, family in enumerate(dict.fromkeys(map(str, families)))}
    far = {row.measure: 0.0 for row in rows}
    for row in rows:
        far[row.measure] = max(far[row.measure], row.distance)
    return sorted(rows, key=lambda row: (order[row.family], -far[row.measure], row.measure))


def _deviation(one: xr.Dataset, pair: str) -> float:
    """The standard deviation s of the replicates of both settings; NaN where one has fewer than two."""
    settings = [str(setting) for setting in one["setting"].values]
    both = next(((a, b) for a in settings for b in settings if f"{a} vs {b}" == pair), None)
    if both is None:
        return float("nan")
    values = [one["value"].values[settings.index(setting)] for setting in both]
    known = [v[np.isfinite(v)] for v in values]
    return float(np.sqrt(np.mean([v.var(ddof=1) for v in known]))) if min(map(len, known)) > 1 else float("nan")


def _colour(pairs: Sequence[str], pair: str) -> str:
    colours = cycle()
    return colours[pairs.index(pair) % len(colours)]


def _axis(rows: Sequence[Row]) -> Scale:
    """From no difference to both sides: all estimates, and intervals up to :data:`REACH` times the farthest estimate."""
    log = rows[0].log
    zero = 0.0

    def on(value: float) -> float:
        return float(np.log(value)) if log and value > 0 else -np.inf if log else value

    far = max(row.distance for row in rows) or 1.0
    ends = [on(end) for row in rows for end in (row.low, row.high) if not np.isnan(end)]
    inside = [end for end in ends if abs(end) <= REACH * far]
    low, high = (min([zero, *(on(r.value) for r in rows), *inside]), max([zero, *(on(r.value) for r in rows), *inside]))
    room = 0.06 * (high - low)
    low, high = low - room, high + room
    return Scale(log, *((float(np.exp(low)), float(np.exp(high))) if log else (low, high)))


def _cell(figure: PaperFigure, rows: Sequence[Row], pairs: Sequence[str]) -> layout.Cell:
    axes = figure.add_subplot()
    scale = _axis(rows)
    axes.set_xscale("log" if scale.log else "linear")
    axes.set_xlim(scale.low, scale.high)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1.0 if scale.log else 0.0, color=INK, linewidth=0.6, alpha=0.5, zorder=1)
    places, heads, y = {}, [], 0.0
    room = ROW * SPREAD if len(pairs) > 1 else 0.0  # of a row, for its pairs one under the other
    step, family = ROW + 0.4 * room + LABEL_OVER, None
    for row in rows:
        if row.measure in places:
            continue
        if row.family != family and len({r.family for r in rows}) > 1:
            family = row.family
            heads.append((y + ROW / 2, family.replace("_", " ")))
            y += ROW
        places[row.measure] = y + step - ROW / 2
        y += step
    for row in rows:
        offset = 0.0 if len(pairs) == 1 else (pairs.index(row.pair) / (len(pairs) - 1) - 0.5) * room
        _draw(axes, row, places[row.measure] + offset, scale, _colour(pairs, row.pair) if row.told else OPEN)
    axes.set_ylim(y + 0.04, 0.0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    names = _names(rows)
    _label(axes, places, names, heads, LABEL_OVER + 0.02 + room / 2)

    def fit(inches: float) -> None:
        ticks = scale.lines()
        given_ticks(axes, np.array(ticks), scale.labels(ticks), inches)
        for text in axes.texts:
            if text.get_gid() == "row":
                text.set_text(shortened_within(figure, names[str(text.get_label())], inches - 0.05, points("small")))

    cell = layout.Cell(axes, 1.0, "", AXES["log" if scale.log else "linear"], fit=fit)
    cell.tall = y + 0.04
    return cell


def _names(rows: Sequence[Row]) -> dict[str, str]:
    """Each measure in words, with its own name where others have the same words."""
    words = {row.measure: row.name for row in rows}
    return {
        measure: name if list(words.values()).count(name) == 1 else f"{name} ({measure})"
        for measure, name in words.items()
    }


def _label(
    axes: Axes, places: dict[str, float], names: dict[str, str], heads: Sequence[tuple[float, str]], over: float
) -> None:
    """Names of measures ``over`` their rows by so many inches, and of families over theirs."""
    look: dict[str, Any] = {"fontsize": points("small"), "va": "center", "ha": "left", "parse_math": False}
    across = axes.get_yaxis_transform()
    axes.set_yticks([])
    for measure, y in places.items():
        axes.text(0.0, y - over, names[measure], transform=across, gid="row", label=measure, **look)
    for y, family in heads:
        axes.text(0.0, y, family, transform=across, weight="bold", **look)
        axes.axhline(y - ROW / 2 + 0.01, color="#cccccc", linewidth=0.5, zorder=0)


def _draw(axes: Axes, row: Row, y: float, scale: Scale, colour: str) -> None:
    """The interval, with an arrow where it goes on beyond the axis, and the estimate in it."""
    low, high = scale.low, scale.high
    ends: Floats = np.array([row.low, row.high])
    if np.isnan(ends).all():
        ends = np.array([row.value, row.value])
    start, stop = max(ends[0], low), min(ends[1], high)
    axes.plot([start, stop], [y, y], color=colour, linewidth=1.1, zorder=2, solid_capstyle="butt", gid="interval")
    for beyond, at, marker in ((ends[0] < low, low, "<"), (ends[1] > high, high, ">")):
        if beyond:
            axes.plot([at], [y], marker=marker, color=colour, markersize=3, clip_on=False, zorder=2)
    axes.plot([row.value], [y], color=colour, **DOT, zorder=3, gid="estimate")
