"""How weight noise is compared (:mod:`landscape.probes.weight_noise.measure`): each noise at the middle of its σ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.probes.comparable import Kind, Measure, Options, Reading
from landscape.probes.conditions import sampled_conditions

_FAMILY = "weight noise"


def _conditions(found: xr.Dataset) -> Mapping[str, Any]:
    sigmas = {str(name): found["sigma"].sel(noise=name).values for name in found["noise"].values}
    return {
        **sampled_conditions(found),
        "σ": "; ".join(f"{name} {', '.join(f'{s:g}' for s in values)}" for name, values in sorted(sigmas.items())),
        "draws": found.attrs.get("draws"),
        "draw seed": found.attrs.get("draw_seed"),
    }


def _read(found: xr.Dataset, options: Options) -> list[Reading]:
    return [_reading(found.sel(noise=name).sortby("sigma"), str(name)) for name in found["noise"].values]


def _reading(row: xr.Dataset, name: str) -> Reading:
    point = row.isel(level=row.sizes["level"] // 2)
    sigma, rise = float(point["sigma"]), float(point["rise"])
    long_name = f"rise of the loss under {name} weight noise at σ = {sigma:g}"
    # Invariant under no rescaling, relative noise neither: it knows a tensor's size, and each channel may have its own.
    measure = Measure(f"{name}_noise:{sigma:g}", long_name, row["rise"].attrs["units"], _FAMILY, "linear", "lower")
    return Reading(measure, {"run": rise if np.isfinite(rise) else np.nan})


WEIGHT_NOISE = Kind(_FAMILY, _conditions, _read)
