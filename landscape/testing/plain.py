"""The user's own code run plainly: a copy of the module in evaluation mode, the loss as it is, no part of an objective between.

What an objective gives is held against this, so nothing here takes a short way: no folding, no flat vector, no per-sample form.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from landscape.errors import unknown_choice
from landscape.objective.batch_loss import as_batch_loss
from landscape.objective.batch_norm import batch_norm_layers
from landscape.objective.batches import batch_rows, map_tensors, tensors_in
from landscape.objective.flat_module import converted
from landscape.objective.runner import call, is_model_output
from landscape.objective.torch_losses import causal_lm
from landscape.references import is_reference, resolve_reference

Forward = Callable[[Any, Any], Any]
_NAMED: dict[str, Callable[..., Any]] = {
    "cross_entropy": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
    "causal_lm": causal_lm,
}
_CALIBRATION = 128  # samples a batch of reestimated statistics, which are part of the result


def own_loss(
    loss: Any, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Callable[[Any, Any], Any]:
    """The loss as its user would call it, with its own reduction; a name stands for PyTorch's function of that name.

    Raises:
        InputError: for a name or a reference that does not exist.
    """
    if as_batch_loss(loss) is not None:
        return lambda outputs, targets: total(outputs)
    if isinstance(loss, nn.Module):
        return converted(copy.deepcopy(loss), device or torch.device("cpu"), dtype)
    if not isinstance(loss, str):
        return loss  # type: ignore[no-any-return]
    if is_reference(loss):
        return resolve_reference("loss", loss)
    if loss not in _NAMED:
        raise unknown_choice("loss", loss, _NAMED)
    return _NAMED[loss]


class Plain:
    """A copy of a module and its loss, on one device in one type.

    Args:
        policy: of BatchNorm: under ``batch`` its layers are in training mode, under ``reestimated`` their statistics are
            taken anew over ``calibration``, and otherwise they are as they are.
        batch_size: samples a forward pass; matters under ``batch`` alone.
        forward: ``(module, inputs) -> outputs``; None for the module's own call.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Any,
        *,
        device: torch.device,
        dtype: torch.dtype,
        policy: str = "frozen",
        batch_size: int = 256,
        forward: Forward | None = None,
    ) -> None:
        self.module = converted(copy.deepcopy(module), device, dtype).eval()
        self.loss = own_loss(loss, device, dtype)
        whole = as_batch_loss(loss)
        self._forward, self._batch_size = whole.forward if whole is not None else _scores(forward or call), batch_size
        self._device, self._dtype, self._policy = device, dtype, policy
        for layer in batch_norm_layers(self.module).values():
            if policy == "batch":
                layer.train()

    def placed(self, value: Any) -> Any:
        """Inputs or targets on the device, floating-point ones in the type; never the user's own tensors."""

        def place(tensor: Tensor) -> Tensor:
            dtype = self._dtype if tensor.is_floating_point() else tensor.dtype
            return tensor.detach().clone().to(self._device, dtype)

        return map_tensors(place, value)

    def reestimate(self, inputs: Any) -> None:
        """BatchNorm's statistics over ``inputs``: means of batches with equal weights, as ``update_bn`` takes them."""
        if self._policy != "reestimated":
            return
        layers = batch_norm_layers(self.module).values()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
        with torch.no_grad(), seeded():
            for part in parts(inputs, _CALIBRATION):
                self._forward(self.module, self.placed(part))
        for layer in layers:
            layer.eval()

    def outputs(self, inputs: Any, size: int | None = None) -> Any:
        """What the module returns for all samples, from batches where that can be put together, else from one."""
        made = [self._forward(self.module, self.placed(part)) for part in parts(inputs, size or self._batch_size)]
        if len(made) == 1:
            return made[0]
        rows = [batch_rows((part,)) for part in parts(inputs, size or self._batch_size)]  # type: ignore[arg-type]
        return joined(made, rows) if joinable(made, rows) else self._forward(self.module, self.placed(inputs))

    def value(self, inputs: Any, targets: Any) -> Tensor:
        """``loss(module(x), y)`` over all samples, as one number: a mean where the loss gives one value a sample."""
        return reduced(self.loss(self.outputs(inputs), self.placed(targets)))

    def mean_over_batches(self, inputs: Any, targets: Any, size: int) -> float:
        """The mean of the loss over batches, each weighted by its samples."""
        total, count = 0.0, 0
        with torch.no_grad(), seeded():
            for x, y in zip(parts(inputs, size), parts(targets, size), strict=True):
                rows = batch_rows((x, y))
                total += rows * float(reduced(self.loss(self._forward(self.module, self.placed(x)), self.placed(y))))
                count += rows
        return total / count

    def number(self, inputs: Any, targets: Any) -> float:
        """:meth:`value` without gradients, the generators seeded and left as they were."""
        with torch.no_grad(), seeded():
            return float(self.value(inputs, targets))

    def gradient(self, inputs: Any, targets: Any, names: Sequence[str]) -> dict[str, Tensor]:
        """The gradient of :meth:`value` in the named parameters, by PyTorch."""
        named = dict(self.module.named_parameters())
        leaves = [named[name].requires_grad_(True) for name in names]
        with torch.enable_grad(), seeded():
            found = torch.autograd.grad(self.value(inputs, targets), leaves, allow_unused=True, materialize_grads=True)
        return dict(zip(names, (g.detach() for g in found), strict=True))

    @contextmanager
    def moved(self, along: Mapping[str, Tensor], step: float) -> Iterator[None]:
        """While open, the named parameters are moved by ``step`` times ``along``."""
        named = dict(self.module.named_parameters())
        kept = {name: named[name].detach().clone() for name in along}
        with torch.no_grad():
            for name, change in along.items():
                named[name].add_(change.to(named[name]), alpha=step)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in kept.items():
                    named[name].copy_(tensor)


def total(made: Any) -> Any:
    """What a loss over model and batch comes to: the entry ``loss`` of a mapping, or the sum of its terms' means."""
    if not isinstance(made, Mapping):
        return made
    return made["loss"] if "loss" in made else torch.stack([reduced(term) for term in made.values()]).sum()


def _scores(forward: Forward) -> Forward:
    """A forward that gives the logits of what a model of transformers returns."""

    def scored(module: Any, inputs: Any) -> Any:
        made = forward(module, inputs)
        return made.logits if is_model_output(made) and getattr(made, "logits", None) is not None else made

    return scored


def reduced(values: Any) -> Tensor:
    """One number: a scalar as it is, values of samples averaged, each sample weighing the same, pairs by their weights."""
    if isinstance(values, tuple | list) and len(values) == 2:
        losses, weights = values
        total: Tensor = (losses * weights).sum() / weights.sum()
        return total
    scalar: Tensor = values.mean() if values.ndim else values
    return scalar


def parts(value: Any, size: int) -> Iterator[Any]:
    """``value`` in parts of ``size`` rows; a last one of a single row joins the one before it."""
    count = max(len(tensor) for tensor in tensors_in(value))
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], count], strict=True):
        yield rows_of(value, slice(start, end))


def rows_of(value: Any, which: slice | Tensor) -> Any:
    """Some rows of every tensor inside ``value``."""
    return map_tensors(lambda tensor: tensor[which], value)


def joinable(made: Sequence[Any], rows: Sequence[int]) -> bool:
    """Whether outputs of several batches are tensors, or nests of tensors, with one row a sample."""
    return all(
        isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == count
        for one, count in zip(made, rows, strict=True)
        for leaf in tree_flatten(one)[0]
    )


def joined(made: Sequence[Any], rows: Sequence[int]) -> Any:
    """The outputs of several batches as those of one."""
    flat = [tree_flatten(one) for one in made]
    leaves = [torch.cat(column) for column in zip(*(leaves for leaves, _ in flat), strict=True)]
    return tree_unflatten(leaves, flat[0][1])


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """While open, the generators of PyTorch, numpy and Python give what ``seed`` gives; afterwards they are as before."""
    with kept_generators():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes longer than a small network
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed)  # noqa: NPY002  # the one that modules draw from
        random.seed(seed)
        yield


@contextmanager
def kept_generators() -> Iterator[None]:
    """Afterwards the global generators of PyTorch, numpy and Python are as before."""
    numbers, own = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(own)
