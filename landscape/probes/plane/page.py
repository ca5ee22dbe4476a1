"""What the page of planes is made of, as plain values for its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from landscape.pictures.arrays import Floats
from landscape.pictures.markers import LOWEST_DRAWN
from landscape.pictures.options import Options, known_up_to
from landscape.pictures.page_parts import grid, scale_content
from landscape.pictures.style import colour_map
from landscape.probes.plane import marks
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.panels import (
    Panel,
    axis_words,
    best_of,
    flat_tag,
    flat_words,
    panels_of,
    value_words,
    window_note,
)
from landscape.probes.plane.reading import Field, PlaneData, read_planes, scale_asked

MARKS = "-mia"  # a point's status as a letter: missing, measured, interpolated, above the clip by part of the samples
STOPS = 33  # of the colour map, between which plotly interpolates


def planes_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """Every layer (the mean, and each seed) of every plane, the scale, the caption."""
    planes = read_planes(datasets, options.quantity, options.labels)
    choices = seed_choices(planes)
    opened = _opened_at(planes, choices, options.seed)
    fields = [plane.field(choices[opened]) for plane in planes]
    every = [plane.field(choice) for plane in planes for choice in choices]
    still = all(plane.dead or field.flat for plane, field in zip(planes, fields, strict=True))
    panels, _ = panels_of(planes, options)
    over: Any = colour_map(planes[0].quantity).get_over()
    return {
        "kind": "planes",
        "caption": plane_caption(planes, fields, window_note(panels), drawn="their mean is shown first"),
        "quantity": planes[0].words,
        "unit": value_words(panels[0]),
        "scale": scale_content(
            [field.values for field in every], options.quantity, scale_asked(options),
            options.loss_max, still=still,
            known=known_up_to(datasets, options.quantity),
        ),
        "colours": [[k / (STOPS - 1), to_hex(colour_map(planes[0].quantity)(k / (STOPS - 1)))] for k in range(STOPS)],
        "over": to_hex(over),
        "seeds": ["mean over seeds" if choice == "mean" else str(choice) for choice in choices],
        "seed": opened,
        "points": options.points,
        "panels": [_panel(panel, choices) for panel in panels],
        "show": [options.kind] if options.kind in ("surface", "contour") else ["surface", "contour"],
    }  # fmt: skip


def seed_choices(planes: Sequence[PlaneData]) -> list[int | str]:
    """The mean, and each seed that all have; the mean of a single seed is that seed."""
    if all(len(plane.seeds) == 1 for plane in planes):
        return ["mean"]
    return ["mean", *(seed for seed in planes[0].seeds if all(seed in plane.seeds for plane in planes))]


def _opened_at(planes: Sequence[PlaneData], choices: Sequence[int | str], seed: int | str | None) -> int:
    """Index of the choice that the page opens with.

    Raises:
        InputError: for a seed that not all planes have.
    """
    for plane in planes:
        plane.field(seed)
    return next((index for index, choice in enumerate(choices) if choice == seed), 0)


def _panel(panel: Panel, choices: Sequence[int | str]) -> dict[str, Any]:
    plane = panel.plane
    assert plane.y is not None
    first = plane.field(choices[0])
    return {
        "label": plane.label,
        "note": flat_words(plane, first),
        "state": flat_tag(plane, first),
        "key": "+ "
        + ("first checkpoint" if plane.between_checkpoints else "checkpoint")
        + marks.checkpoint_words(plane),
        "x": plane.x.values.tolist(),
        "y": plane.y.values.tolist(),
        "xLabel": f"x: {axis_words(plane.x)}",
        "yLabel": f"y: {axis_words(plane.y)}",
        "window": [list(ends) for ends in panel.limits],
        "ratio": panel.ratio,
        "equal": panel.equal,
        "path": None,
        "layers": [_layer(plane, plane.field(choice)) for choice in choices],
    }


def _layer(plane: PlaneData, field: Field) -> dict[str, Any]:
    others = {"standard deviation over seeds": field.spread, "accuracy": _accuracy(plane, field)}
    best = best_of(Panel(plane, field, plane.quantity, ""))
    drawn = best is not None and best[2] is LOWEST_DRAWN
    return {
        "values": grid(field.values),
        "errors": None if field.standard_error is None else grid(field.standard_error),
        "others": [{"name": name, "values": grid(values)} for name, values in others.items() if values is not None],
        "gaps": _gaps(field),
        "status": ["".join(MARKS[status] for status in row) for row in field.status.tolist()],
        "lines": None,
        "unsettled": [[], []],
        "key": "" if best is None else f"{'☆' if drawn else '★'} {best[1].text}",
        "best": None if best is None else list(best[0]),
        "drawn": drawn,
    }


def _accuracy(plane: PlaneData, field: Field) -> Floats | None:
    if "accuracy" not in plane.dataset or plane.quantity == "accuracy":
        return None
    values = plane.dataset["accuracy"].sel(seed=list(field.seeds)).transpose("seed", "y", "x").values
    return np.asarray(np.where(field.missing, np.nan, values.mean(axis=0)), dtype=float)


def _gaps(field: Field) -> list[dict[str, Any]]:
    """Row, column and word of every point without a number."""
    gaps = []
    for row, column in np.argwhere(field.nonfinite | field.missing).tolist():
        value = field.values[row, column]
        word = (
            "not measured" if field.missing[row, column] else "NaN" if np.isnan(value) else "+∞" if value > 0 else "−∞"
        )
        gaps.append({"row": row, "column": column, "word": word})
    return gaps
