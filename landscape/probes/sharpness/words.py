"""What is said of the sharpness of a checkpoint."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.words import at_checkpoint, dead, notes, with_error

_NOTE = r"\S+ at ρ = "


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss and norms, then each measure over its range of ρ, and what was no plain number."""
    lines = at_checkpoint(dataset)
    for name in dataset["measure"].values:
        row = dataset.sel(measure=name).sortby("rho")
        bound = " (lower bounds)" if int(row["lower_bound"]) else ""
        lines.append(f"{row['measure_name'].item()}: {_values(row)}{bound}")
    return [*lines, *_notes(dataset), *dead(dataset)]


def _values(row: xr.Dataset) -> str:
    """The values at the ends and in the middle of the range of ρ."""
    of_unit = str(row["measure_units"].item())
    unit = "" if of_unit == "1" else f" {of_unit}"
    known = np.flatnonzero(row["status"].values != 0)
    if not known.size:
        return "not measured yet"
    shown = sorted({int(known[0]), int(known[known.size // 2]), int(known[-1])})
    return ", ".join(f"{_value(row.isel(radius=place))}{unit} at ρ = {float(row['rho'][place]):g}" for place in shown)


def _value(point: xr.Dataset) -> str:
    return with_error(point["sharpness"], point["standard_error"])


def _notes(dataset: xr.Dataset) -> list[str]:
    """One line for each reason, whatever the number of measures and ρ that it stands for."""
    said: dict[str, list[str]] = {}
    for note in notes(dataset, _NOTE):
        where, _, why = note.rpartition(": ")
        said.setdefault(why, []).append(where)
    return [f"{'; '.join(where)}: {why}" if any(where) else why for why, where in said.items()]
