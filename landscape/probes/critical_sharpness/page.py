"""What the page of critical sharpness is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import (
    CHART,
    LINE,
    PAGE,
    axis_range,
    dash,
    dots_with_errors,
    gap,
    grid,
    groups,
    own_axis,
)
from landscape.pictures.style import INK, number
from landscape.probes.critical_sharpness.picture import Curve, StepPanel, critical_caption, read_steps


def critical_sharpness_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.critical_sharpness.picture.critical_sharpness_figure`."""
    panels = read_steps(datasets, options)
    curves = list({curve.group: curve for panel in panels for curve in panel.curves}.values())
    # The script names groups g0, g1, … in their order.
    order = {curve.group: f"g{place}" for place, curve in enumerate(curves)}
    return {
        **PAGE,
        "caption": critical_caption(datasets, options),
        "groups": groups([c.label for c in curves], [c.colour for c in curves], [c.look["linestyle"] for c in curves]),
        "styles": ["bar: one standard error over samples", "×\u00a0not finite"],
        "charts": [_chart(panel, order, options.scale) for panel in panels],
    }


def _chart(panel: StepPanel, order: dict[int, str], scale: str) -> dict[str, Any]:
    several = len(panel.curves) > 1
    places = np.log10(panel.steps)
    powers = np.arange(np.ceil(places.min()), np.floor(places.max()) + 1)
    ticks = powers if powers.size else places[[0, -1]]
    return {
        **CHART,
        "title": panel.title,
        "notes": [f"{curve.label}: {curve.said}" if several else curve.said for curve in panel.curves],
        "xLabel": panel.x_label,
        "yLabel": panel.y_label,
        "range": axis_range(places, 0.06),
        "axis": own_axis(panel.scale(scale)),
        "ticks": {"values": ticks.tolist(), "words": [number(10.0**one) for one in ticks]},
        "lines": [
            _zero(places, next(iter(order.values()))),
            *(
                _upright(curve, panel, order[curve.group], scale)
                for curve in panel.curves
                if np.isfinite(curve.critical)
            ),
            *(_line(curve, order[curve.group]) for curve in panel.curves),
        ],
        "gaps": [
            mark
            for curve in panel.curves
            for mark in gap(
                np.log10(curve.at), curve.nonfinite, f"{curve.label}: not finite", curve.colour, order[curve.group]
            )
        ],
    }


def _zero(places: Any, group: str) -> dict[str, Any]:
    ends = [float(places.min()), float(places.max())]
    return {**LINE, "colour": INK, "group": group, "x": ends, "y": [0.0, 0.0], "width": 1, "opacity": 0.6}


def _upright(curve: Curve, panel: StepPanel, group: str, scale: str) -> dict[str, Any]:
    """The critical step, from one end of the axis to the other."""
    chosen = panel.scale(scale)
    ends = [0.0, 0.0] if chosen is None else [chosen.low, chosen.high]
    place = float(np.log10(curve.critical))
    said = f"{html.escape(curve.label, quote=False)}<br>critical step {number(curve.critical, 5)}"
    look = {"colour": curve.colour, "group": group, "dash": "dot", "width": 1.2}
    return {**LINE, **look, "x": [place, place], "y": grid(np.array(ends)), "texts": [said, said]}


def _line(curve: Curve, group: str) -> dict[str, Any]:
    texts = [_spoken(curve, place) for place in range(curve.at.size)]
    look = {"colour": curve.colour, "group": group, "dash": dash(curve.look["linestyle"])}
    return {**dots_with_errors(np.log10(curve.at), curve.rise, curve.errors, texts), **look}


def _spoken(curve: Curve, place: int) -> str:
    rise, error = float(curve.rise[place]), float(curve.errors[place])
    bar = f" ± {number(error, 2)}" if np.isfinite(error) else ""
    return f"{html.escape(curve.label, quote=False)}<br>η = {number(float(curve.at[place]), 5)}: {number(rise, 4)}{bar}"
