"""One measure over the settings: which units are independent, the mean of each setting, and every pair's difference."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from landscape.comparison.collecting import Run
from landscape.comparison.grouping import Setting
from landscape.comparison.rows import Cell, Pair, Row, evenly
from landscape.numerics.contrasts import distribution_free_p, equivalence_p
from landscape.numerics.inference import (
    Difference,
    Interval,
    block_difference,
    block_interval,
    paired_t,
    t_interval,
    untested,
    welch_t,
)
from landscape.probes.comparable import STEPS, TRAINING_SEEDS, Floats, Measure, Reading

Values = Mapping[Hashable, float]


def row_of(
    measure: Measure,
    readings: Mapping[Run, Reading],
    settings: Sequence[Setting],
    pairs: Sequence[tuple[Setting, Setting]],
    margin: float = math.nan,
) -> Row:
    """The measure's means and differences; p-values are not yet corrected, and there are no verdicts.

    ``margin``: the difference, or ratio, that counts as none.
    """
    replication = _replication(readings, settings)
    values = {setting.label: values_of(setting, readings, replication) for setting in settings}
    cells = {label: _cell(measure, found, replication) for label, found in values.items()}
    tested = [_pair(measure, a, b, values[a.label], values[b.label], replication, margin) for a, b in pairs]
    return Row(measure, replication, cells, tuple(tested))


def _replication(readings: Mapping[Run, Reading], settings: Sequence[Setting]) -> str:
    """Training seeds where a setting has several; with one run each, what varies within a run."""
    several = any(sum(run in readings for run in setting.runs) > 1 for setting in settings)
    within = {reading.within for reading in readings.values()}
    return TRAINING_SEEDS if several or within == {""} else next(iter(within - {""}))


def values_of(setting: Setting, readings: Mapping[Run, Reading], replication: str) -> Values:
    """The value of every independent unit: of training seeds, or of the parts of a setting's only run."""
    there = [run for run in setting.runs if run in readings]
    if replication == TRAINING_SEEDS:
        return {run.seed: readings[run].value for run in there}
    return dict(readings[there[0]].parts) if there else {}


def _cell(measure: Measure, values: Values, replication: str) -> Cell:
    x = measure.forward(list(values.values()))
    made = block_interval(x) if replication == STEPS else t_interval(x)
    if replication == STEPS and not evenly(values):
        made = replace(made, low=math.nan, high=math.nan, standard_error=math.nan)
    return _cell_of(measure, values, made)


def _cell_of(measure: Measure, values: Values, made: Interval) -> Cell:
    mean, low, high = (measure.back(value) for value in (made.mean, made.low, made.high))
    factor = mean if measure.scale == "log" else 1.0
    return Cell(values, mean, low, high, factor * made.standard_deviation, factor * made.standard_error, made.n)


def _pair(
    measure: Measure, a: Setting, b: Setting, one: Values, other: Values, replication: str, margin: float
) -> Pair:
    x, y, paired = _sides(measure, one, other, replication)
    found = _tested(x, y, paired, replication)
    if replication == STEPS and not (evenly(one) and evenly(other)):
        found = untested(found.difference, found.n, found.method, found.block)
    reason = hindrance(a, one, measure) or hindrance(b, other, measure)
    free = (math.nan, math.nan)
    if reason:
        found = untested(math.nan, found.n, "", found.block)
    elif replication != STEPS:
        free = distribution_free_p(x, y, paired=paired)
    equivalent = math.nan
    if replication == TRAINING_SEEDS and not math.isnan(margin):
        equivalent = equivalence_p(found, float(measure.forward(margin)))
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
        free_p=free[0],
        free_least=free[1],
        margin=margin,
        p_equivalent=equivalent,
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


def hindrance(setting: Setting, values: Values, measure: Measure) -> str:
    """Why no difference to a setting may be tested; empty where one may."""
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
