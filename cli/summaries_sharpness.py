"""The few lines that say how sharp a checkpoint is, and how noisy its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np


def sharpness_lines(dataset: Any) -> list[str]:
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


def noise_lines(dataset: Any) -> list[str]:
    """The noise scale with its parts, and whether it has an upper end."""
    made = dataset.attrs

    def value(name: str) -> str:
        return f"{float(dataset[name]):.4g} ± {float(dataset[f'{name}_standard_error']):.2g}"

    lines = [
        f"gradient noise scale {value('noise_scale')} images, from batches of {made['small_batch']} and {made['big_batch']}",
        f"tr Σ {value('noise_trace')}, ‖G‖² {value('gradient_norm_squared')}",
    ]
    if not int(dataset["resolved"]):
        lines.append("‖G‖² is not told apart from zero, so the noise scale has no upper end: ask for more --images.")
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
