"""Top-1 accuracy over what counts: of labels against scores, whichever axis holds the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.objective.losses import SampleLoss

# (outputs, targets, which labels count for the loss) -> (B,)
Metric = Callable[[Any, Any, Tensor | None], Tensor | None]


def no_metric(outputs: Any, targets: Any, counted: Tensor | None) -> None:
    """Where only the loss is asked for."""


def per_sample_accuracy(outputs: Any, targets: Any) -> Tensor | None:
    """Whether each sample is classified rightly, ``argmax_c outputs[b, c] == targets[b]``, as booleans ``(B,)``.

    ``None`` where the question does not apply: outputs that are not scores ``(B, C, …)``, or ``(B, …, C)`` as of tokens, against
    integer labels ``(B, …)``, and where both could be meant, as of ``(B, T, T)`` against ``(B, T)``.
    With further dimensions (tokens, pixels) the value is the fraction that is right, in floating point.
    """
    return Accuracy()(outputs, targets)


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of each sample, over the labels that count.

    Labels count where the loss gives them a weight and where they are among the classes: others could not be right.

    Attributes:
        axis: the dimension of the outputs that holds the classes; None to take the one that fits.
        counting: whether to look which labels count; otherwise all do.
        fits: whether it is known of these outputs that ``axis`` holds the classes.
    """

    axis: int | None = None
    counting: bool = False
    fits: bool = False

    def settled(self, outputs: Any, targets: Any, *, counting: bool) -> Accuracy | NoAccuracy:
        """The same for batches like this one, without another look at their shapes."""
        axis = self._axis(outputs, targets)
        return NoAccuracy() if axis is None else Accuracy(axis, counting, fits=True)

    def __call__(self, outputs: Any, targets: Any, counted: Tensor | None = None) -> Tensor | None:
        """Booleans ``(B,)``, or how many labels are right as a fraction of all that the sample has; None without classes."""
        axis = self.axis if self.fits else self._axis(outputs, targets)
        if axis is None:
            return None
        right: Tensor = outputs.argmax(axis) == targets
        if self.counting:
            return _fraction(right & _counted(targets, counted, outputs.shape[axis]))
        return right if right.ndim == 1 else _fraction(right)

    def classes(self, outputs: Any, targets: Any) -> int | None:
        """How many classes the outputs have scores for; None where there are none."""
        axis = self._axis(outputs, targets)
        return None if axis is None else int(outputs.shape[axis])

    def _axis(self, outputs: Any, targets: Any) -> int | None:
        fitting = [axis for axis in (1, -1) if _scores_against_labels(outputs, targets, axis)]
        if self.axis is not None:
            return self.axis if self.axis in fitting else None
        return None if not fitting or (len(fitting) == 2 and outputs.ndim > 2) else fitting[0]


class NoAccuracy:
    """Of outputs and targets that have no classes."""

    def __call__(self, outputs: Any, targets: Any, counted: Tensor | None = None) -> None:
        return None


def counts_of(targets: Tensor, counted: Tensor | None, classes: int) -> Tensor:
    """How many labels count, as a fraction of all that a sample has ``(B,)``; ``counted`` says which do for the loss."""
    return _fraction(_counted(targets, counted, classes))


def as_metric(metric: Callable[[Any, Any], Tensor | None], loss: SampleLoss, *, counting: bool = False) -> Metric:
    """A user's metric as the runner calls it, or the accuracy, with the classes where a torch loss has them."""
    if metric is per_sample_accuracy and loss.takes == "tokens":  # whose labels stand one place on
        return no_metric
    if metric is per_sample_accuracy:
        return Accuracy(1 if loss.takes == "labels" else None, counting)

    def own(outputs: Any, targets: Any, counted: Tensor | None) -> Tensor | None:
        found = metric(outputs, targets)
        if found is not None and (not isinstance(found, Tensor) or found.ndim != 1):
            got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else repr(found)
            raise InputError(f"metric: expected one value a sample, a tensor of shape (B,), or None, got {got}.")
        return found

    return own


def _scores_against_labels(outputs: Any, targets: Any, axis: int) -> bool:
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or outputs.ndim < 2:
        return False
    if targets.is_floating_point() or targets.is_complex() or outputs.shape[axis] < 2:
        return False
    shape = outputs.shape
    return targets.shape == (shape[:1] + shape[2:] if axis == 1 else shape[:-1])


def _counted(targets: Tensor, counted: Tensor | None, classes: int) -> Tensor:
    among = (targets >= 0) & (targets < classes)
    return among if counted is None else among & _like(counted, among)


def _like(counted: Tensor, labels: Tensor) -> Tensor:
    """``counted`` for each label: as it is where it has their shape, else whether anything counts in a sample."""
    if counted.shape == labels.shape:
        return counted
    of_samples = counted if counted.ndim == 1 else counted.flatten(1).any(1)
    return of_samples.reshape(-1, *([1] * (labels.ndim - 1))).expand(labels.shape)


def _fraction(labels: Tensor) -> Tensor:
    """How many are true, of all that a sample has; in float64 where the device has it, so that sums of fractions are counts."""
    counts = labels if labels.ndim == 1 else labels.flatten(1).sum(1)
    return counts.to(torch.float32 if labels.device.type == "mps" else torch.float64) / (labels[:1].numel() or 1)
