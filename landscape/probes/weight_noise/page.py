"""What the page of weight noise over σ is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, PAGE, axis_range, dash, dots_with_errors, gap, groups, own_axis
from landscape.pictures.style import number
from landscape.probes.weight_noise.picture import Curve, NoisePanel, noise_caption, nonfinite_words, read_noise


def weight_noise_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.weight_noise.picture.weight_noise_figure`."""
    panels = read_noise(datasets, options)
    curves = list({curve.group: curve for panel in panels for curve in panel.curves}.values())
    # The script names groups g0, g1, … in their order.
    order = {curve.group: f"g{place}" for place, curve in enumerate(curves)}
    return {
        **PAGE,
        "caption": noise_caption(datasets, options),
        "groups": groups([c.label for c in curves], [c.colour for c in curves], [c.look["linestyle"] for c in curves]),
        "styles": ["bar: one standard error over draws", "×\u00a0not finite"],
        "charts": [_chart(panel, order, options.scale) for panel in panels],
    }


def _chart(panel: NoisePanel, order: dict[int, str], scale: str) -> dict[str, Any]:
    several = len(panel.curves) > 1
    return {
        **CHART,
        "title": panel.title,
        "notes": [f"{curve.label}: {w}" if several else w for curve in panel.curves for w in nonfinite_words(curve)],
        "xLabel": panel.x_label,
        "yLabel": panel.y_label,
        "range": axis_range(np.log10(panel.sigma), 0.06),
        "axis": own_axis(panel.scale(scale)),
        "ticks": {"values": np.log10(panel.sigma).tolist(), "words": panel.sigma_words},
        "lines": [_line(curve, order[curve.group]) for curve in panel.curves],
        "gaps": [
            mark
            for curve in panel.curves
            for mark in gap(
                np.log10(curve.at),
                curve.nonfinite,
                f"{curve.label}: not finite",
                curve.colour,
                order[curve.group],
            )
        ],
    }


def _line(curve: Curve, group: str) -> dict[str, Any]:
    texts = [_spoken(curve, place) for place in range(curve.at.size)]
    look = {"colour": curve.colour, "group": group, "dash": dash(curve.look["linestyle"])}
    return {**dots_with_errors(np.log10(curve.at), curve.rise, curve.errors, texts), **look}


def _spoken(curve: Curve, place: int) -> str:
    rise, error = float(curve.rise[place]), float(curve.errors[place])
    bar = f" ± {number(error, 2)}" if np.isfinite(error) else ""
    return f"{html.escape(curve.label, quote=False)}<br>σ = {number(float(curve.at[place]))}: {number(rise, 4)}{bar}"
