"""The losses of ``torch.nn``: the values each of them averages, and what it divides their sum by."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError, unknown_choice
from landscape.objective.losses import Divisor, SampleLoss
from landscape.references import is_reference, module_name, resolve_reference

F = nn.functional


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of logits ``(B, C, …)`` against labels ``(B, …)`` or class probabilities; shape ``(B, …)``."""
    return F.cross_entropy(outputs, targets, reduction="none")


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of each component, ``(outputs − targets)²``; shape of the outputs."""
    return F.mse_loss(outputs, targets, reduction="none")


def causal_lm(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats of every next token, as ``(values, weights)`` ``(B, T − 1)``.

    Scores ``(B, T, V)`` at a place are held against the label at the next one, as language models of transformers do it; labels of
    −100 have the weight 0. L is the mean over all tokens that count, and its standard error that of a ratio over the sequences.
    """
    if not isinstance(outputs, Tensor) or outputs.ndim != 3 or targets.shape != outputs.shape[:2]:
        raise InputError(
            f"loss: causal_lm takes scores (B, T, V) and labels (B, T), got outputs {_size(outputs)} and targets "
            f"{_size(targets)}. Say "
            "with targets= which the labels are, and with forward= which outputs are the scores."
        )
    labels = targets[:, 1:]
    values = F.cross_entropy(outputs[:, :-1].movedim(-1, 1), labels, reduction="none", ignore_index=IGNORED)
    return values, labels != IGNORED


IGNORED = -100  # the label that counts nothing, as in PyTorch
LOSSES: dict[str, Callable[[Any, Any], Any]] = {"cross_entropy": cross_entropy, "mse": mse, "causal_lm": causal_lm}
_NAMED: dict[Any, type[nn.Module]] = {cross_entropy: nn.CrossEntropyLoss, mse: nn.MSELoss}

_LABELS = (nn.CrossEntropyLoss, nn.NLLLoss)
_SHAPE = (
    nn.L1Loss,
    nn.MSELoss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.PoissonNLLLoss,
    nn.KLDivLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.HingeEmbeddingLoss,
    nn.SoftMarginLoss,
    nn.MultiLabelMarginLoss,
    nn.MultiLabelSoftMarginLoss,
)
_ANYTHING = (nn.MultiMarginLoss,)
# What each of these takes, and the function that takes the same of (outputs, targets), one value a sample.
_OTHERWISE: dict[str, tuple[str, str]] = {
    "GaussianNLLLoss": (
        "input, target and var",
        "lambda outputs, targets: nn.functional.gaussian_nll_loss(outputs[0], targets, outputs[1], reduction='none')",
    ),
    "CTCLoss": (
        "log_probs (T, N, C), targets and two lengths",
        "lambda outputs, targets: nn.functional.ctc_loss(outputs, targets[0], targets[1], targets[2], reduction='none') / "
        "targets[2].clamp(min=1)",
    ),
    "CosineEmbeddingLoss": (
        "two inputs and a target",
        "lambda outputs, targets: nn.functional.cosine_embedding_loss(*outputs, targets, reduction='none')",
    ),
    "MarginRankingLoss": (
        "two inputs and a target",
        "lambda outputs, targets: nn.functional.margin_ranking_loss(*outputs, targets, reduction='none')",
    ),
    "TripletMarginLoss": (
        "anchor, positive and negative",
        "lambda outputs, targets: nn.functional.triplet_margin_loss(*outputs, reduction='none')",
    ),
    "TripletMarginWithDistanceLoss": (
        "anchor, positive and negative",
        "lambda outputs, targets: nn.functional.triplet_margin_with_distance_loss(*outputs, reduction='none')",
    ),
    "AdaptiveLogSoftmaxWithLoss": (
        "weights of its own, which are part of the model",
        "lambda outputs, targets: -outputs, where the module returns this layer's output(features, targets).output",
    ),
    "LinearCrossEntropyLoss": (
        "weights of its own, which are part of the model",
        "'cross_entropy', where the module returns the scores of its last linear layer",
    ),
}
_FUNCTIONS: dict[str, str] = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "l1_loss": "L1Loss",
    "mse_loss": "MSELoss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
    "poisson_nll_loss": "PoissonNLLLoss",
    "kl_div": "KLDivLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "hinge_embedding_loss": "HingeEmbeddingLoss",
    "soft_margin_loss": "SoftMarginLoss",
    "multi_margin_loss": "MultiMarginLoss",
    "multilabel_margin_loss": "MultiLabelMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
    "gaussian_nll_loss": "GaussianNLLLoss",
    "ctc_loss": "CTCLoss",
    "cosine_embedding_loss": "CosineEmbeddingLoss",
    "margin_ranking_loss": "MarginRankingLoss",
    "triplet_margin_loss": "TripletMarginLoss",
    "triplet_margin_with_distance_loss": "TripletMarginWithDistanceLoss",
}
_DIVISORS: dict[str, Divisor] = {"none": "elements", "mean": "elements", "batchmean": "samples", "sum": "nothing"}


def per_sample_loss(
    loss: str | nn.Module | SampleLoss | Callable[[Any, Any], Any],
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> SampleLoss:
    """The loss as a function of a batch that gives each sample's share; see :class:`landscape.objective.losses.SampleLoss`.

    ``loss`` is one of:

    - a name: ``"cross_entropy"`` and ``"mse"`` mean torch's loss of that name with its defaults, ``"causal_lm"``
      :func:`causal_lm`;
    - a ``torch.nn`` loss or a function of ``torch.nn.functional``, also as a :func:`functools.partial`. Its own reduction is taken:
      ``mean`` divides as torch does (by the number of values; by the sum of the weights of the labels that count),
      ``sum`` by nothing, ``batchmean`` by the number of samples; of ``none`` the mean over all values is taken;
    - a callable ``(outputs, targets) -> values`` or ``-> (values, weights)``. Values are ``(B,)`` or ``(B, …)``, weights
      the same, or one a sample: then L = Σ w v / Σ w. Without weights L is the mean over all values;
    - a reference (``"module:function"``) to any of these.

    Tensors that a torch loss holds, such as class weights, are taken to ``device`` and ``dtype``.

    Raises:
        InputError: for an unknown name, something that is no loss, and a torch loss that takes more than outputs and targets.
    """
    if isinstance(loss, SampleLoss):
        return loss
    if isinstance(loss, str) and is_reference(loss):
        return per_sample_loss(resolve_reference("loss", loss), device, dtype)
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise unknown_choice("loss", loss, LOSSES)
        return replace(per_sample_loss(LOSSES[loss], device, dtype), words=loss)
    module = _as_module(loss)
    if module is not None:
        return _of_module(copy.deepcopy(module).to(device, dtype))
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        raise InputError(f"loss: expected a loss, got the class {loss.__name__}. Make one of it: {loss.__name__}().")
    if not callable(loss):
        raise InputError(
            f"loss: expected a name ({', '.join(sorted(LOSSES))}) or a callable (outputs, targets), got {loss!r}."
        )
    return SampleLoss(loss, described(loss), own=True, takes="tokens" if loss is causal_lm else "anything")


def described(function: object) -> str:
    """A function or an object of a class by where it is from: ``module.qualname``, ``file.py.qualname`` for a user's file."""
    if isinstance(function, partial):
        given = ", ".join(f"{key}={value!r}" for key, value in function.keywords.items())
        return f"{described(function.func)}({given})"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{module_name(named.__module__)}.{named.__qualname__}"


def _as_module(loss: Any) -> nn.Module | None:
    """The loss module that a function of torch, or one of :data:`LOSSES`, stands for; a module with a reduction as it is."""
    if isinstance(loss, nn.Module):
        _refuse_other_arguments(type(loss).__name__)
        return loss if hasattr(loss, "reduction") else None
    if loss is cross_entropy or loss is mse:
        return _NAMED[loss]()
    function, options = (loss.func, loss.keywords) if isinstance(loss, partial) and not loss.args else (loss, {})
    name = _FUNCTIONS.get(getattr(function, "__name__", ""))
    if name is None or getattr(F, function.__name__, None) is not function:
        return None
    _refuse_other_arguments(name)
    try:
        module: nn.Module = getattr(nn, name)(**options)
    except TypeError:  # an option that the module has not, such as the weight of mse_loss
        return None
    return module


def _refuse_other_arguments(name: str) -> None:
    if name in _OTHERWISE:
        takes, instead = _OTHERWISE[name]
        raise InputError(
            f"loss: {name} takes {takes}, expected a loss of (outputs, targets). Give a function, such as {instead}."
        )


def _of_module(loss: nn.Module) -> SampleLoss:
    """A loss module with a ``reduction``; one whose forward is not torch's own is taken as the user's function."""
    reduction = str(loss.reduction)
    unreduced = copy.deepcopy(loss)
    unreduced.__dict__["reduction"] = "none"
    words = f"{described(loss)}({_options(loss)})"
    if reduction not in _DIVISORS:
        raise InputError(
            f"loss: expected a reduction of {', '.join(_DIVISORS)}, got {reduction!r} in {described(loss)}."
        )
    divisor = _DIVISORS[reduction]
    if not any(type(loss).forward is known.forward for known in (*_LABELS, *_SHAPE, *_ANYTHING)):
        return SampleLoss(unreduced, words, divisor, own=True, whole=loss)
    if not isinstance(loss, _LABELS):
        takes = "shape" if isinstance(loss, _SHAPE) else "anything"
        return SampleLoss(unreduced, words, divisor, takes=takes, whole=loss)  # type: ignore[arg-type]
    labels = _Labels(loss.ignore_index, loss.weight)
    divided: Divisor = "weights" if reduction == "mean" else divisor
    weigh = labels.weights if divided == "weights" else None
    return SampleLoss(unreduced, words, divided, weigh=weigh, count=labels.counted, takes="labels", whole=loss)


class _Labels:
    """What labels weigh in the mean of a torch loss: their class's weight, or one, and nothing where they are ignored."""

    def __init__(self, ignored: int, weight: Tensor | None) -> None:
        self.ignored, self._weight = ignored, weight

    def weights(self, targets: Tensor) -> Tensor | None:
        """The weight of each label ``(B, …)``, or whether it counts; None for probabilities, of which torch takes the mean."""
        if targets.is_floating_point():
            return None
        counts = targets != self.ignored
        if self._weight is None:
            return counts
        return torch.where(counts, self._weight[torch.where(counts, targets, 0).long()], 0.0)

    def counted(self, targets: Tensor) -> Tensor:
        """Which labels have a weight."""
        weights = self.weights(targets)
        return torch.ones_like(targets, dtype=torch.bool) if weights is None else weights != 0


def _size(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _options(loss: nn.Module) -> str:
    """The settings of a loss module, and its tensors by their values where they are few."""
    plain = {key: value for key, value in vars(loss).items() if not key.startswith("_") and key != "training"}
    tensors = {
        key: value.tolist() if value.numel() <= 32 else tuple(value.shape) for key, value in loss.named_buffers()
    }
    return ", ".join(f"{key}={value!r}" for key, value in (plain | tensors).items())
