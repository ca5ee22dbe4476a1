"""What the page of a comparison is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, gap, grid, own_axis
from landscape.pictures.style import number
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


def comparison_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each measure: intervals, replicates, and what the tests said in words."""
    measures = read_measures(datasets, options)
    return {
        **PAGE,
        "caption": comparison_caption(datasets, measures),
        "styles": ["dot and bar: mean and interval", "pale dots: replicates", "grey: dead, without a rank"],
        "charts": [_chart(measure, options.scale) for measure in measures],
    }


def _chart(measure: Measure, scale: str) -> dict[str, Any]:
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
        "notes": [*measure.sentences, *hidden],
        "xLabel": axis_words(measure),
        "yLabel": measure.unit,
        "range": [-0.5, count - 0.5],
        "axis": axis,
        "ticks": {"values": list(range(count)), "words": [measure.label(k) for k in range(count)]},
        "lines": [line for dead in (False, True) for line in _lines(measure, words, dead=dead)],
        "gaps": marks,
    }


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
