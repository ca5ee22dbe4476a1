"""What an HDF5 file holds, as plain arrays and text: looked through before a value is read, and read without following it.

This file is also run by itself, in a process of its own (:mod:`landscape.results.hdf5`): it imports nothing of landscape, and
what goes between the two processes is JSON and the arrays' bytes.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import h5netcdf
import h5py
import numpy as np
from numpy.typing import NDArray

UNPACKED = 1 << 30
"""Bytes that the values of a file without a digest may take; twice the file's own size, where that is more."""
_OBJECTS, _DEPTH = 100_000, 8
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_SPARE = 1 << 28  # bytes of memory beyond the file and its values


class UnreadableError(Exception):
    """What is wrong with the file, said about it: "holds …", "is …"."""


@dataclass(frozen=True)
class Item:
    """One data set.

    Attributes:
        values: numbers in the machine's byte order, text, or bytes of one length.
        dims: the names of its dimensions; None in a file that is no result.
        attrs: text, numbers, arrays of numbers, lists of text.
    """

    values: NDArray[Any]
    dims: tuple[str, ...] | None = None
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        items: the data sets by their path in the file; of a result only those of the root group.
        groups: the groups by path, the root left out.
        attrs: the root's attributes, of a result.
        is_result: whether the root has the attribute ``kind``.
    """

    items: dict[str, Item]
    groups: tuple[str, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    is_result: bool = False

    def names(self) -> list[str]:
        """What lies at the root."""
        return [name for name in (*self.items, *self.groups) if "/" not in name]


def parse(data: bytes, limit: int | None = None) -> Contents:
    """Read a file that lies in memory.

    Args:
        data: the bytes of the file.
        limit: bytes that its values may take together; None for any number.

    Raises:
        UnreadableError: where it holds what is not read: links, values that lie in other files, virtual data sets,
            filters other than gzip, shuffle and Fletcher-32, and values that are neither real numbers nor text.
        Exception: whatever h5py and h5netcdf raise where the file is damaged.
    """
    with h5py.File(io.BytesIO(data), "r") as file:
        groups: list[str] = []
        datasets = dict(_walk(file, "", groups))
        size = sum(dataset.size * dataset.dtype.itemsize for dataset in datasets.values())
        if limit is not None:
            if size > limit:
                raise UnreadableError(f"says that it holds {size:,} bytes of values, and at most {limit:,} are read")
            _confine(len(data), size)
        if "kind" in file.attrs:
            return _result(file, tuple(groups))
        return Contents({name: Item(_values(name, dataset)) for name, dataset in datasets.items()}, tuple(groups))


def _walk(group: h5py.Group, prefix: str, groups: list[str]) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every data set by its path, each one looked at and none read; the paths of groups are noted on the way."""
    pending, seen = [(prefix, group, 0)], {h5py.h5o.get_info(group.id).addr}
    found = 0
    while pending:
        prefix, group, depth = pending.pop()
        for name in group:
            path, found = f"{prefix}{name}", found + 1
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UnreadableError(f"holds a link, {path!r}, and links are not followed")
            if found > _OBJECTS or depth > _DEPTH:
                raise UnreadableError(f"holds more than {_OBJECTS:,} objects, or groups nested more than {_DEPTH} deep")
            info = h5py.h5o.get_info(group.id, name.encode("utf-8", "surrogateescape"))
            if info.type == h5py.h5o.TYPE_GROUP:
                if info.addr in seen:
                    raise UnreadableError(f"holds the group {path!r} twice, perhaps inside itself")
                seen.add(info.addr)
                groups.append(path)
                pending.append((f"{path}/", group[name], depth + 1))
            elif info.type == h5py.h5o.TYPE_DATASET:
                dataset = h5py.Dataset(h5py.h5d.open(group.id, name.encode("utf-8", "surrogateescape")))
                _check_layout(path, dataset.id.get_create_plist())
                _check_type(f"data set {path!r}", dataset.id.get_type())
                if dataset.shape is None:
                    raise UnreadableError(f"holds the data set {path!r} without any values")
                yield path, dataset


def _check_layout(path: str, made: h5py.h5p.PropDCID) -> None:
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise UnreadableError(f"holds the virtual data set {path!r}, whose values lie in other files")
    if made.get_external_count():
        raise UnreadableError(
            f"holds the data set {path!r}, whose values lie in another file ({made.get_external(0)[0]!r})"
        )
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if not filters <= _FILTERS:
        raise UnreadableError(
            f"holds the data set {path!r}, packed by the HDF5 filter {min(filters - _FILTERS)}; gzip, shuffle and Fletcher-32 "
            "are read"
        )


def _check_type(what: str, kind: h5py.h5t.TypeID) -> None:
    """Numbers, text, and the enumerations that stand for flags."""
    classes = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)
    if kind.get_class() not in classes:
        words = {
            h5py.h5t.COMPOUND: "records or complex numbers",
            h5py.h5t.REFERENCE: "references",
            h5py.h5t.OPAQUE: "bytes without a meaning",
            h5py.h5t.VLEN: "arrays of many lengths",
            h5py.h5t.ARRAY: "arrays of arrays",
            h5py.h5t.BITFIELD: "bits",
            h5py.h5t.TIME: "times",
        }
        raise UnreadableError(
            f"holds {words.get(kind.get_class(), 'complex numbers')} in {what}; expected real numbers or text"
        )


def _result(file: h5py.File, groups: tuple[str, ...]) -> Contents:
    """Dimensions and attributes as netCDF has them."""
    root = h5netcdf.File(file, "r")
    items = {}
    for name, variable in root.variables.items():
        dims, stored = tuple(variable.dimensions), file[name]
        if len(dims) != stored.ndim:
            raise UnreadableError(f"holds {name!r} over {stored.ndim} axes, with names for {len(dims)} dimensions")
        # Values may be fewer than their dimensions are long: those that are missing are filled in.
        if variable.shape != stored.shape and math.prod(variable.shape) * stored.dtype.itemsize > UNPACKED:
            raise UnreadableError(f"holds {name!r} over dimensions that are far longer than its values")
        items[name] = Item(_values(name, variable), dims, _attributes(f" of {name!r}", variable.attrs, stored))
    return Contents(items, groups, _attributes("", root.attrs, file), is_result=True)


def _values(name: str, source: Any) -> NDArray[Any]:
    values = np.asarray(source[...])
    if values.dtype.kind == "O":
        texts = [
            entry.decode("utf-8", "surrogateescape") if isinstance(entry, bytes) else entry for entry in values.flat
        ]
        if not all(isinstance(text, str) for text in texts):
            raise UnreadableError(f"holds something other than numbers and text in data set {name!r}")
        return _texts(texts, values.shape)
    if values.dtype.kind not in "biufS":
        raise UnreadableError(
            f"holds values of type {values.dtype} in data set {name!r}; expected real numbers or text"
        )
    if values.dtype == np.longdouble and values.dtype.itemsize > 8:
        return values.astype(np.float64)
    return _native(values)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the machine's byte order, and nothing about how the file names their type."""
    return values.astype(values.dtype.newbyteorder("=").str)


def _texts(texts: list[str], shape: tuple[int, ...]) -> NDArray[Any]:
    if len(texts) * max(map(len, texts), default=0) > UNPACKED:
        raise UnreadableError(f"holds {len(texts):,} texts of up to {max(map(len, texts)):,} characters")
    return np.array(texts, dtype=np.str_).reshape(shape)


def _attributes(owner: str, attributes: Any, stored: Any) -> dict[str, Any]:
    plain = {}
    for name in attributes:
        _check_type(f"attribute {name!r}{owner}", stored.attrs.get_id(name).get_type())
        value = attributes[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        elif isinstance(value, np.generic):
            value = value.item()
        elif isinstance(value, np.ndarray):
            value = _native(value)
        elif isinstance(value, list):
            value = [e.decode("utf-8", "surrogateescape") if isinstance(e, bytes) else e for e in value]
        plain[name] = value
    return plain


def pack(contents: Contents) -> list[bytes]:
    """The contents for a pipe: eight bytes with the length of a JSON text, the text, the arrays one after another."""
    arrays: list[bytes] = []

    def noted(values: Any) -> Any:
        if not isinstance(values, np.ndarray):
            return values
        if values.dtype.kind == "U":
            return {"text": values.reshape(-1).tolist(), "shape": values.shape}
        arrays.append(values.tobytes())
        return {"dtype": values.dtype.str, "shape": values.shape}

    def noted_all(attributes: dict[str, Any]) -> list[tuple[str, Any]]:
        return [(name, noted(value)) for name, value in attributes.items()]

    items = [(name, item.dims, noted(item.values), noted_all(item.attrs)) for name, item in contents.items.items()]
    text = {
        "items": items, "groups": contents.groups, "attrs": noted_all(contents.attrs), "is_result": contents.is_result,
    }  # fmt: skip
    return [*_headed(text), *arrays]


def _headed(text: dict[str, Any]) -> list[bytes]:
    encoded = json.dumps(text).encode()
    return [len(encoded).to_bytes(8, "little"), encoded]


def unpack(data: bytes) -> Contents:
    """The other end of :func:`pack`.

    Raises:
        UnreadableError: with what the process found wrong with the file.
        ValueError, KeyError, IndexError, TypeError: where the bytes are not of :func:`pack`.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    text = json.loads(data[8:start])
    if "refused" in text:
        raise UnreadableError(str(text["refused"]))
    position = start

    def restored(value: Any) -> Any:
        nonlocal position
        if not isinstance(value, dict):
            return value
        shape = tuple(value["shape"])
        if "text" in value:
            return _texts(value["text"], shape)
        dtype = np.dtype(value["dtype"])
        if dtype.kind not in "biufS":
            raise ValueError(f"an array of type {dtype}")
        values = np.frombuffer(data, dtype, count=math.prod(shape), offset=position).reshape(shape).copy()
        position += values.nbytes
        return values

    items = {}
    for name, dims, values, attributes in text["items"]:
        array = restored(values)
        items[name] = Item(array, None if dims is None else tuple(dims), {key: restored(v) for key, v in attributes})
    attrs = {key: restored(value) for key, value in text["attrs"]}
    return Contents(items, tuple(text["groups"]), attrs, bool(text["is_result"]))


def answer(data: bytes) -> list[bytes]:
    """:func:`pack` of what the file holds, or what is wrong with it."""
    try:
        return pack(parse(data, max(UNPACKED, 2 * len(data))))
    except UnreadableError as error:
        return _headed({"refused": str(error)})
    except Exception as error:  # whatever the libraries trip over: the file is damaged
        return _headed({"refused": f"is cut short or damaged ({len(data)} bytes; {error})"})


def _confine(size: int, values: int) -> None:
    """Where the system can, take no more memory than the file and its values need: packed values may be any number."""
    _limit_memory(3 * size + 4 * values + _SPARE)


def _limit_memory(bytes_more: int) -> None:
    if sys.platform != "linux" or __name__ != "__main__":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123
        used = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + bytes_more, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _serve(source: BinaryIO, sink: BinaryIO, seconds: int) -> None:
    """Answer for the file that comes in; where the system can, be ended after so many seconds of processor time."""
    data = source.read()
    try:
        import resource

        used = math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    except (ImportError, ValueError, OSError):  # another system, or a lower limit is set already
        pass
    _limit_memory(3 * len(data) + 4 * max(UNPACKED, 2 * len(data)) + _SPARE)
    for part in answer(data):
        sink.write(part)
    sink.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]))
