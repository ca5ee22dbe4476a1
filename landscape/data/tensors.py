"""A split held as tensors: inputs of any nesting, and targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from landscape.errors import InputError


@dataclass(frozen=True, eq=False)
class TensorData:
    """Samples stacked along the first dimension of tensors; a batch is the rows asked for, unchanged.

    Args:
        inputs: a tensor ``(N, …)``, or a tuple, list or mapping of such tensors, nested at will.
        targets: the same, as the loss takes it.
        classes: the number of classes if ``targets`` are labels, integers of shape ``(N,)``; they are then checked.
        name: what results call this split.
        sizes: of the batches in which the samples were given, where they were.

    Raises:
        InputError: for no tensors, tensors of different lengths or none at all, and labels outside 0 … classes − 1.
    """

    inputs: Any
    targets: Any
    classes: int | None = None
    name: str = "tensors"
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(tensor) if tensor.ndim else None for tensor in leaves((self.inputs, self.targets))}
        if len(lengths) != 1 or None in lengths or 0 in lengths:
            raise InputError(
                "inputs, targets: expected tensors with one row a sample, the same number at least 1 in all, "
                f"got shapes {shapes(self.inputs)} and {shapes(self.targets)}."
            )
        if self.classes is not None:
            object.__setattr__(self, "targets", checked_labels(self.targets, self.classes, samples=len(self)))

    def __len__(self) -> int:
        return len(leaves((self.inputs, self.targets))[0])

    @property
    def given(self) -> Tensor | None:
        """The number of the batch in which each sample was given ``(N,)``; None where samples were not given in batches."""
        return torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes)) if self.sizes else None

    def batch(self, indices: Tensor) -> tuple[Any, Any]:
        rows = map_leaves(lambda tensor: tensor[indices.to(tensor.device)], (self.inputs, self.targets))
        return rows[0], rows[1]

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Any, Any]:
        return self.batch(indices)

    def fingerprint(self) -> str:
        return self._fingerprint

    def to(self, device: torch.device | str) -> TensorData:
        inputs, targets = map_leaves(lambda tensor: tensor.to(device), (self.inputs, self.targets))
        return replace(self, inputs=inputs, targets=targets)

    @cached_property
    def _fingerprint(self) -> str:
        hasher = hashlib.sha256(repr(self.classes).encode())
        update_hash(hasher, (self.inputs, self.targets))
        return hasher.hexdigest()[:16]


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """``value`` with ``function`` applied to everything inside nested tuples (also named ones), lists and mappings."""
    if isinstance(value, Mapping):
        return {key: map_leaves(function, item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [map_leaves(function, item) for item in value]
        # As it stands: a PackedSequence, which is a named tuple, would check what is put into it.
        kind: Any = type(value)
        return kind._make(items) if hasattr(value, "_fields") else kind(items)
    return function(value)


def leaves(value: Any) -> list[Tensor]:
    """The tensors inside ``value``, in order.

    Raises:
        InputError: for anything inside that is no tensor.
    """
    found: list[Tensor] = []

    def keep(leaf: Any) -> None:
        if not isinstance(leaf, Tensor):
            raise InputError(
                f"data: expected tensors, or tuples, lists and mappings of them, got {type(leaf).__name__} {leaf!r:.80}."
            )
        found.append(leaf)

    map_leaves(keep, value)
    return found


def shapes(value: Any) -> str:
    """The shapes inside ``value``, for a message."""
    return ", ".join(str(tuple(tensor.shape)) for tensor in leaves(value)) or "nothing"


def checked_labels(labels: Any, classes: int, *, samples: int) -> Tensor:
    """``labels`` as int64 of shape ``(samples,)``, each in 0 … classes − 1.

    Raises:
        InputError: naming the first label that is outside, and the range.
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise InputError(f"classes: expected a number of classes, at least 1, got {classes!r}.")
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (samples,):
        got = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else repr(labels)
        raise InputError(f"labels: expected an integer tensor of shape ({samples},), one a sample, got {got}.")
    checked: Tensor = labels.to(torch.int64)
    outside = ((checked < 0) | (checked >= classes)).nonzero()
    if len(outside):
        first = int(outside[0])
        raise InputError(
            f"labels: expected 0 to {classes - 1} for {classes} classes, got {int(checked[first])} at sample {first}"
            f" ({len(outside)} of {samples} are outside). Check the number of classes, and whether labels start at 1."
        )
    return checked


def update_hash(hasher: hashlib._Hash, value: Any) -> None:
    """Feed ``value`` to ``hasher``: its nesting, the shapes and types of its tensors, and their bytes."""
    outline = map_leaves(lambda tensor: (tuple(tensor.shape), str(tensor.dtype)), value)
    hasher.update(repr(outline).encode())
    for tensor in leaves(value):
        hasher.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
