"""What is said of probed steps."""

from __future__ import annotations

import xarray as xr

from landscape.results.words import dead


def words(dataset: xr.Dataset) -> list[str]:
    steps = dataset["step"].values
    lines = [f"{steps.size} steps measured, from {steps[0]} to {steps[-1]}" if steps.size else "no step was measured"]
    for along in dataset["along"].values:
        one = dataset.sel(along=along)
        words = ", ".join(
            f"{name} {float(one[variable].median()):.3g}"
            for name, variable in (
                ("loss variation", "loss_variation"),
                ("gradient predictiveness", "gradient_predictiveness"),
                ("effective β", "effective_beta"),
            )
        )
        lines.append(f"along the {along}, medians: {words}")
    return lines + dead(dataset)
