"""Labels against outputs: refused with a sentence before an index error or a device-side assertion does it worse."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.losses import cross_entropy


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
