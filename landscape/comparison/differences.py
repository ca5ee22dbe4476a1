"""One measure over the settings: which units are independent, the mean of each setting, and every pair's difference."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from landscape.comparison.collecting import Run
from landscape.comparison.grouping import Setting
from landscape.comparison.rows import Cell, Pair, Row
from landscape.numerics.inference import (
    Difference,
    Interval,
    block_difference,
    block_interval,
    paired_t,
    t_interval,
    welch_t,
)
from landscape.probes.comparable import STEPS, TRAINING_SEEDS, Floats, Measure, Reading

Values = Mapping[Hashable, float]


def row_of(
    measure: Measure,
    readings: Mapping[Run, Reading],
    settings: Sequence[Setting],
    pairs: Sequence[tuple[Setting, Setting]],
) -> Row:
    """The measure's means and differences; p-values are not yet corrected, and there are no verdicts."""
    replication = _replication(readings, settings)
    values = {setting.label: _values(setting, readings, replication) for setting in settings}
    cells = {label: _cell(measure, found, replication) for label, found in values.items()}
    tested = [_pair(measure, a, b, values[a.label], values[b.label], replication) for a, b in pairs]
    return Row(measure, replication, cells, tuple(tested))


def _replication(readings: Mapping[Run, Reading], settings: Sequence[Setting]) -> str:
    """Training seeds where a setting has several; with one run each, what varies within a run."""
    several = any(sum(run in readings for run in setting.runs) > 1 for setting in settings)
    within = {reading.within for reading in readings.values()}
    return TRAINING_SEEDS if several or within == {""} else next(iter(within - {""}))


def _values(setting: Setting, readings: Mapping[Run, Reading], replication: str) -> Values:
    there = [run for run in setting.runs if run in readings]
    if replication == TRAINING_SEEDS:
        return {run.seed: readings[run].value for run in there}
    return dict(readings[there[0]].parts) if there else {}


def _cell(measure: Measure, values: Values, replication: str) -> Cell:
    x = measure.forward(list(values.values()))
    made = block_interval(x) if replication == STEPS else t_interval(x)
    return _cell_of(measure, values, made)


def _cell_of(measure: Measure, values: Values, made: Interval) -> Cell:
    mean, low, high = (measure.back(value) for value in (made.mean, made.low, made.high))
    factor = mean if measure.scale == "log" else 1.0
    return Cell(values, mean, low, high, factor * made.standard_deviation, factor * made.standard_error, made.n)


def _pair(measure: Measure, a: Setting, b: Setting, one: Values, other: Values, replication: str) -> Pair:
    x, y, paired = _sides(measure, one, other, replication)
    found = _tested(x, y, paired, replication)
    reason = _not_tested(a, b, one, other, measure)
    if reason:
        found = replace(
            found, difference=math.nan, low=math.nan, high=math.nan, effect_size=math.nan, p=math.nan, method=""
        )
    return Pair(
        a.label,
        b.label,
        measure.back(found.difference),
        measure.back(found.low),
        measure.back(found.high),
        found.effect_size,
        found.p,
        found.n,
        found.method,
        found.block,
        reason,
    )


def _tested(x: Floats, y: Floats, paired: bool, replication: str) -> Difference:
    if replication == STEPS:
        return block_difference(x, y, paired=paired)
    return paired_t(x, y) if paired else welch_t(x, y)


def _sides(measure: Measure, one: Values, other: Values, replication: str) -> tuple[Floats, Floats, bool]:
    """Both sides on the measure's scale, and whether they are pairs that share their random numbers.

    Series are pairs where they have the same steps. Seeds are where at least two, and at least half of the smaller side, have
    a partner; whoever has none then stays out of the difference.
    """
    common = [key for key in one if key in other]
    enough = max(2, math.ceil(min(len(one), len(other)) / 2))
    paired = one.keys() == other.keys() if replication == STEPS else len(common) >= enough
    if paired:
        return measure.forward([one[key] for key in common]), measure.forward([other[key] for key in common]), True
    return measure.forward(list(one.values())), measure.forward(list(other.values())), False


def _not_tested(a: Setting, b: Setting, one: Values, other: Values, measure: Measure) -> str:
    """Why no difference may be tested; empty where one may."""
    for setting, values in ((a, one), (b, other)):
        if setting.failures:
            names = "; ".join(f"{run} {why}" for run, why in setting.failures.items())
            return f"{names}, so {setting.label} is listed and not ranked"
        if not values:
            return f"{setting.label} has no such measurement"
        bad = int((~np.isfinite(measure.forward(list(values.values())))).sum())
        if bad:
            what = "not finite" if measure.scale == "linear" else "not finite or not above 0"
            survivors = "a mean of the others would be one of survivors"
            return f"{bad} of {len(values)} values of {setting.label} are {what}, and {survivors}"
    return ""
