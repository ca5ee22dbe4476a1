"""What files of critical sharpness hold, what is said of them, and how they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.probes.comparable import Kind, Measure, Options, Reading, sampled_conditions
from landscape.probes.searches import Status
from landscape.results.schema import Schema
from landscape.results.words import at_checkpoint, count, dead, with_error

SCHEMA = Schema(
    variables="""
    critical_sharpness(direction) critical_sharpness_standard_error(direction) critical_step(direction)
    critical_step_low(direction) critical_step_high(direction) critical_step_standard_error(direction)
    direction_norm(direction) sign(direction) passes(direction) status(direction) direction(direction):text
    trial_step(direction trial) rise(direction trial) rise_standard_error(direction trial) checkpoint_loss()
    checkpoint_loss_standard_error() parameter_norm() index(sample)
""",
)
STEPS = Schema(
    variables="""
    step(step) along(along):text critical_sharpness(step along) critical_sharpness_standard_error(step along)
    critical_step(step along) critical_step_low(step along) critical_step_high(step along)
    critical_step_standard_error(step along) passes(step along) status(step along) loss(step) threshold(step)
    epoch(step) learning_rate(step)
""",
)
_FAMILY = "critical sharpness"


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss, and for each direction its critical sharpness, or why it has none."""
    lines = at_checkpoint(dataset)
    for name in dataset["direction"].values:
        lines.append(f"along {name}: {spoken(dataset.sel(direction=name))}")
    return [*lines, *dead(dataset)]


def spoken(one: xr.Dataset) -> str:
    """The critical sharpness along one direction in words, or why there is none."""
    status = Status(int(one["status"]))
    if status == Status.MISSING:
        return "not measured"
    passes, steps = count(one["passes"], "pass", "passes"), one["trial_step"].values
    if status == Status.BEYOND_REACH:
        reach = float(np.nanmax(steps))
        return f"the loss does not rise up to the step {reach:.4g}, so it is below {2 / reach:.4g} ({passes})"
    if status == Status.AT_ONCE:
        return f"the loss rises at once, from the step {np.nanmin(steps):.4g} on: it falls nowhere along it ({passes})"
    sharpness = with_error(one["critical_sharpness"], one["critical_sharpness_standard_error"])
    step = with_error(one["critical_step"], one["critical_step_standard_error"])
    between = f"{float(one['critical_step_low']):.5g} and {float(one['critical_step_high']):.5g}"
    more = f", known only to lie between {between}" if status == Status.BRACKETED else ""
    return f"critical sharpness {sharpness}: the loss rises from the step {step} on{more} ({passes})"


def steps_words(dataset: xr.Dataset) -> list[str]:
    """How large the critical sharpness is along each direction, and at how many steps the learning rate is above the critical."""
    steps = dataset["step"].values
    if not steps.size:
        return ["no step was measured", *dead(dataset)]
    lines = [f"{count(steps.size, 'step')} measured, from {steps[0]} to {steps[-1]}"]
    for name in dataset["along"].values:
        one = dataset.sel(along=name)
        last = one.isel(step=-1)
        above = int((one["critical_sharpness"] > one["threshold"]).sum())
        value = with_error(last["critical_sharpness"], last["critical_sharpness_standard_error"])
        bears = f"of {float(last['threshold']):.5g} that the learning rate bears"
        lines.append(
            f"along the {name}: {value} at the last step, {bears}; the step raises the loss at {count(above, 'step')}"
        )
    return [*lines, *dead(dataset)]


def _conditions(found: xr.Dataset) -> Mapping[str, Any]:
    return {**sampled_conditions(found), "direction seed": found.attrs.get("direction_seed")}


def _read(found: xr.Dataset, options: Options) -> list[Reading]:
    readings = []
    for name in found["direction"].values:
        one = found.sel(direction=name)
        long_name = f"critical sharpness along {name}"
        measure = Measure(f"critical_sharpness:{name}", long_name, "1", _FAMILY, "log", "lower")
        known = int(one["status"]) in (Status.MEASURED, Status.BRACKETED)
        readings.append(Reading(measure, {"run": float(one["critical_sharpness"]) if known else np.nan}))
    return readings


COMPARED = Kind(_FAMILY, _conditions, _read)
