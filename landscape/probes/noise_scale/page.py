"""What the page of gradient noise scales is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, gap, grid, groups, own_axis
from landscape.pictures.scale import Scale
from landscape.pictures.style import number
from landscape.probes.noise_scale.picture import (
    ARROWS,
    AXIS,
    LEFT,
    PLACES,
    Noise,
    beyond,
    noise_axis,
    noise_caption,
    read_noise,
)


def noise_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """The chart of :func:`landscape.probes.noise_scale.picture.noise_figure`."""
    noises = read_noise(datasets, options)
    scale = noise_axis(noises, options.scale)
    return {
        **PAGE,
        "caption": noise_caption(datasets, noises, options, scale),
        "groups": groups([one.label for one in noises], [one.colour for one in noises]),
        "styles": ["bar: one standard error", "faint: without a group of batches", "open: not resolved"],
        "charts": [
            {
                **CHART,
                "title": "Gradient noise scale",
                "notes": [note for one in noises for note in _notes(one, several=len(noises) > 1)],
                "xLabel": PLACES,
                "yLabel": AXIS,
                "range": [-0.5, len(noises) - 0.5],
                "axis": own_axis(scale),
                "ticks": {"values": [], "words": []},
                "lines": [line for one in noises for line in _lines(one)],
                "gaps": [mark for one in noises for mark in _gaps(one, scale)],
            }
        ],
    }


def _notes(one: Noise, *, several: bool) -> list[str]:
    of = f"{one.label}: " if several else ""
    return [f"{of}{words}" for words in (one.words, one.lost) if words]


def _lines(one: Noise) -> list[dict[str, Any]]:
    """The dot with its bar, and the values without a group."""
    base = {**LINE, "colour": one.colour, "group": f"g{one.place}", "mode": "markers"}
    head = html.escape(one.label, quote=False)
    error = one.error if np.isfinite(one.error) else None
    whole = {
        "x": [one.place - LEFT],
        "y": grid(np.array([one.value])),
        "texts": [f"{head}<br>{one.words}"],
        "errors": {"plus": [error], "minus": [error]},
        "size": 9,
        "open": not one.resolved,
    }
    texts = [f"{head}<br>without group {k + 1}: {number(float(v), 4)}" for k, v in enumerate(one.without)]
    faint = {"x": one.without_at.tolist(), "y": grid(one.without), "texts": texts, "opacity": 0.5}
    return [{**base, **part} for part in (whole, faint)]


def _gaps(one: Noise, scale: Scale | None) -> list[dict[str, Any]]:
    """Marks at the ends of the axis for what is not finite, or lies beyond it."""
    at, look = np.array([one.place - LEFT, *one.without_at]), (one.colour, f"g{one.place}")
    sides = beyond(one, scale)
    marks = gap(at, ~np.isfinite([one.value, *one.without]), f"{one.label}: not finite", *look)
    for side in ARROWS:
        marks += gap(at, sides == side, f"{one.label}: {side} the axis", *look, bottom=side == "below")
    return marks
