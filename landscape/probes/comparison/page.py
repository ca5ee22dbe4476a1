"""What the page of a comparison is made of, as plain values for its script."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.caption import joined
from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, gap, grid, groups, own_axis
from landscape.pictures.scale import Scale
from landscape.pictures.style import INK, number
from landscape.probes.comparison.forest import AXES, OPEN, Forest, Row, axis_of, names_of, read_forest, surest_trends
from landscape.probes.comparison.picture import (
    ALIVE,
    ASIDE,
    DEAD,
    Measure,
    axis_words,
    comparison_caption,
    comparison_notes,
    measure_scale,
    outside,
    read_measures,
)

MOST_SHOWN = 6  # measures, those that something is claimed of first; the others lie behind a button
UNTOLD = ("cannot tell", "no difference tested")
SPREAD = 0.5  # of a row, between its first and its last pair
ROW, PAIR, AXIS = 24, 10, 90  # pixels of a row, of each further pair in it, and of the axis under them


def comparison_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """The forest plot, a chart for each measure, or both: intervals, replicates, and what the tests said in words."""
    forest = read_forest(datasets, options) if options.kind in ("auto", "forest") else Forest([], [], [])
    measures, note = _measures(datasets, options, forest)
    verdicts = {text: verdict for dataset in datasets for text, verdict in _verdicts(dataset)}
    ordered = sorted(measures, key=lambda one: all(verdicts.get(text) in UNTOLD for text in one.sentences))
    told = joined([*(forest.sentences if forest.rows else []), note])
    rest = comparison_caption(datasets, measures) if measures else joined(comparison_notes(datasets))
    styles = ["dot and bar: mean and interval", "pale dots: replicates", "grey: dead, without a rank"]
    colours = [*(forest.pair_colour(pair) for pair in forest.pairs), OPEN]
    return {
        **PAGE,
        "caption": f"{told} {rest}".strip(),
        "groups": groups([*forest.pairs, "cannot tell"], colours) if forest.rows else [],
        "styles": styles if measures else [],
        "overview": [_forest_chart(block, forest) for block in forest.blocks],
        "charts": [_chart(measure, options.scale, verdicts) for measure in ordered],
        "most": MOST_SHOWN,
        "memberOf": None,
        "members": [],
    }


def _measures(datasets: Sequence[xr.Dataset], options: Options, forest: Forest) -> tuple[list[Measure], str]:
    """Those that have a chart of their own, and what is to be said of the choice."""
    if options.kind == "trend":
        return surest_trends(datasets, options)
    return ([], "") if options.kind == "forest" and forest.rows else (read_measures(datasets, options), "")


def _verdicts(dataset: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Every sentence with its verdict."""
    for prefix in ("", "trend_"):
        if f"{prefix}sentence" in dataset and f"{prefix}verdict" in dataset:
            texts, verdicts = (dataset[f"{prefix}{name}"].values.ravel() for name in ("sentence", "verdict"))
            yield from zip(map(str, texts), map(str, verdicts), strict=True)


def _forest_chart(rows: Sequence[Row], forest: Forest) -> dict[str, Any]:
    scale = axis_of(rows)
    at = math.log10 if scale.log else float
    names, places, y = names_of(rows), dict[str, float](), 0.0
    several, family = len({row.family for row in rows}) > 1, None
    ticks: list[tuple[float, str]] = []
    for row in rows:
        if row.measure in places:
            continue
        if several and row.family != family:
            family, y = row.family, y - 1
            ticks.append((y, family.replace("_", " ").upper()))
        y -= 1
        places[row.measure] = y
        ticks.append((y, names[row.measure]))
    ends = [y - 0.6, -0.4]
    tall = ROW + PAIR * (len(forest.pairs) - 1)
    none = {"x": [at(1.0 if scale.log else 0.0)] * 2, "y": ends, "colour": INK, "width": 1, "dash": "dot"}
    lines = [part for row in rows for part in _row_lines(row, places[row.measure] + _aside(row, forest), scale, forest)]
    rounded = scale.lines()
    return {
        **CHART,
        "title": "Ratios" if scale.log else "Standardised differences",
        "xLabel": f"{AXES['log' if scale.log else 'linear']}, with its interval",
        "yLabel": "",
        "range": [at(scale.low), at(scale.high)],
        "axis": {"log": False, "range": ends, "ticks": [at for at, _ in ticks], "words": [word for _, word in ticks]},
        "ticks": {"values": [at(value) for value in rounded], "words": scale.labels(rounded)},
        "lines": [{**LINE, **none, "group": ""}, *lines],
        "wide": True,
        "named": 5 + SPREAD / 2 * tall if len(forest.pairs) > 1 else 5,
        "height": AXIS + tall * len(ticks),
    }


def _aside(row: Row, forest: Forest) -> float:
    """From the middle of its measure's row, the first pair on top."""
    count = len(forest.pairs)
    return 0.0 if count == 1 else SPREAD * (0.5 - forest.pairs.index(row.pair) / (count - 1))


def _row_lines(row: Row, place: float, scale: Scale, forest: Forest) -> Iterator[dict[str, Any]]:
    """The dot with its interval, and an arrow at an end of the axis beyond which it goes on."""
    at = math.log10 if scale.log else float
    low, high = (row.value if math.isnan(end) else end for end in (row.low, row.high))
    start, stop = (at(min(max(end, scale.low), scale.high)) for end in (low, high))
    group = f"g{forest.pairs.index(row.pair) if row.told else len(forest.pairs)}"
    look = {
        **LINE,
        "name": f"{row.name}, {row.pair}",
        "y": [place],
        "mode": "markers",
        "size": 8,
        "colour": forest.colour(row),
        "group": group,
    }
    interval = f"{number(row.value)} [{number(low)}, {number(high)}]"
    text = f"{_plain(row.name)}, {_plain(row.pair)}<br>{interval}<br>{_wrapped(_plain(row.sentence))}"
    errors = {"plus": [stop - at(row.value)], "minus": [at(row.value) - start]}
    yield {**look, "x": [at(row.value)], "texts": [text], "xErrors": errors}
    for beyond, end, symbol in ((low < scale.low, scale.low, "left"), (high > scale.high, scale.high, "right")):
        if beyond:
            yield {**look, "x": [at(end)], "symbol": f"triangle-{symbol}"}


def _wrapped(text: str) -> str:
    return "<br>".join(textwrap.wrap(text, 80))


def _chart(measure: Measure, scale: str, verdicts: Mapping[str, str]) -> dict[str, Any]:
    count = len(measure.settings)
    chosen = measure_scale(measure, scale)
    axis = own_axis(chosen)
    places, values = measure.replicates
    hidden = [f"{measure.settings[k]} (dead): {side} the axis" for k, side in outside(measure, chosen)]
    marks = gap(places + ASIDE, ~np.isfinite(values), "not finite", "#222222", "")
    words = [measure.label(k).replace("\n", " ") for k in range(count)]
    return {
        **CHART,
        "title": measure.title,
        "notes": [*_told(measure.sentences, verdicts), *hidden],
        "xLabel": axis_words(measure),
        "yLabel": measure.unit,
        "range": [-0.5, count - 0.5],
        "axis": axis,
        "ticks": {"values": list(range(count)), "words": [measure.label(k) for k in range(count)]},
        "lines": [line for dead in (False, True) for line in _lines(measure, words, dead=dead)],
        "gaps": marks,
    }


def _told(sentences: Sequence[str], verdicts: Mapping[str, str]) -> list[str]:
    """What was tested, in words; why the rest was not, the caption says once."""
    tested = [text for text in sentences if verdicts.get(text) != "no difference tested"]
    return tested or (["no difference tested"] if sentences else [])


def _lines(measure: Measure, words: Sequence[str], *, dead: bool) -> list[dict[str, Any]]:
    """Replicates, then means with their intervals, of the living or of the dead settings."""
    base = {**LINE, "colour": DEAD if dead else ALIVE, "group": "", "mode": "markers"}
    places, values = measure.replicates
    own = measure.dead[places.astype(int)] == dead if places.size else np.zeros(0, dtype=bool)
    own &= np.isfinite(values)
    spoken = [
        f"{_plain(words[int(k)])}<br>{number(float(v), 4)}" for k, v in zip(places[own], values[own], strict=True)
    ]
    dots = {"x": (places[own] + ASIDE).tolist(), "y": grid(values[own]), "texts": spoken, "opacity": 0.45}
    settings = np.flatnonzero((measure.dead == dead) & np.isfinite(measure.mean))
    mean, low, high = (array[settings] for array in (measure.mean, measure.low, measure.high))
    if measure.bounds is not None:
        low, high = np.clip(low, *measure.bounds), np.clip(high, *measure.bounds)
    means = {
        "x": settings.tolist(),
        "y": grid(mean),
        "texts": [_interval(measure, int(k), words) for k in settings],
        "errors": {"plus": grid(high - mean), "minus": grid(mean - low)},
        "size": 8,
        "open": dead,
    }
    return [{**base, **part} for part in (dots, means) if part["x"]]


def _interval(measure: Measure, setting: int, words: Sequence[str]) -> str:
    ends = [number(float(array[setting]), 4) for array in (measure.low, measure.high)]
    known = np.isfinite([measure.low[setting], measure.high[setting]]).all()
    interval = f" [{ends[0]}, {ends[1]}]" if known else ", no interval"
    return f"{_plain(words[setting])}<br>mean {number(float(measure.mean[setting]), 4)}{interval}"


def _plain(text: str) -> str:
    return html.escape(text, quote=False)
