"""A user's own indexable data, read once into tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import default_collate

from landscape.data.parts import Targets, as_tensors, separated
from landscape.data.tensors import TensorData
from landscape.errors import InputError
from landscape.numerics.seeds import derive_seed


class Indexable(Protocol):
    """What ``torch.utils.data`` calls a map-style dataset; ``source[i]`` gives ``(input, target)``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class IndexedData:
    """Anything with ``__len__`` and ``__getitem__``, as one split.

    All samples are read once, at the first use (the first of them twice, to say it where it is another then), and stacked by
    torch's ``default_collate``, so that every later batch is the same. Random transforms inside ``source`` that draw from torch
    are therefore drawn once, from a fixed seed; the global random state is left alone.

    Args:
        source: ``source[i]`` is a pair ``(input, target)`` of tensors, arrays, numbers, or nestings of them, or a mapping or a
            tuple of which ``targets`` says what the target is.
        name: what results call this split.
        targets: as in :func:`landscape.data.as_data`.
        whole: whether samples are handed over as they are; the targets are then their numbers.

    Raises:
        InputError: at the first use, for a sample that cannot be read, is no pair, or cannot be stacked with the others.
    """

    def __init__(
        self, source: Indexable, name: str = "indexed", *, targets: Targets = None, whole: bool = False
    ) -> None:
        self.source = source
        self.name = name
        self._targets, self.together = targets, whole
        self._device: torch.device | str = "cpu"
        self._stacked: TensorData | None = None

    @property
    def classes(self) -> int | None:
        """The length of ``source.classes`` where it has such a list, else one more than the largest label."""
        return self._memory.classes

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Any, Any]:
        return self._memory.batch(indices)

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Any, Any]:
        return self._memory.training_batch(indices, generator)

    def fingerprint(self) -> str:
        return self._memory.fingerprint()

    def to(self, device: torch.device | str) -> IndexedData:
        moved = IndexedData(self.source, self.name, targets=self._targets, whole=self.together)
        moved._device = device
        moved._stacked = None if self._stacked is None else self._stacked.to(device)
        return moved

    @property
    def _memory(self) -> TensorData:
        if self._stacked is None:
            inputs, targets = _stacked(self._samples(), self.name)
            listed = getattr(self.source, "classes", None)
            classes = len(listed) if isinstance(listed, list | tuple) else None
            self._stacked = labelled(inputs, targets, name=self.name, classes=classes).to(self._device)
        return self._stacked

    def _samples(self) -> list[tuple[Any, Any]]:
        samples: list[tuple[Any, Any]] = []
        first: list[Any] = []
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(0, "read"))
            for index in range(len(self.source)):
                try:
                    sample = self.source[index]
                except Exception as error:
                    raise InputError(
                        f"data: sample {index} of {self.name} raised {type(error).__name__}: {error}"
                    ) from error
                first = first or [sample]
                samples.append((as_tensors(sample), index) if self.together else self._separated(sample, index))
            warn_if_drawn(self.source, self.name, *first)
        if not samples:
            raise InputError(f"data: {self.name} has no samples; expected at least one.")
        return samples

    def _separated(self, sample: Any, index: int) -> tuple[Any, Any]:
        sample = as_tensors(sample) if isinstance(sample, Mapping) else sample
        pair = isinstance(sample, tuple | list) and len(sample) == 2
        if self._targets is None and not pair and not isinstance(sample, Mapping):
            raise InputError(
                f"data: expected a pair (input, target) as sample {index} of {self.name}, got {type(sample).__name__} "
                f"{sample!r:.80}. Wrap the data so that data[i] returns such a pair, or say targets=…, a key or a place."
            )
        return separated(sample, self._targets, f"sample {index} of {self.name}")


def warn_if_drawn(source: Any, name: str, *before: Any) -> None:
    """Say that a sample is another each time it is read, as under a random transform: one draw of it is what is measured.

    ``before``: sample 0 as it was read, where it was.
    """
    try:
        first, second = tree_leaves(before[0] if before else source[0]), tree_leaves(source[0])
        differs = len(first) != len(second) or any(not _same(a, b) for a, b in zip(first, second, strict=True))
    except Exception:  # of any kind, in the user's code: what reads the samples says it
        return
    if differs:
        warnings.warn(
            f"data: sample 0 of {name} is another each time it is read (a random transform?), and one draw of each sample is "
            "measured. Give the data without what draws, to measure the loss over the data itself.",
            stacklevel=2,
        )


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True))
    except TypeError:  # what has no NaN: text, objects
        return bool(one == other)


def labelled(
    inputs: Any, targets: Any, *, name: str, classes: int | None = None, sizes: tuple[int, ...] = ()
) -> TensorData:
    """A :class:`TensorData` with ``classes``, or one more than the largest label, if ``targets`` look like labels.

    Labels are integers of shape ``(N,)``, none of them negative; with other targets there are no classes.
    """
    integers = isinstance(targets, Tensor) and targets.ndim == 1 and targets.dtype in _INTEGERS and len(targets) > 0
    if not integers or int(targets.min()) < 0:
        return TensorData(inputs, targets, name=name, sizes=sizes)
    return TensorData(inputs, targets, classes=classes or int(targets.max()) + 1, name=name, sizes=sizes)


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _stacked(samples: list[tuple[Any, Any]], name: str) -> tuple[Any, Any]:
    try:
        inputs, targets = default_collate(samples)
    except Exception as error:
        raise InputError(
            f"data: the samples of {name} cannot be stacked into batches ({type(error).__name__}: {error}). "
            "Expected tensors, arrays or numbers of one shape; give the data a transform to tensors of one size, or a DataLoader "
            "with the collate_fn that makes batches of it."
        ) from error
    return inputs, targets
