"""The forest plot of a comparison: every difference with its interval on one axis, and the trends that are surest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import joined
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale
from landscape.pictures.style import INK, PAGE, PaperFigure, points, width_of
from landscape.pictures.value_axis import given_ticks
from landscape.pictures.words import shortened_within
from landscape.probes.comparison.forest import AXES, OPEN, Forest, Row, axis_of, names_of, read_forest, surest_trends
from landscape.probes.comparison.picture import comparison_figure, comparison_notes, measures_figure

ROW, LABEL_OVER = 0.17, 0.12  # inches of a row, and of a label over it
SPREAD = 0.62  # of a row, between its first and its last pair
WIDE = 5.0  # inches of a figure from which both blocks stand abreast
DOT: dict[str, Any] = {"marker": "o", "markersize": 3.2, "linestyle": "none"}


def forest_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A block for ratios and one for standardised differences; see :func:`landscape.probes.plot.plot`."""
    forest = read_forest(datasets, options)
    if not forest.rows:
        return comparison_figure(datasets, options)
    figure = layout.new_figure(width_of(options.width, PAGE))
    cells = [_cell(figure, block, forest) for block in forest.blocks]
    abreast = len(cells) if figure.get_size_inches()[0] >= WIDE else 1
    for cell in cells if abreast > 1 else ():  # so that rows of both are as far apart
        cell.tall = max(other.tall or 0.0 for other in cells)
        cell.axes.set_ylim(cell.tall, 0.0)
    looks = {pair: forest.pair_colour(pair) for pair in forest.pairs} | {"cannot tell": OPEN}
    names = [markers.Named(Line2D([], [], color=colour, **DOT), name) for name, colour in looks.items()]
    told = [*forest.sentences, *comparison_notes(datasets)]
    heading = "; ".join(dict.fromkeys(str(dataset.attrs.get("title", "comparison")) for dataset in datasets))
    return layout.finish(
        figure,
        cells,
        joined(told),
        options,
        abreast=abreast,
        heading=heading.replace("_", " "),
        names=names,
    )


def trend_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """The measures whose trends are surest, a panel each; see :func:`landscape.probes.plot.plot`.

    Raises:
        InputError: for comparisons without a trend: of settings that have no order, or of fewer than three.
    """
    kept, note = surest_trends(datasets, options)
    return measures_figure(datasets, kept, options, note)


def _cell(figure: PaperFigure, rows: Sequence[Row], forest: Forest) -> layout.Cell:
    axes, pairs = figure.add_subplot(), forest.pairs
    scale = axis_of(rows)
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
        _draw(axes, row, places[row.measure] + offset, scale, forest.colour(row))
    axes.set_ylim(y + 0.04, 0.0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    names = names_of(rows)
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
