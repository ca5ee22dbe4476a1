"""A finished comparison: every measure of every setting, every difference with its verdict, and as a labelled data set."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from landscape._version import __version__
from landscape.numerics.inference import CONFIDENCE
from landscape.studies.comparison.measure import Measure

PERCENT = f"{100 * CONFIDENCE:g} %"
HIGHER, LOWER, CANNOT_TELL, NOT_TESTED = "higher", "lower", "cannot tell", "no difference tested"


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
        verdict: whether a is ``higher`` or ``lower`` than b, ``cannot tell`` or ``no difference tested``.
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
class Comparison:
    """What :func:`landscape.compare` returns.

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

    def dataset(self) -> xr.Dataset:
        """Kind ``comparison``, over ``measure``, ``setting``, ``pair`` and ``replicate``.

        ``value`` holds the replicates of each measure and setting, padded with NaN. Attributes: ``notes`` and ``left_out``, JSON
        lists of sentences.
        """
        return _dataset(self)

    def markdown(self) -> str:
        from landscape.studies.comparison.writing import markdown

        return markdown(self)

    def latex(self) -> str:
        """Plain tabulars, to be read with ``\\input``; needs no package."""
        from landscape.studies.comparison.writing import latex

        return latex(self)

    def html(self) -> str:
        """A whole page that needs nothing else."""
        from landscape.studies.comparison.writing import html

        return html(self)

    def csv(self) -> str:
        """One line for each measure and pair."""
        from landscape.studies.comparison.writing import csv_text

        return csv_text(self)

    def write(self, *paths: Path) -> list[Path]:
        """Write to every path, as its suffix says (csv, md, tex, html, h5); without one, all formats beside each other."""
        from landscape.studies.comparison.writing import write_comparison

        return write_comparison(self, paths)


_CELL = {
    "mean": "mean, geometric where the scale is log",
    "low": f"lower end of the {PERCENT} interval of the mean",
    "high": f"upper end of the {PERCENT} interval of the mean",
    "n": "number of independent units",
}
_PAIR = {
    "difference": "first minus second setting, or their ratio where the scale is log",
    "low": f"lower end of the {PERCENT} interval of the difference",
    "high": f"upper end of the {PERCENT} interval of the difference",
    "effect_size": "difference in standard deviations of the logarithms or values",
    "p": "p-value, two-sided",
    "p_holm": "p-value after Holm's correction over the family",
}
_PAIR_NAMES = {"low": "difference_low", "high": "difference_high"}
_TEXTS = {
    "sentence": "the comparison in words",
    "verdict": "whether the first setting is higher or lower than the second",
    "method": "how the difference was tested",
}
_MEASURE = {
    "long_name": "what is measured",
    "measure_units": "unit of the measure",
    "scale": "log: means are geometric and differences are ratios",
    "smoother": "which direction is the smoother one",
    "family": "the measures that Holm's correction takes together",
}


def _dataset(made: Comparison) -> xr.Dataset:
    settings = list(made.settings)
    pairs = [pair.label for pair in made.rows[0].pairs]
    dataset = xr.Dataset(
        {
            "value": (
                ("measure", "setting", "replicate"),
                _values(made),
                _labels("value of a replicate, in the measure's unit"),
            ),
            **{name: (("measure", "setting"), _cells(made, name), _labels(words)) for name, words in _CELL.items()},
            "dead": (("setting",), np.array([int(s in made.dead) for s in settings]), _labels("1: a dead network")),
            "replication": (
                ("measure",),
                _texts(row.replication for row in made.rows),
                _labels("the independent units"),
            ),
            **{
                name: (("measure",), _texts(_of_measure(row.measure, name) for row in made.rows), _labels(words))
                for name, words in _MEASURE.items()
            },
            **{
                _PAIR_NAMES.get(name, name): (("measure", "pair"), _pairs(made, name, float), _labels(words))
                for name, words in _PAIR.items()
            },
            **{name: (("measure", "pair"), _pairs(made, name, object), _labels(w)) for name, w in _TEXTS.items()},
        },
        coords={
            "measure": ("measure", _texts(row.measure.name for row in made.rows), _labels("measure")),
            "setting": ("setting", _texts(settings), _labels(f"value of {made.by}")),
            "pair": ("pair", _texts(pairs), _labels("first and second setting")),
        },
    )
    dataset.attrs = {
        "kind": "comparison",
        "title": made.title,
        "by": made.by,
        "confidence": CONFIDENCE,
        "notes": json.dumps(made.notes, ensure_ascii=False),
        "left_out": json.dumps(made.left_out, ensure_ascii=False),
        "landscape_version": __version__,
    }
    return dataset


def _values(made: Comparison) -> np.ndarray:
    """The replicates, padded at the end. A NaN that was measured comes first, so that it is not taken for padding."""
    most = max(len(cell.values) for row in made.rows for cell in row.cells.values())
    values = np.full((len(made.rows), len(made.settings), most), np.nan)
    for i, row in enumerate(made.rows):
        for j, setting in enumerate(made.settings):
            known = sorted(row.cells[setting].values.values(), key=lambda value: not math.isnan(value))
            values[i, j, : len(known)] = known
    return values


def _cells(made: Comparison, name: str) -> np.ndarray:
    found = [[getattr(row.cells[setting], name) for setting in made.settings] for row in made.rows]
    return np.array(found, dtype=np.int64 if name == "n" else np.float64)


def _pairs(made: Comparison, name: str, dtype: type) -> np.ndarray:
    return np.array([[getattr(pair, name) for pair in row.pairs] for row in made.rows], dtype=dtype)


def _of_measure(measure: Measure, name: str) -> str:
    return str(getattr(measure, "units" if name == "measure_units" else name))


def _texts(texts: Iterable[str]) -> np.ndarray:
    return np.array(list(texts), dtype=object)


def _labels(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
