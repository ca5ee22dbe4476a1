"""A fixed index set of a data, prepared once for repeated evaluation: on the device, in the precision and layout of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape.data import Data, subset
from landscape.data.tensors import map_leaves
from landscape.errors import InputError

# Prepared batches above this size are made anew at every pass instead of kept: two GiB is a CIFAR split of 170,000 images.
_KEEP_BYTES = 2 << 30


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """``value`` with ``function`` applied to every tensor inside nested tuples, lists and mappings, the rest as it is."""
    return map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, value)


class PreparedBatches:
    """Batches of ``data[indices]`` in index order. Iterating twice gives the same tensors.

    Args:
        data: one split.
        indices: the samples, shape ``(N,)``; stored, hashed and never changed.
        batch_size: samples a batch; a last batch of one joins the one before, because batch statistics need two.
        dtype: floating-point inputs and targets are cast to it.
        channels_last: whether 4-D inputs are laid out channels-last.
        head: the first so many samples end a batch, so that one can stop after them.
    """

    def __init__(
        self,
        data: Data,
        indices: Tensor,
        *,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
        channels_last: bool,
        head: int = 0,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size: expected at least 1, got {batch_size!r}.")
        if indices.numel() == 0:
            raise InputError(f"data: {data.name} gives no samples to evaluate on; expected at least one.")
        self.data, self.indices, self.batch_size = data, indices, batch_size
        self._device, self._dtype, self._channels_last = device, dtype, channels_last
        self._parts = [
            *_split(indices[:head], batch_size),
            *_split(indices[head:], batch_size),
        ]
        self._kept: list[tuple[Any, Any]] | None = None
        first = self._prepare(self._parts[0])
        if tensor_bytes(first) * len(self._parts) <= _KEEP_BYTES:
            self._kept = [first, *(self._prepare(part) for part in self._parts[1:])]

    def __len__(self) -> int:
        """The number of samples."""
        return int(self.indices.numel())

    @property
    def count(self) -> int:
        """The number of batches."""
        return len(self._parts)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._kept is not None:
            return iter(self._kept)
        return (self._prepare(part) for part in self._parts)

    def index_hash(self) -> str:
        """A hash of which samples these are, in order."""
        return hashlib.sha256(self.indices.to("cpu", torch.int64).numpy().tobytes()).hexdigest()[:16]

    def _prepare(self, indices: Tensor) -> tuple[Any, Any]:
        inputs, targets = self.data.batch(indices)
        return map_tensors(self._place, inputs), map_tensors(self._place, targets)

    def _place(self, tensor: Tensor) -> Tensor:
        dtype = self._dtype if tensor.is_floating_point() else tensor.dtype
        tensor = tensor.to(self._device, dtype)
        if self._channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def _split(indices: Tensor, batch_size: int) -> list[Tensor]:
    """Batches in order; a last one of a single sample joins the one before it."""
    parts = list(torch.split(indices, batch_size)) if indices.numel() else []
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def split_batch(batch: tuple[Any, Any], size: int) -> Iterator[tuple[Any, Any]]:
    """The batch in parts of ``size`` samples, as views; tensors of another length belong to every part."""
    count = batch_rows(batch)
    if count <= size:
        yield batch
        return
    for start in range(0, count, size):
        part = slice(start, start + size)
        inputs, targets = map_tensors(lambda t: t[part] if t.ndim and len(t) == count else t, batch)  # noqa: B023
        yield inputs, targets


def batch_rows(batch: tuple[Any, Any]) -> int:
    """How many samples a batch has: the length of its first tensor."""
    lengths: list[int] = []

    def look(tensor: Tensor) -> Tensor:
        if tensor.ndim:
            lengths.append(len(tensor))
        return tensor

    map_tensors(look, batch)
    return lengths[0]


def tensor_bytes(value: Any) -> int:
    """The size in memory of every tensor inside ``value``."""
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    map_tensors(count, value)
    return total


def chosen_indices(data: Any, samples: int | Tensor | Sequence[int] | None, seed: int) -> Tensor:
    """Which samples are meant: so many drawn by ``seed``, the indices themselves, or all."""
    if samples is None or isinstance(samples, int):
        if samples is not None and samples < 1:
            raise InputError(f"samples: expected at least 1, got {samples!r}.")
        return subset(data, samples, seed)
    indices = torch.as_tensor(samples, dtype=torch.int64)
    if indices.ndim != 1 or (indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= len(data))):
        raise InputError(f"samples: expected indices from 0 to {len(data) - 1} of {data.name}, got {samples!r}.")
    return indices
