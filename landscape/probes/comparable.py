"""A measure: what it is called, on which scale it is compared, and what one run says of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Units of replication.
TRAINING_SEEDS = "training seeds"
DIRECTION_SEEDS = "direction seeds"
STEPS = "steps within one run (block bootstrap)"
# The value of a condition that a result is silent about.
NOT_SAID = "not said"


@dataclass(frozen=True)
class Measure:
    """What is compared.

    Attributes:
        family: the measures that Holm's correction takes together.
        scale: ``log`` for positive quantities that span decades (means are geometric, differences are ratios), else ``linear``.
        smoother: which direction is the smoother one: ``lower``, ``higher`` or ``neither``.
        scale_free: whether it stays the same when weights before a BatchNorm are rescaled, which leaves the function as it is.
            One that does not names no smoother network where there may be BatchNorm.
    """

    name: str
    long_name: str
    units: str
    family: str
    scale: Literal["linear", "log"] = "linear"
    smoother: Literal["lower", "higher", "neither"] = "neither"
    scale_free: bool = True

    def forward(self, values: ArrayLike) -> Floats:
        """Onto the scale that is averaged over; what has no logarithm is not finite."""
        raw = np.asarray(values, dtype=np.float64)
        if self.scale == "linear":
            return raw
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(raw))

    def back(self, value: float) -> float:
        """From that scale: to the measure's own, or from a difference to a ratio."""
        if self.scale == "linear":
            return value
        with np.errstate(over="ignore"):
            return float(np.exp(value))


@dataclass(frozen=True, eq=False)
class Reading:
    """What one result says of a measure.

    Attributes:
        parts: the values, by step or direction seed; a single one for what is one number a run.
        within: the unit that the parts are, :data:`DIRECTION_SEEDS` or :data:`STEPS`; empty for one number a run.
    """

    measure: Measure
    parts: Mapping[Hashable, float]
    within: str = ""

    @property
    def value(self) -> float:
        """The run's one number: the mean over its parts, geometric on a log scale."""
        with np.errstate(invalid="ignore"):
            return self.measure.back(float(np.mean(self.measure.forward(list(self.parts.values())))))


@dataclass(frozen=True)
class Options:
    """What the user chose about the measures. ``steps``: first and last step that count, both included; None for open."""

    steps: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Kind:
    """How results of one kind are compared: an entry of the registry.

    Attributes:
        family: what its measures are together called.
        conditions: what must be equal between two results for their measures to be comparable, in words -> value; None fits
            any. An :class:`~landscape.errors.InputError` says that the result is of no use here.
        read: the readings of a result.
    """

    family: str
    conditions: Callable[[xr.Dataset], Mapping[str, Any]]
    read: Callable[[xr.Dataset, Options], list[Reading]]
