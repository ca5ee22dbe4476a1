"""What the page of planes is made of, as plain values for its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from landscape.render import markers
from landscape.render.caption import plane_caption
from landscape.render.panels import Panel, best_of, equal_scale, flat_words, ratio_of, value_words
from landscape.render.reading import QUANTITIES, Field, Floats, PlaneData
from landscape.render.scale import can_be_log, choose_scale
from landscape.render.style import colour_map

DIGITS = 9  # significant, of every value on the page
STOPS = 33  # of the colour map, between which plotly interpolates


def planes_content(
    planes: Sequence[PlaneData], *, scale: str, loss_max: float | None, seed: int | str | None
) -> dict[str, Any]:
    """Every layer (the mean, and each seed) of every plane, the scale, the caption."""
    choices = seed_choices(planes)
    opened = _opened_at(planes, choices, seed)
    fields = [plane.field(choices[opened]) for plane in planes]
    every = [plane.field(choice) for plane in planes for choice in choices]
    still = all(plane.dead or field.flat for plane, field in zip(planes, fields, strict=True))
    panels = [_panel(plane, choices) for plane in planes]
    return {
        "kind": "planes",
        "caption": plane_caption(planes, fields, drawn="their mean is shown first"),
        "quantity": QUANTITIES[planes[0].quantity],
        "unit": value_words(Panel(planes[0], fields[0], planes[0].quantity, "")),
        "scale": scale_content([field.values for field in every], planes[0].quantity, scale, loss_max, still=still),
        "colours": [[k / (STOPS - 1), to_hex(colour_map(planes[0].quantity)(k / (STOPS - 1)))] for k in range(STOPS)],
        "seeds": ["mean over seeds" if choice == "mean" else str(choice) for choice in choices],
        "seed": opened,
        "panels": panels,
    }


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


def scale_content(
    values: Sequence[Floats], quantity: str, scale: str, loss_max: float | None, *, still: bool
) -> dict[str, Any]:
    """Which scale the page opens with, and the ends of both that a reader can choose."""
    kind = "linear" if quantity == "accuracy" and scale == "auto" else scale
    opened = choose_scale(values, scale=kind, maximum=loss_max, still=still)
    if opened is None:
        return {"log": False, "clip": None, "limits": {"linear": [0.0, 1.0], "log": None}}
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
    limits: dict[str, Any] = {"log": None}
    for name in ("linear", "log") if can_be_log(finite) else ("linear",):
        ends = choose_scale(values, scale=name, still=still)
        assert ends is not None
        limits[name] = [ends.low, ends.high]
    return {"log": opened.log, "clip": loss_max if opened.over else None, "limits": limits}


def _panel(plane: PlaneData, choices: Sequence[int | str]) -> dict[str, Any]:
    assert plane.y is not None
    first = plane.field(choices[0])
    return {
        "label": plane.label,
        "note": flat_words(plane, first),
        "key": "+ "
        + ("first checkpoint" if plane.between_checkpoints else "checkpoint")
        + markers.checkpoint_words(plane),
        "x": plane.x.values.tolist(),
        "y": plane.y.values.tolist(),
        "xLabel": f"x: {plane.x.label}",
        "yLabel": f"y: {plane.y.label}",
        "ratio": ratio_of(plane),
        "equal": equal_scale(plane),
        "layers": [_layer(plane, plane.field(choice)) for choice in choices],
    }


def _layer(plane: PlaneData, field: Field) -> dict[str, Any]:
    others = {"standard deviation over seeds": field.spread, "accuracy": _accuracy(plane, field)}
    best = best_of(Panel(plane, field, plane.quantity, ""))
    return {
        "values": grid(field.values),
        "errors": None if field.standard_error is None else grid(field.standard_error),
        "others": [{"name": name, "values": grid(values)} for name, values in others.items() if values is not None],
        "gaps": _gaps(field),
        "key": "" if best is None else f"★ {best[1][1]}",
        "best": None if best is None else list(best[0]),
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


def grid(values: Floats) -> Any:
    """Nested lists of numbers; None, which is JSON's null, where a value is not finite."""
    if values.ndim > 1:
        return [grid(row) for row in values]
    return [float(f"{v:.{DIGITS}g}") if np.isfinite(v) else None for v in values.tolist()]
