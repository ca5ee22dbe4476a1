"""The few lines that say how sharp a checkpoint is, and how noisy its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape.results.words import dead


def sharpness_lines(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss and norms, and each measure at its middle ρ and how it got there."""
    loss, error = float(dataset["checkpoint_loss"]), float(dataset["checkpoint_loss_standard_error"])
    lines = [
        f"loss at the checkpoint {loss:.5g} ± {error:.2g} over {dataset.attrs['n_samples']} images; "
        f"‖θ‖ {float(dataset['parameter_norm']):.4g}, ‖∇L‖ {float(dataset['gradient_norm']):.4g}"
    ]
    for name in dataset["measure"].values:
        row = dataset.sel(measure=name).sortby("rho")
        lines.append(f"{row['measure_name'].item()}: {_values(row)}")
    if dataset.attrs.get("notes"):
        lines += [f"{note}." for note in dataset.attrs["notes"].split("; ")]
    return lines


def _values(row: Any) -> str:
    """The values at the ends and in the middle of the range of ρ."""
    count = row.sizes["radius"]
    shown = sorted({0, count // 2, count - 1})
    unit = "" if row["measure_units"].item() == "1" else f" {row['measure_units'].item()}"
    return ", ".join(f"{_value(row.isel(radius=place))} at {float(row['rho'][place]):g}" for place in shown) + unit


def _value(point: Any) -> str:
    value, error = float(point["sharpness"]), float(point["standard_error"])
    bar = f" ± {error:.2g}" if np.isfinite(error) else ""
    return f"{value:.4g}{bar}"


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of sharpness first."""
    return [*sharpness_lines(dataset), *dead(dataset)]
