"""HDF5 files that are well made and mean harm, or hold what nobody expects."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import h5py
import numpy as np

from landscape.registry import probes

NAMES = ("../x", "\x1b[31mred", "=1+1", "x" * 5000, "\u202eabc", "a\nb", "NaN", " ", "0", "loss", "kind", "units")
_VALUES: tuple[object, ...] = (
    0, -1, 2**62, 1.5, float("nan"), float("inf"), "", "text", "\x1b[2J", "x" * 20000, "{", "[1,", "null", '{"a": 1}',
    np.arange(3), np.zeros(0), np.array(["a", "b"], dtype=object), np.float16(2), np.complex128(1j), b"\xff\xfe",
    np.zeros(2, dtype=[("a", "f8")]), h5py.Empty("f8"), np.ones((2, 2)), np.bool_(True), np.longdouble(1),
)  # fmt: skip
_KINDS = (*(probe.of_file for probe in probes().values()), "mine", "")
_ATTRIBUTES = (
    "kind", "title", "settings", "units", "long_name", "_FillValue", "scale_factor", "add_offset", "missing_value",
    "coordinates", "dtype", "_Unsigned", "_Encoding", "flag_values", "CLASS", "NAME", "DIMENSION_LIST", "_Netcdf4Dimid",
    "_Netcdf4Coordinates", "picture_error", "loss_max", "tolerance", "dead", "complete", "training", "bn_policy", "data",
)  # fmt: skip


_SMALL = 100_000  # entries of a data set that is edited: one that an edit made huge is left alone


def edited(dice: random.Random, whole: bytes) -> bytes:
    """The file after one to three edits by h5py; as it was where an edit is not possible."""
    buffer = io.BytesIO(whole)
    with h5py.File(buffer, "r+") as file:
        for _ in range(dice.choice((1, 1, 2, 3))):
            try:
                dice.choice(EDITS)(dice, file)
            except (KeyError, ValueError, TypeError, OSError, RuntimeError, IndexError, MemoryError):
                continue
    return buffer.getvalue()


def _objects(file: h5py.File) -> list[h5py.Dataset | h5py.Group]:
    found: list[h5py.Dataset | h5py.Group] = [file]
    file.visititems(lambda _, one: found.append(one))
    return found


def _dataset(dice: random.Random, file: h5py.File) -> h5py.Dataset:
    return dice.choice([one for one in _objects(file) if isinstance(one, h5py.Dataset) and (one.size or 0) < _SMALL])


def remove_attribute(dice: random.Random, file: h5py.File) -> None:
    owner = dice.choice(_objects(file))
    del owner.attrs[dice.choice(list(owner.attrs))]


def set_attribute(dice: random.Random, file: h5py.File) -> None:
    owner = dice.choice(_objects(file))
    name = dice.choice([*owner.attrs, *_ATTRIBUTES, *NAMES])
    owner.attrs[name] = dice.choice(_VALUES)


def set_kind(dice: random.Random, file: h5py.File) -> None:
    file.attrs["kind"] = dice.choice(_KINDS)


def remove(dice: random.Random, file: h5py.File) -> None:
    del file[_dataset(dice, file).name]


def rename(dice: random.Random, file: h5py.File) -> None:
    one = _dataset(dice, file)
    file.move(one.name, one.parent.name.rstrip("/") + "/" + dice.choice(NAMES).replace("/", "∕"))


def retype(dice: random.Random, file: h5py.File) -> None:
    kind = dice.choice((">f8", "<f2", "<i8", ">u2", "S3", "<c16", "|V4", "O", "bool", "<f16", "i1"))
    one = _dataset(dice, file)
    values = (
        np.zeros(one.shape, dtype=kind) if kind == "|V4" else np.zeros(one.shape).astype(kind if kind != "O" else "S1")
    )
    _replace(
        file,
        one,
        lambda group, name: group.create_dataset(name, data=values, dtype=h5py.string_dtype() if kind == "O" else None),
    )


def reshape(dice: random.Random, file: h5py.File) -> None:
    one = _dataset(dice, file)
    shape = dice.choice(((), (0,), (1,), (2, 3), (0, 4), (7,), one.shape[::-1], (*one.shape, 1), (1, 1, 1, 1)))
    _replace(file, one, lambda group, name: group.create_dataset(name, data=np.ones(shape)))


def revalue(dice: random.Random, file: h5py.File) -> None:
    one = _dataset(dice, file)
    value = (
        dice.choice((0, 1, 127, -128))
        if one.dtype.kind in "iub"
        else dice.choice((0.0, -1e300, 1e-320, float("nan"), float("inf")))
    )
    if one.dtype.kind in "iufb":
        one[...] = value


def huge(dice: random.Random, file: h5py.File) -> None:
    shape = dice.choice(((2**60,), (2**31, 2**20), (10**9,), (2**40, 1)))
    _replace(file, _dataset(dice, file), lambda group, name: group.create_dataset(name, shape, "f8", chunks=True))


def external(dice: random.Random, file: h5py.File) -> None:
    where = dice.choice(("/etc/hostname", "other.bin", "/dev/zero"))
    _replace(
        file,
        _dataset(dice, file),
        lambda group, name: group.create_dataset(name, (3,), "f8", external=[(where, 0, 24)]),
    )


def virtual(dice: random.Random, file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(dice.choice((".", "other.h5", "/dev/zero")), "loss", shape=(3,))
    _replace(file, _dataset(dice, file), lambda group, name: group.create_virtual_dataset(name, layout))


def link(dice: random.Random, file: h5py.File) -> None:
    target = dice.choice((h5py.SoftLink("/"), h5py.SoftLink("/no"), h5py.ExternalLink("/etc/hostname", "/"), file["/"]))
    _replace(file, _dataset(dice, file), lambda group, name: group.__setitem__(name, target))


def nest(dice: random.Random, file: h5py.File) -> None:
    file.create_group("/".join([dice.choice(("a", "xdirection"))] * dice.choice((1, 5, 60))))


def filtered(dice: random.Random, file: h5py.File) -> None:
    one = _dataset(dice, file)
    options = dice.choice(({"compression": "lzf"}, {"compression": "gzip"}, {"scaleoffset": 3}, {"fletcher32": True}))
    _replace(file, one, lambda group, name: group.create_dataset(name, data=np.ones(100), **options))


def _replace(file: h5py.File, one: h5py.Dataset, make: Callable[[h5py.Group, str], object]) -> None:
    group, name = one.parent, one.name.rsplit("/", 1)[-1]
    del group[name]
    make(group, name)


EDITS = (
    remove_attribute, remove_attribute, set_attribute, set_attribute, set_attribute, set_kind, remove, remove, rename, retype,
    reshape, revalue, huge, external, virtual, link, nest, filtered,
)  # fmt: skip
