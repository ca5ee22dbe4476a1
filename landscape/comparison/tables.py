"""A comparison as two tables of text: the means of each setting, and the differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape.comparison.made_with import in_order, shown
from landscape.comparison.rows import PERCENT, Cell, Compared, Pair, Row
from landscape.comparison.sentences import number, p_value
from landscape.numerics.notation import value_with_uncertainty
from landscape.probes.comparable import STEPS

READING = (
    "0.479(4) means 0.479 ± 0.004; SEM is the standard error of the mean, SD the standard deviation (N − 1) of the "
    "replicates. On a log scale means are geometric, SD and SEM are those of the logarithms times the mean, and differences "
    "are ratios."
)


@dataclass(frozen=True)
class Table:
    """A title, the heads of the columns, and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def means(made: Compared) -> Table:
    """One row for each measure and setting."""
    rows = tuple(
        (
            row.measure.long_name,
            _unit(row),
            f"{setting} ({_kind_of_failure(made, setting)})" if failure else setting,
            value_with_uncertainty(row.cells[setting].mean, row.cells[setting].standard_error),
            _deviation(row.cells[setting]),
            _interval(row.cells[setting].low, row.cells[setting].high),
            str(row.cells[setting].n),
            row.replication,
            each_value(row, row.cells[setting]),
        )
        for row in made.rows
        for setting, failure in made.settings.items()
        if row.cells[setting].values
    )
    columns = ("measure", "unit", made.by, "mean(SEM)", "SD", f"{PERCENT} interval", "n", "of what", "each")
    return Table("Means", columns, rows)


def differences(made: Compared) -> Table:
    """One row for each measure and pair."""
    asked = any(not math.isnan(pair.margin) for _, pair in made.each_pair())
    rows = tuple(
        (
            row.measure.long_name,
            pair.label,
            _known(pair.difference, f"{'× ' if row.measure.scale == 'log' else ''}{number(pair.difference)}"),
            _interval(pair.low, pair.high),
            _known(pair.effect_size, number(pair.effect_size)),
            _p(pair.p),
            _p(pair.p_holm),
            _free(pair),
            *([_equivalent(pair)] if asked else []),
            pair.verdict,
        )
        for row, pair in made.each_pair()
    )
    columns = (
        "measure",
        made.by,
        "difference or × ratio",
        f"{PERCENT} interval",
        "effect size",
        "p",
        "p (Holm)",
        "p, distribution-free",
        *(["p, equivalent (Holm)"] if asked else []),
        "verdict",
    )
    return Table("Differences", columns, rows)


def trends(made: Compared) -> Table:
    """One row for each measure and ordered group of settings."""
    rows = tuple(
        (
            row.measure.long_name,
            trend.label,
            _known(trend.slope, f"{'× ' if row.measure.scale == 'log' else ''}{number(trend.slope)} per {trend.per}"),
            _interval(trend.low, trend.high),
            _p(trend.p),
            _p(trend.p_holm),
            _p(trend.free_p),
            trend.verdict,
        )
        for row in made.rows
        for trend in row.trends
    )
    columns = ("measure", made.by, "change", f"{PERCENT} interval", "p", "p (Holm)", "p, Page", "verdict")
    return Table("Trends", columns, rows)


def tables_of(made: Compared) -> list[Table]:
    """The means, the trends where settings are numbers in order, and the differences."""
    return [table for table in (means(made), trends(made), differences(made)) if table.rows]


def each_value(row: Row, cell: Cell) -> str:
    """The value of each seed; of steps, which are too many, none."""
    if row.replication == STEPS:
        return ""
    return "; ".join(f"{shown(key)}: {number(cell.values[key])}" for key in in_order(cell.values))


def _free(pair: Pair) -> str:
    if math.isnan(pair.free_p):
        return _known(pair.free_least, f"n too small ({number(pair.free_least)} at least)")
    return _p(pair.free_p)


def _equivalent(pair: Pair) -> str:
    return _known(pair.p_equivalent, f"{_p(pair.p_equivalent)} (within {number(pair.margin)})")


def _unit(row: Row) -> str:
    unit = "" if row.measure.units == "1" else row.measure.units
    return ", ".join(filter(None, (unit, "log scale" if row.measure.scale == "log" else "")))


def _deviation(cell: Cell) -> str:
    return _known(cell.standard_deviation, number(cell.standard_deviation))


def _interval(low: float, high: float) -> str:
    return _known(low, f"{number(low)} to {number(high)}")


def _known(value: float, text: str) -> str:
    """The text, or nothing where the value is not known."""
    return "" if math.isnan(value) else text


def _p(p: float) -> str:
    return _known(p, p_value(p).removeprefix("= "))


def _kind_of_failure(made: Compared, setting: str) -> str:
    return "dead" if setting in made.dead else "diverged"
