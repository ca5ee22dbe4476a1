"""How sharp the loss is at a checkpoint (:mod:`landscape.probes.sharpness.measure`): each measure at the middle of its radii."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from landscape.probes.comparable import RESCALINGS, Kind, Measure, Options, Reading
from landscape.probes.conditions import sampled_conditions

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


def _read(sharpness: xr.Dataset, options: Options) -> list[Reading]:
    return [_reading(sharpness.sel(measure=name).sortby("rho"), str(name)) for name in sharpness["measure"].values]


def _reading(row: xr.Dataset, name: str) -> Reading:
    point = row.isel(radius=row.sizes["radius"] // 2)
    rho, value = float(point["rho"]), float(point["sharpness"])
    long_name = f"{point['measure_name'].item()} at ρ = {rho:g}"
    # An average over random perturbations may be negative; what an ascent finds is a rise.
    scale: Literal["linear", "log"] = "log" if int(point["lower_bound"]) else "linear"
    units = str(point["measure_units"].item())
    invariant = RESCALINGS if name in _INVARIANT else frozenset()
    measure = Measure(f"{name}:{rho:g}", long_name, units, _FAMILY, scale, "lower", invariant)
    return Reading(measure, {"run": value if np.isfinite(value) else np.nan})


SHARPNESS = Kind(_FAMILY, _conditions, _read)
