"""What a comparison is made of: a cell for each measure and setting, a pair for each difference, and all of them together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from landscape.numerics.inference import CONFIDENCE
from landscape.probes.comparable import Measure

PERCENT = f"{100 * CONFIDENCE:g} %"


HIGHER, LOWER, CANNOT_TELL, NOT_TESTED = "higher", "lower", "cannot tell", "no difference tested"
THESE_RUNS = "in these runs only"
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


@dataclass(frozen=True, eq=False)
class Pair:
    """Setting ``a`` against setting ``b`` in one measure: a − b, or a / b on a log scale.

    Attributes:
        p_holm: after Holm's correction over the measure's family.
        comparisons: how many p-values that family has.
        n: pairs, or replicates on either side.
        reason: why nothing was tested, or could be; empty where there is a p-value.
        verdict: whether a is ``higher`` or ``lower`` than b, ``cannot tell``, ``no difference tested``, or that the two differ
            ``in these runs only``, one of each setting, which says nothing about the settings.
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

    @property
    def label(self) -> str:
        return f"{self.a} vs {self.b}"


@dataclass(frozen=True, eq=False)
class Row:
    """One measure over all settings: a cell for each (by label), and the pairs."""

    measure: Measure
    replication: str
    cells: Mapping[str, Cell]
    pairs: tuple[Pair, ...]


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
        """Every comparison in plain words, the measures in their order."""
        return tuple(pair.sentence for _, pair in self.each_pair())

    def each_pair(self) -> Iterator[tuple[Row, Pair]]:
        for row in self.rows:
            for pair in row.pairs:
                yield row, pair
