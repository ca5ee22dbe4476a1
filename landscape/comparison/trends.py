"""A measure's trend over settings that are numbers in order: by how much it changes with each doubling, over training seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape.comparison.collecting import Run
from landscape.comparison.differences import Values, hindrance, values_of
from landscape.comparison.grouping import Stratum
from landscape.comparison.rows import Trend
from landscape.numerics.contrasts import contrast_t, slope_weights, trend_p
from landscape.probes.comparable import TRAINING_SEEDS, Floats, Measure, Reading

FEWEST_SETTINGS = 3  # of two, the trend is the pair


def trends_of(
    measure: Measure, readings: Mapping[Run, Reading], groups: Sequence[Stratum], replication: str
) -> tuple[Trend, ...]:
    """One for each group whose settings are three numbers or more; none within single runs. Not yet corrected or judged."""
    if replication != TRAINING_SEEDS:
        return ()
    return tuple(_trend(measure, group, readings) for group in groups if is_ordered(group))


def is_ordered(group: Stratum) -> bool:
    return len(group.settings) >= FEWEST_SETTINGS and all(_is_number(setting.value) for setting in group.settings)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _trend(measure: Measure, group: Stratum, readings: Mapping[Run, Reading]) -> Trend:
    values = [values_of(setting, readings, TRAINING_SEEDS) for setting in group.settings]
    at = np.array([float(setting.value) for setting in group.settings])
    doubling = bool((at > 0).all())
    weights = slope_weights(np.log2(at) if doubling else at)
    sides, paired = _sides(measure, values)
    found = contrast_t(sides, weights, paired=paired)
    reasons = [hindrance(s, v, measure) for s, v in zip(group.settings, values, strict=True)]
    reason = next(filter(None, reasons), "") or ("" if paired else _shared(group, values))
    free = trend_p(np.stack(sides, axis=1)) if paired and not reason else math.nan
    ends = (found.difference, found.low, found.high) if not reason else (math.nan,) * 3
    slope, low, high = (measure.back(value) for value in ends)
    return Trend(
        f"{group.settings[0].label} … {group.settings[-1].label}",
        len(group.settings),
        "doubling" if doubling else "unit",
        slope,
        low,
        high,
        math.nan if reason else found.p,
        free,
        found.n,
        found.method,
        reason,
    )


def _sides(measure: Measure, values: Sequence[Values]) -> tuple[list[Floats], bool]:
    """Each setting's values on the measure's scale; of the seeds alone that all have, where they are half of the fewest or more."""
    common = [seed for seed in values[0] if all(seed in one for one in values)]
    paired = len(common) >= max(2, math.ceil(min(map(len, values)) / 2))
    return [measure.forward([one[seed] for seed in common] if paired else list(one.values())) for one in values], paired


def _shared(group: Stratum, values: Sequence[Values]) -> str:
    """Why the settings are neither pairs nor independent; empty where no seed is in two of them."""
    seeds = [seed for one in values for seed in one]
    several = sorted({str(seed) for seed in seeds if seeds.count(seed) > 1})
    if not several:
        return ""
    return (
        f"seed {', '.join(several)} is in several settings, and too few seeds are in all {len(values)}: runs of one seed vary "
        "together, so they are not independent. Give all settings the same seeds, or each its own"
    )
