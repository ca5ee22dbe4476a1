"""What files of sharpness hold, what is said of them, and what is compared.

Compared is how sharp the loss is at a checkpoint (:mod:`landscape.probes.sharpness.measure`):
each measure at the middle of its radii.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import xarray as xr

from landscape.probes.comparable import RESCALINGS, Kind, Measure, Options, Reading, sampled_conditions
from landscape.results.schema import Schema
from landscape.results.words import at_checkpoint, dead, notes, with_error


class Status(IntEnum):
    """How a value came to be."""

    MISSING = 0
    MEASURED = 1
    NOT_CONVERGED = 2
    ZERO_GRADIENT = 3
    NOT_FINITE = 4


MISSING, MEASURED, NOT_CONVERGED, ZERO_GRADIENT, NOT_FINITE = Status

SCHEMA = Schema(
    variables="""
    sharpness(measure radius) status(measure radius) lower_bound(measure) measure(measure):text rho(measure
    radius) measure_name(measure):text measure_units(measure):text rho_name(measure):text
    error_over(measure):text standard_error(measure radius) gap(measure radius)? checkpoint_loss()
    checkpoint_loss_standard_error()? checkpoint_accuracy()? parameter_norm() gradient_norm() index(sample)?
""",
)


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


_FAMILY = "sharpness"
# Every weight is perturbed in proportion to itself, so that rescaled weights see the perturbation of the function unchanged.
_INVARIANT = ("adaptive", "adaptive_steps", "adaptive_average")
_EFFORT = ("draw_seed", "draws", "ascent_steps", "restarts", "ascent_tolerance", "m")


def _conditions(sharpness: xr.Dataset) -> Mapping[str, Any]:
    radii = {name: sharpness["rho"].sel(measure=name).values for name in sharpness["measure"].values}
    return {
        **sampled_conditions(sharpness),
        "ρ": "; ".join(f"{name} {', '.join(f'{rho:g}' for rho in values)}" for name, values in sorted(radii.items())),
        **{key.replace("_", " "): sharpness.attrs.get(key) for key in _EFFORT},
    }


_LOSS_BY = frozenset(("model", "model_options"))  # of the loss in training mode, which dropout is a part of


def _read(sharpness: xr.Dataset, options: Options) -> list[Reading]:
    loss_by = _LOSS_BY if sharpness.attrs.get("mode") == "train" else frozenset()
    rows = {str(name): sharpness.sel(measure=name).sortby("rho") for name in sharpness["measure"].values}
    return [_reading(row, name, loss_by) for name, row in rows.items()]


def _reading(row: xr.Dataset, name: str, loss_by: frozenset[str]) -> Reading:
    point = row.isel(radius=row.sizes["radius"] // 2)
    rho, value = float(point["rho"]), float(point["sharpness"])
    long_name = f"{point['measure_name'].item()} at ρ = {rho:g}"
    # An average over random perturbations may be negative; what an ascent finds is a rise.
    scale: Literal["linear", "log"] = "log" if int(point["lower_bound"]) else "linear"
    units = str(point["measure_units"].item())
    invariant = RESCALINGS if name in _INVARIANT else frozenset()
    measure = Measure(f"{name}:{rho:g}", long_name, units, _FAMILY, scale, "lower", invariant, loss_by=loss_by)
    return Reading(measure, {"run": value if np.isfinite(value) else np.nan})


SHARPNESS = Kind(_FAMILY, _conditions, _read)
