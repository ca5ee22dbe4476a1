"""Whatever a user calls data, seen as one split."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.data.collated import BatchedData, Together, of_batches, read_batches, rows_of
from landscape.data.indexed import IndexedData, labelled
from landscape.data.parts import SAME, Targets, as_tensors, separated
from landscape.data.splits import Data, DataSet
from landscape.data.tensors import map_leaves
from landscape.errors import InputError

_EXPECTED = (
    "expected a Data, a pair (inputs, targets) of tensors or arrays, a mapping of them, a DataLoader or another iterable of "
    "batches, or anything with __len__ and __getitem__"
)


def as_data(obj: Any, name: str | None = None, *, targets: Targets = None) -> Data:
    """``obj`` as a :class:`Data`.

    A ``Data`` is returned as it is, with its own name. A pair ``(inputs, targets)`` of tensors, arrays, or tuples and mappings of
    them becomes a :class:`TensorData`; integer targets of shape ``(N,)`` count as labels of max + 1 classes. So do a mapping of
    columns, a pandas ``DataFrame`` and a ``DataLoader`` or another iterable of batches, which is read once, in its order, from a
    fixed seed where it is shuffled. Batches that differ in form, as of sequences that were padded to the longest of each, stay
    apart. Anything else with ``__len__`` and ``__getitem__`` becomes an :class:`IndexedData`.

    Args:
        obj: the data.
        name: what results call it; by default its type's name.
        targets: which part of a batch or a sample the targets are: a key of a mapping or a column of a frame, several of them, or
            a place in a tuple (−1 for the last). ``"inputs"``: what goes in is to come out. By default the second of a pair.

    Raises:
        InputError: for anything else, saying what could be given instead.

    Example:
        >>> split = ls.as_data(data, "quadrants")
        >>> len(split), split.classes, split.name
        (60, 2, 'quadrants')
        >>> len(ls.as_data({"x": data[0], "label": data[1]}, targets="label"))
        60
    """
    # In this order, because the protocol's check looks at `classes`, which would make an IndexedData read everything.
    if isinstance(obj, (IndexedData, Data)):
        if targets is not None:
            raise InputError(f"targets: {obj.name} says itself which its targets are; got targets={targets!r}.")
        return obj
    _refuse(obj)
    if isinstance(targets, Tensor | np.ndarray):
        raise InputError(
            "targets: say which part of the data the targets are, such as 'labels' or -1; tensors are given as a pair, "
            "(inputs, targets)."
        )
    called = name or type(obj).__name__
    obj = _plain_pair(obj)
    if (found := _of_columns(obj, targets, name)) is not None:
        return found
    if isinstance(obj, tuple) and isinstance(targets, int) and rows_of((as_tensors(obj), None)) is not None:
        obj, targets = separated(obj, targets, "data"), None
    if isinstance(obj, tuple | list) and len(obj) == 2 and targets is None:
        alone = isinstance(obj[1], Tensor | np.ndarray)
        if alone and isinstance(obj[0], list) and not _is_nesting(obj) and _are_tensors(obj[0]):
            return _ragged(obj[0], obj[1], name or "sequences")
        if alone or (isinstance(obj, tuple) and _is_nesting(obj)):
            return labelled(map_leaves(_tensor, obj[0]), map_leaves(_tensor, obj[1]), name=name or "tensors")
    if _is_iterable_of_batches(obj):
        return read_batches(obj, called, targets, whole=False)
    if not (hasattr(obj, "__len__") and hasattr(obj, "__getitem__")):
        raise InputError(f"data: {_EXPECTED}, got {type(obj).__name__} {obj!r:.80}.")
    return IndexedData(obj, called, targets=targets)


def as_whole(obj: Any, name: str | None = None, *, targets: Targets = None) -> Data:
    """``obj`` as batches that are handed over as they are, for a loss over model and batch.

    A batch of a loader, or of a list, is what that gives. Of tensors, arrays, pairs and mappings of them it is the same of some
    of the rows. What has no rows, such as sets of points of different size, is one batch, and so is None.

    Raises:
        InputError: as :func:`as_data`.
    """
    if targets is not None:
        raise InputError(f"targets: a loss over model and batch takes the batch as it is; got targets={targets!r}.")
    if isinstance(obj, (IndexedData, Data)):
        return obj if getattr(obj, "together", False) else Together(obj)
    _refuse(obj)
    called = name or type(obj).__name__
    if _is_iterable_of_batches(obj) or isinstance(obj, list):
        return read_batches(obj, called, None, whole=True)
    if obj is None or isinstance(obj, tuple | Mapping | Tensor | np.ndarray):
        return of_batches([(as_tensors(obj), None)], called, whole=True)
    if hasattr(obj, "__len__") and hasattr(obj, "__getitem__"):
        return IndexedData(obj, called, whole=True)
    return BatchedData([(obj, None)], called, whole=True, together=True)


def _plain_pair(obj: Any) -> Any:
    """A pair with lists of numbers and frames in it as one of tensors; anything else as it is."""
    if not isinstance(obj, tuple) or len(obj) != 2:
        return obj
    if obj[1] is None:
        raise InputError(
            "data: the targets of the pair are None. Give the inputs alone and targets='inputs' where what goes in is to come "
            "out, or a loss over model and batch, ls.batch_loss(lambda model, batch: …)."
        )
    return tuple(_plain(part) for part in obj)


def _plain(part: Any) -> Any:
    if hasattr(part, "to_numpy"):
        array = part.to_numpy()
        return array.astype(np.float32) if array.dtype.kind == "f" else array
    if not isinstance(part, list) or not part or not isinstance(part[0], list | int | float):
        return part
    try:
        return torch.tensor(part)
    except (TypeError, ValueError):
        return part


def _refuse(obj: Any) -> None:
    if isinstance(obj, DataSet):
        raise InputError(f"data: expected one split, got the data set {obj.name!r}. Choose one: .split('train').")
    if isinstance(obj, str | bytes | os.PathLike):
        raise InputError(
            f"data: {_EXPECTED}, got {obj!r:.80}. A built-in set is loaded by load_data('cifar10').split('train'); a file is read "
            "first, by torch.load, numpy.load or pandas.read_csv."
        )
    if isinstance(obj, type):
        raise InputError(f"data: {_EXPECTED}, got the class {obj.__name__}. Make one of it: {obj.__name__}(…).")
    if inspect.isroutine(obj):
        raise InputError(f"data: {_EXPECTED}, got the function {obj.__name__}. Give what it returns: {obj.__name__}().")


def _of_columns(obj: Any, targets: Targets, name: str | None) -> Data | None:
    """A tensor or array alone, a mapping of columns, or a frame."""
    if isinstance(obj, Tensor | np.ndarray):
        if targets != SAME:
            raise InputError(
                f"data: {_EXPECTED}, got {type(obj).__name__} {obj!r:.80}. Its targets are missing: give (inputs, targets), or "
                "targets='inputs' where what goes in is to come out."
            )
        return labelled(_tensor(obj), _tensor(obj), name=name or "tensors")
    if type(obj).__module__.partition(".")[0] == "pandas" and hasattr(obj, "columns"):
        return _of_frame(obj, targets, name or "frame")
    if not isinstance(obj, Mapping):
        return None
    inputs, wanted = separated(as_tensors(obj), targets, "data")
    if rows_of((inputs, wanted)) is None:
        raise InputError(
            f"data: {_EXPECTED}, got {type(obj).__name__} whose entries are no tensors with as many rows: "
            f"{ {key: _size(value) for key, value in obj.items()} }. Of parts of different size give a loss over model and batch: "
            "ls.batch_loss(lambda model, batch: …)."
        )
    return labelled(map_leaves(_tensor, inputs), map_leaves(_tensor, wanted), name=name or "columns")


def _of_frame(frame: Any, targets: Targets, name: str) -> Data:
    """Numbers of a frame: its columns side by side ``(N, F)`` as inputs, a column ``(N,)`` or several ``(N, T)`` as targets."""
    wanted = [targets] if not isinstance(targets, list | tuple) else list(targets)
    columns = list(frame.columns)
    if missing := [column for column in wanted if column not in columns]:
        raise InputError(
            f"targets: expected a column of the frame, got {missing[0]!r}. It has {', '.join(map(repr, columns[:8]))}."
        )
    rest = [column for column in columns if column not in wanted]
    if other := [column for column in columns if frame[column].dtype.kind not in "biuf"]:
        raise InputError(
            f"data: expected columns of numbers, got {other[0]!r} of {frame[other[0]].dtype}. Encode it (pandas.get_dummies, "
            ".astype('category').cat.codes), or leave it out."
        )
    if not rest:
        raise InputError("targets: every column of the frame is one, so there are no inputs.")
    inputs = torch.from_numpy(np.ascontiguousarray(frame[rest].to_numpy(dtype=np.float32)))
    values = frame[wanted].to_numpy()
    made = _tensor(values[:, 0] if len(wanted) == 1 else values)
    return labelled(inputs, made.to(torch.float32) if made.is_floating_point() else made, name=name)


def _ragged(inputs: list[Any], targets: Any, name: str) -> Data:
    """Sequences of several lengths, each with its target: those of one length can stand in a batch together."""
    values = _tensor(targets)
    if len(inputs) != len(values):
        raise InputError(
            f"data: expected as many targets as inputs, got {len(inputs)} inputs and {len(values)} targets."
        )
    return of_batches([(_tensor(one)[None], values[k : k + 1]) for k, one in enumerate(inputs)], name, whole=False)


def _are_tensors(parts: list[Any]) -> bool:
    return all(isinstance(one, Tensor | np.ndarray) for one in parts)


def _is_nesting(pair: Any) -> bool:
    """Whether a pair is one of tensors, or of tuples and mappings of them, that all have as many rows."""
    return rows_of((as_tensors(pair[0]), as_tensors(pair[1]))) is not None


def _is_iterable_of_batches(obj: Any) -> bool:
    """A loader, an iterator, or another iterable without places; a list is one of samples."""
    if isinstance(obj, torch.utils.data.DataLoader | torch.utils.data.IterableDataset | Iterator):
        return True
    return isinstance(obj, Iterable) and not hasattr(obj, "__getitem__") and not isinstance(obj, set | frozenset)


def _size(value: Any) -> Any:
    return (
        tuple(value.shape)
        if hasattr(value, "shape")
        else value
        if isinstance(value, int | float)
        else type(value).__name__
    )


def _tensor(leaf: Any) -> Any:
    if isinstance(leaf, Tensor) and leaf.layout != torch.strided:
        raise InputError(f"data: expected dense tensors, got one of layout {leaf.layout}. Give tensor.to_dense().")
    if not isinstance(leaf, np.ndarray):
        return leaf
    try:
        # A copy: torch takes neither reversed strides nor foreign byte order, and the user may change the array later.
        return torch.from_numpy(leaf.astype(leaf.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError) as error:
        raise InputError(f"data: expected arrays of numbers, got one of dtype {leaf.dtype}.") from error
