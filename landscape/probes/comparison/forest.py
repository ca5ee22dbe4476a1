"""All differences of a comparison beside each other: ratios on one axis, all others in standard deviations on another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

MOST_PAIRS = 3  # of settings, whose differences have a row each; of more, the trends have
WIDEST_RATIO, WIDEST_DIFFERENCE = 1000.0, 10.0  # what lies beyond is an arrow at the end of the axis
_OPEN = ("cannot tell", "no difference tested")


@dataclass(frozen=True)
class Effect:
    """One difference or trend of one measure.

    Attributes:
        family: the measures that are corrected together.
        what: the measure in words, with the pair where there are several.
        form: ``ratio``; or ``difference`` in standard deviations (Hedges' g), with the interval of the difference on that scale.
        value, low, high: with its 95 % interval.
        claimed: whether the comparison claims it; what it cannot tell is grey.
        here_only: a difference of these runs, one of each setting, which says nothing about the setting.
    """

    family: str
    what: str
    form: Literal["ratio", "difference"]
    value: float
    low: float
    high: float
    claimed: bool
    here_only: bool
    sentence: str

    @property
    def none(self) -> float:
        """Where there is no difference."""
        return 1.0 if self.form == "ratio" else 0.0


def read_forest(dataset: xr.Dataset) -> list[Effect]:
    """Every difference that has an interval, the families together, the largest first in each."""
    trends = dataset.sizes.get("pair", 0) > MOST_PAIRS and "trend_slope" in dataset
    found = [one for row in range(dataset.sizes["measure"]) for one in _of_measure(dataset.isel(measure=row), trends)]
    families = list(dict.fromkeys(one.family for one in found))
    return sorted(found, key=lambda one: (families.index(one.family), -_size(one)))


def beyond(effects: Sequence[Effect]) -> tuple[float, float]:
    """Ends of the axis of effects of one form: around all intervals, as far as they are worth showing; the same on both sides."""
    ratio = bool(effects) and effects[0].form == "ratio"
    ends = np.array([end for one in effects for end in (one.low, one.high, one.value)])
    sizes = np.abs(np.log(ends[ends > 0])) if ratio else np.abs(ends)
    reach = float(min(max(sizes.max(initial=0.0) * 1.05, 0.1), math.log(WIDEST_RATIO) if ratio else WIDEST_DIFFERENCE))
    return (math.exp(-reach), math.exp(reach)) if ratio else (-reach, reach)


def _of_measure(one: xr.Dataset, trends: bool) -> Iterator[Effect]:
    ratio = str(one["scale"].item()) == "log"
    names = ("trend_slope", "trend_low", "trend_high", "trend_verdict", "trend_sentence", "trend")
    if not trends:
        names = ("difference", "difference_low", "difference_high", "verdict", "sentence", "pair")
    if trends and not ratio:  # of a slope nothing says how large it is beside the spread
        return
    if not {*names[:3]} <= {*one.data_vars}:  # of a version that did not say them
        return
    several = one.sizes["trend" if trends else "pair"] > 1
    sizes = one["effect_size"].values if "effect_size" in one and not trends else np.full(one[names[0]].shape, math.nan)
    columns = [one[name].values for name in names]
    for value, low, high, verdict, sentence, label, size in zip(*columns, sizes, strict=True):
        unit = 1.0 if ratio else _in_deviations(float(value), float(size))
        ends = np.array([value, low, high], dtype=float) * unit
        if not np.isfinite(ends).all() or (ratio and ends.min() <= 0):
            continue
        words = str(one["long_name"].item()) if "long_name" in one else str(one["measure"].item())
        yield Effect(
            family=str(one["family"].item()) if "family" in one else "",
            what=f"{words}, {label}" if several else words,
            form="ratio" if ratio else "difference",
            value=float(ends[0]),
            low=float(ends[1]),
            high=float(ends[2]),
            claimed=str(verdict) not in _OPEN,
            here_only=str(verdict) == "in these runs only",
            sentence=str(sentence),
        )


def _in_deviations(difference: float, effect_size: float) -> float:
    """What a difference is multiplied with to be one in standard deviations; NaN where that is not known."""
    return effect_size / difference if difference and math.isfinite(effect_size) else math.nan


def _size(one: Effect) -> float:
    return math.log(one.value) if one.form == "ratio" else one.value
