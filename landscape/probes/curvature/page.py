"""What the page of spectra is made of, as plain values for its script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.arrays import Floats
from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, axis_range, band, grid, groups, own_axis
from landscape.pictures.style import number
from landscape.probes.curvature.picture import BAND_ALPHA, curvature_caption, layer_names
from landscape.probes.curvature.reading import CurvaturePanel, Layers, Spectrum, axis_words, rank_words, read_curvature


def curvature_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`landscape.probes.curvature.picture.curvature_figure`."""
    panels = read_curvature(datasets, options)
    shown: dict[int, Spectrum | Layers] = {}
    for panel in panels:
        shown |= {one.group: one for one in panel.spectra or panel.layers}
    ordered = [shown[group] for group in sorted(shown)]
    return {
        **PAGE,
        "caption": curvature_caption(datasets, panels, options),
        "groups": groups([one.label for one in ordered], [one.colour for one in ordered]),
        "styles": ["ticks at the foot of a density: extreme eigenvalues", "open: not converged"],
        "charts": [
            _chart(panel, options.scale, {one.group: f"g{i}" for i, one in enumerate(ordered)}) for panel in panels
        ],
    }


def _chart(panel: CurvaturePanel, scale: str, names: dict[int, str]) -> dict[str, Any]:
    x, y = axis_words(panel)
    chart = {**CHART, "title": panel.title, "xLabel": x, "yLabel": y, "axis": own_axis(panel.scale(scale))}
    if panel.quantity == "density":
        floor = chart["axis"]["range"][0]
        lines = [line for one in panel.spectra for line in _density_lines(one, names[one.group], floor)]
        return {**chart, "range": axis_range(np.array(panel.extent), 0.04), "lines": lines}
    if panel.quantity == "eigenvalues":
        ranks, words = rank_words(panel)
        lines = [line for one in panel.spectra for line in _rank_lines(one, names[one.group], ranks)]
        return {**chart, **_places(words), "lines": lines}
    layers = layer_names(panel)
    return {**chart, **_places(layers), "lines": [_layer_line(one, names[one.group], layers) for one in panel.layers]}


def _places(words: Sequence[str]) -> dict[str, Any]:
    """An axis of names, one beside the other."""
    return {"range": [-0.6, len(words) - 0.4], "ticks": {"values": list(range(len(words))), "words": list(words)}}


def _density_lines(one: Spectrum, group: str, floor: float) -> list[dict[str, Any]]:
    base = {**LINE, "colour": one.colour, "group": group}
    head = html.escape(one.label, quote=False)
    words = [
        f"{head}<br>λ = {number(float(a), 4)}: {number(float(v), 3)}" for a, v in zip(one.at, one.density, strict=True)
    ]
    curve = {"x": one.at.tolist(), "y": grid(one.density), "texts": words, "dash": "dot" if one.dead else "solid"}
    bands = [band(one.density - one.spread, one.density + one.spread, one.colour, BAND_ALPHA)]
    lines = [{**base, **curve, "width": 1.4, "bands": bands if np.isfinite(one.spread).any() else []}]
    foot = np.full(one.values.shape, floor * 1.2 if floor > 0 else floor)
    return lines + _marked(one, base, one.values, foot, symbol="line-ns-open")


def _rank_lines(one: Spectrum, group: str, ranks: Floats) -> list[dict[str, Any]]:
    base = {**LINE, "colour": one.colour, "group": group}
    places = np.array([float(np.flatnonzero(ranks == rank)[0]) for rank in one.ranks])
    return _marked(one, base, places, one.values, symbol="circle")


def _marked(one: Spectrum, base: dict[str, Any], x: Floats, y: Floats, *, symbol: str) -> list[dict[str, Any]]:
    """Marks of the eigenvalues; open circles where they have not converged."""
    head, lines = html.escape(one.label, quote=False), []
    for mask, is_open in ((one.converged, False), (~one.converged, True)):
        if not mask.any():
            continue
        words = [
            f"{head}<br>λ, rank {int(r)}: {number(float(v), 5)}, residual {number(float(e), 2)}"
            for r, v, e in zip(one.ranks[mask], one.values[mask], one.residuals[mask], strict=True)
        ]
        look = {"mode": "markers", "size": 7, "open": is_open, "symbol": "circle" if is_open else symbol}
        lines.append({**base, **look, "x": x[mask].tolist(), "y": grid(y[mask]), "texts": words})
    return lines


def _layer_line(one: Layers, group: str, layers: Sequence[str]) -> dict[str, Any]:
    head = html.escape(one.label, quote=False)
    words = [
        f"{head}<br>{html.escape(name, quote=False)}: {number(float(v), 4)}"
        for name, v in zip(one.names, one.values, strict=True)
    ]
    return {
        **LINE,
        "colour": one.colour,
        "group": group,
        "mode": "lines+markers",
        "dash": "dot" if one.dead else "solid",
        "x": [layers.index(name) for name in one.names],
        "y": grid(one.values),
        "texts": words,
        "errors": {"plus": grid(one.high - one.values), "minus": grid(one.values - one.low)},
    }
