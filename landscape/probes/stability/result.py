"""What files of the edge of stability hold, and what is said of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import count, dead, recipe, unit_of

SCHEMA = Schema(
    variables="""
    step(step) sharpness(step) ratio(step) residual(step) converged(step) loss(step) threshold(step)?
    products(step)? epoch(step)? learning_rate(step)?
""",
    together=("@limit @rule |",),
)


def words(dataset: xr.Dataset) -> list[str]:
    """How near the training is to the edge, at how many steps beyond it, and how well the eigenvalues are known."""
    steps, ratio = dataset["step"].values, dataset["ratio"].values
    if not steps.size:
        return ["no step was measured", *dead(dataset)]
    lines = [f"{count(steps.size, 'step')} measured, from {steps[0]} to {steps[-1]}"]
    known = np.isfinite(ratio)
    if known.any():
        top = int(np.nanargmax(np.where(known, ratio, np.nan)))
        lines.append(
            f"ratio to the edge of stability, 1: {ratio[-1]:.3g} at the last step, largest {ratio[top]:.3g} at step {steps[top]}; "
            f"1 or more at {count((ratio[known] >= 1).sum(), 'step')}"
        )
    return [*lines, _sharpness(dataset), *_rough(dataset, known), *recipe(dataset.attrs), *dead(dataset)]


def _sharpness(dataset: xr.Dataset) -> str:
    """The last eigenvalue beside what the optimiser bears, and of which Hessian it is."""
    made, value = dataset.attrs, dataset["sharpness"]
    bears, rule = "", f" ({made['rule']})" if "rule" in made else ""
    if "threshold" in dataset:
        bears = f", of {float(dataset['threshold'][-1]):.5g}{unit_of(value)} that the optimiser bears{rule}"
    of = f"; H is that of {made['hessian_of']}" if "hessian_of" in made else ""
    return f"largest eigenvalue of P⁻¹H at the last step {float(value[-1]):.5g}{unit_of(value)}{bears}{of}"


def _rough(dataset: xr.Dataset, known: np.ndarray) -> list[str]:
    """Steps whose eigenvalue is not known to the tolerance, or not at all."""
    rough, none = int((known & (dataset["converged"].values == 0)).sum()), int((~known).sum())
    lines = [f"{count(rough, 'step')} did not converge; residuals are in the file"] if rough else []
    return lines + (
        [f"{count(none, 'step')} without an eigenvalue: loss or curvature is NaN or infinite"] if none else []
    )
