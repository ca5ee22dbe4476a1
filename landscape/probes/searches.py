"""What is found by a search along each of several directions, as arrays, and as the labelled data set that is stored and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from landscape.errors import MismatchError
from landscape.results.attributes import flags, labels

if TYPE_CHECKING:
    from landscape.numerics.crossing import Crossing

# variable -> what it is, and its unit
Variables = Mapping[str, tuple[str, str]]


class Status(IntEnum):
    """How what is looked for along a direction came to be known."""

    MISSING = 0
    MEASURED = 1
    BRACKETED = 2  # between two places, and no nearer in the passes that there may be
    BEYOND_REACH = 3
    AT_ONCE = 4  # from the least place that was looked at on


def status_of(search: Crossing) -> Status:
    """How a search ended."""
    if search.narrow:
        return Status.MEASURED
    if search.found:
        return Status.BRACKETED
    return Status.AT_ONCE if math.isfinite(search.high) else Status.BEYOND_REACH


@dataclass(frozen=True)
class Found:
    """What was found along a direction: values by the names of the variables, and what was looked at, in ascending order."""

    status: Status
    values: Mapping[str, float]
    trials: Mapping[str, Sequence[float]]


@dataclass
class SearchTable:
    """What is found along each direction so far; None where nothing was measured.

    Attributes:
        names: of the directions.
        size: the most that can be looked at along one.
        values: the variables by direction.
        trials: those by direction and trial.
    """

    names: list[str]
    size: int
    values: Variables
    trials: Variables
    found: list[Found | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = self.found or [None] * len(self.names)

    def take_up(self, dataset: xr.Dataset) -> None:
        """Keep what an earlier result holds.

        Raises:
            MismatchError: if its directions or its number of trials are others.
        """
        if dataset["direction"].values.tolist() != self.names or dataset.sizes["trial"] != self.size:
            raise MismatchError("resume: the earlier result has other directions; write to another file.")
        self.found = [self._taken(dataset.isel(direction=place)) for place in range(len(self.names))]

    @property
    def done(self) -> int:
        """How many directions there are values for."""
        return sum(one is not None for one in self.found)

    def missing(self) -> Iterator[tuple[int, str]]:
        """Place and name of every direction that is still to be measured."""
        yield from ((place, name) for place, name in enumerate(self.names) if self.found[place] is None)

    def dataset(self, unit: str) -> xr.Dataset:
        """The labelled arrays, where the loss is in ``unit``."""
        status = np.array([Status.MISSING if one is None else one.status for one in self.found], dtype=np.int8)
        known = {**labels("how the value came to be"), **flags({one: one.name.lower() for one in Status})}
        names = np.array(self.names, dtype=object)
        return xr.Dataset(
            {
                **{
                    name: ("direction", self._column(name), labels(words, of, loss=unit))
                    for name, (words, of) in self.values.items()
                },
                **{
                    name: (("direction", "trial"), self._rows(name), labels(words, of, loss=unit))
                    for name, (words, of) in self.trials.items()
                },
                "status": ("direction", status, known),
            },
            coords={"direction": ("direction", names, labels("what the direction is"))},
        )

    def _column(self, name: str) -> Any:
        return np.array([math.nan if one is None else one.values[name] for one in self.found])

    def _rows(self, name: str) -> Any:
        made = np.full((len(self.names), self.size), math.nan)
        for row, one in zip(made, self.found, strict=True):
            if one is not None:
                row[: len(one.trials[name])] = one.trials[name]
        return made

    def _taken(self, one: xr.Dataset) -> Found | None:
        status = Status(int(one["status"]))
        if status == Status.MISSING:
            return None
        count = int(np.isfinite(one[next(iter(self.trials))].values).sum())
        trials = {name: one[name].values[:count].tolist() for name in self.trials}
        return Found(status, {name: float(one[name]) for name in self.values}, trials)
