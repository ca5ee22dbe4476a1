"""The formats that are read: how a file of each is made wrong, and what is read from it."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

import landscape as ls
from fuzz import originals, pickles, trees
from fuzz.damage import damaged
from landscape.results import describe, export_surface, import_surface, read_directions
from landscape.results.attributes import CREATION
from landscape.results.digest import sealed, sealed_archive
from landscape.studies.settings import load_study

Changed = tuple[bytes, bool]
"""A file, and whether it is a damaged one, from which no other values may be taken than were written."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        words: what it is, in the table.
        suffix: of its files.
        change: an original file -> a changed one.
        read: everything that reads such a file; the values, as text that tells them apart.
        apart: whether the product reads it in a process of its own, which ends where HDF5 spins or crashes.
    """

    words: str
    suffix: str
    change: Callable[[random.Random, bytes, Sequence[bytes], str], Changed]
    read: Callable[[Path], str]
    apart: bool = False


def _own_bytes(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    return damaged(dice, whole, others), True


def _foreign_bytes(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    return damaged(dice, whole, others), False


def _own_result(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    """Mostly damage; some files that were edited by somebody who makes the digest fit."""
    if dice.random() < 0.8:
        return damaged(dice, whole, others), True
    return sealed(trees.edited(dice, whole[: -len(sealed(b""))])), False


def _own_checkpoint(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    """Mostly damage; some hostile pickles with a digest that fits."""
    if dice.random() < 0.7:
        return damaged(dice, whole, others), True
    return sealed_archive(pickles.archive(pickles.hostile(dice, canary), {"0": bytes(64)})), False


def _foreign_checkpoint(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    if dice.random() < 0.5:
        return damaged(dice, whole, others), False
    hostile = pickles.as_file(dice, pickles.hostile(dice, canary))
    return (hostile if dice.random() < 0.8 else damaged(dice, hostile, others)), False


def _tree(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    made = whole if dice.random() < 0.5 else trees.edited(dice, whole)
    return (made if made is not whole and dice.random() < 0.7 else damaged(dice, made, others)), False


def _study(dice: random.Random, whole: bytes, others: Sequence[bytes], canary: str) -> Changed:
    """Other values for some keys, other keys, and damage."""
    lines = whole.decode().splitlines()
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        number = dice.randrange(len(lines))
        key, equals, value = lines[number].partition(" = ")
        new = dice.choice(_TOML).replace("CANARY", canary)
        if equals:
            lines[number] = dice.choice(
                (f"{key} = {new}", f"{dice.choice(_KEYS)} = {value}", f"{key} = [{value}, {new}]", "")
            )
        else:
            lines[number] = dice.choice(("", "[[runs]]", "[runs]", f"[[{dice.choice(_KEYS)}]]", "[" * 3000))
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    return (damaged(dice, data, others) if dice.random() < 0.4 else data), False


_KEYS = (
    "name",
    "kind",
    "x",
    "seeds",
    "model",
    "data",
    "loss",
    "epochs",
    "runs",
    "probe",
    "formats",
    "to",
    "paths",
    "rho",
    "by",
    "a.b",
)
_TOML = (
    '""', '"../../x"', '"\\u001b[31m"', '"' + "x" * 3000 + '"', "0", "-1", "1e400", "nan", "inf", "-inf", "9223372036854775807",
    "99999999999999999999999", "true", "[]", "[[]]", "{}", '{a = 1}', "1979-05-27", "07:32:00", '["a", 1]', "[" * 900 + "]" * 900,
    '"-1:1:1000000000"', '"auto:31"', '"1:1:1"', '"nan:1:3"', '"CANARY:run"', '"fuzz.canary:sing"', '"os:system"', '"plane"',
    '"path"', '"steps"', '"curvature"', '"sharpness"', "[0, 0]", '["none", "none"]', '"=1+1"', '"\\uD800"', "'''x'''",
)  # fmt: skip


def _hashed(*parts: object) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:16]


def _of_dataset(dataset: xr.Dataset) -> str:
    values: list[object] = []
    for name, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0])):
        array = variable.values
        content = array.tolist() if array.dtype.kind in "OUS" else array.tobytes()
        values += [name, variable.dims, array.dtype.str, array.shape, content, _attributes(variable.attrs)]
    return _hashed(*values, _attributes(dataset.attrs))


def _attributes(attributes: Any) -> list[object]:
    return [
        (name, value.tobytes() if isinstance(value, np.ndarray) else value)
        for name, value in sorted(attributes.items())
    ]


def _read_result(path: Path) -> str:
    text = describe(path)
    dataset = ls.load(path)
    if int(hashlib.sha256(path.read_bytes()).hexdigest(), 16) % 40 == 0:  # a page takes longer than everything else
        with contextlib.suppress(ls.LandscapeError):
            ls.interactive(dataset)
    return _hashed(text.partition(": ")[2]) + _of_dataset(dataset)


def _read_surface(path: Path) -> str:
    describe(path)
    surface = import_surface(path)
    export_surface(surface, path.with_suffix(".out.h5"))
    path.with_suffix(".out.h5").unlink()
    surface.attrs.pop("title")
    return _of_dataset(surface)


_MODULE: list[nn.Module] = []


def _read_directions(path: Path) -> str:
    describe(path)
    _MODULE[:] = _MODULE or [originals.network()]
    return _hashed(*(value for found in read_directions(path, _MODULE[0]) for value in _of_tensors(found)))


def _of_tensors(tensors: Any) -> list[object]:
    return [
        (
            name,
            str(t.dtype),
            tuple(t.shape),
            bytes(t.contiguous().as_strided((t.numel(),), (1,)).view(torch.uint8).numpy().tobytes()),
        )
        if isinstance(t, Tensor)
        else (name, repr(t))
        for name, t in tensors.items()
    ]


def _read_checkpoint(path: Path) -> str:
    describe(path)
    found = ls.load_checkpoint(path)
    return _hashed(*_of_tensors(found.state_dict), found.epoch, found.model, found.data, found.loss, found.foreign)


def _read_study(path: Path) -> str:
    return _hashed(load_study(str(path)).model_dump())


FORMATS = {
    "checkpoint": Format("checkpoint of ours", ".pt", _own_checkpoint, _read_checkpoint),
    "foreign-checkpoint": Format("checkpoint of another program", ".pt", _foreign_checkpoint, _read_checkpoint),
    "safetensors": Format("safetensors", ".safetensors", _foreign_bytes, _read_checkpoint),
    "result": Format("result", ".h5", _own_result, _read_result),
    "history": Format("history", ".h5", _own_bytes, _read_result),
    "plain-result": Format("result without a digest", ".h5", _tree, _read_result, apart=True),
    "surface": Format("surface of the original tool", ".h5", _tree, _read_surface, apart=True),
    "directions": Format("directions of the original tool", ".h5", _tree, _read_directions, apart=True),
    "study": Format("study", ".toml", _study, _read_study),
}


def make_originals(folder: Path, *, small: bool = False) -> None:
    """The whole files of every format, once, as files that every worker reads; the same bytes at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    with mock.patch("landscape.results.results.creation", lambda: dict.fromkeys(CREATION, "fuzz")):
        files = _originals(folder, small=small)
    for name, several in files.items():
        for number, data in enumerate(several):
            (folder / f"{name}-{number}").write_bytes(data)


def _originals(folder: Path, *, small: bool) -> dict[str, list[bytes]]:
    results = originals.samples() if small else originals.results()
    return {
        "checkpoint": originals.checkpoints(folder),
        "foreign-checkpoint": originals.foreign_checkpoints(),
        "safetensors": originals.safetensors(),
        "result": results,
        "history": originals.histories(),
        "plain-result": originals.without_digests(results),
        "surface": originals.surfaces(),
        "directions": originals.directions(),
        "study": originals.studies(),
    }


def originals_of(folder: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob(f"{name}-[0-9]*"))]
