"""What is checked, with everything that several properties look at: the objective, its samples, the user's own code beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import first_line
from landscape.objective.objective import Objective
from landscape.testing.plain import Plain, rows_of, seeded

FEW = 16  # samples that derivatives, and what goes on inside the module, are looked at with
# Relative; what rounding over many samples and layers comes to, and what is another number.
TOLERANCE = {"fp64": 1e-9, "fp32": 1e-4, "bf16": 5e-2}


@dataclass(frozen=True, eq=False)
class Case:
    """A module, a loss and data as a user gives them, and the objective that was made of them.

    Attributes:
        arguments: what else :class:`~landscape.objective.objective.Objective` was given, by name.
    """

    module: nn.Module
    loss: Any
    data: Any
    arguments: Mapping[str, Any]
    objective: Objective

    @cached_property
    def samples(self) -> tuple[Any, Any]:
        """Inputs and targets of all samples of the objective, in order, as the data gives them."""
        if getattr(self.objective.data, "of_batches", False):
            raise NotImplementedError("the data is whole batches, which are not cut into samples")
        batch: tuple[Any, Any] = self.objective.data.batch(self.objective.indices)
        return batch

    @cached_property
    def places(self) -> Tensor:
        """Which of the samples are the few, as places: evenly spread, because data is often sorted by class."""
        count = self.objective.n_samples
        return torch.linspace(0, count - 1, min(FEW, count), dtype=torch.float64).round().long()

    @cached_property
    def few(self) -> tuple[Any, Any]:
        """Inputs and targets of the few."""
        inputs, targets = self.samples
        return rows_of(inputs, self.places), rows_of(targets, self.places)

    @property
    def tolerance(self) -> float:
        """How far, relative to their size, two values may be apart that are the same but for rounding."""
        return TOLERANCE.get(self.objective.precision, TOLERANCE["fp32"])

    def plain(self, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Plain:
        """The user's own code, in the objective's type and on its device unless others are named."""
        return Plain(
            self.module,
            self.loss,
            device=device or self.objective.device,
            dtype=dtype or self.objective.theta.vector.dtype,
            policy=self.objective.batch_norm,
            batch_size=self.objective.batch_size,
            forward=self.arguments.get("forward"),
        )

    @cached_property
    def own(self) -> Plain:
        """:meth:`plain` as it is, with ``reestimated`` statistics of the calibration set."""
        made = self.plain()
        made.reestimate(self.calibration)
        return made

    @property
    def calibration(self) -> Any:
        """The inputs that ``reestimated`` takes its statistics over."""
        from landscape.data import as_data

        given = self.arguments.get("calibration")
        if given is None:
            return self.samples[0]
        source = as_data(given)
        return source.batch(torch.arange(len(source)))[0]

    @cached_property
    def outputs(self) -> Any:
        """What the user's own code gives for all samples."""
        with torch.no_grad(), seeded():
            return self.own.outputs(self.samples[0])

    @cached_property
    def batches_matter(self) -> str:
        """Why the batches are part of the result, in words that the objective knows of itself; empty where they are not."""
        if self.objective.batch_norm == "batch":
            return f"under the policy batch, BatchNorm couples the samples of a batch of {self.objective.batch_size}"
        return str(self.objective.provenance().get("loss_batches", ""))

    @cached_property
    def loss_here(self) -> float:
        """The objective's loss at the checkpoint."""
        return self.objective.evaluate().loss


def said(error: Exception) -> str:
    """An error of somebody else's code for a sentence."""
    return f"{type(error).__name__}: {first_line(error)}"


def number(value: float) -> str:
    """Seven digits: enough to see where two losses part."""
    return f"{value:.7g}"


def apart(a: float, b: float) -> float:
    """|a − b| relative to the larger; 0 where both are the same, NaN or infinite too, and ∞ where one alone is not finite."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) / max(abs(a), abs(b)) if math.isfinite(a) and math.isfinite(b) else math.inf
