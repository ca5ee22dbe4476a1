"""What the page of trajectories is made of: their planes with the path, and every checkpoint's loss where the pointer asks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.page_parts import CHART, LINE, PAGE, axis_range, band, dash, gap, grid, groups, own_axis
from landscape.pictures.scale import choose_scale
from landscape.pictures.style import number
from landscape.probes.plane.page import planes_content
from landscape.probes.trajectory.picture import Route, route_words

_SYMBOLS = {"o": "circle", "s": "square", "D": "diamond"}  # plotly's names of the figure's marks


def trajectory_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """The planes' own content, a path over each, and a chart of what is known of every checkpoint's loss."""
    content = planes_content(datasets, options)
    routes = [Route(dataset) for dataset in datasets]
    panels = [
        {**panel, "path": _path(route), "note": panel["note"] or route_words(route)}
        for panel, route in zip(content["panels"], routes, strict=True)
    ]
    shown = {name: (words, look) for route in routes for name, words, look in route.shown_losses()}
    names = list(shown)
    charts = [_losses(route, panel["label"], names) for route, panel in zip(routes, panels, strict=True)]
    return {
        **PAGE,
        **content,
        "panels": panels,
        "groups": groups(
            [words for words, _ in shown.values()],
            [look["color"] for _, look in shown.values()],
            [look["linestyle"] for _, look in shown.values()],
        ),
        "styles": ["band or bar: ± standard error over the samples", "×\u00a0not finite"],
        "charts": charts,
    }


def _losses(route: Route, label: str, names: Sequence[str]) -> dict[str, Any]:
    """Every checkpoint's loss: its own, of its weights, and of its projection on the plane."""
    what, x = route.clock
    unit = str(route.dataset["path_loss"].attrs.get("units", "1"))
    error = route.values("path_loss_standard_error")
    lines, marks, drawn = [], [], [error[:0]]
    mode = "lines+markers" if route.is_path else "markers"
    for name, words, look in route.shown_losses():
        values, group = route.values(name), f"g{names.index(name)}"
        drawn.append(values)
        base = {"colour": look["color"], "group": group, "mode": mode, "symbol": _SYMBOLS[look["marker"]]}
        texts = [
            f"{html.escape(checkpoint, quote=False)}<br>{html.escape(words, quote=False)}: {number(float(value), 4)}"
            for checkpoint, value in zip(route.names, values, strict=True)
        ]
        own = {"x": x.tolist(), "y": grid(values), "texts": texts, "open": True, "width": 1.4}
        known = name == "path_loss" and bool(np.isfinite(error).any())
        drawn += [values - error, values + error] if known else []
        if known and route.is_path:
            own["bands"] = [band(values - error, values + error, look["color"], 0.18)]
        elif known:
            own["errors"] = {"plus": grid(error), "minus": grid(error)}
        lines.append({**LINE, **base, **own, "dash": dash(look["linestyle"])})
        marks += gap(x, ~np.isfinite(values), f"{words}: not finite", look["color"], group)
    return {
        **CHART,
        "title": label,
        "xLabel": what or "model",
        "yLabel": "loss" + (f" ({unit})" if unit != "1" else ""),
        "range": axis_range(x, 0.04),
        "whole": True,
        "axis": own_axis(choose_scale(drawn)),
        "lines": lines,
        "gaps": marks,
    }


def _path(route: Route) -> dict[str, Any]:
    shown = [(words, route.values(name)) for name, words, _ in route.shown_losses()]
    residuals = route.values("path_residual")
    texts = [
        "<br>".join(
            [
                html.escape(name, quote=False),
                *(f"loss, {words}: {number(float(values[k]), 4)}" for words, values in shown),
                f"distance from the plane: {number(float(residuals[k]), 3)}",
            ]
        )
        for k, name in enumerate(route.names)
    ]
    x, y = route.values("path_x").tolist(), route.values("path_y").tolist()
    names = [] if route.is_path else [html.escape(name, quote=False) for name in route.names]
    return {"x": x, "y": y, "sizes": [2 * float(d) for d in route.diameters], "texts": texts, "names": names}
