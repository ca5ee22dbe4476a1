"""A comparison as a labelled data set."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from landscape.comparison.rows import PERCENT, Compared
from landscape.numerics.inference import CONFIDENCE
from landscape.probes.comparable import Measure
from landscape.results.attributes import VERSION, labels

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
    "free_p": "p-value without a distribution's form",
    "free_least": "smallest such p-value that so many units could give",
    "margin": "difference, or ratio, that counts as none",
    "p_equivalent": "p-value of a smaller difference than that, after Holm's correction",
}


_PAIR_NAMES = {"low": "difference_low", "high": "difference_high"}


_TEXTS = {
    "sentence": "the comparison in words",
    "verdict": "whether the first setting is higher or lower than the second",
    "method": "how the difference was tested",
}


_TREND = {
    "slope": "change with every doubling of the setting, or unit where it is not positive; a ratio where the scale is log",
    "low": f"lower end of the {PERCENT} interval of the change",
    "high": f"upper end of the {PERCENT} interval of the change",
    "p": "p-value of the trend, two-sided",
    "p_holm": "p-value after Holm's correction over the trends of the family",
    "free_p": "p-value of Page's test",
}


_MEASURE = {
    "long_name": "what is measured",
    "measure_units": "unit of the measure",
    "scale": "log: means are geometric and differences are ratios",
    "smoother": "which direction is the smoother one",
    "family": "the measures that Holm's correction takes together",
}


def comparison_dataset(made: Compared) -> xr.Dataset:
    settings = list(made.settings)
    pairs = [pair.label for pair in made.rows[0].pairs]
    dataset = xr.Dataset(
        {
            "value": (
                ("measure", "setting", "replicate"),
                _values(made),
                labels("value of a replicate, in the measure's unit"),
            ),
            **{name: (("measure", "setting"), _cells(made, name), labels(words)) for name, words in _CELL.items()},
            "dead": (("setting",), np.array([int(s in made.dead) for s in settings]), labels("1: a dead network")),
            "replication": (
                ("measure",),
                _texts(row.replication for row in made.rows),
                labels("the independent units"),
            ),
            **{
                name: (("measure",), _texts(_of_measure(row.measure, name) for row in made.rows), labels(words))
                for name, words in _MEASURE.items()
            },
            **{
                _PAIR_NAMES.get(name, name): (("measure", "pair"), _pairs(made, name, float), labels(words))
                for name, words in _PAIR.items()
            },
            **{name: (("measure", "pair"), _pairs(made, name, object), labels(w)) for name, w in _TEXTS.items()},
            **_trends(made),
        },
        coords={
            "measure": ("measure", _texts(row.measure.name for row in made.rows), labels("measure")),
            "setting": ("setting", _texts(settings), labels(f"value of {made.by}")),
            "pair": ("pair", _texts(pairs), labels("first and second setting")),
        },
    )
    dataset.attrs = {
        "kind": "comparison",
        "title": made.title,
        "by": made.by,
        "confidence": CONFIDENCE,
        "notes": json.dumps(made.notes, ensure_ascii=False),
        "left_out": json.dumps(made.left_out, ensure_ascii=False),
        **VERSION,
    }
    return dataset


def _trends(made: Compared) -> dict[str, Any]:
    """Of each measure and group of settings in order; nothing where there is none. Measures within single runs have NaN."""
    ranges = list(dict.fromkeys(trend.label for row in made.rows for trend in row.trends))
    if not ranges:
        return {}
    found = [{trend.label: trend for trend in row.trends} for row in made.rows]
    both = ("measure", "trend")

    def of(name: str, missing: Any, dtype: type) -> np.ndarray:
        return np.array([[getattr(one.get(k), name, missing) for k in ranges] for one in found], dtype=dtype)

    return {
        **{f"trend_{name}": (both, of(name, math.nan, float), labels(words)) for name, words in _TREND.items()},
        "trend_sentence": (both, of("sentence", "", object), labels("the trend in words")),
        "trend_verdict": (both, of("verdict", "", object), labels("whether the measure rises or falls")),
        "trend": ("trend", _texts(ranges), labels("first and last setting")),
    }


def _values(made: Compared) -> np.ndarray:
    """The replicates, padded at the end. A NaN that was measured comes first, so that it is not taken for padding."""
    most = max(len(cell.values) for row in made.rows for cell in row.cells.values())
    values = np.full((len(made.rows), len(made.settings), most), np.nan)
    for i, row in enumerate(made.rows):
        for j, setting in enumerate(made.settings):
            known = sorted(row.cells[setting].values.values(), key=lambda value: not math.isnan(value))
            values[i, j, : len(known)] = known
    return values


def _cells(made: Compared, name: str) -> np.ndarray:
    found = [[getattr(row.cells[setting], name) for setting in made.settings] for row in made.rows]
    return np.array(found, dtype=np.int64 if name == "n" else np.float64)


def _pairs(made: Compared, name: str, dtype: type) -> np.ndarray:
    return np.array([[getattr(pair, name) for pair in row.pairs] for row in made.rows], dtype=dtype)


def _of_measure(measure: Measure, name: str) -> str:
    return str(getattr(measure, "units" if name == "measure_units" else name))


def _texts(texts: Iterable[str]) -> np.ndarray:
    return np.array(list(texts), dtype=object)
