"""What files of probed steps, and of ranges over runs, hold, what is said of them, and what is compared.

Compared is what the step probe saw along a training: how fast loss and gradient change along each step (Santurkar et al. 2018).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import NOT_SAID, RESCALINGS, STEPS, Kind, Measure, Options, Reading
from landscape.results.schema import Schema
from landscape.results.words import count, dead, nonfinite, recipe, span, unit_of

RELATIVE = "relative"  # of the directions along which a step is probed
SCHEMA = Schema(
    variables="""
    step(step) along(along):text eta(eta) loss(step) loss_minimum(step along) loss_maximum(step along)
    gradient_distance_minimum(step along) gradient_distance_maximum(step along) effective_beta(step along)
    loss_variation(step along)? gradient_predictiveness(step along)? lipschitz_loss(step along)?
    lipschitz_gradient(step along)? direction_norm(step along)? gradient_predictiveness_normalized(step
    along)? effective_beta_normalized(step along)? lipschitz_loss_normalized(step along)?
    lipschitz_gradient_normalized(step along)? parameter_norm(step)? gradient_norm(step)? epoch(step)?
    learning_rate(step)? loss_along(step along eta)? gradient_distance(step along eta)?
    gradient_norm_along(step along eta)? relative_predictiveness(step along)? function_change(step along)?
    relative_gradient_norm(step)? relative_gradient_distance(step along eta)? function_distance(step along eta)?
""",
)
RUN_RANGE = Schema(
    variables="""
    step(step) loss_minimum(step) loss_maximum(step) gradient_norm_minimum(step) gradient_norm_maximum(step)
""",
)


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


_FAMILY = "steps"
# All are the smaller the smoother the loss is along the step; the estimates are lower bounds of the true constants. None is
# invariant: rescaled by c, a layer's gradient is 1/c of what it was, so that a step of equal η is c⁻² times as long beside the
# weights; what ‖θ‖ or ‖g‖ make up for is one c for all of θ, with η scaled by c².
_QUANTITIES = {
    "loss_variation": "loss variation",
    "gradient_predictiveness": "gradient predictiveness",
    "gradient_predictiveness_normalized": "gradient predictiveness over the gradient's norm",
    "effective_beta": "effective β-smoothness (lower bound)",
    "effective_beta_normalized": "effective β-smoothness (lower bound) times ‖θ‖²",
    "lipschitz_loss": "Lipschitz estimate from losses (lower bound)",
    "lipschitz_loss_normalized": "Lipschitz estimate from losses (lower bound) times ‖θ‖",
    "lipschitz_gradient": "Lipschitz estimate from gradients (lower bound)",
    "lipschitz_gradient_normalized": "Lipschitz estimate from gradients (lower bound) times ‖θ‖",
}
# A relative segment is rescaled as the weights are, so that these see the function alone. How far the outputs move says where
# one looks, and not how smooth the loss is there.
_RELATIVE: dict[str, tuple[str, Literal["lower", "neither"]]] = {
    "loss_variation": ("loss variation, along the relative step", "lower"),
    "relative_predictiveness": ("relative gradient predictiveness, along the relative step", "lower"),
    "function_change": ("change of the outputs, along the relative step", "neither"),
}
# What makes the segment η × learning rate × direction as long as it is, at a step or from then on.
_LOOKS_BY = frozenset(
    ("learning_rate", "min_learning_rate", "schedule", "optimizer", "momentum", "weight_decay", "epochs", "updates")
)
# The loss is that of a minibatch: the mean over fewer samples is another function, and a rougher one.
# What the loss of a training's minibatch depends on; models and their options may differ in dropout.
_LOSS_BY = frozenset(("batch_size", "augment", "train_images", "data", "data_options", "model", "model_options"))


def _conditions(steps: xr.Dataset) -> Mapping[str, Any]:
    when = "on from a checkpoint" if "checkpoint" in steps.attrs else "while training"
    return {
        "data": steps.attrs.get("data", NOT_SAID),
        "loss": steps.attrs.get("loss_name", NOT_SAID),
        "η": ", ".join(f"{eta:.6g}" for eta in steps["eta"].values),
        "measured": when,
    }


def _read(steps: xr.Dataset, options: Options) -> list[Reading]:
    first, last = options.steps
    at = steps["step"].values
    chosen = (at >= (-np.inf if first is None else first)) & (at <= (np.inf if last is None else last))
    if not chosen.any():
        there = f"{at.min()} to {at.max()}" if at.size else "none"
        raise InputError(f"steps: no measured step lies in {_range(options)}; it has {there}.")
    part = steps.isel(step=np.flatnonzero(chosen))
    return [
        _reading(part, name, str(along))
        for along in part["along"].values
        for name in (_RELATIVE if along == RELATIVE else _QUANTITIES)
        if name in part
    ]


def _reading(steps: xr.Dataset, name: str, along: str) -> Reading:
    variable = steps[name].sel(along=along)
    units = str(variable.attrs.get("units", "1"))
    if along == RELATIVE:
        long_name, smoother = _RELATIVE[name]
        measure = Measure(f"{name}:{along}", long_name, units, _FAMILY, "log", smoother, RESCALINGS, loss_by=_LOSS_BY)
    else:
        long_name = f"{_QUANTITIES[name]}, along the {along}"
        measure = Measure(
            f"{name}:{along}", long_name, units, _FAMILY, "log", "lower", looks_by=_LOOKS_BY, loss_by=_LOSS_BY
        )
    values = zip(steps["step"].values.tolist(), variable.values.tolist(), strict=True)
    return Reading(measure, {int(step): float(value) for step, value in values}, STEPS)


def _range(options: Options) -> str:
    return ":".join("" if end is None else str(end) for end in options.steps)


ALONG_STEPS = Kind(_FAMILY, _conditions, _read)
