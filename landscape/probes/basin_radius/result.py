"""What files of a basin's radius hold, what is said of them, and how they are compared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.probes.comparable import DIRECTION_SEEDS, Kind, Measure, Options, Reading, sampled_conditions
from landscape.probes.searches import Status
from landscape.results.schema import Schema
from landscape.results.words import at_checkpoint, count, dead, unit_of, with_error

SCHEMA = Schema(
    variables="""
    radius(direction) radius_low(direction) radius_high(direction) radius_standard_error(direction)
    relative_radius(direction) passes(direction) status(direction) direction(direction):text
    trial_radius(direction trial) value(direction trial) random_radius() random_radius_standard_error() least_radius()
    checkpoint_value() threshold() checkpoint_loss() checkpoint_loss_standard_error() checkpoint_accuracy()?
    parameter_norm() index(sample)
""",
)
_FAMILY = "basin radius"
_WHY = {Status.BEYOND_REACH: "not within reach", Status.AT_ONCE: "worse at once", Status.MISSING: "not measured"}


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss, where the basin ends, and its radius along random and worst directions."""
    metric, norm = dataset.attrs["metric"], float(dataset["parameter_norm"])
    edge = f"{metric} {float(dataset['threshold']):.5g}{unit_of(dataset['threshold'])}"
    lines = [*at_checkpoint(dataset), f"the basin ends at {edge}, from {float(dataset['checkpoint_value']):.5g}:"]
    random = [str(name) for name in dataset["direction"].values if str(name).startswith("random")]
    mean, error = float(dataset["random_radius"]), float(dataset["random_radius_standard_error"])
    if np.isfinite(mean):
        over = f"mean over {count(len(random), 'direction')} ± its standard error over them"
        lines.append(f"random: radius {with_error(mean, error)} ({with_error(mean / norm, error / norm)} ‖θ‖), {over}")
    for name in dataset["direction"].values:
        one = dataset.sel(direction=name)
        status = Status(int(one["status"]))
        if status in _WHY:
            lines.append(f"{name}: {_WHY[status]}")
        elif str(name) not in random:
            radius = with_error(one["radius"], one["radius_standard_error"])
            lines.append(f"{name}: radius {radius} ({float(one['relative_radius']):.4g} ‖θ‖)")
    return [*lines, *dead(dataset)]


def _conditions(found: xr.Dataset) -> Mapping[str, Any]:
    own = ("metric", "better", "share", "change", "draws", "normalization", "direction_seed")
    return {**sampled_conditions(found), **{name.replace("_", " "): found.attrs.get(name) for name in own}}


def _read(found: xr.Dataset, options: Options) -> list[Reading]:
    random = [str(name) for name in found["direction"].values if str(name).startswith("random")]
    radii: dict[Hashable, float] = {name: float(found["relative_radius"].sel(direction=name)) for name in random}
    relative = Measure("random_radius", "radius along random directions, in ‖θ‖", "1", _FAMILY, "log", "higher")
    worst = Measure("least_radius", "least radius of all directions, in ‖θ‖", "1", _FAMILY, "log", "higher")
    least = float(found["least_radius"]) / float(found["parameter_norm"])
    return [Reading(relative, radii, DIRECTION_SEEDS), Reading(worst, {"run": least})]


COMPARED = Kind(_FAMILY, _conditions, _read)
