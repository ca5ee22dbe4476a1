"""What the page of a comparison is made of, as plain values for its script."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, gap, grid, own_axis
from landscape.pictures.style import number
from landscape.probes.comparison.forest import MOST_PAIRS, Effect, beyond, read_forest
from landscape.probes.comparison.picture import (
    ALIVE,
    ASIDE,
    DEAD,
    Measure,
    axis_words,
    comparison_caption,
    measure_scale,
    outside,
    read_measures,
)

MOST_SHOWN = 6  # measures, those that something is claimed of first; the others lie behind a button
OPEN = ("cannot tell", "no difference tested")
HERE = "#D55E00"  # what differs in these runs alone


def comparison_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """All differences beside each other, and a chart for each measure: intervals, replicates, and what the tests said in words."""
    measures = read_measures(datasets, options)
    verdicts = {text: verdict for dataset in datasets for text, verdict in _verdicts(dataset)}
    ordered = sorted(measures, key=lambda one: all(verdicts.get(text) in OPEN for text in one.sentences))
    overview = [chart for dataset in datasets for chart in _forest(dataset)] if options.quantity == "all" else []
    return {
        **PAGE,
        "caption": comparison_caption(datasets, measures),
        "styles": [
            "dot and bar: mean and interval",
            "pale dots: replicates",
            "grey: dead, without a rank",
            *(["overview: the differences with their intervals, grey: cannot tell"] if overview else []),
        ],
        "overview": overview,
        "charts": [_chart(measure, options.scale, verdicts) for measure in ordered],
        "most": MOST_SHOWN,
    }


def _verdicts(dataset: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Every sentence with its verdict."""
    for prefix in ("", "trend_"):
        if f"{prefix}sentence" in dataset and f"{prefix}verdict" in dataset:
            texts, verdicts = (dataset[f"{prefix}{name}"].values.ravel() for name in ("sentence", "verdict"))
            yield from zip(map(str, texts), map(str, verdicts), strict=True)


def _forest(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """A chart of the ratios and one of the standardised differences, as far as there are any."""
    effects = read_forest(dataset)
    by = str(dataset.attrs.get("by", "setting")).replace("_", " ")
    pairs = (
        ", ".join(map(str, dataset["pair"].values)) if dataset.sizes["pair"] <= MOST_PAIRS else "with every doubling"
    )
    made = []
    for form, words in (("ratio", "ratio"), ("difference", "difference in standard deviations")):
        own = [one for one in effects if one.form == form]
        if own:
            made.append(_forest_chart(own, f"{by} {pairs}", words))
    return made


def _forest_chart(effects: Sequence[Effect], title: str, words: str) -> dict[str, Any]:
    ratio = effects[0].form == "ratio"
    low, high = beyond(effects)
    at = math.log10 if ratio else float
    places = np.arange(len(effects), dtype=float)[::-1]
    families = [one.family for one in effects]
    names = [f"{one.what} · {one.family}" if len(set(families)) > 1 else one.what for one in effects]
    rounded = _round_ratios(low, high) if ratio else np.linspace(-1, 1, 5) * float(f"{high:.1g}")
    lines = [_effect_line(one, float(place), (low, high), at) for one, place in zip(effects, places, strict=True)]
    none = {"x": [at(effects[0].none)] * 2, "y": [-0.6, len(effects) - 0.4], "colour": DEAD, "width": 1, "dash": "dot"}
    return {
        **CHART,
        "title": f"{title}: {words}s",
        "xLabel": f"{words}, with its 95 % interval",
        "yLabel": "",
        "range": [at(low), at(high)],
        "axis": {"log": False, "range": [-0.6, len(effects) - 0.4], "ticks": places.tolist(), "words": names},
        "ticks": {"values": [at(value) for value in rounded], "words": [number(float(value)) for value in rounded]},
        "lines": [{**LINE, **none, "group": ""}, *lines],
        "wide": True,
        "height": 110 + 26 * len(effects),
    }


def _effect_line(one: Effect, place: float, ends: tuple[float, float], at: Callable[[float], float]) -> dict[str, Any]:
    """The dot with its interval; an arrow at the end of the axis where it lies beyond."""
    inside = min(max(one.value, ends[0]), ends[1])
    low, high = (at(min(max(end, ends[0]), ends[1])) for end in (one.low, one.high))
    symbol = "triangle-left" if one.value < ends[0] else "triangle-right" if one.value > ends[1] else "circle"
    colour = DEAD if not one.claimed else HERE if one.here_only else ALIVE
    interval = f"{number(one.value)} [{number(one.low)}, {number(one.high)}]"
    return {
        **LINE,
        "name": one.what,
        "x": [at(inside)],
        "y": [place],
        "mode": "markers",
        "symbol": symbol,
        "size": 8,
        "colour": colour,
        "group": "",
        "texts": [f"{_plain(one.what)}<br>{interval}<br>{_wrapped(_plain(one.sentence))}"],
        "xErrors": {"plus": [high - at(inside)], "minus": [at(inside) - low]},
    }


def _round_ratios(low: float, high: float) -> list[float]:
    """A few ratios that people think in."""
    fine = [1 / 2, 1 / 1.5, 1 / 1.2, 1 / 1.1, 1.0, 1.1, 1.2, 1.5, 2.0]
    coarse = [sign for power in (1, 2, 3) for sign in (10.0**-power, 10.0**power)]
    middle = [0.2, 0.5, 2.0, 5.0]
    chosen = fine if high <= 2.5 else [*middle, 1.0, 0.1, 10.0] if high <= 12 else [*coarse, 1.0]
    return sorted(value for value in dict.fromkeys(chosen) if low <= value <= high)


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
