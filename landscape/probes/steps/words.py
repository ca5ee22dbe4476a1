"""What is said of probed steps, and of the range over runs."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from landscape.results.words import count, dead, nonfinite, recipe, span, unit_of

_MEDIANS = {
    "loss_variation": "loss variation",
    "gradient_predictiveness": "gradient predictiveness",
    "effective_beta": "effective β (a lower bound)",
    "relative_predictiveness": "relative predictiveness",
    "function_change": "change of the outputs",
}
_ALONG = {"relative": "relative step"}
_RANGES = {"loss": "loss of the minibatch", "gradient_norm": "norm of its gradient"}


def words(dataset: xr.Dataset) -> list[str]:
    """Which steps were probed, how the loss went, and the medians along each direction."""
    steps, eta = dataset["step"].values, dataset["eta"].values
    if not steps.size:
        return ["no step was measured", *dead(dataset)]
    loss, unit = dataset["loss"].values, unit_of(dataset["loss"])
    lines = [
        f"{steps_words(dataset)}, at η from {eta.min():g} to {eta.max():g} learning rates in {eta.size}",
        f"loss of the minibatch {loss[0]:.5g}{unit} at the first, {loss[-1]:.5g}{unit} at the last",
    ]
    for along in dataset["along"].values:
        one = dataset.sel(along=along)
        medians = [
            f"{told} {float(one[name].median()):.3g}{unit_of(one[name])}"
            for name, told in _MEDIANS.items()
            if name in one
        ]
        lines.append(f"along the {_ALONG.get(along, along)}, medians: {', '.join(medians)}")
    names = ["loss", *(name for name in _MEDIANS if name in dataset), "loss_maximum"]
    bad = np.any([~np.isfinite(dataset[name].values.reshape(steps.size, -1)).all(axis=1) for name in names], axis=0)
    return [*lines, *nonfinite(int(bad.sum()), "step"), *recipe(dataset.attrs), *dead(dataset)]


def run_range_words(dataset: xr.Dataset) -> list[str]:
    """How many runs over which steps, and how far they lie apart."""
    names = [str(name) for name in json.loads(dataset.attrs.get("runs") or "[]")]
    runs = [f"{count(len(names), 'run')}: {', '.join(names)}"] if names else []
    lines = [*runs, steps_words(dataset)]
    bad = np.zeros(dataset.sizes["step"], dtype=bool)
    for name, told in _RANGES.items():
        low, high = dataset[f"{name}_minimum"], dataset[f"{name}_maximum"]
        apart, unit = (high - low).values, unit_of(low)
        bad |= ~np.isfinite(apart)
        if np.isfinite(apart).any():
            lines.append(
                f"{told}: {np.median(apart[np.isfinite(apart)]):.3g}{unit} apart in the median over the steps, from {span(apart)}; "
                f"at the last from {float(low[-1]):.5g} to {float(high[-1]):.5g}{unit}"
            )
    return [*lines, *nonfinite(int(bad.sum()), "step"), *dead(dataset)]


def steps_words(dataset: xr.Dataset) -> str:
    """How many steps, and which."""
    steps = dataset["step"].values
    return f"{count(steps.size, 'step')} measured, from {steps[0]} to {steps[-1]}" if steps.size else "no step"
