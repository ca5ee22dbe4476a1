"""What the step probe saw along a training: how fast loss and gradient change along each step (Santurkar et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import NOT_SAID, RESCALINGS, STEPS, Kind, Measure, Options, Reading
from landscape.probes.steps.measure import RELATIVE

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
        measure = Measure(f"{name}:{along}", long_name, units, _FAMILY, "log", smoother, RESCALINGS)
    else:
        long_name = f"{_QUANTITIES[name]}, along the {along}"
        measure = Measure(f"{name}:{along}", long_name, units, _FAMILY, "log", "lower", looks_by=_LOOKS_BY)
    values = zip(steps["step"].values.tolist(), variable.values.tolist(), strict=True)
    return Reading(measure, {int(step): float(value) for step, value in values}, STEPS)


def _range(options: Options) -> str:
    return ":".join("" if end is None else str(end) for end in options.steps)


ALONG_STEPS = Kind(_FAMILY, _conditions, _read)
