"""Direction files of the original tool (tomgoldstein/loss-landscape): HDF5 groups ``xdirection`` and ``ydirection``.

Each group holds the data sets "0", "1", …, one a tensor. Directions of type ``weights`` have one for each of
``named_parameters()``, those of type ``states`` one for each entry of ``state_dict()``; PyTorch before 0.4.1 had no
``num_batches_tracked`` among the latter. The file does not say which: the number of tensors does.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from landscape.errors import InputError, ResultFileError
from landscape.results.atomic import atomic_write
from landscape.results.hdf5 import read_contents, refuse_other
from landscape.results.reading import Contents

GROUPS = ("xdirection", "ydirection")
_Shapes = dict[str, tuple[int, ...]]


def read_directions(path: str | os.PathLike[str], module: nn.Module) -> list[dict[str, Tensor]]:
    """The file's directions, x and, where there is one, y: tensors by the names that ``module`` gives them.

    A direction of type ``states`` has the buffers too (running statistics), under their state-dict names.

    Raises:
        ResultFileError: where the file is missing, damaged or no direction file.
        InputError: where the tensors do not fit the module, saying which do not.
    """
    contents = read_contents(path)
    if "xdirection" not in contents.groups:
        held = _listed(contents.names())
        raise ResultFileError(f"{path}: holds no group 'xdirection' but {held}; not a direction file.")
    stored = {group: _arrays(path, contents, group) for group in GROUPS if group in contents.groups}
    return [_named(path, group, arrays, module) for group, arrays in stored.items()]


def write_directions(path: str | os.PathLike[str], directions: Sequence[Mapping[str, Tensor]]) -> None:
    """Write one or two directions in the original tool's layout, at once.

    Args:
        path: the file; a direction file that is there is replaced, anything else is not.
        directions: for x and y, tensors in the order of ``named_parameters()`` (type ``weights``) or ``state_dict()``
            (type ``states``).

    Raises:
        InputError: for another number of directions, or two that have different names.
        ResultFileError: if the file cannot be written, or is there already and is something else.
    """
    if not 1 <= len(directions) <= len(GROUPS):
        raise InputError(f"directions: expected one or two, got {len(directions)}.")
    if any(list(direction) != list(directions[0]) for direction in directions):
        raise InputError("directions: the two have different tensors; they must belong to one model.")
    refuse_other(path, lambda held: "xdirection" in held.groups, "a direction file")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for group, direction in zip(GROUPS, directions, strict=False):
            for number, tensor in enumerate(direction.values()):
                file[f"{group}/{number}"] = tensor.detach().cpu().numpy()
    atomic_write(path, buffer.getvalue())


def _arrays(path: str | os.PathLike[str], contents: Contents, group: str) -> list[np.ndarray]:
    inside = [name.removeprefix(f"{group}/") for name in contents.items if name.startswith(f"{group}/")]
    absent = [str(number) for number in range(len(inside)) if str(number) not in inside]
    if absent or not inside:
        raise ResultFileError(
            f"{path}: group {group!r} lacks data set {absent[0] if absent else '0'!r}; it holds {_listed(inside)}."
        )
    return [_numbers(path, f"{group}/{number}", contents) for number in range(len(inside))]


def _numbers(path: str | os.PathLike[str], name: str, contents: Contents) -> np.ndarray:
    """The array in a type that torch has."""
    values = contents.items[name].values
    if values.dtype.kind not in "iuf":
        raise ResultFileError(f"{path}: data set {name!r} holds {values.dtype} values; expected numbers.")
    return values.astype(np.int64) if values.dtype.kind == "u" and values.dtype.itemsize < 8 else values


def _named(
    path: str | os.PathLike[str], group: str, arrays: Sequence[np.ndarray], module: nn.Module
) -> dict[str, Tensor]:
    shapes = _shapes_for(path, group, len(arrays), module)
    wrong = [
        f"{number} ({name}): {array.shape} in the file, {shape} in the model"
        for number, (array, (name, shape)) in enumerate(zip(arrays, shapes.items(), strict=True))
        if array.shape != shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise InputError(f"{path}: {group} does not fit the model; data set {'; '.join(wrong[:5])}{more}.")
    return {name: torch.from_numpy(np.array(array)) for name, array in zip(shapes, arrays, strict=True)}


def _shapes_for(path: str | os.PathLike[str], group: str, count: int, module: nn.Module) -> _Shapes:
    parameters = {name: tuple(p.shape) for name, p in module.named_parameters()}
    states = {name: tuple(t.shape) for name, t in module.state_dict().items() if isinstance(t, Tensor)}
    untracked = {name: shape for name, shape in states.items() if not name.endswith("num_batches_tracked")}
    for shapes in (parameters, states, untracked):
        if len(shapes) == count:
            return shapes
    raise InputError(
        f"{path}: {group} has {count} tensors and does not fit the model, which has {len(parameters)} parameters "
        f"(directions of type weights) and {len(states)} state-dict entries (type states). Name the model it was made for."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "") if names else "nothing"
