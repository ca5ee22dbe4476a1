"""What ``torch.save`` wrote, in both of its layouts.

``torch.load(weights_only=True)`` refuses a file for a number of numpy or a path beside its weights and for a newer pickle, and a
few bytes in a file make it take all memory or hang. Here an object that is not made stays a name, and every sum of an archive is
checked.
"""

from __future__ import annotations

import io
import mmap
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.results.pickles import PickleError, Pickles, Storage, storage_dtype

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the layout before archives


def read_torch_file(file: Path) -> tuple[Any, list[str]]:
    """The content, and the names of what it asks for that is neither tensor nor plain value, whose places are taken by a
    :class:`~landscape.results.pickles.StandIn`.

    Raises:
        AsksToRun: where the pickle inside calls a function of the system. Nothing is called.
        PickleError: where the file is damaged, or is something else.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                return _read_archive(archive)
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _read_stream(content)
    except PickleError:
        raise
    except Exception as error:  # wrong bytes go wrong in every way there is
        raise PickleError(f"{type(error).__name__}: {error}") from error


def _read_archive(archive: zipfile.ZipFile) -> tuple[Any, list[str]]:
    """``NAME/data.pkl`` describes the content, and every storage is a record ``NAME/data/KEY``."""
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1 or len(set(names)) < len(names):
        raise PickleError("not one pickle of that name, or two records of one name")
    root = pickles[0].removesuffix("data.pkl")
    if not any(record.CRC for record in archive.infolist()):  # torch can leave them out
        for record in archive.infolist():
            del record.CRC
    order = archive.read(f"{root}byteorder").decode() if f"{root}byteorder" in names else "little"
    storages: dict[str, Storage] = {}

    def storage(identity: Any) -> Storage:
        kind, key, _, count = _identity(identity)
        if key not in storages:
            record = archive.getinfo(f"{root}data/{key}")
            dtype = storage_dtype(kind)
            if record.compress_type != zipfile.ZIP_STORED or record.file_size != count * dtype.itemsize:
                raise PickleError(f"storage {key} has another size than its record")
            content = _empty(record.file_size)
            with archive.open(record) as stream:
                _fill(content, stream.read)
            storages[key] = _typed(content, dtype, order)
        return storages[key]

    content = Pickles(io.BytesIO(archive.read(pickles[0])))
    return content.read(storage), content.unmade


def _read_stream(stream: mmap.mmap) -> tuple[Any, list[str]]:
    """The layout before archives: five pickles, of which the fourth is the content, then the storages. Or one pickle alone."""
    pickles = Pickles(stream)
    first = pickles.read()
    if first != _MAGIC:
        return first, pickles.unmade
    if pickles.read() != _PROTOCOL:
        raise PickleError("another version")
    order = "little" if pickles.read()["little_endian"] else "big"
    contents: dict[str, tuple[Tensor, torch.dtype]] = {}
    views: dict[str, Storage] = {}

    def storage(identity: Any) -> Any:
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # a class, with its source beside it
        kind, key, _, count, *view = _identity(identity)
        dtype = storage_dtype(kind)
        if key not in contents:
            if not 0 <= count * dtype.itemsize <= len(stream):
                raise PickleError(f"storage {key} is larger than the file")
            contents[key] = _empty(count * dtype.itemsize), dtype
        if not view or view[0] is None:
            return views.setdefault(key, Storage(contents[key][0].view(dtype)))
        name, offset, size = view[0]
        return views.setdefault(f"{key} {name}", Storage(contents[key][0].view(dtype)[offset : offset + size]))

    content = pickles.read(storage)
    keys = pickles.read()
    if sorted(keys) != sorted(contents):
        raise PickleError("the storages are not those of the tensors")
    for key in keys:
        data, dtype = contents[key]
        (count,) = struct.unpack("<q" if order == "little" else ">q", stream.read(8))
        if count * dtype.itemsize != len(data):
            raise PickleError(f"storage {key} has another size than its tensors say")
        _fill(data, stream.read)
        _typed(data, dtype, order)
    return content, pickles.unmade


def _identity(identity: Any) -> tuple[Any, ...]:
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] not in ("storage", b"storage"):
        raise PickleError("something else than a storage is asked for")
    _, kind, key, location, count, *view = identity
    if isinstance(count, bool) or not isinstance(count, int) or count < 0 or not isinstance(key, str):
        raise PickleError("a storage without name or size")
    return kind, key, location, count, *view


def _empty(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8)


def _fill(content: Tensor, read: Callable[[int], bytes]) -> None:
    """Read as many bytes as ``content`` has; an archive checks its own sum when the last is read."""
    target, done = content.numpy().data, 0
    while done < len(target):
        part = read(min(len(target) - done, 1 << 24))
        if not part:
            raise PickleError("the file ends within a tensor")
        target[done : done + len(part)] = part
        done += len(part)


def _typed(content: Tensor, dtype: torch.dtype, order: str) -> Storage:
    if order != sys.byteorder:
        width = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        content.copy_(content.view(-1, width).flip(1).reshape(-1))
    return Storage(content.view(dtype))
