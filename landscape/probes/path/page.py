"""What the page of paths between checkpoints is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.arrays import Floats
from landscape.pictures.options import Options
from landscape.pictures.page_parts import (
    CHART,
    LINE,
    PAGE,
    band,
    dash,
    gap,
    grid,
    groups,
    mode,
    own_axis,
    scale_content,
)
from landscape.pictures.style import number
from landscape.probes.path.picture import (
    ERROR_ALPHA,
    Way,
    name_of_way,
    panel_scale,
    path_caption,
    read_paths,
    stroked,
    where_words,
)

STROKES_APART = 0.007  # of the path


def path_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for the loss, which has the page's scale, and one for the accuracy."""
    ways, panels = read_paths(datasets, options)
    drawn = _drawn([way for way in ways if way.has(panels[0])], panels[0])
    return {
        **PAGE,
        "caption": path_caption(datasets, ways, options),
        "scale": scale_content(drawn, panels[0], options.scale, options.loss_max if panels[0] == "loss" else None),
        "groups": groups(
            [f"{name_of_way(way, ways)}: {way.barrier_words}" for way in ways],
            [way.colour for way in ways],
            [way.dashes for way in ways],
        ),
        "styles": [
            "band: ± standard error over samples",
            *(["upright stroke: barrier"] if stroked(ways) else []),
            "×\u00a0not finite",
        ],
        "charts": [_chart(ways, panel, options, scaled=panel == panels[0]) for panel in panels],
    }


def _drawn(ways: Sequence[Way], panel: str) -> list[Floats]:
    """The values, and the ends of their bands as far as they fit the scale of the values."""
    values = [way.values(panel) for way in ways]
    ends = [value + sign * way.errors(panel) for value, way in zip(values, ways, strict=True) for sign in (-1, 1)]
    positive = all((value[np.isfinite(value)] > 0).all() for value in values)
    return [*values, *(end[end > 0] if positive else end for end in ends)]


def _chart(ways: Sequence[Way], panel: str, options: Options, *, scaled: bool) -> dict[str, Any]:
    numbered = [(f"g{number_}", way) for number_, way in enumerate(ways) if way.has(panel)]
    units = {str(way.dataset[panel].attrs.get("units", "1")) for _, way in numbered} - {"1"}
    marks = [
        mark
        for group, way in numbered
        for mark in (
            *gap(way.t, way.nonfinite(panel), f"{name_of_way(way, ways)}: not finite", way.colour, group),
            *gap(way.t, way.missing, f"{name_of_way(way, ways)}: not measured", "#777777", group, bottom=True),
        )
    ]
    return {
        **CHART,
        "title": panel.capitalize(),
        "xLabel": where_words(ways),
        "yLabel": panel + (f" ({units.pop()})" if units else ""),
        "range": [-0.02, 1.02],
        "scaled": scaled,
        "axis": None if scaled else own_axis(panel_scale(ways, panel, options)),
        "lines": [line for group, way in numbered for line in _lines(way, ways, panel, group, _beside(way, ways))],
        "gaps": marks,
    }


def _beside(way: Way, ways: Sequence[Way]) -> int:
    """How many strokes of barriers stand at the place of its own before it."""
    before = ways[: ways.index(way)]
    return sum(other.foot is not None and other.barrier[2] == way.barrier[2] for other in before)


def _lines(way: Way, ways: Sequence[Way], panel: str, group: str, beside: int) -> list[dict[str, Any]]:
    """The path with its band, and of the loss the stroke of its barrier."""
    name = html.escape(name_of_way(way, ways), quote=False)
    values, errors = way.values(panel), way.errors(panel)
    base = {**LINE, "colour": way.colour, "group": group}
    own = {
        "x": way.t.tolist(),
        "y": grid(values),
        "texts": [
            f"{name}<br>t = {number(float(t))}: {number(float(v), 4)} ± {number(float(e), 2)}"
            for t, v, e in zip(way.t, values, errors, strict=True)
        ],
        "bands": [band(values - errors, values + errors, way.colour, ERROR_ALPHA)],
        "dash": dash(way.dashes),
        "mode": mode(int(np.isfinite(values).sum())),
    }
    if panel != "loss" or way.foot is None or not stroked(ways):
        return [{**base, **own}]
    stroke = {
        "x": [way.barrier[2] + STROKES_APART * beside] * 2,
        "y": list(way.foot),
        "width": 1,
        "texts": [f"{name}<br>{way.barrier_words}"] * 2,
    }
    return [{**base, **own}, {**base, **stroke}]
