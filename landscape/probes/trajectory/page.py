"""What the page of trajectories is made of: their planes with the path, and every checkpoint's loss where the pointer asks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import xarray as xr

from landscape.pictures.options import Options
from landscape.pictures.style import number
from landscape.probes.plane.page import planes_content
from landscape.probes.trajectory.picture import Route, route_words


def trajectory_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """The planes' own content, and a path over each."""
    content = planes_content(datasets, options)
    routes = [Route(dataset) for dataset in datasets]
    panels = [
        {**panel, "path": _path(route), "note": panel["note"] or route_words(route)}
        for panel, route in zip(content["panels"], routes, strict=True)
    ]
    return {**content, "panels": panels}


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
    return {"x": x, "y": y, "sizes": [2 * float(d) for d in route.diameters], "texts": texts}
