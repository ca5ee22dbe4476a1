"""What the page of sharpness over ρ is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, axis_range, dash, gap, grid, groups, own_axis
from landscape.pictures.style import number
from landscape.probes.sharpness.picture import Curve, SharpnessPanel, nonfinite_words, read_sharpness, sharpness_caption


def sharpness_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.sharpness.picture.sharpness_figure`."""
    panels = read_sharpness(datasets, options)
    curves = list({curve.group: curve for panel in panels for curve in panel.curves}.values())
    return {
        **PAGE,
        "caption": sharpness_caption(datasets, panels, options),
        "groups": groups(
            [curve.label for curve in curves], [curve.colour for curve in curves], [curve.style for curve in curves]
        ),
        "styles": ["bar: one standard error", "open: the ascent had not ended", "×\u00a0not finite, or no ascent"],
        "charts": [_chart(panel, options.scale) for panel in panels],
    }


def _chart(panel: SharpnessPanel, scale: str) -> dict[str, Any]:
    several = len(panel.curves) > 1
    notes = [f"{curve.label}: {w}" if several else w for curve in panel.curves for w in nonfinite_words(curve)]
    unit = f" ({panel.unit})" if panel.unit else ""
    marks = [
        gap(np.log10(curve.rho), curve.nonfinite, f"{curve.label}: not finite", curve.colour, _group(curve))
        for curve in panel.curves
    ]
    return {
        **CHART,
        "title": panel.heading,
        "notes": notes,
        "xLabel": f"ρ: {panel.rho_name}",
        "yLabel": f"sharpness{unit}",
        "range": axis_range(np.log10(panel.rho), 0.06),
        "axis": own_axis(panel.scale(scale)),
        "ticks": {"values": np.log10(panel.rho).tolist(), "words": panel.rho_words},
        "lines": [line for curve in panel.curves for line in _lines(curve)],
        "gaps": [mark for of_curve in marks for mark in of_curve],
    }


def _lines(curve: Curve) -> list[dict[str, Any]]:
    """The line, and over it the dots with their bars: open ones where the ascent had not ended."""
    base = {**LINE, "colour": curve.colour, "group": _group(curve)}
    x, known = np.log10(curve.rho), np.isfinite(curve.values)
    words = [_spoken(curve, index) for index in range(curve.rho.size)]
    line = {"x": x.tolist(), "y": grid(curve.values), "texts": words, "dash": dash(curve.style)}
    lines = [{**base, **line, "width": 1.2}]
    for mask, is_open in ((known & ~curve.unfinished, False), (curve.unfinished, True)):
        low, high = (np.abs(end - curve.values)[mask] for end in curve.spread)
        dots = {
            "x": x[mask].tolist(),
            "y": grid(curve.values[mask]),
            "texts": [words[index] for index in np.flatnonzero(mask)],
            "errors": {"plus": grid(high), "minus": grid(low)},
            "mode": "markers",
            "size": 7,
            "open": is_open,
        }
        if mask.any():
            lines.append({**base, **dots})
    return lines


def _spoken(curve: Curve, index: int) -> str:
    value, error = float(curve.values[index]), float(curve.errors[index])
    bar = f" ± {number(error, 2)}" if np.isfinite(error) else ""
    rest = "<br>the ascent had not ended" if curve.unfinished[index] else ""
    head = html.escape(curve.label, quote=False)
    return f"{head}<br>ρ = {number(float(curve.rho[index]))}: {number(value, 4)}{bar}{rest}"


def _group(curve: Curve) -> str:
    return f"g{curve.group}"
