"""What the marks on a plane or line are said to be: the checkpoint, the lowest value, points that are no numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape.pictures.arrays import counts
from landscape.pictures.markers import (
    ABOVE_CLIP,
    LOWEST,
    LOWEST_DRAWN,
    MEASURED,
    MISSING,
    NONFINITE,
    ORIGIN,
    ORIGIN_RIM,
    Entry,
    Named,
    handle,
)
from landscape.pictures.style import number
from landscape.probes.plane.reading import Field, PlaneData
from landscape.probes.plane.result import INTERPOLATED


def origin_entry(plane: PlaneData) -> Named:
    """The checkpoint's marker with its own value and standard error."""
    words = "first checkpoint" if plane.between_checkpoints else "checkpoint"
    return Named((handle(ORIGIN_RIM, 6.4), handle(ORIGIN, 5.4)), words, checkpoint_words(plane).removeprefix(": "))


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


def extreme_entry(value: float, at: tuple[float, ...], what: str, *, measured: bool) -> Named:
    """The best value, and where it is; an open star where it is drawn there and was not measured."""
    where = ",\u00a0".join(number(c, 2) for c in at)
    words = what if measured else f"{what} drawn"
    return Named(handle(LOWEST if measured else LOWEST_DRAWN), words, f"{number(value, 4)} at\u00a0({where})")


def nonfinite_entries(field: Field, colour: str | None = None) -> list[Entry]:
    """What the crosses and rings stand for, with their numbers; nothing where there are none."""
    entries: list[Entry] = []
    cross = NONFINITE if colour is None else {**NONFINITE, "color": colour}
    ring = MISSING if colour is None else {**MISSING, "markeredgecolor": colour}
    found = counts(field.values, field.missing)
    if found:
        said = ", ".join(f"{k} at {_points(n)}" for k, n in found.items())
        entries.append(Named(handle(cross, 4), "not finite", said))
    if field.missing.any():
        entries.append(Named(handle(ring, 3), "not measured", _points(int(field.missing.sum()))))
    return entries


def point_entries(field: Field) -> list[Entry]:
    """What dots and triangles stand for, with their numbers, and what a point without either is."""
    measured, above = int(field.measured.sum()), int(field.above.sum())
    words = f"{measured:,} of {_points(field.status.size)}"
    if (field.status == INTERPOLATED).any():
        words += "; unmarked: interpolated"
    entries: list[Entry] = [Named(handle(MEASURED, 4), "measured", words)]
    if above:
        entries.append(Named(handle(ABOVE_CLIP, 3), "above the clip by part of the samples", _points(above)))
    return entries


def _points(count: int) -> str:
    return f"{count:,} point{'s' if count != 1 else ''}"
