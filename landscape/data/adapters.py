"""Whatever a user calls data, seen as one split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.data.indexed import IndexedData, labelled
from landscape.data.splits import Data, DataSet
from landscape.data.tensors import map_leaves
from landscape.errors import InputError

_EXPECTED = "expected a Data, a pair (inputs, targets) of tensors or arrays, or anything with __len__ and __getitem__"


def as_data(obj: Any, name: str | None = None) -> Data:
    """``obj`` as a :class:`Data`.

    A ``Data`` is returned as it is, with its own name. A pair ``(inputs, targets)``, the targets a tensor or array, becomes a
    :class:`TensorData`; integer targets of shape ``(N,)`` count as labels of max + 1 classes. Anything else with ``__len__``
    and ``__getitem__`` becomes an :class:`IndexedData`.

    Args:
        obj: the data.
        name: what results call it; by default its type's name.

    Raises:
        InputError: for anything else, saying what could be given instead.

    Example:
        >>> split = ls.as_data(data, "quadrants")
        >>> len(split), split.classes, split.name
        (60, 2, 'quadrants')
    """
    # In this order, because the protocol's check looks at `classes`, which would make an IndexedData read everything.
    if isinstance(obj, (IndexedData, Data)):
        return obj
    if isinstance(obj, DataSet):
        raise InputError(f"data: expected one split, got the data set {obj.name!r}. Choose one: .split('train').")
    if isinstance(obj, tuple | list) and len(obj) == 2 and isinstance(obj[1], Tensor | np.ndarray):
        return labelled(map_leaves(_tensor, obj[0]), _tensor(obj[1]), name=name or "tensors")
    if isinstance(obj, str):
        raise InputError(
            f"data: {_EXPECTED}, got {obj!r}. A built-in set is loaded by load_data({obj!r}).split('train')."
        )
    if isinstance(obj, torch.utils.data.DataLoader):
        raise InputError(f"data: {_EXPECTED}, got a DataLoader. Give its dataset: loader.dataset.")
    alone = isinstance(obj, Tensor | np.ndarray | Mapping | bytes)
    if alone or not (hasattr(obj, "__len__") and hasattr(obj, "__getitem__")):
        hint = " Its targets are missing: give (inputs, targets)." if isinstance(obj, Tensor | np.ndarray) else ""
        raise InputError(f"data: {_EXPECTED}, got {type(obj).__name__} {obj!r:.80}.{hint}")
    return IndexedData(obj, name or type(obj).__name__)


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
