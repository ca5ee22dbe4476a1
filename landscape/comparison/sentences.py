"""Verdicts after Holm's correction, and every comparison as one sentence."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from landscape.comparison.rows import CANNOT_TELL, HIGHER, LOWER, NOT_TESTED, PERCENT, RESOLUTION, THESE_RUNS, Pair, Row
from landscape.numerics.inference import CONFIDENCE, SHORTEST_SERIES, holm
from landscape.probes.comparable import DIRECTION_SEEDS, STEPS, TRAINING_SEEDS

ALPHA = 1 - CONFIDENCE
_WITHIN = {STEPS: "within one run of each", DIRECTION_SEEDS: "of one network of each"}


def judged(rows: Sequence[Row], by: str) -> tuple[Row, ...]:
    """The rows with corrected p-values, verdicts and sentences.

    Holm's correction is over all measures, pairs and groups of a family (training, steps, plane): with no difference at all, a
    family has a verdict other than ``cannot tell`` with a probability of at most 5 %.
    """
    families: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        families[row.measure.family] += [pair.p for pair in row.pairs]
    adjusted = {family: iter(holm(values).tolist()) for family, values in families.items()}
    counts = {family: sum(not math.isnan(p) for p in values) for family, values in families.items()}
    return tuple(
        replace(
            row,
            pairs=tuple(
                _judged(row, pair, next(adjusted[row.measure.family]), counts[row.measure.family], by)
                for pair in row.pairs
            ),
        )
        for row in rows
    )


def _judged(row: Row, pair: Pair, p_holm: float, comparisons: int, by: str) -> Pair:
    pair = replace(pair, p_holm=p_holm, comparisons=comparisons)
    if pair.reason:
        verdict, words = NOT_TESTED, f"no difference tested: {pair.reason}"
    elif math.isnan(pair.p):
        pair = replace(pair, reason=_no_spread(row, pair))
        verdict, words = CANNOT_TELL, f"cannot tell: {pair.reason}"
    elif _equal(row, pair):
        verdict = CANNOT_TELL
        words = f"cannot tell: the values are equal within {100 * RESOLUTION:g} %, which rounding can make of one value"
    elif p_holm < ALPHA and row.replication != TRAINING_SEEDS:
        verdict = THESE_RUNS
        words = (
            f"{_size(row, pair)}; one run of each says nothing about {by}, as other training seeds may differ as much"
        )
    elif p_holm < ALPHA:
        verdict = HIGHER if pair.difference > _same(row) else LOWER
        words = _size(row, pair) + _smoother(row, pair)
    else:
        verdict, words = CANNOT_TELL, f"cannot tell: {_open(row, pair)}"
    named = f"{row.measure.long_name}, {by} {pair.a} against {pair.b}"
    return replace(pair, verdict=verdict, sentence=f"{named}: {words}.")


def _equal(row: Row, pair: Pair) -> bool:
    """Whether the difference is one that rounding makes."""
    if row.measure.scale == "log":
        return abs(pair.difference - 1) < RESOLUTION
    return abs(pair.difference) < RESOLUTION * max(abs(row.cells[setting].mean) for setting in (pair.a, pair.b))


def _size(row: Row, pair: Pair) -> str:
    if row.measure.scale == "log":
        size = f"{pair.a} has {number(pair.difference)} times the value of {pair.b}"
    else:
        size = f"{pair.a} is {HIGHER if pair.difference > 0 else LOWER} by {_amount(abs(pair.difference), row)}"
    return f"{size} ({_interval(row, pair)}; {_evidence(row, pair)})"


def _smoother(row: Row, pair: Pair) -> str:
    if row.measure.smoother == "neither" or not _one_sided(row, pair):
        return ""
    more = pair.difference > _same(row)
    return f"; {pair.a if (row.measure.smoother == HIGHER) == more else pair.b} is the smoother one"


def _one_sided(row: Row, pair: Pair) -> bool:
    """Whether both means are of one sign: a strong downward curvature is lower than none, and no smoother."""
    return min(row.cells[setting].mean for setting in (pair.a, pair.b)) >= 0


def _open(row: Row, pair: Pair) -> str:
    if pair.low <= _same(row) <= pair.high:
        return f"the {_interval(row, pair)} includes no difference ({_evidence(row, pair)})"
    return (
        f"the {_interval(row, pair)} excludes no difference taken alone, but not among {pair.comparisons} comparisons "
        f"({_evidence(row, pair)})"
    )


def _no_spread(row: Row, pair: Pair) -> str:
    values = f"{_quantity(row, pair)} {_amount(pair.difference, row)}"
    if row.replication == STEPS and min(pair.n) < SHORTEST_SERIES:
        return f"{min(pair.n)} steps are too few to see how they depend on each other ({values})"
    if row.replication == STEPS:
        return (
            f"{min(pair.n)} steps that vary so little, or resemble the ones before them so much, are too few ({values})"
        )
    if min(pair.n) < 2:
        return f"{_units(row, pair)}: without a second one nothing says how much it varies ({values})"
    return f"the replicates do not vary, so nothing says how sure this is ({values}; {_units(row, pair)})"


def _interval(row: Row, pair: Pair) -> str:
    return f"{PERCENT} interval of the {_quantity(row, pair)} {number(pair.low)} to {_amount(pair.high, row)}"


def _quantity(row: Row, pair: Pair) -> str:
    return "ratio" if row.measure.scale == "log" else "difference"


def _evidence(row: Row, pair: Pair) -> str:
    blocks = f", blocks of {' and '.join(map(str, pair.block))} steps" if row.replication == STEPS else ""
    holm_words = (
        f"p {p_value(pair.p_holm)} after Holm over {pair.comparisons} comparison{'s' * (pair.comparisons != 1)}"
    )
    effect = "" if math.isnan(pair.effect_size) else f"effect size {number(pair.effect_size)}, "
    return f"{pair.method}{blocks}, {_units(row, pair)}, {effect}{holm_words}"


def _units(row: Row, pair: Pair) -> str:
    what = {STEPS: "steps", DIRECTION_SEEDS: "direction seeds", TRAINING_SEEDS: "training seeds"}[row.replication]
    if pair.method.startswith("paired"):
        what = f"pairs of {what}" if row.replication != STEPS else "steps of both"
    within = f", {_WITHIN[row.replication]}" if row.replication in _WITHIN else ""
    return f"n = {' and '.join(map(str, pair.n))} {what}{within}"


def _same(row: Row) -> float:
    """The difference of equal values."""
    return 1.0 if row.measure.scale == "log" else 0.0


def _amount(value: float, row: Row) -> str:
    unit = "" if row.measure.scale == "log" or row.measure.units == "1" else f" {row.measure.units}"
    return f"{number(value)}{unit}"


def number(value: float) -> str:
    """Three digits."""
    return "NaN" if math.isnan(value) else f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")


def p_value(p: float) -> str:
    """Two digits, and no more zeros than anybody believes."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"
