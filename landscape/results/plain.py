"""Files and data sets as plain values, and those as JSON that any program reads: NaN and infinite numbers are null."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.errors import ResultFileError
from landscape.results.hdf5 import SIGNATURE, read_contents
from landscape.results.reading import Contents

if TYPE_CHECKING:
    import xarray as xr


def json_text(document: Any) -> str:
    """One JSON document in ASCII, so that no text of a file acts on a terminal, and each is read back as it was."""
    return json.dumps(_plain(document), indent=2, ensure_ascii=True, allow_nan=False)


def file_contents(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file is (``type``), and what it holds: see :func:`result_contents`; of a checkpoint its parts and weights.

    Raises:
        CheckpointError, ResultFileError: where it cannot be read, or is neither a checkpoint nor a result.
    """
    file = Path(path)
    if not file.exists():
        raise ResultFileError(f"{path}: no such file. Give a checkpoint or a result.")
    if not _is_hdf5(file):
        return {"path": str(path), "type": "checkpoint", **_checkpoint(file)}
    contents = read_contents(path)
    if contents.is_result:
        from landscape.results.results import as_result

        return {"path": str(path), "type": "result", **result_contents(as_result(path, contents))}
    return {"path": str(path), **_of_the_original_tool(path, contents)}


def result_contents(dataset: xr.Dataset) -> dict[str, Any]:
    """``kind``, ``attributes`` (those stored as JSON as what they are), ``sizes``, and ``variables`` with dimensions, type and
    attributes, those of a single number with its ``value``."""
    variables = {
        str(name): {
            "dims": list(map(str, variable.dims)),
            "dtype": str(variable.dtype),
            **variable.attrs,
            **({"value": variable.values.item()} if variable.ndim == 0 else {}),
        }
        for name, variable in dataset.variables.items()
    }
    return {
        "kind": dataset.attrs.get("kind"),
        "attributes": {str(name): _decoded(value) for name, value in dataset.attrs.items()},
        "sizes": {str(name): size for name, size in dataset.sizes.items()},
        "variables": variables,
    }


def _is_hdf5(file: Path) -> bool:
    if file.is_dir():
        return False
    with file.open("rb") as stream:
        return stream.read(len(SIGNATURE)) == SIGNATURE


def _of_the_original_tool(path: str | os.PathLike[str], contents: Contents) -> dict[str, Any]:
    from landscape.results.legacy_surfaces import as_surface

    if "xcoordinates" in contents.items:
        return {"type": "surface of the original tool", **result_contents(as_surface(path, contents))}
    shapes = {name: list(item.values.shape) for name, item in contents.items.items()}
    return {"type": "directions of the original tool", "shapes": shapes}


def _checkpoint(file: Path) -> dict[str, Any]:
    from landscape.results.checkpoints import inspect_checkpoint

    checkpoint, held = inspect_checkpoint(file)
    several = [{"key": one.key, **_counted(one.state_dict)} for one in held]
    if checkpoint is None:
        return {"foreign": True, "weights": None, "several_weights": several}
    history = (checkpoint.state or {}).get("history")
    weights = {"key": checkpoint.key, **_counted(checkpoint.state_dict), "hash": checkpoint.weights_hash()}
    return {
        "foreign": checkpoint.foreign,
        "model": checkpoint.model,
        "data": checkpoint.data,
        "loss": checkpoint.loss,
        "training": checkpoint.training,
        "epoch": checkpoint.epoch,
        "last_metrics": history[-1] if history else None,
        "weights": weights,
        "several_weights": several,
    }


def _counted(state_dict: Mapping[str, Any]) -> dict[str, int]:
    tensors = [tensor for tensor in state_dict.values() if hasattr(tensor, "numel")]
    return {"tensors": len(tensors), "entries": sum(tensor.numel() for tensor in tensors)}


def _decoded(value: Any) -> Any:
    """A mapping or a list that an attribute holds as JSON text; any other value as it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_plain(one) for one in value] if isinstance(value, Iterable) else str(value)
