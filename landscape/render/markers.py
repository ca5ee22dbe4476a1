"""What is marked on a plane or line: the checkpoint, the lowest measured value, points that are no numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from landscape.render.reading import INTERPOLATED, Field, PlaneData, counts
from landscape.render.style import INK, number

ORIGIN: dict[str, Any] = {"marker": "+", "color": "white", "markersize": 8, "markeredgewidth": 1.3, "linestyle": "none"}
ORIGIN_RIM: dict[str, Any] = {**ORIGIN, "color": INK, "markersize": 9.4, "markeredgewidth": 2.6}
OTHER: dict[str, Any] = {
    "marker": "D",
    "color": "white",
    "markeredgecolor": INK,
    "markersize": 4,
    "markeredgewidth": 0.8,
    "linestyle": "none",
}
LOWEST: dict[str, Any] = {
    "marker": "*",
    "color": "#D55E00",
    "markeredgecolor": "white",
    "markersize": 7,
    "markeredgewidth": 0.5,
    "linestyle": "none",
}
NONFINITE: dict[str, Any] = {"marker": "x", "color": INK, "linestyle": "none", "markeredgewidth": 0.6}
MISSING: dict[str, Any] = {
    "marker": "o",
    "color": "none",
    "markeredgecolor": "#777777",
    "linestyle": "none",
    "markeredgewidth": 0.5,
}
MEASURED: dict[str, Any] = {"marker": ".", "color": INK, "markersize": 1.8, "alpha": 0.6, "linestyle": "none"}
ABOVE_CLIP: dict[str, Any] = {
    "marker": "^",
    "color": "none",
    "markeredgecolor": "#7a4a00",
    "markeredgewidth": 0.4,
    "linestyle": "none",
}

Entry = tuple[Any, str]


def handle(look: dict[str, Any], size: float | None = None) -> Line2D:
    """A legend's sample of a marker."""
    return Line2D([], [], **(look if size is None else {**look, "markersize": size}))


def origin_entry(plane: PlaneData) -> Entry:
    """The checkpoint's marker with its own value and standard error."""
    words = "first checkpoint" if plane.between_checkpoints else "checkpoint"
    return (handle(ORIGIN_RIM), handle(ORIGIN)), words + checkpoint_words(plane)


def checkpoint_words(plane: PlaneData) -> str:
    """The quantity at the checkpoint, such as ": 0.6263 ± 0.021"; empty where it is not known."""
    value, error = plane.checkpoint_value, plane.scalar(f"checkpoint_{plane.quantity}_standard_error")
    if value is None:
        return ""
    return f": {number(value, 4)}" + (
        "" if error is None or not np.isfinite(error) else f"\u00a0±\u00a0{number(error, 2)}"
    )


def lowest(field: Field) -> tuple[int, ...] | None:
    """The array index of the lowest (finite) value; None where none exists or where all are alike."""
    if field.flat or not np.isfinite(field.values).any():
        return None
    index = np.nanargmin(np.where(np.isfinite(field.values), field.values, np.nan))
    return tuple(int(i) for i in np.unravel_index(index, field.values.shape))


def highest(field: Field) -> tuple[int, ...] | None:
    """As :func:`lowest`, for a quantity of which more is better."""
    return lowest(replace(field, values=-field.values))


def extreme_entry(value: float, at: tuple[float, ...], what: str) -> Entry:
    """The best measured value, and where it is."""
    where = ",\u00a0".join(number(c, 2) for c in at)
    return handle(LOWEST), f"{what}: {number(value, 4)} at\u00a0({where})"


def nonfinite_entries(field: Field, colour: str | None = None) -> list[Entry]:
    """What the crosses and rings stand for, with their numbers; nothing where there are none."""
    entries: list[Entry] = []
    cross = NONFINITE if colour is None else {**NONFINITE, "color": colour}
    ring = MISSING if colour is None else {**MISSING, "markeredgecolor": colour}
    found = counts(field.values, field.missing)
    if found:
        entries.append((handle(cross, 4), "not finite: " + ", ".join(f"{k} at {_points(n)}" for k, n in found.items())))
    if field.missing.any():
        entries.append((handle(ring, 3), f"not measured: {_points(int(field.missing.sum()))}"))
    return entries


def point_entries(field: Field) -> list[Entry]:
    """What dots and triangles stand for, with their numbers, and what a point without either is."""
    measured, above = int(field.measured.sum()), int(field.above.sum())
    words = f"measured: {measured:,} of {_points(field.status.size)}"
    if (field.status == INTERPOLATED).any():
        words += "; unmarked: interpolated"
    entries: list[Entry] = [(handle(MEASURED, 4), words)]
    if above:
        entries.append((handle(ABOVE_CLIP, 3), f"above the clip by part of the samples: {_points(above)}"))
    return entries


def _points(count: int) -> str:
    return f"{count:,} point{'s' if count != 1 else ''}"
