"""What files of weight noise hold, what is said of them, and what is compared.

Compared is how weight noise is compared (:mod:`landscape.probes.weight_noise.measure`): each noise at the middle of its σ.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
import xarray as xr

from landscape.probes.comparable import Kind, Measure, Options, Reading, sampled_conditions
from landscape.results.schema import Schema
from landscape.results.words import at_checkpoint, dead, unit_of, with_error


class Status(IntEnum):
    """How a value came to be."""

    MISSING = 0
    MEASURED = 1
    NOT_FINITE = 2


SCHEMA = Schema(
    variables="""
    rise(noise level) standard_error(noise level) sample_standard_error(noise level) draw_rise(noise level draw)
    status(noise level) noise(noise):text noise_name(noise):text sigma(noise level) checkpoint_loss()
    checkpoint_loss_standard_error() parameter_norm() index(sample)
""",
)


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss, how far each noise raises it at the ends and in the middle of its σ, and what is no plain number."""
    lines = [
        *at_checkpoint(dataset),
        f"rise of the loss, mean over {dataset.sizes['draw']} draws ± its standard error over draws:",
    ]
    for name in dataset["noise"].values:
        row = dataset.sel(noise=name).sortby("sigma")
        shown = sorted({0, row.sizes["level"] // 2, row.sizes["level"] - 1})
        parts = [
            f"{with_error(point['rise'], point['standard_error'])} at σ = {float(point['sigma']):g}"
            for point in (row.isel(level=place) for place in shown)
            if int(point["status"])
        ]
        lines.append(f"{name}: {', '.join(parts)}{unit_of(dataset['rise'])}" if parts else f"{name}: not measured")
    notes = [f"{note}." for note in dataset.attrs["notes"].split("; ") if note]
    return [*lines, *notes, *dead(dataset)]


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
