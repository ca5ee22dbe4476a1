"""Losses over model and batch: what the user's own loop calls, seen as a module's output that is its own loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from landscape.errors import InputError
from landscape.objective.losses import TOTAL
from landscape.objective.runner import call

MODEL = "model"  # the loss that the module computes
_MODELS = ("model", "module", "net", "network")  # what people call the first of the two


@dataclass(frozen=True)
class BatchLoss:
    """A loss ``(model, batch)``; made by :func:`batch_loss`."""

    function: Callable[[Any, Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise InputError(
                f"batch_loss: expected a function (model, batch), got {self.function!r:.80}. Such as "
                "ls.batch_loss(lambda model, batch: model(**batch).loss)."
            )

    def forward(self, module: Any, batch: Any) -> Any:
        """The loss of a batch, its terms by name, or ``(values, weights)``; what else an output holds is left out."""
        return loss_in(self.function(module, batch), type(module).__name__)


def batch_loss(function: Callable[[Any, Any], Any]) -> BatchLoss:
    """A loss that is computed from the model and a batch, as in a loop of one's own: ``function(model, batch)``.

    It is given the batch as the data has it: what a loader gives, or rows of the tensors, pair or mapping that the data is. It may
    call the model as often and as it likes, differentiate by the inputs, and return

    - one value a sample ``(B,)`` or ``(B, …)``, whose mean is taken, or ``(values, weights)``;
    - one number for the batch: measured is then the mean over fixed batches, each as heavy as it has samples. Those are the
      loader's own, unless the objective is given a ``batch_size``;
    - something with an attribute ``loss``, as models of transformers do;
    - a mapping of such values: the loss is its entry ``loss``, or the sum of all; every entry is measured.

    A function of two arguments whose first is called ``model``, ``module``, ``net`` or ``network`` is taken for one without being
    told. There is no Gauss–Newton matrix of such a loss, as nobody knows where the outputs end and the loss begins.

    Raises:
        InputError: for what is no function.

    Example:
        >>> def penalised(model, batch):
        ...     inputs, targets = batch
        ...     values = torch.nn.functional.cross_entropy(model(inputs), targets, reduction="none")
        ...     return {"data": values, "decay": 1e-3 * sum(p.square().sum() for p in model.parameters())}
        >>> sorted(ls.Objective(net, ls.batch_loss(penalised), data, device="cpu").evaluate().heights)
        ['data', 'decay']
    """
    return BatchLoss(function)


def as_batch_loss(loss: Any) -> BatchLoss | None:
    """The loss as one over model and batch, or None where it is one of outputs and targets."""
    if isinstance(loss, BatchLoss):
        return loss
    if isinstance(loss, str):
        return BatchLoss(_own_loss) if loss == MODEL else None
    if not inspect.isroutine(loss) and not isinstance(loss, functools.partial):
        return None
    try:
        first, second, *_ = [*inspect.signature(loss).parameters, "", ""]
    except (TypeError, ValueError):
        return None
    if second in _MODELS and first not in _MODELS:
        raise InputError(
            f"loss: takes ({first}, {second}); expected outputs and targets, or the model first: "
            "ls.batch_loss(lambda model, batch: loss(batch, model))."
        )
    return BatchLoss(loss) if first in _MODELS else None


def _own_loss(module: Any, batch: Any) -> Any:
    """What the module gives, where that can be its loss."""
    made = call(module, batch)
    if isinstance(made, Tensor) and made.ndim > 1:
        raise InputError(
            f"loss: 'model' is what the module computes itself, and {type(module).__name__} gives a tensor {tuple(made.shape)}: "
            "outputs rather than a loss. Name a loss of outputs and targets, such as 'cross_entropy'."
        )
    return made


def loss_in(made: Any, owner: str) -> Any:
    """The loss in what a function or a model returned.

    Raises:
        InputError: where there is none.
    """
    if isinstance(made, Tensor) or _is_weighted(made):
        return made
    if isinstance(made, float | int):
        raise InputError(
            f"loss: of a batch it is the number {made!r}, which nothing can be differentiated through. Return the tensor, before "
            ".item() or float()."
        )
    if hasattr(made, TOTAL):
        return _there(made.loss, made, owner)
    if isinstance(made, Mapping):
        if not made:
            raise InputError(
                "loss: gives an empty mapping of a batch; expected at least one term, or the entry 'loss'."
            )
        others = {key: value for key, value in made.items() if isinstance(value, Tensor) and key != TOTAL}
        return {TOTAL: _there(made[TOTAL], made, owner), **others} if TOTAL in made else dict(made)
    if isinstance(made, tuple | list) and made and isinstance(made[0], Tensor) and made[0].ndim == 0:
        return made[0]  # what transformers return with return_dict=False
    raise InputError(
        f"loss: {owner} gives {_kind(made)} of a batch, in which there is no loss. Expected a tensor, a mapping of terms, or "
        "something with an attribute loss; say with ls.batch_loss(lambda model, batch: …) how it is made."
    )


def taken(outputs: Any, targets: Any) -> Any:
    """The loss of a batch, where the outputs are that already."""
    return outputs


def _there(loss: Any, made: Any, owner: str) -> Any:
    if loss is None:
        raise InputError(
            f"loss: {owner} returns loss=None in {type(made).__name__}: it computes one only where it is given the labels. Give "
            "batches with what it takes them as, such as labels."
        )
    return loss


def _is_weighted(made: Any) -> bool:
    pair = isinstance(made, tuple | list) and len(made) == 2 and all(isinstance(one, Tensor) for one in made)
    return pair and made[0].ndim > 0 and made[1].shape in (made[0].shape, made[0].shape[:1])


def _kind(made: Any) -> str:
    return "nothing" if made is None else f"{type(made).__name__} {made!r:.60}"
