"""A measure: what it is called, on which scale it is compared, what one run says of it, and what must be equal for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from landscape.results.attributes import mapping

Floats = NDArray[np.float64]

# Units of replication.
TRAINING_SEEDS = "training seeds"
DIRECTION_SEEDS = "direction seeds"
STEPS = "steps within one run (block bootstrap)"
# The value of a condition that a result is silent about.
NOT_SAID = "not said"
# What may be done to the weights and leaves the network's function as it is. Where the factors are one for a whole layer
# these are symmetries of a layer; a symmetry of single filters or units holds for whole layers too.
FILTERS = "weights before a BatchNorm, each filter by a factor of its own"
LAYERS = "weights around a ReLU, LeakyReLU or linear layer by (c, 1/c), one c for a layer"
UNITS = "weights around a ReLU, LeakyReLU or linear layer by (c, 1/c), a c for each unit"
RESCALINGS = frozenset((FILTERS, LAYERS, UNITS))


@dataclass(frozen=True)
class Measure:
    """What is compared.

    Attributes:
        family: the measures that Holm's correction takes together.
        scale: ``log`` for positive quantities that span decades (means are geometric, differences are ratios), else ``linear``.
        smoother: which direction is the smoother one: ``lower``, ``higher`` or ``neither``.
        invariant: those of :data:`RESCALINGS` that leave it as it is.
        looks_by: the settings of a training that decide where it looks, such as the learning rate for a segment along a step.
        loss_by: the settings that decide of which loss it is, such as the batch size where it is that of a training's minibatch.
            What other things decide of it, such as dropout, nobody knows of networks that were not trained here.
    """

    name: str
    long_name: str
    units: str
    family: str
    scale: Literal["linear", "log"] = "linear"
    smoother: Literal["lower", "higher", "neither"] = "neither"
    invariant: frozenset[str] = frozenset()
    looks_by: frozenset[str] = frozenset()
    loss_by: frozenset[str] = frozenset()

    def moved_by(self, by: str) -> tuple[str, ...]:
        """What changes it between networks that are one function, or that are seen elsewhere as they differ in ``by``.

        Where there is anything it names no smoother network. Any network may have been rescaled: no result says which
        activations it has, and training with another setting can rescale as well as a hand can.
        """
        of = by.partition(".")[0]  # a model's options as the model
        places = (f"{by}, which decides where it looks",) if by in self.looks_by else ()
        losses = (
            (f"{by}, as each is seen on its own loss, that of its training or training mode",)
            if of in self.loss_by
            else ()
        )
        return (*(way for way in (FILTERS, LAYERS, UNITS) if way not in self.invariant), *places, *losses)

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


_ROLE = re.compile(r"(?:^|-)(last|best|epoch-\d+)$")


def sampled_conditions(dataset: xr.Dataset) -> dict[str, Any]:
    """Data, samples, loss, BN policy and what it is taken over, precision, mode, draws, and which checkpoint of its run."""
    attributes: Mapping[Any, Any] = dataset.attrs
    role = _ROLE.search(str(attributes.get("checkpoint", "")))
    facts = mapping(mapping(attributes.get("made_by"), "made_by").get("facts"), "made_by")
    without_bn = str(attributes.get("bn_policy", "")).startswith("none")
    return {
        "data": attributes.get("data_fingerprint", attributes.get("data", NOT_SAID)),
        "samples": attributes.get("index_hash", NOT_SAID),
        "loss": attributes.get("loss_function", attributes.get("loss_name", NOT_SAID)),
        "BatchNorm policy": None if without_bn else attributes.get("bn_policy", NOT_SAID),
        "batch size": facts.get("batch_size"),
        "calibration samples": facts.get("calibration"),
        "precision": attributes.get("precision", NOT_SAID),
        "mode": attributes.get("mode", "eval"),
        "draws": attributes.get("draw_seeds"),
        "checkpoint": role[1] if role else "another",
    }
