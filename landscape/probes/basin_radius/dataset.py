"""What is stored of a basin's radius, and what follows from all directions together."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from landscape.numerics.crossing import Crossing
from landscape.numerics.statistics import mean_and_standard_error
from landscape.probes.basin_radius.config import BasinRadiusConfig
from landscape.probes.searches import Found, SearchTable, Status, Variables, status_of
from landscape.results.attributes import LOSS, labels

VALUES: Variables = {
    "radius": ("Euclidean distance from the checkpoint at which the metric reaches the threshold", "1"),
    "radius_low": ("largest distance looked at within the basin", "1"),
    "radius_high": ("least distance looked at beyond its edge", "1"),
    "radius_standard_error": ("standard error of the radius over the samples", "1"),
    "relative_radius": ("radius as a part of the Euclidean norm of the parameters", "1"),
    "passes": ("forward passes over the samples", "1"),
}
TRIALS: Variables = {
    "trial_radius": ("distance that was looked at", "1"),
    "value": ("metric there", LOSS),
}


def basin_table(names: list[str], config: BasinRadiusConfig) -> SearchTable:
    """An empty one for these directions."""
    return SearchTable(names, config.max_passes, VALUES, TRIALS)


def found_along(search: Crossing, seen: Mapping[float, tuple[float, float, float]], norm: float) -> Found:
    """From a search for the edge; ``seen`` is at every distance the metric, how far beyond the edge, and the error of that."""
    radius, places = search.place, sorted(seen)
    values = {
        "radius": radius,
        "radius_low": search.low if search.low > 0 else math.nan,
        "radius_high": search.high if math.isfinite(search.high) else math.nan,
        "radius_standard_error": _radius_error(search, seen),
        "relative_radius": radius / norm if norm > 0 else math.nan,
        "passes": float(len(seen)),
    }
    return Found(status_of(search), values, {"trial_radius": places, "value": [seen[one][0] for one in places]})


def _radius_error(search: Crossing, seen: Mapping[float, tuple[float, float, float]]) -> float:
    """The standard error of the metric at the edge over its slope there, taken to the place nearest to half of the radius."""
    if not search.found:
        return math.nan
    high = search.high
    other = min(
        (one for one in seen if one < search.low), key=lambda one: abs(one - search.place / 2), default=search.low
    )
    # of a parabola: by the difference over the squares of the distances
    slope = 2 * search.place * (seen[high][1] - seen[other][1]) / (high**2 - other**2)
    return abs(seen[high][2] / slope) if slope else math.nan


def basin_dataset(
    table: SearchTable, unit: str, config: BasinRadiusConfig, value: float, threshold: float
) -> xr.Dataset:
    """The labelled arrays with what all directions give together, where the metric is in ``unit``."""
    made = table.dataset(unit)
    known = made["status"].isin([Status.MEASURED, Status.BRACKETED]).values
    random = np.array([name.startswith("random") for name in table.names])
    radii = made["radius"].values
    mean, error = math.nan, math.nan
    if known[random].all():
        mean, error = mean_and_standard_error(torch.from_numpy(radii[random]))
    least = float(radii.min()) if known.all() else math.nan
    own = {
        "random_radius": (mean, "mean radius over the random directions", "1"),
        "random_radius_standard_error": (error, "standard error of the mean radius over the random directions", "1"),
        "least_radius": (least, "least radius of all directions", "1"),
        "checkpoint_value": (value, f"{config.metric} at the checkpoint", unit),
        "threshold": (threshold, f"{config.metric} at the edge of the basin", unit),
    }
    return made.assign({name: ((), one, labels(words, of)) for name, (one, words, of) in own.items()})
