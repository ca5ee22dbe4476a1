"""Surface files of the original tool (tomgoldstein/loss-landscape): ``xcoordinates``, ``ycoordinates``, ``train_loss``, ….

The tool allocates its 2-D arrays with the shape ``(len(x), len(y))`` but fills entry i of the flat array at the i-th point of
``numpy.meshgrid(x, y)``, where x varies fastest. The values are therefore those of a ``(len(y), len(x))`` array in C
order, which for a grid that is not square is not the stored shape. Accuracies are in per cent, and −1 marks a point that
has not been measured.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError, ResultFileError
from landscape.results.atomic import atomic_write
from landscape.results.attributes import VERSION, flags, labels
from landscape.results.hdf5 import read_contents, refuse_other
from landscape.results.reading import Contents, Item
from landscape.results.schema import check

UNFILLED = -1.0
_SPLITS = ("train", "test")
_POLICIES = {"weights": "frozen", "states": "interpolated"}
_FLAGS = flags({0: "missing", 1: "measured"})


def import_surface(path: str | os.PathLike[str]) -> xr.Dataset:
    """The surface as a data set of kind ``plane``, with the dimensions ``(seed, y, x)``, or ``(seed, x)`` for a line.

    The one seed is 0, as the file does not know it. ``loss`` and ``accuracy`` (fraction) are of the training split, where the
    file has it; a test split beside it becomes ``test_loss``, ``test_accuracy`` and ``test_status``. Points that have not been
    measured have status 0 and NaN. The file holds no standard errors: ``loss_standard_error`` is NaN.

    Raises:
        ResultFileError: where the file is missing, damaged or no surface file, or its arrays do not fit its coordinates.
    """
    return as_surface(path, read_contents(path))


def as_surface(path: str | os.PathLike[str], contents: Contents) -> xr.Dataset:
    """The data set of a surface file's contents.

    Raises:
        ResultFileError: where they are no surface, or the arrays do not fit the coordinates.
    """
    held = contents.items
    axes = {name: _array(path, held, f"{name}coordinates") for name in ("x", "y") if f"{name}coordinates" in held}
    splits = [split for split in _SPLITS if f"{split}_loss" in held]
    if "x" not in axes or not splits:
        raise ResultFileError(
            f"{path}: holds {', '.join(contents.names()) or 'nothing'}; a surface file has xcoordinates and train_loss or "
            "test_loss."
        )
    names = [f"{split}_{quantity}" for split in splits for quantity in ("loss", "acc")]
    arrays = {name: _array(path, held, name) for name in names if name in held}
    long = next((name for name, values in axes.items() if values.ndim != 1), None)
    if long is not None:
        raise ResultFileError(f"{path}: {long}coordinates has the shape {axes[long].shape}; expected one axis.")
    dataset = _dataset(path, axes, splits, arrays, _text(held["dir_file"].values) if "dir_file" in held else "")
    check(path, dataset)
    return dataset


def export_surface(dataset: xr.Dataset, path: str | os.PathLike[str], *, seed: int | None = None) -> list[str]:
    """Write one seed's line or plane in the original tool's layout, at once, for its plotting programs.

    A test split beside the training split (:func:`import_surface`) is written too.

    Args:
        dataset: a result of kind ``plane`` with the dimensions ``(seed, x)`` or ``(seed, y, x)``.
        path: the file; a surface file that is there is replaced, anything else is not.
        seed: which direction seed; needed where the result has several.

    Returns:
        What of the result the layout has no place for, a sentence each.

    Raises:
        InputError: for another kind of result, more than two axes, a seed that is absent or not chosen, or a measured loss of
            −1, which would mark the point as not measured.
        ResultFileError: if the file cannot be written, or is there already and is something else.
    """
    dims = tuple(str(dim) for dim in dataset["loss"].dims) if "loss" in dataset else ()
    if dims not in (("seed", "x"), ("seed", "y", "x")):
        raise InputError(f"dataset: expected a surface with the dimensions (seed, x) or (seed, y, x), got {dims!r}.")
    one = _one_seed(dataset, seed)
    split = "test" if str(dataset.attrs.get("data", "")).endswith("/test") else "train"
    splits = {"": split} | ({"test_": "test"} if "test_loss" in one and split != "test" else {})
    arrays = {
        f"{name}_{short}": _exported(one, f"{prefix}status", f"{prefix}{quantity}", scale)
        for prefix, name in splits.items()
        for quantity, short, scale in (("loss", "loss", 1), ("accuracy", "acc", 100))
    }
    shape = tuple(one.sizes[name] for name in ("x", "y") if name in one.sizes)
    refuse_other(path, lambda held: "xcoordinates" in held.items, "a surface file of the original tool")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["dir_file"] = str(dataset.attrs.get("source_direction_file") or dataset.attrs.get("checkpoint", ""))
        for name in reversed(dims[1:]):
            file[f"{name}coordinates"] = one[name].values
        for name, values in arrays.items():
            file[name] = values.reshape(shape)
    atomic_write(path, buffer.getvalue())
    written = {f"{prefix}{quantity}" for prefix in splits for quantity in ("loss", "accuracy", "status")}
    return _left_out(one, sorted(str(name) for name in one.data_vars if name not in written))


def _exported(one: xr.Dataset, status: str, quantity: str, scale: float) -> NDArray[np.float64]:
    """The measured values, and −1 where there is none."""
    measured = one[status].values == 1
    if quantity not in one:
        return np.full(measured.shape, UNFILLED)
    values = scale * one[quantity].values.astype(np.float64)
    if np.any(values[measured] == UNFILLED):
        raise InputError(
            f"dataset: {quantity} is -1 at a measured point, and in the original layout -1 says not measured."
        )
    return np.where(measured, values, UNFILLED)


def _left_out(one: xr.Dataset, names: list[str]) -> list[str]:
    unmeasured = int((one["status"] != 1).sum())
    points = (
        f"{unmeasured} of {one['status'].size} points were not measured, or not over all samples, and are -1 there."
    )
    rest = f"The layout has no place for {', '.join(names)}."
    return [points] * bool(unmeasured) + [rest] * bool(names)


def _one_seed(dataset: xr.Dataset, seed: int | None) -> xr.Dataset:
    seeds = dataset["seed"].values.tolist()
    if seed is None and len(seeds) > 1:
        raise InputError(f"seed: the result has several, and the original layout holds one. Choose from: {seeds}.")
    if seed is not None and seed not in seeds:
        raise InputError(f"seed: the result has none with the number {seed!r}. Choose from: {seeds}.")
    return dataset.isel(seed=0 if seed is None else seeds.index(seed))


def _dataset(
    path: str | os.PathLike[str],
    axes: dict[str, NDArray[np.float64]],
    splits: list[str],
    arrays: dict[str, NDArray[np.float64]],
    made: str,
) -> xr.Dataset:
    dims = tuple(reversed(axes))
    coordinates = {name: (name, values, labels(f"distance along direction {name}")) for name, values in axes.items()}
    dataset = xr.Dataset(coords={"seed": ("seed", np.zeros(1, np.int64), labels("direction seed")), **coordinates})
    for split in splits:
        prefix = "" if split == splits[0] else f"{split}_"
        grids = {
            key: _grid(path, arrays[f"{split}_{key}"], tuple(len(axes[dim]) for dim in dims))
            for key in ("loss", "acc")
            if f"{split}_{key}" in arrays
        }
        dataset = dataset.assign(_variables(prefix, split, ("seed", *dims), grids))
    dataset.attrs = _attributes(path, splits[0], made)
    return dataset


def _variables(
    prefix: str, split: str, dims: tuple[str, ...], grids: dict[str, NDArray[np.float64]]
) -> dict[str, tuple[Any, ...]]:
    missing = np.all([grid == UNFILLED for grid in grids.values()], axis=0)
    variables: dict[str, tuple[Any, ...]] = {
        f"{prefix}loss": (dims, np.where(missing, np.nan, grids["loss"]), labels(f"mean loss over the {split} split")),
        f"{prefix}status": (dims, (~missing).astype(np.int8), labels("whether the point has been measured") | _FLAGS),
    }
    if not prefix:
        error = labels("standard error of the mean loss, which the file does not hold")
        variables["loss_standard_error"] = (dims, np.full(missing.shape, np.nan), error)
    if "acc" in grids and np.any(grids["acc"] != UNFILLED):
        label = labels(f"fraction of the {split} split classified rightly")
        variables[f"{prefix}accuracy"] = (dims, np.where(missing, np.nan, grids["acc"] / 100), label)
    return variables


def _attributes(path: str | os.PathLike[str], split: str, made: str) -> dict[str, Any]:
    """What the file, and the settings that the tool writes into the name of its direction file, say of the surface."""
    kind = re.search(r".*_(weights|states)(?=_|\.|$)", made)  # the last one: the model's own name comes before it
    norm = re.search(r"_xnorm=([a-z]+)", made)
    return {
        "kind": "plane",
        "title": f"surface imported from {Path(path).name}",
        "data": f"unknown/{split}",
        "bn_policy": _POLICIES[kind[1]] if kind else "unknown",
        "directions": "file",
        "normalization": norm[1] if norm else "unknown",
        "loss_name": "unknown",
        "source_format": "tomgoldstein/loss-landscape",
        "source_direction_file": made,
        **VERSION,
    }


def _grid(path: str | os.PathLike[str], values: NDArray[np.float64], sizes: tuple[int, ...]) -> NDArray[np.float64]:
    if values.size != np.prod(sizes):
        raise ResultFileError(
            f"{path}: an array of shape {values.shape} does not fit the {' × '.join(str(n) for n in reversed(sizes))} coordinates."
        )
    return values.reshape(1, *sizes)


def _array(path: str | os.PathLike[str], held: Mapping[str, Item], name: str) -> NDArray[np.float64]:
    values = held[name].values
    if values.dtype.kind not in "iuf":
        raise ResultFileError(f"{path}: data set {name!r} holds {values.dtype} values; expected numbers.")
    return values.astype(np.float64)


def _text(values: NDArray[Any]) -> str:
    """The text; what is not UTF-8 in it, and could not be stored again, is replaced."""
    value = values.item() if values.size == 1 else ""
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace")
