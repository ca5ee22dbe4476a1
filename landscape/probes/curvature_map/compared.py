"""What curvature maps say: the checkpoint's λ_max, and λ_min/λ_max there and on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import DIRECTION_SEEDS, NOT_SAID, Kind, Measure, Options, Reading
from landscape.probes.conditions import sampled_conditions

_FAMILY = "curvature_map"


def _conditions(found: xr.Dataset) -> Mapping[str, Any]:
    if found.attrs.get("directions", "random") != "random":
        raise InputError(f"its directions are no random sample (directions: {found.attrs['directions']}).")
    return {
        **sampled_conditions(found),
        "normalisation": found.attrs.get("normalization", NOT_SAID),
        "direction seeds": ", ".join(map(str, found["seed"].values)),
        "grid": "; ".join(
            f"{n} {v.min():.6g}:{v.max():.6g}:{v.size}" for n in "xy" if (v := found[n].values) is not None
        ),
        "eigenvalue tolerance": found.attrs.get("eigenvalue_tolerance", NOT_SAID),
    }


def _read(found: xr.Dataset, options: Options) -> list[Reading]:
    units = str(found["eigenvalue_largest"].attrs.get("units", "1"))
    at = "λ_max of the Hessian at the checkpoint"
    largest = Measure("eigenvalue_largest", at, units, _FAMILY, "log", "lower")
    here, over = (
        "λ_min/λ_max of the Hessian at the checkpoint",
        "λ_min/λ_max of the Hessian from −1 to 1, mean over the plane",
    )
    ratio = Measure("checkpoint_curvature_ratio", here, "1", _FAMILY)
    mean = Measure("curvature_ratio_mean", over, "1", _FAMILY)
    shown = np.clip(found["curvature_ratio"].transpose("seed", "y", "x").values, -1, 1).mean(axis=(1, 2))
    parts = dict(zip(found["seed"].values.tolist(), shown.tolist(), strict=True))
    return [
        Reading(largest, {"run": float(found["checkpoint_eigenvalue_largest"])}),
        Reading(ratio, {"run": float(found["checkpoint_curvature_ratio"])}),
        Reading(mean, parts, DIRECTION_SEEDS),
    ]


CURVATURE_MAPS = Kind(_FAMILY, _conditions, _read)
