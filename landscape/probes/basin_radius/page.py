"""What the page of a basin's radius is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, grid, groups, own_axis
from landscape.pictures.style import number
from landscape.probes.basin_radius.picture import BasinPanel, Curve, basin_caption, read_basin


def basin_radius_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """The chart of :func:`landscape.probes.basin_radius.picture.basin_radius_figure`."""
    panel = read_basin(datasets, options)
    return {
        **PAGE,
        "caption": basin_caption(datasets, options),
        "groups": groups(labels_of(datasets, options.labels), panel.colours),
        "styles": ["thin: random directions", "dashed: worst directions", "dotted: the edge of the basin"],
        "charts": [_chart(panel, options.scale)],
    }


def _chart(panel: BasinPanel, scale: str) -> dict[str, Any]:
    return {
        **CHART,
        "notes": list(panel.said),
        "xLabel": panel.x_label,
        "yLabel": panel.y_label,
        "range": [0.0, panel.farthest],
        "axis": own_axis(panel.scale(scale)),
        "lines": [
            *(_edge(panel, group, edge) for group, (_, edge) in enumerate(panel.ends)),
            *(_line(curve, panel.metric) for curve in panel.curves),
        ],
    }


def _edge(panel: BasinPanel, group: int, edge: float) -> dict[str, Any]:
    look = {"colour": panel.colours[group], "group": f"g{group}", "dash": "dot", "width": 1}
    return {**LINE, **look, "x": [0.0, panel.farthest], "y": [edge, edge]}


def _line(curve: Curve, metric: str) -> dict[str, Any]:
    return {
        **LINE,
        "colour": curve.colour,
        "group": f"g{curve.group}",
        "x": curve.places.tolist(),
        "y": grid(np.asarray(curve.values)),
        "texts": [_spoken(curve, metric, place) for place in range(curve.places.size)],
        "dash": "solid" if curve.random else "dash",
        "mode": "lines+markers",
        "size": 4,
        "width": 1 if curve.random else 2,
        "opacity": 0.6 if curve.random else 1,
    }


def _spoken(curve: Curve, metric: str, place: int) -> str:
    value, at = number(float(curve.values[place]), 4), number(float(curve.places[place]), 4)
    return f"{html.escape(curve.name, quote=False)}<br>{metric} {value} at {at} ‖θ‖"
