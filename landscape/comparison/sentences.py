"""Verdicts after Holm's correction, and every comparison as one sentence."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from landscape.comparison.rows import (
    CANNOT_TELL,
    EQUIVALENT,
    FALLS,
    HIGHER,
    LOWER,
    NOT_TESTED,
    PERCENT,
    RESOLUTION,
    RISES,
    THESE_RUNS,
    Pair,
    Row,
    Trend,
    evenly,
)
from landscape.numerics.inference import CONFIDENCE, SHORTEST_SERIES, holm
from landscape.probes.comparable import DIRECTION_SEEDS, STEPS, TRAINING_SEEDS

ALPHA = 1 - CONFIDENCE
_WITHIN = {STEPS: "within one run of each", DIRECTION_SEEDS: "of one network of each"}


def judged(rows: Sequence[Row], by: str) -> tuple[Row, ...]:
    """The rows with corrected p-values, verdicts and sentences.

    Holm's correction is over all measures, pairs and groups of a family (training, steps, plane): with no difference at all, a
    family has a verdict other than ``cannot tell`` with a probability of at most 5 %. Its trends are corrected among themselves,
    and so are its claims of equivalence.
    """
    pairs = _corrected(rows, lambda row: [pair.p for pair in row.pairs])
    equal = _corrected(rows, lambda row: [pair.p_equivalent for pair in row.pairs])
    trends = _corrected(rows, lambda row: [trend.p for trend in row.trends])
    return tuple(
        replace(
            row,
            pairs=tuple(
                _judged(row, replace(pair, p_holm=p, comparisons=count, p_equivalent=q), by)
                for pair, (p, count), (q, _) in zip(row.pairs, of_pairs, of_equal, strict=True)
            ),
            trends=tuple(
                _judged_trend(row, replace(trend, p_holm=p, comparisons=count), by)
                for trend, (p, count) in zip(row.trends, of_trends, strict=True)
            ),
        )
        for row, of_pairs, of_equal, of_trends in zip(rows, pairs, equal, trends, strict=True)
    )


def _corrected(rows: Sequence[Row], values: Callable[[Row], list[float]]) -> list[list[tuple[float, int]]]:
    """Of every row: each p after Holm over its family, and how many that family has."""
    families: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        families[row.measure.family] += values(row)
    adjusted = {family: iter(holm(ps).tolist()) for family, ps in families.items()}
    counts = {family: sum(not math.isnan(p) for p in ps) for family, ps in families.items()}
    return [[(next(adjusted[row.measure.family]), counts[row.measure.family]) for _ in values(row)] for row in rows]


def _judged(row: Row, pair: Pair, by: str) -> Pair:
    if pair.reason:
        verdict, words = NOT_TESTED, f"no difference tested: {pair.reason}"
    elif math.isnan(pair.p):
        pair = replace(pair, reason=_no_spread(row, pair))
        verdict, words = CANNOT_TELL, f"cannot tell: {pair.reason}"
    elif pair.p_equivalent < ALPHA and not pair.p_holm < ALPHA:
        evidence = f"{_interval(row, pair)}; {_one_sided_tests(pair)}; {_evidence(row, pair)}"
        verdict, words = EQUIVALENT, f"{_no_larger(row, pair)} ({evidence})"
    elif _equal(row, pair):
        verdict = CANNOT_TELL
        words = f"cannot tell: the values are equal within {100 * RESOLUTION:g} %, which rounding can make of one value"
    elif pair.p_holm < ALPHA and row.replication != TRAINING_SEEDS:
        verdict = THESE_RUNS
        words = (
            f"{_size(row, pair)}; one run of each says nothing about {by}, as other training seeds may differ as much"
        )
    elif pair.p_holm < ALPHA:
        verdict = HIGHER if pair.difference > _same(row) else LOWER
        small = f"; {_no_larger(row, pair)} ({_one_sided_tests(pair)})" if pair.p_equivalent < ALPHA else ""
        words = _size(row, pair) + _smoother(row, pair) + small
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


def _no_larger(row: Row, pair: Pair) -> str:
    if row.measure.scale == "log":
        return f"no ratio above × {number(pair.margin)} or below × {number(1 / pair.margin)}"
    return f"no difference larger than {_amount(pair.margin, row)}"


def _one_sided_tests(pair: Pair) -> str:
    return f"two one-sided tests, p {p_value(pair.p_equivalent)} after Holm"


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
    if row.replication == STEPS and not all(evenly(row.cells[setting].values) for setting in (pair.a, pair.b)):
        return (
            "the measured steps are not at equal distances, so blocks of as many are not of one length, and nothing says how "
            f"sure this is ({values})"
        )
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
    return f"{pair.method}{blocks}, {_units(row, pair)}, {effect}{holm_words}{_free(pair)}"


def _free(pair: Pair) -> str:
    """What can be said without t's assumption."""
    if math.isnan(pair.free_least):
        return ""
    if math.isnan(pair.free_p):
        return f"; n too small for a distribution-free claim, whose p is {number(pair.free_least)} at least"
    return f"; distribution-free p {p_value(pair.free_p)}"


def _units(row: Row, pair: Pair) -> str:
    what = {STEPS: "steps", DIRECTION_SEEDS: "direction seeds", TRAINING_SEEDS: "training seeds"}[row.replication]
    if pair.method.startswith("paired"):
        what = f"pairs of {what}" if row.replication != STEPS else "steps of both"
    within = f", {_WITHIN[row.replication]}" if row.replication in _WITHIN else ""
    return f"n = {' and '.join(map(str, pair.n))} {what}{within}"


def _judged_trend(row: Row, trend: Trend, by: str) -> Trend:
    """The trend with its verdict and sentence."""
    if trend.reason:
        verdict, words = NOT_TESTED, f"no trend tested: {trend.reason}"
    elif math.isnan(trend.p):
        verdict = CANNOT_TELL
        words = f"cannot tell: n = {min(trend.n)}, or values that do not vary, say nothing of how sure a trend is"
    elif trend.p_holm < ALPHA and not _flat(row, trend):
        verdict = RISES if trend.slope > _same(row) else FALLS
        words = f"{verdict} {_slope(row, trend, by)}"
    else:
        verdict, words = CANNOT_TELL, f"cannot tell: {_slope(row, trend, by)}"
    return replace(trend, verdict=verdict, sentence=f"{row.measure.long_name}, trend over {by} {trend.label}: {words}.")


def _flat(row: Row, trend: Trend) -> bool:
    """Whether the change is one that rounding makes."""
    if row.measure.scale == "log":
        return abs(trend.slope - 1) < RESOLUTION
    return abs(trend.slope) < RESOLUTION * max(abs(cell.mean) for cell in row.cells.values())


def _slope(row: Row, trend: Trend, by: str) -> str:
    per, between = f"with every {trend.per} of {by}", f"{PERCENT} interval"
    if row.measure.scale == "log":
        size = f"× {number(trend.slope)} {per} ({between} {number(trend.low)} to {number(trend.high)}"
        if trend.per == "doubling":
            powers = [number(math.log2(ratio)) for ratio in (trend.slope, trend.low, trend.high)]
            size += f"; log-log slope {powers[0]}, {powers[1]} to {powers[2]}"
    else:
        amount = abs(trend.slope) if trend.p_holm < ALPHA else trend.slope  # "falls by" says the sign
        size = f"by {number(amount)} {per} ({between} {number(trend.low)} to {_amount(trend.high, row)}"
    counted = " and ".join(map(str, dict.fromkeys(trend.n)))
    page = "" if math.isnan(trend.free_p) else f"; Page's test for order, p {p_value(trend.free_p)}"
    return (
        f"{size}; {trend.method} over {trend.settings} settings, n = {counted} training seeds, p {p_value(trend.p_holm)} after "
        f"Holm over {trend.comparisons} trend{'s' * (trend.comparisons != 1)}{page})"
    )


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
