"""Per-sample losses: whatever a user calls a loss, seen as ``(outputs, targets) -> one value a sample``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError, unknown_choice
from landscape.numerics.references import is_reference, resolve_reference

PerSampleLoss = Callable[[Any, Any], Tensor]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of logits ``(B, C, …)`` against labels ``(B, …)`` or class probabilities; shape ``(B, …)``."""
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of each component, ``(outputs − targets)²``; shape of the outputs."""
    return nn.functional.mse_loss(outputs, targets, reduction="none")


LOSSES: dict[str, PerSampleLoss] = {"cross_entropy": cross_entropy, "mse": mse}


def per_sample_loss(
    loss: str | nn.Module | Callable[[Any, Any], Tensor], device: torch.device | None = None
) -> PerSampleLoss:
    """The loss as a function ``(outputs, targets) -> (B,)``.

    ``loss`` is a name (``"cross_entropy"``, ``"mse"``), a reference (``"module:function"``), a ``torch.nn`` loss module,
    whatever its ``reduction``, or any callable that returns a tensor whose first dimension is the sample. Further
    dimensions (tokens, pixels, components) are averaged, so each sample weighs the same.
    Tensors that a loss module holds, such as class weights, are taken to ``device``.

    Raises:
        InputError: for an unknown name, or, when called, for a loss that was already averaged over the batch.
    """
    if isinstance(loss, str) and is_reference(loss):
        function: PerSampleLoss = resolve_reference("loss", loss)
    elif isinstance(loss, str):
        if loss not in LOSSES:
            raise unknown_choice("loss", loss, LOSSES)
        function = LOSSES[loss]
    elif isinstance(loss, nn.Module) and hasattr(loss, "reduction"):
        unreduced = copy.deepcopy(loss)
        unreduced.__dict__["reduction"] = "none"
        function = unreduced.to(device)
    elif callable(loss):
        function = loss
    else:
        raise InputError(
            f"loss: expected a name ({', '.join(sorted(LOSSES))}) or a callable (outputs, targets), got {loss!r}."
        )

    def averaged(outputs: Any, targets: Any) -> Tensor:
        values = function(outputs, targets)
        if not isinstance(values, Tensor) or values.ndim == 0:
            raise InputError(
                f"loss: expected one value a sample, a tensor of shape (B,) or (B, …), got {_describe(values)}. "
                "Return the losses before averaging (reduction='none')."
            )
        return values if values.ndim == 1 else values.flatten(1).mean(1)

    return averaged


def per_sample_accuracy(outputs: Any, targets: Any) -> Tensor | None:
    """Whether each sample is classified rightly, ``argmax_c outputs[b, c] == targets[b]``, as booleans ``(B,)``.

    ``None`` where the question does not apply: outputs that are not ``(B, C, …)`` scores against integer labels ``(B, …)``.
    With further dimensions (tokens, pixels) the value is the fraction that is right, in floating point.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return None
    scores_against_labels = outputs.ndim == targets.ndim + 1 and outputs.shape[0] == targets.shape[0]
    if not scores_against_labels or targets.is_floating_point() or outputs.shape[1] < 2:
        return None
    right = outputs.argmax(1) == targets
    return right if right.ndim == 1 else right.flatten(1).float().mean(1)


def loss_name(loss: object) -> str:
    """How results call the loss: its own name, or its class's or function's."""
    if isinstance(loss, str):
        return loss
    return getattr(loss, "__qualname__", None) or type(loss).__name__


def _describe(values: object) -> str:
    return f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else repr(values)
