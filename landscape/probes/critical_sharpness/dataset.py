"""Critical steps by direction as arrays, and as the labelled data set that is stored and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import MismatchError
from landscape.numerics.crossing import Crossing
from landscape.results.attributes import LOSS, flags, labels


class Status(IntEnum):
    """How a value came to be."""

    MISSING = 0
    MEASURED = 1
    BRACKETED = 2  # between two steps, and no nearer in the passes that there may be
    NO_RISE = 3  # within reach
    AT_ONCE = 4  # it rises from the smallest step on


# variable -> what it is, by direction
_VALUES = {
    "critical_sharpness": "critical sharpness, 2/η_c",
    "critical_sharpness_standard_error": "standard error of the critical sharpness over the samples",
    "critical_step": "critical step η_c: the least at which the loss is above that at the checkpoint",
    "critical_step_low": "largest step looked at below the critical one, at which the loss is not above",
    "critical_step_high": "least step looked at at which the loss is above",
    "critical_step_standard_error": "standard error of the critical step over the samples",
    "direction_norm": "Euclidean norm of the direction d",
    "sign": "1 where the direction was followed as it is, −1 where the other way",
    "passes": "forward passes over the samples, that at the checkpoint included",
}
# the same by direction and trial, with its unit
_TRIALS = {
    "trial_step": ("step η that was looked at", "1"),
    "rise": ("L(θ + ηd) − L(θ)", LOSS),
    "rise_standard_error": ("standard error of the rise over the samples", LOSS),
}


@dataclass(frozen=True)
class Found:
    """What was found along a direction: values by the names of the variables, and the trials by ascending step."""

    status: Status
    values: Mapping[str, float]
    trials: Mapping[str, Sequence[float]]

    @classmethod
    def of(
        cls, search: Crossing, rises: Mapping[float, tuple[float, float]], sign: float, norm: float, passes: int
    ) -> Found:
        """From a search for the least step, and the rise with its standard error at every step that it took."""
        step, steps = search.place, sorted(rises)
        error = _step_error(search, rises)
        values = {
            "critical_step": step,
            "critical_step_low": search.low if search.low > 0 else math.nan,
            "critical_step_high": search.high if math.isfinite(search.high) else math.nan,
            "critical_step_standard_error": error,
            "critical_sharpness": 2 / step,
            "critical_sharpness_standard_error": 2 / step**2 * error,
            "direction_norm": norm,
            "sign": sign,
            "passes": float(passes),
        }
        trials = {"trial_step": steps, "rise": [rises[one][0] for one in steps]}
        return cls(_status(search), values, {**trials, "rise_standard_error": [rises[one][1] for one in steps]})


def _status(search: Crossing) -> Status:
    if search.narrow:
        return Status.MEASURED
    if search.found:
        return Status.BRACKETED
    return Status.AT_ONCE if math.isfinite(search.high) else Status.NO_RISE


def _step_error(search: Crossing, rises: Mapping[float, tuple[float, float]]) -> float:
    """The standard error of the rise at the critical step over the slope of the rise there.

    The slope is that of (L(θ + ηd) − L(θ)) / η times η, between the bracket and the step nearest to half of it: between the
    bracket's own ends, which are close to each other, there would be little but rounding.
    """
    if not search.found:
        return math.nan
    step, high = search.place, search.high
    other = min((one for one in rises if one < search.low), key=lambda one: abs(one - step / 2), default=search.low)
    slope = step * (rises[high][0] / high - rises[other][0] / other) / (high - other)
    return abs(rises[high][1] / slope) if slope else math.nan


@dataclass
class CriticalTable:
    """What is found along each direction so far; None where nothing was measured."""

    names: list[str]
    trials: int
    found: list[Found | None] = field(default_factory=list)

    @classmethod
    def empty(cls, names: list[str], trials: int) -> CriticalTable:
        return cls(names, trials, [None] * len(names))

    @classmethod
    def of(cls, dataset: xr.Dataset, names: list[str], trials: int) -> CriticalTable:
        """The arrays of an earlier result.

        Raises:
            MismatchError: if its directions or its number of trials are others.
        """
        if dataset["direction"].values.tolist() != names or dataset.sizes["trial"] != trials:
            raise MismatchError("resume: the earlier result has other directions; write to another file.")
        return cls(names, trials, [_taken(dataset.isel(direction=place)) for place in range(len(names))])

    @property
    def done(self) -> int:
        """How many directions there are values for."""
        return sum(one is not None for one in self.found)

    def missing(self) -> Iterator[tuple[int, str]]:
        """Place and name of every direction that is still to be measured."""
        yield from ((place, name) for place, name in enumerate(self.names) if self.found[place] is None)

    def fill(self, place: int, found: Found) -> None:
        self.found[place] = found

    def dataset(self, unit: str) -> xr.Dataset:
        """The labelled arrays, where the loss is in ``unit``."""
        status = [Status.MISSING if one is None else one.status for one in self.found]
        known = flags({one: one.name.lower() for one in Status})
        return xr.Dataset(
            {
                **{name: ("direction", self._values(name), labels(words)) for name, words in _VALUES.items()},
                **{
                    name: (("direction", "trial"), self._trials(name), labels(words, of, loss=unit))
                    for name, (words, of) in _TRIALS.items()
                },
                "status": (
                    "direction",
                    np.array(status, dtype=np.int8),
                    {**labels("how the value came to be"), **known},
                ),
            },
            coords={"direction": ("direction", np.array(self.names, dtype=object), labels("what the direction is"))},
        )

    def _values(self, name: str) -> Any:
        return np.array([math.nan if one is None else one.values[name] for one in self.found])

    def _trials(self, name: str) -> Any:
        made = np.full((len(self.names), self.trials), math.nan)
        for row, one in zip(made, self.found, strict=True):
            if one is not None:
                row[: len(one.trials[name])] = one.trials[name]
        return made


def _taken(one: xr.Dataset) -> Found | None:
    """What a result holds of a direction."""
    status = Status(int(one["status"]))
    if status == Status.MISSING:
        return None
    count = int(np.isfinite(one["trial_step"].values).sum())
    trials = {name: one[name].values[:count].tolist() for name in _TRIALS}
    return Found(status, {name: float(one[name]) for name in _VALUES}, trials)
