"""A fixed index set of a data, prepared once for repeated evaluation: on the device, in the precision and layout of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape.data import Data, subset
from landscape.data.collated import to_device
from landscape.data.tensors import map_leaves
from landscape.errors import InputError
from landscape.stopping import look

# Prepared batches above this size are made anew at every pass instead of kept: two GiB is a CIFAR split of 170,000 images.
_KEEP_BYTES = 2 << 30
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """``value`` with ``function`` applied to every tensor inside nested tuples, lists and mappings, the rest as it is."""
    return map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, value)


class PreparedBatches:
    """Batches of ``data[indices]``, in index order but for the ``head``. Iterating twice gives the same values, also where who was
    given a batch wrote into it.

    Args:
        data: one split.
        indices: the samples, shape ``(N,)``; stored, hashed and never changed.
        batch_size: samples a batch; a last batch of one joins the one before, because batch statistics need two.
        dtype: floating-point inputs and targets are cast to it.
        channels_last: whether 4-D inputs are laid out channels-last.
        head: places in ``indices`` of samples that come first and end a batch, so that one can stop after them.
        as_given: whether batches are those in which the data was given, as far as their samples are asked for.
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
        head: Tensor | None = None,
        as_given: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size: expected at least 1, got {batch_size!r}.")
        if indices.numel() == 0:
            raise InputError(f"data: {data.name} gives no samples to evaluate on; expected at least one.")
        self.data, self.indices, self.batch_size = data, indices, batch_size
        self._device, self._dtype, self._channels_last = device, dtype, channels_last
        places = torch.arange(len(indices), device=indices.device)
        first = places[:0] if head is None else head.to(indices.device)
        rest = _without(places, first)
        if as_given:
            parts = _grouped(places, data.given[indices.cpu()])  # type: ignore[attr-defined]
        else:
            groups = getattr(data, "groups", None)
            each = [(some, None if groups is None else groups[indices[some].cpu()]) for some in (first, rest)]
            parts = [part for some, of in each for one in _grouped(some, of) for part in _split(one, batch_size)]
        order = torch.cat(parts)
        self._order = None if torch.equal(order, places) else order
        self._parts = [indices[part] for part in parts]
        self._kept: list[_Kept] | None = None
        one = _Kept(self._prepare(self._parts[0]))
        if tensor_bytes(one.batch) * len(self._parts) <= _KEEP_BYTES:
            self._kept = [one, *(_Kept(self._prepare(part)) for part in self._parts[1:])]
        self._lent = False

    def __len__(self) -> int:
        """The number of samples."""
        return int(self.indices.numel())

    @property
    def count(self) -> int:
        """The number of batches."""
        return len(self._parts)

    @property
    def sizes(self) -> list[int]:
        """The samples of each batch."""
        return [len(part) for part in self._parts]

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for number, part in enumerate(self._parts):
            look()
            yield self._prepare(part) if self._kept is None else self._again(number)

    def in_order(self, values: Tensor) -> Tensor:
        """One value a sample ``(N,)``, as the batches gave them, in the order of :attr:`indices`."""
        if self._order is None:
            return values
        sorted_values = torch.empty_like(values)
        sorted_values[self._order.to(values.device)] = values
        return sorted_values

    def index_hash(self) -> str:
        """A hash of which samples these are, in order."""
        return hashlib.sha256(self.indices.to("cpu", torch.int64).numpy().tobytes()).hexdigest()[:16]

    def _again(self, number: int) -> tuple[Any, Any]:
        """A batch as it was prepared. Once a module, loss or metric wrote into one, they are given copies."""
        assert self._kept is not None
        if self._kept[number].written:
            self._kept[number], self._lent = _Kept(self._prepare(self._parts[number])), True
        batch = self._kept[number].batch
        return map_tensors(torch.clone, batch) if self._lent else batch

    @torch.inference_mode(
        False
    )  # under which tensors can neither be differentiated with nor tell whether they were written to
    def _prepare(self, indices: Tensor) -> tuple[Any, Any]:
        inputs, targets = self.data.batch(indices)
        return map_leaves(self._placed, inputs), map_leaves(self._placed, targets)

    def _placed(self, leaf: Any) -> Any:
        return self._place(leaf) if isinstance(leaf, Tensor) else to_device(leaf, self._device)

    def _place(self, tensor: Tensor) -> Tensor:
        dtype = self._dtype if tensor.is_floating_point() else tensor.dtype
        tensor = tensor.to(self._device, dtype)
        if self._channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor


class _Kept:
    """A batch, and whether somebody wrote into it since."""

    def __init__(self, batch: tuple[Any, Any]) -> None:
        self.batch, self._versions = batch, versions(batch)

    @property
    def written(self) -> bool:
        return versions(self.batch) != self._versions


def _without(places: Tensor, some: Tensor) -> Tensor:
    left = torch.ones_like(places, dtype=torch.bool)
    left[some] = False
    return places[left]


def _grouped(places: Tensor, groups: Tensor | None) -> list[Tensor]:
    """The places of each group, in the order of their numbers; all together where there are no groups."""
    if groups is None:
        return [places]
    return [places[(groups == number).to(places.device)] for number in sorted(set(groups.tolist()))]


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
    return next(len(tensor) for tensor in tensors_in(batch) if tensor.ndim)


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor inside ``value``, in order."""
    found: list[Tensor] = []
    map_tensors(found.append, value)
    return found


def versions(value: Any) -> list[int]:
    """How often each tensor inside ``value`` was written to."""
    return [tensor._version for tensor in tensors_in(value)]


def tensor_bytes(value: Any) -> int:
    """The size in memory of every tensor inside ``value``."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(value))


def chosen_indices(data: Any, samples: int | Tensor | Sequence[int] | None, seed: int) -> Tensor:
    """Which samples are meant: so many drawn by ``seed``, the indices themselves, or all."""
    if samples is None or isinstance(samples, int):
        if samples is not None and samples < 1:
            raise InputError(f"samples: expected at least 1, got {samples!r}.")
        return subset(data, samples, seed)
    try:
        indices = torch.as_tensor(samples)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"samples: expected how many, indices of them, or None for all, got {type(samples).__name__} {samples!r:.60}."
        ) from None
    if indices.dtype == torch.bool and indices.shape == (len(data),):
        indices = indices.nonzero().flatten()
    outside = indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= len(data))
    if indices.ndim != 1 or indices.dtype not in _INTEGERS or outside:
        raise InputError(f"samples: expected indices from 0 to {len(data) - 1} of {data.name}, got {samples!r}.")
    return indices.to(torch.int64)


def evenly(count: int, few: int) -> Tensor:
    """``few`` places of ``count``, or all if they are fewer, evenly spaced from the first to the last."""
    chosen = min(few, count)
    return torch.arange(chosen) * (count - 1) // max(chosen - 1, 1)
