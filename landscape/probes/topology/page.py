"""What the page of topologies is made of: merge trees and barcodes whose nodes and bars answer the pointer."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, axis_range, grid, scale_content
from landscape.pictures.style import INK, number
from landscape.probes.topology.picture import (
    BAR_COLOURS,
    DIMENSIONS,
    MINIMUM,
    MINIMUM_LOOK,
    SADDLE,
    Surface,
    branches,
    read_topologies,
    topology_caption,
)


def topology_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.topology.picture.topology_figure`, all on the page's scale."""
    surfaces, panels = read_topologies(datasets, options)
    levels = [surface.levels for surface in surfaces]
    still = all(surface.dataset.attrs.get("dead") for surface in surfaces)
    top = max(float(values.max()) for values in levels)
    return {
        **PAGE,
        "caption": topology_caption(datasets, panels, options),
        "scale": scale_content(levels, "loss", options.scale, None, still=still),
        "styles": [
            "●\u00a0minimum",
            "■\u00a0saddle",
            *(f"dimension {d}: {words}" for d, words in enumerate(DIMENSIONS)),
        ],
        "charts": [
            _tree_chart(surface) if panel == "tree" else _barcode_chart(surface, top)
            for surface in surfaces
            for panel in panels
        ],
    }


def _tree_chart(surface: Surface) -> dict[str, Any]:
    tree = branches(surface)
    x, y, words = [], [], [f"{number(float(v), 5)} at {_place(p)}" for v, p in zip(tree.y, tree.places, strict=True)]
    for node in range(tree.y.size):
        if tree.parents[node] != node:
            across, up = tree.elbow(node)
            x += [*across, np.nan]
            y += [*up, np.nan]
    lines = [{**LINE, "x": grid(np.array(x)), "y": grid(np.array(y)), "colour": INK, "width": 1.2, "group": ""}]
    for kind, name, colour, symbol in (
        (MINIMUM, "minimum", MINIMUM_LOOK["color"], "circle"),
        (SADDLE, "saddle", INK, "square"),
    ):
        those = np.flatnonzero(tree.kinds == kind)
        look = {"mode": "markers", "symbol": symbol, "size": 6, "colour": colour, "group": ""}
        texts = [f"{name}: {words[node]}" for node in those]
        lines.append({**LINE, **look, "x": tree.x[those].tolist(), "y": grid(tree.y[those]), "texts": texts})
    return _chart(surface, "merge tree", tree.x, lines)


def _barcode_chart(surface: Surface, top: float) -> dict[str, Any]:
    """Each bar as a piece of one line; what never ends goes to the top of all levels."""
    lines, start, places = [], 0.0, [0.0]
    for dimension, colour in enumerate(BAR_COLOURS):
        births, deaths = surface.bars(dimension)
        x = start + np.arange(births.size)
        ends = np.where(np.isinf(deaths), top, deaths)
        gaps = np.full(births.size, np.nan)
        words = [_spoken(dimension, *pair) for pair in zip(births, deaths, strict=True)]
        lines.append(
            {
                **LINE,
                "x": grid(np.stack([x, x, gaps], axis=1).ravel()),
                "y": grid(np.stack([births, ends, gaps], axis=1).ravel()),
                "texts": [word for one in words for word in (one, one, "")],
                "colour": colour,
                "width": 3,
                "group": "",
            }
        )
        places += x.tolist()
        start += births.size + 1
    return _chart(surface, "features, the longest first", np.array(places), lines)


def _chart(surface: Surface, under: str, x: Any, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **CHART,
        "title": surface.heading,
        "xLabel": under,
        "yLabel": "loss" + (f" ({surface.unit})" if surface.unit else ""),
        "range": axis_range(np.asarray(x), 0.04),
        "ticks": {"values": [], "words": []},
        "scaled": True,
        "lines": lines,
    }


def _spoken(dimension: int, birth: float, death: float) -> str:
    end = (
        "never ends"
        if np.isinf(death)
        else f"to {number(float(death), 4)}, a life of {number(float(death - birth), 3)}"
    )
    return html.escape(f"{DIMENSIONS[dimension]} from {number(float(birth), 4)} {end}", quote=False)


def _place(place: tuple[float, float]) -> str:
    return f"({number(place[0], 3)}, {number(place[1], 3)})"
