"""Labels against outputs, and losses against samples: refused with a sentence before an error far away does it worse."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.batches import PreparedBatches
from landscape.objective.losses import cross_entropy
from landscape.objective.runner import Runner


def are_labels(loss: object, outputs: Any, targets: Any) -> bool:
    """Whether ``targets`` are class labels that index into ``outputs``: cross-entropy of scores ``(B, C, …)`` and integers."""
    if not (loss == "cross_entropy" or loss is cross_entropy or isinstance(loss, nn.CrossEntropyLoss)):
        return False
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return False
    return not targets.is_floating_point() and outputs.ndim == targets.ndim + 1


def ignored_label(loss: object) -> int:
    """The label that the loss leaves out; −100 where it does not say, as in PyTorch."""
    return int(getattr(loss, "ignore_index", -100))


def check_labels(loss: object, outputs: Any, batches: PreparedBatches) -> None:
    """Refuse labels in ``batches`` that a module with such ``outputs`` for the first of them does not have."""
    if are_labels(loss, outputs, next(iter(batches))[1]):
        labels = torch.cat([targets.flatten() for _, targets in batches])
        labels = labels[labels != ignored_label(loss)]
        if labels.numel():
            check_label_range(batches.data.name, int(labels.min()), int(labels.max()), outputs.shape[1])


def check_losses(runner: Runner, outputs: Any, batches: PreparedBatches) -> None:
    """Refuse a loss that has not one value for each sample of the first of ``batches``, whose ``outputs`` these are."""
    with torch.no_grad(), runner.own_randomness():
        losses = runner.loss(runner.widened(outputs), next(iter(batches))[1])
    check_loss_count(losses, batches.first_size)


def check_loss_count(losses: Tensor, samples: int) -> None:
    """Refuse ``losses`` of another length than the samples have.

    Raises:
        InputError: naming both, and what to return.
    """
    if len(losses) != samples:
        raise InputError(
            f"loss: expected one value a sample, {samples} for a batch of {samples}, got {len(losses)}. "
            "Return a tensor of shape (B,) or (B, …), such as (B, T) for tokens."
        )


def check_label_range(name: str, lowest: int, highest: int, outputs: int) -> None:
    """Refuse labels that a module with ``outputs`` outputs does not have.

    Raises:
        InputError: naming the data, its labels and the outputs.
    """
    if lowest < 0 or highest >= outputs:
        raise InputError(
            f"data: {name} has labels from {lowest} to {highest}, but the module has {outputs} outputs, for labels 0 to "
            f"{outputs - 1}. Use data and a module of the same number of classes."
        )
