"""Outputs against targets: refused with a sentence before an error far away, or a broadcast, does it worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.batches import PreparedBatches
from landscape.objective.losses import SampleLoss

_WEIGHTED = (nn.BCELoss, nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)


def check_fit(loss: SampleLoss, outputs: Any, targets: Any) -> None:
    """Refuse outputs and targets that a loss of torch does not take, or takes for something else than they are.

    Raises:
        InputError: naming both shapes and the line that mends it.
    """
    if loss.whole is None or loss.own:
        return
    for name, value in (("module", outputs), ("targets", targets)):
        if not isinstance(value, Tensor):
            raise InputError(
                f"{name}: expected a tensor for {_called(loss)}, got {_kind(value)}. {_mending(name, value)}"
            )
    if loss.takes == "labels":
        _check_labels(loss, outputs, targets)
    elif loss.takes == "shape" and outputs.shape != targets.shape:
        raise InputError(
            f"targets: expected the outputs' shape {_shape(outputs)} for {_called(loss)}, got {_shape(targets)}; they are not "
            f"broadcast. {_reshaped(outputs, targets)}"
        )
    if isinstance(loss.whole, _WEIGHTED):
        _check_weights(loss.whole, outputs)


def are_labels(loss: SampleLoss, targets: Any) -> bool:
    """Whether ``targets`` are class labels that index into the outputs."""
    return loss.takes == "labels" and isinstance(targets, Tensor) and not targets.is_floating_point()


def ignored_label(loss: SampleLoss) -> int:
    """The label that a loss of labels leaves out; −100 where it does not say, as in PyTorch."""
    return int(getattr(loss.whole, "ignore_index", -100))


def check_labels(loss: SampleLoss, outputs: Tensor, batches: PreparedBatches) -> None:
    """Refuse labels in ``batches`` that a module with such ``outputs`` for the first of them does not have."""
    if not are_labels(loss, next(iter(batches))[1]):
        return
    ignored, ends = ignored_label(loss), []
    for _, targets in batches:
        labels = targets[targets != ignored]
        if labels.numel():
            ends += [int(labels.min()), int(labels.max())]
    if ends:
        check_label_range(batches.data.name, min(ends), max(ends), outputs.shape[1])


def check_label_range(name: str, lowest: int, highest: int, outputs: int) -> None:
    """Refuse labels that a module with ``outputs`` outputs does not have.

    Raises:
        InputError: naming the data, its labels and the outputs.
    """
    if lowest < 0 or highest >= outputs:
        raise InputError(
            f"data: {name} has labels from {lowest} to {highest}, but the module has {outputs} outputs, for labels 0 to "
            f"{outputs - 1}. Use data and a module of the same number of classes, or say which label the loss is to leave out: "
            "nn.CrossEntropyLoss(ignore_index=…)."
        )


def check_loss_count(losses: Tensor, samples: int) -> None:
    """Refuse ``losses`` of another length than the samples have.

    Raises:
        InputError: naming both, and what to return.
    """
    if len(losses) != samples:
        raise InputError(
            f"loss: expected one value a sample, {samples} for a batch of {samples}, got {len(losses)}. "
            "Return a tensor of shape (B,) or (B, …), such as (B, T) for tokens; samples that do not count get the weight 0 in "
            "(values, weights)."
        )


def _check_labels(loss: SampleLoss, outputs: Tensor, targets: Tensor) -> None:
    name, given = _called(loss), f"targets of shape {_shape(targets)} ({_type(targets)})"
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        raise InputError(
            f"loss: {name} compares scores of classes, expected outputs (B, C, …) with C at least 2, got {_shape(outputs)}, of one "
            "output a sample it is no loss. Give loss='mse' for numbers, nn.BCEWithLogitsLoss() for yes or no."
        )
    labels = outputs.shape[:1] + outputs.shape[2:]
    wanted = f"targets: expected labels of shape {tuple(labels)} for {name} of outputs {_shape(outputs)}, got {given}"
    if targets.is_floating_point():
        if targets.shape == outputs.shape and isinstance(loss.whole, nn.CrossEntropyLoss):
            _check_probabilities(name, targets)
            return
        if targets.shape == labels:
            raise InputError(f"{wanted}. Labels are whole numbers: give targets.long(); of a regression, loss='mse'.")
        raise InputError(f"{wanted}. Class probabilities have the outputs' shape; for a regression give loss='mse'.")
    if targets.shape == outputs.shape:
        raise InputError(
            f"{wanted}. One-hot labels: give targets.long().argmax(1), or targets.float() as probabilities."
        )
    if targets.shape == (*labels[:1], 1, *labels[1:]):
        raise InputError(f"{wanted}. Give targets.squeeze(1).")
    if targets.shape != labels and targets.shape == outputs.shape[:-1]:
        raise InputError(
            f"{wanted}. The classes are the second dimension of the outputs in PyTorch: give "
            "forward=lambda module, inputs: module(inputs).movedim(-1, 1)."
        )
    if targets.shape != labels:
        raise InputError(f"{wanted}. Say with forward= which outputs the loss is taken of.")
    if _type(targets) not in ("int64", "uint8"):
        raise InputError(f"{wanted}. PyTorch takes labels of type int64: give targets.long().")


def _check_probabilities(name: str, targets: Tensor) -> None:
    lowest, highest = float(targets.min()), float(targets.max())
    if lowest < -1e-6 or highest > 1 + 1e-6:
        raise InputError(
            f"targets: expected class probabilities, from 0 to 1, for {name} of targets in floating point of the outputs' shape "
            f"{_shape(targets)}, got numbers from {lowest:.4g} to {highest:.4g}. For a regression give loss='mse'."
        )


def _check_weights(loss: nn.Module, outputs: Tensor) -> None:
    """Refuse weights of these losses that are one a sample, so that they fit one batch alone."""
    for name, weight in loss.named_buffers():
        shape, each = weight.shape, outputs.shape[1:]
        inside = shape[1:] if weight.ndim == outputs.ndim and shape[:1] == (1,) else shape
        fits = len(inside) <= len(each) and all(a in (1, b) for a, b in zip(inside[::-1], each[::-1], strict=False))
        if not fits and weight.numel() > 1:
            raise InputError(
                f"loss: {name} of shape {tuple(shape)} does not fit every sample of outputs {_shape(outputs)}, expected "
                f"{tuple(each)} or what is broadcast to it. Put weights of single samples into the targets, and give a function "
                "(outputs, targets) that returns the weighted values."
            )


def _reshaped(outputs: Tensor, targets: Tensor) -> str:
    if outputs.shape == (*targets.shape, 1):
        return "Give targets[..., None], or forward=lambda module, inputs: module(inputs).squeeze(-1)."
    if targets.shape == (*outputs.shape, 1):
        return "Give targets.squeeze(-1)."
    if outputs.ndim == 2 and targets.shape == outputs.shape[:1] and not targets.is_floating_point():
        return f"For labels give loss='cross_entropy', or nn.functional.one_hot(targets, {outputs.shape[1]}).float() as targets."
    return "Give targets of that shape, or say with forward= which outputs the loss is taken of."


def _mending(name: str, value: Any) -> str:
    if name == "targets":
        return "Give a function (outputs, targets) as the loss."
    if isinstance(value, Mapping) and value:
        key = "logits" if "logits" in value else next(iter(value))
        return f"Say which: forward=lambda module, inputs: module(inputs)[{key!r}]."
    which = "[0]" if isinstance(value, tuple | list) else "…"
    return f"Say with forward= which tensor the loss is taken of, such as forward=lambda module, inputs: module(inputs){which}."


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(repr, value))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def _called(loss: SampleLoss) -> str:
    return type(loss.whole).__name__


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
