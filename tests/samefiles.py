"""Whether two folders hold the same: results value for value, checkpoints bit for bit, the rest byte for byte.

When and by what a result was written is no part of it.
"""

from __future__ import annotations

from pathlib import Path

import torch
import xarray as xr

from landscape.results import load_checkpoint
from landscape.results.attributes import CREATION


def uncreated(dataset: xr.Dataset) -> xr.Dataset:
    """What was saved: the data set without what its file says of itself."""
    kept = dataset.copy()
    kept.attrs = {name: value for name, value in dataset.attrs.items() if name not in CREATION}
    return kept


def same_tensors(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and same_bits(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_tensors(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same_tensors, a, b))
    return a == b


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()


def same_file(a: Path, b: Path) -> bool:
    if a.suffix == ".h5":
        with xr.open_dataset(a) as one, xr.open_dataset(b) as other:
            return bool(uncreated(one).identical(uncreated(other)))
    if a.suffix == ".pt":
        told = [(made.model, made.data, made.training, made.loss) for made in map(load_checkpoint, (a, b))]
        return told[0] == told[1] and same_tensors(load_checkpoint(a).state, load_checkpoint(b).state)
    return a.read_bytes() == b.read_bytes()


def differing(whole: Path, other: Path) -> list[str]:
    """The files, by their place in the folder, that one of both lacks or that are not the same. Files to lock by are left out."""
    names = {str(file.relative_to(folder)) for folder in (whole, other) for file in folder.rglob("*") if file.is_file()}
    return [
        name
        for name in sorted(names)
        if not name.endswith(".lock")
        and not ((whole / name).exists() and (other / name).exists() and same_file(whole / name, other / name))
    ]
