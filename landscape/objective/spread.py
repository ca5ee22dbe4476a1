"""Means over samples, with their standard errors: what each sample weighs in them, and which samples belong together."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.accuracy import Accuracy, counts_of
from landscape.objective.batches import PreparedBatches
from landscape.objective.losses import SampleLoss, summed
from landscape.objective.runner import Runner
from landscape.objective.trial import hold_against_own
from landscape.objective.values import CEILING_ERRORS, Evaluation


@dataclass(frozen=True)
class Spread:
    """How values of the samples make a mean, and how sure it is.

    Attributes:
        weights: what each sample weighs in the loss, relative to the mean weight ``(N,)``; None where all weigh the same.
        counts: how many of each sample's labels count for the accuracy, as a fraction of them ``(N,)``; None where all do.
        clusters: the batch of each sample ``(N,)``, where a loss couples those of a batch; else None.
        partial: whether these are some of the samples, whose mean weight is not one.
    """

    weights: Tensor | None = None
    counts: Tensor | None = None
    clusters: Tensor | None = None
    partial: bool = False

    def part(self, places: Tensor, clusters: Tensor | None = None) -> Spread:
        """Of some of the samples, which may lie in other batches."""
        if self.weights is None and self.counts is None and clusters is None:
            return Spread()
        some = places.cpu()
        weights, counts = (None if all_of is None else all_of[some] for all_of in (self.weights, self.counts))
        return Spread(weights, counts, clusters, partial=weights is not None)

    def mean(self, shares: Tensor) -> tuple[float, float]:
        """The mean over the samples of what they put into the loss, or into a difference of losses, and its standard error."""
        return mean_and_standard_error(shares, self.weights, self.clusters)

    def evaluation(self, shares: Tensor, right: Tensor | None) -> Evaluation:
        """From the share and the metric of every sample, each ``(N,)``."""
        loss, error = self.mean(shares)
        return Evaluation(loss, error, None if right is None else self._fraction(right), shares.numel())

    def lies_above(self, shares: Tensor, ceiling: float) -> bool:
        """Whether the mean is more than :data:`CEILING_ERRORS` standard errors above the ceiling, or not finite."""
        mean, error = self.mean(shares)
        return not mean - CEILING_ERRORS * error <= ceiling

    def _fraction(self, right: Tensor) -> float:
        return float(right.mean() if self.counts is None else right.sum() / self.counts.sum())

    @property
    def factor(self) -> float:
        """What the mean of the shares is to be multiplied with to give the loss: 1 but for a part of the samples."""
        if self.weights is None:
            return 1.0
        total = float(self.weights.sum())
        return len(self.weights) / total if total else 0.0

    @property
    def counted_share(self) -> float:
        """By how much fewer samples, all of whose labels count, would know an accuracy as well: (Σ c)² / (N Σ c²)."""
        if self.counts is None:
            return 1.0
        return float(self.counts.sum() ** 2 / (len(self.counts) * self.counts.square().sum()))


def settled(runner: Runner, batches: PreparedBatches, outputs: Any, *, coupled: bool) -> tuple[Runner, Spread]:
    """The runner with a loss that knows what all samples weigh together, and the spread of the samples.

    Targets tell the weights of torch's losses; for a function that returns weights, and for a
    loss module of the user's own, the module is run once over all samples.
    ``outputs`` are the module's for the first batch.
    """
    weights, counts = _weighed(runner, batches, outputs)
    loss, metric = runner.loss, runner.metric
    if weights is None:
        loss = loss.plain()
    if weights is not None or loss.divisor == "nothing":
        loss = loss.over(len(batches), weights)
    if counts is None:
        loss = replace(loss, count=None)
    if isinstance(metric, Accuracy):
        metric = metric.settled(outputs, next(iter(batches))[1], counting=counts is not None)
    relative = None if weights is None else weights / weights.mean()
    return replace(runner, loss=loss, metric=metric), Spread(relative, counts, clusters(batches) if coupled else None)


def clusters(batches: PreparedBatches) -> Tensor:
    """The number of each sample's batch ``(N,)``, in the order of the indices."""
    sizes = torch.tensor(batches.sizes)
    return batches.in_order(torch.arange(len(sizes)).repeat_interleave(sizes))


def _weighed(runner: Runner, batches: PreparedBatches, outputs: Any) -> tuple[Tensor | None, Tensor | None]:
    """What each sample weighs in the loss, and how many of its labels count, ``(N,)`` in the order of the indices.

    None where all weigh, or count for, the same. ``outputs`` are the module's for the first batch.
    """
    loss, first = runner.loss, next(iter(batches))[1]
    with torch.no_grad(), runner.own_randomness():
        run = loss.own and (loss.whole is not None or loss.parts(outputs, first).weights is not None)
    classes = runner.metric.classes(outputs, first) if isinstance(runner.metric, Accuracy) else None
    weights: list[Tensor] = []
    counts: list[Tensor] = []
    uneven = False
    with torch.no_grad(), runner.own_randomness():
        for made, targets in runner.passes(batches) if run else ((None, targets) for _, targets in batches):
            values, counted = (
                _of_batch(loss, made, targets) if run else (loss.weights_of(targets), loss.counted(targets))
            )
            if values is not None:
                weights.append(summed(values).cpu().double())
                uneven = uneven or run or not bool((values == 1).all())
            if classes is not None:
                counts.append(counts_of(targets, counted, classes).cpu().double())
    found = batches.in_order(torch.cat(weights)) if uneven and weights else None
    part = batches.in_order(torch.cat(counts)) if counts else None
    if part is None or bool((part == 1).all()):
        return found, None
    if loss.own and found is None:
        warnings.warn(
            f"loss: {1 - float(part.mean()):.3g} of the labels are none of the {classes} classes, and the values of the loss for "
            "them are part of its mean. Where they are not to count, return (values, weights) with the weight 0 for them.",
            stacklevel=6,  # points to whoever makes the objective
        )
    return found, part


def _of_batch(loss: SampleLoss, outputs: Any, targets: Any) -> tuple[Tensor | None, Tensor | None]:
    """Weights and what counts for a function that is the user's own; a module is held against its own value."""
    parts = loss.parts(outputs, targets)
    if loss.whole is not None:
        hold_against_own(loss, parts, outputs, targets)
    return parts.weights, parts.counted
