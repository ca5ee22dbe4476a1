"""What is found out on a first batch, before any training: that module, loss and data go together."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.data import Data, DataSet
from landscape.data.splits import SPLITS
from landscape.errors import InputError
from landscape.objective.labels import are_labels, check_fit, check_label_range, ignored_label
from landscape.objective.trial import try_loss
from landscape.training.learner import Learner

_SCAN = 4096  # samples at a time when labels have to be looked through


def check_first_batch(learner: Learner, data: DataSet, indices: Tensor) -> None:
    """Run one batch through module and loss, without a trace in either, and compare labels with the module's outputs.

    Raises:
        InputError: where the module cannot take the inputs, the loss cannot take outputs and targets, or labels of any
            split lie outside the module's classes.
    """
    loss = learner.runner.loss
    try:
        inputs, targets = data.train.batch(indices)
        outputs = learner.runner.widened(learner.rehearse(inputs))
    except RuntimeError as error:
        raise InputError(
            f"data: a batch of {data.train.name} does not go through {type(learner.module).__name__}: {error}"
        ) from error
    check_fit(loss, outputs, targets)
    if are_labels(loss, targets):
        for split in (getattr(data, name) for name in SPLITS):
            if split is not None:
                check_label_range(split.name, *_label_range(split, ignored_label(loss)), outputs.shape[1])
    with torch.no_grad():
        try_loss(loss, outputs, learner.place(targets), len(indices))


def _label_range(split: Data, ignored: int) -> tuple[int, int]:
    """The smallest and largest label that counts: those of the classes, else as found; (0, 0) where none counts."""
    if split.classes is not None:
        return 0, split.classes - 1
    lowest, highest = [0], [0]
    for part in torch.split(torch.arange(len(split)), _SCAN):
        labels = split.batch(part)[1]
        labels = labels[labels != ignored]
        if labels.numel():
            lowest.append(int(labels.min()))
            highest.append(int(labels.max()))
    return min(lowest), max(highest)
