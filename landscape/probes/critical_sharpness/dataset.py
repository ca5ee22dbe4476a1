"""What is stored of a critical step, and how its error follows from what was looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping

from landscape.numerics.crossing import Crossing
from landscape.probes.searches import Found, Variables, status_of
from landscape.results.attributes import LOSS

VALUES: Variables = {
    "critical_sharpness": ("critical sharpness, 2/η_c", "1"),
    "critical_sharpness_standard_error": ("standard error of the critical sharpness over the samples", "1"),
    "critical_step": ("critical step η_c: the least at which the loss is above that at the checkpoint", "1"),
    "critical_step_low": ("largest step looked at below the critical one, at which the loss is not above", "1"),
    "critical_step_high": ("least step looked at at which the loss is above", "1"),
    "critical_step_standard_error": ("standard error of the critical step over the samples", "1"),
    "direction_norm": ("Euclidean norm of the direction d", "1"),
    "sign": ("1 where the direction was followed as it is, −1 where the other way", "1"),
    "passes": ("forward passes over the samples, that at the checkpoint included", "1"),
}
TRIALS: Variables = {
    "trial_step": ("step η that was looked at", "1"),
    "rise": ("L(θ + ηd) − L(θ)", LOSS),
    "rise_standard_error": ("standard error of the rise over the samples", LOSS),
}


def found_along(
    search: Crossing, rises: Mapping[float, tuple[float, float]], sign: float, norm: float, passes: int
) -> Found:
    """From a search for the least step, and the rise with its standard error at every step that it took."""
    step, steps = search.place, sorted(rises)
    error = _step_error(search, rises)
    values = {
        "critical_step": step,
        "critical_step_low": search.low if search.low > 0 else math.nan,
        "critical_step_high": search.high if math.isfinite(search.high) else math.nan,
        "critical_step_standard_error": error,
        "critical_sharpness": 2 / step,
        "critical_sharpness_standard_error": 2 / step**2 * error,
        "direction_norm": norm,
        "sign": sign,
        "passes": float(passes),
    }
    trials = {"trial_step": steps, "rise": [rises[one][0] for one in steps]}
    return Found(status_of(search), values, {**trials, "rise_standard_error": [rises[one][1] for one in steps]})


def _step_error(search: Crossing, rises: Mapping[float, tuple[float, float]]) -> float:
    """The standard error of the rise at the critical step over the slope of the rise there.

    The slope is that of (L(θ + ηd) − L(θ)) / η times η, between the bracket and the step nearest to half of it: between the
    bracket's own ends, which are close to each other, there would be little but rounding.
    """
    if not search.found:
        return math.nan
    step, high = search.place, search.high
    other = min((one for one in rises if one < search.low), key=lambda one: abs(one - step / 2), default=search.low)
    slope = step * (rises[high][0] / high - rises[other][0] / other) / (high - other)
    return abs(rises[high][1] / slope) if slope else math.nan
