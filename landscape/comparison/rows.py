"""What a comparison is made of: a cell for each measure and setting, a pair for each difference, and all of them together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from landscape.numerics.inference import CONFIDENCE
from landscape.probes.comparable import Measure

PERCENT = f"{100 * CONFIDENCE:g} %"


HIGHER, LOWER, CANNOT_TELL, NOT_TESTED = "higher", "lower", "cannot tell", "no difference tested"
THESE_RUNS, EQUIVALENT = "in these runs only", "equivalent"
RISES, FALLS = "rises", "falls"
# A difference below this part of the values is none: single precision and BatchNorm's ε make as much between equal functions.
RESOLUTION = 1e-4


@dataclass(frozen=True, eq=False)
class Cell:
    """One measure of one setting.

    Attributes:
        values: of every replicate, by seed or step; empty where nothing was measured.
        mean, low, high: with the confidence interval; geometric on a log scale.
        standard_deviation, standard_error: on a log scale those of the logarithms times the geometric mean.
        n: number of independent units: seeds, or the steps of a series.
    """

    values: Mapping[Hashable, float]
    mean: float
    low: float
    high: float
    standard_deviation: float
    standard_error: float
    n: int


def evenly(steps: Iterable[Hashable]) -> bool:
    """Whether steps are at equal distances, up to their rounding to whole ones."""
    gaps = np.diff(sorted(int(str(step)) for step in steps))
    return len(gaps) < 2 or int(np.ptp(gaps)) <= 1


@dataclass(frozen=True, eq=False)
class Pair:
    """Setting ``a`` against setting ``b`` in one measure: a − b, or a / b on a log scale.

    Attributes:
        p_holm: after Holm's correction over the measure's family.
        comparisons: how many p-values that family has.
        n: pairs, or replicates on either side.
        reason: why nothing was tested, or could be; empty where there is a p-value.
        verdict: whether a is ``higher`` or ``lower`` than b, ``cannot tell``, ``no difference tested``, or that the two differ
            ``in these runs only``, one of each setting, which says nothing about the settings; or that they are ``equivalent``.
        free_p, free_least: p without a distribution's form, NaN where no data of so many units could reach 0.05, and the
            smallest that they could give (:func:`landscape.numerics.contrasts.distribution_free_p`).
        margin: the difference, or ratio, that a user calls none; NaN where none was given.
        p_equivalent: of the claim that the true one is smaller, after Holm over the family's claims.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    effect_size: float
    p: float
    n: tuple[int, ...]
    method: str
    block: tuple[int, ...]
    reason: str = ""
    p_holm: float = math.nan
    comparisons: int = 0
    verdict: str = NOT_TESTED
    sentence: str = ""
    free_p: float = math.nan
    free_least: float = math.nan
    margin: float = math.nan
    p_equivalent: float = math.nan

    @property
    def label(self) -> str:
        return f"{self.a} vs {self.b}"


@dataclass(frozen=True, eq=False)
class Trend:
    """How one measure changes over settings in order, the training seed being the unit.

    Attributes:
        label: the first and the last setting.
        settings: how many there are.
        per: what the change is for: each ``doubling`` of the setting, or ``unit`` of it where a value is 0 or below.
        slope, low, high: the change, with its interval; a ratio on a log scale.
        p: two-sided, of t; ``p_holm`` after Holm over the trends of the measure's family, ``comparisons`` of them.
        free_p: of Page's test, where all settings share their seeds.
        n: seeds that all settings have, or the values of each.
        verdict: ``rises``, ``falls``, ``cannot tell`` or ``no difference tested``.
    """

    label: str
    settings: int
    per: str
    slope: float
    low: float
    high: float
    p: float
    free_p: float
    n: tuple[int, ...]
    method: str
    reason: str = ""
    p_holm: float = math.nan
    comparisons: int = 0
    verdict: str = NOT_TESTED
    sentence: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """One measure over all settings: a cell for each (by label), the pairs, and the trends over settings in order."""

    measure: Measure
    replication: str
    cells: Mapping[str, Cell]
    pairs: tuple[Pair, ...]
    trends: tuple[Trend, ...] = ()


@dataclass(frozen=True, eq=False)
class Compared:
    """Everything that was compared, and what was left out.

    Attributes:
        by: the setting that tells the columns apart.
        settings: the labels of the columns -> why that setting is never ranked; empty text for the ones that trained.
        dead: the labels of settings with a dead network.
        rows: one for each measure.
        notes: what a reader must know: confounds, methods, units.
        left_out: one sentence for everything that was given and could not be compared.
    """

    by: str
    settings: Mapping[str, str]
    dead: frozenset[str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"comparison by {self.by}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every trend and comparison in plain words, the measures in their order."""
        found: list[str] = []
        for row in self.rows:
            found += [trend.sentence for trend in row.trends] + [pair.sentence for pair in row.pairs]
        return tuple(found)

    def each_pair(self) -> Iterator[tuple[Row, Pair]]:
        for row in self.rows:
            for pair in row.pairs:
                yield row, pair
