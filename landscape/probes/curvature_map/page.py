"""What the page of curvature maps is made of: the ratio as planes, with the loss and both eigenvalues where the pointer asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.pictures.caption import joined
from landscape.pictures.options import Options
from landscape.pictures.page_parts import grid
from landscape.pictures.scale import choose_scale
from landscape.probes.curvature_map.picture import map_note, read_losses, read_maps, unsettled
from landscape.probes.plane.page import planes_content, seed_choices
from landscape.probes.plane.reading import PlaneData

_READ_OUT = {
    "λ_max": "eigenvalue_largest",
    "residual of λ_max": "eigenvalue_largest_residual",
    "λ_min": "eigenvalue_smallest",
    "residual of λ_min": "eigenvalue_smallest_residual",
}


def curvature_map_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """The planes' own content, with contours of the loss over each and the points that have not converged."""
    maps = read_maps(datasets, options)
    content = planes_content(datasets, options)
    losses = read_losses(datasets, [plane.label for plane in maps])
    choices = seed_choices(maps)
    scale = choose_scale([loss.field(choice).values for loss in losses for choice in choices])
    levels = [] if scale is None else scale.lines()
    panels = [
        {
            **panel,
            "layers": [_layer(*each, levels) for each in zip(panel["layers"], _fields(*pair, choices), strict=True)],
        }
        for panel, pair in zip(content["panels"], zip(maps, losses, strict=True), strict=True)
    ]
    beyond = any(bool((np.abs(plane.values) > 1).any()) for plane in maps)
    notes = [map_note(maps), "Ratios beyond ±1 are drawn as ±1" if beyond else ""]
    return {**content, "caption": joined([content["caption"].removesuffix("."), *notes]), "panels": panels}


def _fields(plane: PlaneData, loss: PlaneData, choices: Sequence[int | str]) -> list[dict[str, Any]]:
    """By choice of the seed: the loss, what is read out beside the ratio, and where it has not converged."""
    made = []
    for choice in choices:
        seeds = list(plane.field(choice).seeds)
        part = plane.dataset.sel(seed=seeds).transpose("seed", "y", "x", ...)
        own = {"loss": loss.field(choice).values}
        if len(seeds) == 1:
            own |= {words: part[name].values[0] for words, name in _READ_OUT.items()}
        made.append({"own": own, "unsettled": unsettled(plane, seeds)})
    return made


def _layer(layer: dict[str, Any], field: dict[str, Any], levels: Sequence[float]) -> dict[str, Any]:
    others = [{"name": name, "values": grid(np.asarray(values))} for name, values in field["own"].items()]
    rows, columns = np.nonzero(field["unsettled"])
    words = f"□ not converged: {rows.size} point{'s' if rows.size != 1 else ''}" if rows.size else ""
    return {
        **layer,
        "others": [*others, *layer["others"]],
        "lines": {"values": grid(field["own"]["loss"]), "levels": list(levels)},
        "unsettled": [rows.tolist(), columns.tolist()],
        "key": " · ".join(part for part in (layer["key"], "lines: loss", words) if part),
    }
