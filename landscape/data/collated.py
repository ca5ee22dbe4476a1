"""Batches as people have them: from a loader, an iterable or a mapping, read once, and kept in their order."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from landscape.data.indexed import labelled, warn_if_drawn
from landscape.data.parts import Targets, as_tensors, described, separated
from landscape.data.splits import Data
from landscape.data.tensors import map_leaves, update_hash
from landscape.errors import InputError, first_line
from landscape.numerics.seeds import derive_seed

MOST_BATCHES = 1_000_000  # beyond, an iterable is taken for an endless one


class BatchedData:
    """Batches that were given, as one split whose samples need not have one form.

    A sample is a row, where every tensor of a batch has as many rows; otherwise a whole batch, which is never cut. Samples of one
    form (nesting, shapes and types) can stand in one batch together.

    Args:
        batches: ``(inputs, targets)`` of each; targets are None where there are none, and are then the numbers of the samples.
        name: what results call this split.
        whole: whether a batch is one sample, also where it could be cut.
        together: whether inputs and targets are handed over as one, for a loss over model and batch.

    Attributes:
        groups: the number of each sample's form ``(N,)``; of whole batches each has its own.
        given: the number of the batch in which each sample was given ``(N,)``.
    """

    classes: int | None = None

    def __init__(
        self, batches: Sequence[tuple[Any, Any]], name: str, *, whole: bool = False, together: bool = False
    ) -> None:
        self.name, self.together = name, together
        forms: dict[Any, list[tuple[Any, Any]]] = {}
        groups: list[Tensor] = []
        rows: list[Tensor] = []
        for number, batch in enumerate(batches):
            count = None if whole else rows_of(batch)
            form = number if count is None else _form(batch)
            known = forms.setdefault(form, [])
            start = sum(rows_of(one) or 1 for one in known)
            known.append(batch)
            groups.append(torch.full((count or 1,), list(forms).index(form)))
            rows.append(torch.arange(start, start + (count or 1)))
        self.groups, self._rows = torch.cat(groups), torch.cat(rows)
        self.given = torch.arange(len(groups)).repeat_interleave(torch.tensor([len(group) for group in groups]))
        self._cut = [isinstance(form, tuple) for form in forms]
        self._forms = [merged(known) for known in forms.values()]

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def of_batches(self) -> bool:
        """Whether some samples are whole batches."""
        return not all(self._cut)

    def batch(self, indices: Tensor) -> tuple[Any, Any]:
        """Inputs and targets of samples of one form; more than one whole batch cannot be asked for at once."""
        places = indices.to("cpu")
        forms = sorted(set(self.groups[places].tolist()))
        if len(forms) != 1:
            raise InputError(f"data: samples of {self.name} have {len(forms)} forms, which make no batch together.")
        inputs, targets = self._forms[forms[0]]
        if self._cut[forms[0]]:
            rows = self._rows[places]
            inputs, targets = map_leaves(
                lambda leaf: None if leaf is None else leaf[rows.to(leaf.device)], (inputs, targets)
            )
        return inputs, indices if targets is None else targets

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Any, Any]:
        if len(self._forms) > 1:
            raise InputError(f"data: samples of {self.name} differ in form and are only measured, not trained on.")
        return self.batch(indices)

    def fingerprint(self) -> str:
        return self._fingerprint

    def to(self, device: torch.device | str) -> Self:
        moved = object.__new__(type(self))
        moved.__dict__.update(self.__dict__)
        moved._forms = [map_leaves(lambda leaf: to_device(leaf, device), form) for form in self._forms]
        return moved

    @cached_property
    def _fingerprint(self) -> str:
        hasher = hashlib.sha256(self.groups.numpy().tobytes() + self.given.numpy().tobytes())
        for form in self._forms:
            hash_of_any(hasher, form)
        return hasher.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Together:
    """Another split whose inputs and targets are handed over together, as one batch, for a loss over model and batch.

    Targets are the numbers of the samples.
    """

    split: Data
    together = True

    @property
    def name(self) -> str:
        return self.split.name

    @property
    def classes(self) -> int | None:
        return self.split.classes

    def __len__(self) -> int:
        return len(self.split)

    def __getattr__(self, name: str) -> Any:
        if name in ("given", "groups", "of_batches"):
            return getattr(self.split, name)
        raise AttributeError(name)

    def batch(self, indices: Tensor) -> tuple[Any, Any]:
        return self.split.batch(indices), indices

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Any, Any]:
        return self.split.training_batch(indices, generator), indices

    def fingerprint(self) -> str:
        return self.split.fingerprint()

    def to(self, device: torch.device | str) -> Together:
        return Together(self.split.to(device))


def read_batches(source: Iterable[Any], name: str, targets: Targets, *, whole: bool) -> Data:
    """All batches of a loader or another iterable, read once, from a fixed seed where they are drawn.

    Batches of one form become one :class:`TensorData`, which remembers how they were given.

    Raises:
        InputError: where a batch cannot be read, there is none, or it does not say which its targets are.
    """
    batches: list[tuple[Any, Any]] = []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(0, "read"))
        iterator = iter(source)
        for number in itertools.count():
            try:
                batch = next(iterator)
            except StopIteration:
                break
            except Exception as error:  # of any kind: it is the user's code
                raise InputError(
                    f"data: batch {number} of {name} raised {type(error).__name__}: {first_line(error):.300}"
                ) from error
            if number == MOST_BATCHES:
                raise InputError(f"data: {name} has not ended after {number:,} batches. Give itertools.islice of it.")
            made = as_tensors(batch)
            batches.append((made, None) if whole else separated(made, targets, f"batch {number} of {name}"))
        given: Any = source
        if hasattr(getattr(given, "dataset", None), "__getitem__"):
            warn_if_drawn(given.dataset, name)
            _warn_if_dropped(given, sum(rows_of(batch) or 0 for batch in batches), name)
    if not batches:
        raise InputError(f"data: {name} has no batches; expected at least one. An iterator can be read only once.")
    return of_batches(batches, name, whole=whole)


def _warn_if_dropped(loader: Any, read: int, name: str) -> None:
    """Say that samples are left out: those of a last batch that is not full."""
    if getattr(loader, "drop_last", False) and hasattr(loader.dataset, "__len__") and 0 < read < len(loader.dataset):
        count = len(loader.dataset)
        warnings.warn(
            f"data: {name} drops its last batch, so {count - read} of {count} samples are not measured. Give a loader with "
            "drop_last=False to measure all.",
            stacklevel=2,
        )


def of_batches(batches: Sequence[tuple[Any, Any]], name: str, *, whole: bool) -> Data:
    """Batches as one split: a :class:`TensorData` where all have one form, else as they are."""
    counts = [rows_of(batch) for batch in batches]
    if whole or None in counts or len({_form(batch) for batch in batches}) > 1:
        found = BatchedData(batches, name, together=whole)
        return found if whole or not found.of_batches else _refuse_uncut(batches, name)
    inputs, targets = merged(batches)
    return labelled(inputs, targets, name=name, sizes=tuple(count for count in counts if count is not None))


def _refuse_uncut(batches: Sequence[tuple[Any, Any]], name: str) -> Data:
    number, batch = next((k, batch) for k, batch in enumerate(batches) if rows_of(batch) is None)
    raise InputError(
        f"data: batch {number} of {name} has {described(batch[0])} as inputs and {described(batch[1])} as targets; expected "
        "tensors with one row a sample. Of single samples give a list; of batches of another form a loss over model and batch: "
        "ls.batch_loss(lambda model, batch: …)."
    )


def rows_of(batch: tuple[Any, Any]) -> int | None:
    """How many rows all tensors of a batch have; None where they differ, or there is something else in it."""
    counts: set[int | None] = set()

    def count(leaf: Any) -> None:
        counts.add(len(leaf) if isinstance(leaf, Tensor) and leaf.ndim and leaf.layout == torch.strided else None)

    map_leaves(count, batch[0])
    if batch[1] is not None:
        map_leaves(count, batch[1])
    return next(iter(counts)) if len(counts) == 1 else None


def merged(batches: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Batches of one form, one after the other."""
    if len(batches) == 1:
        return batches[0]
    columns: list[list[Any]] = []
    for batch in batches:
        column: list[Any] = []
        map_leaves(column.append, batch)
        columns.append(column)
    joined = iter([None if part[0] is None else torch.cat(part) for part in zip(*columns, strict=True)])
    inputs, targets = map_leaves(lambda _: next(joined), batches[0])
    return inputs, targets


def to_device(leaf: Any, device: torch.device | str) -> Any:
    """A tensor, or another thing that can be taken there, on the device; the rest as it is."""
    move = getattr(leaf, "to", None)
    return move(device) if callable(move) and not isinstance(leaf, type) else leaf


def hash_of_any(hasher: hashlib._Hash, value: Any) -> None:
    """Feed ``value`` to ``hasher``: tensors by their content, the rest by what is written of it."""

    def feed(leaf: Any) -> None:
        if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
            update_hash(hasher, leaf)
        elif leaf is None or isinstance(leaf, bool | int | float | str | bytes):
            hasher.update(repr(leaf).encode())
        else:
            hasher.update(_pickled(leaf))

    hasher.update(repr(map_leaves(lambda _: "leaf", value)).encode())
    map_leaves(feed, value)


def _pickled(leaf: Any) -> bytes:
    """Of an object: its content where it can be pickled, else its type."""
    try:
        return pickle.dumps(leaf)
    except Exception:  # of any kind: it is the user's class
        return type(leaf).__qualname__.encode()


def _form(batch: tuple[Any, Any]) -> tuple[str]:
    """Nesting, shapes after the first dimension and types."""
    outline = map_leaves(lambda leaf: None if leaf is None else (tuple(leaf.shape[1:]), str(leaf.dtype)), batch)
    return (repr(outline),)
