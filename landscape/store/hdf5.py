"""HDF5 files read whole into memory, so that no handle or lock outlives the call; every failure in words."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from landscape.errors import LandscapeError, ResultFileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_hdf5(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an HDF5 file.

    Raises:
        ResultFileError: where it is missing, a folder, empty, unreadable, or not HDF5.
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ResultFileError(f"{path}: no such file. Check the path, or make the file first.") from None
    except IsADirectoryError:
        raise ResultFileError(
            f"{path}: is a folder. Give the path of a result file in it, such as a .h5 file."
        ) from None
    except OSError as error:
        raise ResultFileError(f"{path}: cannot be read: {error.strerror}. Check its permissions.") from error
    if not data:
        raise ResultFileError(f"{path}: is empty. Move it away and make the result again.")
    if not data.startswith(SIGNATURE):
        raise ResultFileError(f"{path}: is not an HDF5 file, so not a result. It has been left as it is.")
    return data


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """The file's content, open for reading in memory.

    Raises:
        ResultFileError: as :func:`read_hdf5`, and where the file is cut short or damaged.
    """
    with opened(path, read_hdf5(path)) as file:
        yield file


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], data: bytes) -> Iterator[h5py.File]:
    """What has been read from ``path``, open for reading.

    Raises:
        ResultFileError: where it is cut short or damaged.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            yield file
    except LandscapeError:
        raise
    except (OSError, RuntimeError, KeyError) as error:
        raise damaged(path, len(data), error) from error


def damaged(path: str | os.PathLike[str], size: int, error: Exception) -> ResultFileError:
    """An HDF5 file of ``size`` bytes that starts well and cannot be read to its end."""
    return ResultFileError(
        f"{path}: is cut short or damaged ({size} bytes; {error}). It has been left as it is: move it away to start anew, "
        "or put back a copy."
    )


def refuse_other(path: str | os.PathLike[str], is_same: Callable[[h5py.File], bool], what: str) -> None:
    """Let a write go on only where it replaces nothing, or a file of its own kind.

    Raises:
        ResultFileError: where something else lies at ``path``.
    """
    if not os.path.lexists(path) or os.path.isdir(path):  # noqa: PTH112 - Path's fails where the disk does
        return
    with open_hdf5(path) as file:
        if not is_same(file):
            raise ResultFileError(
                f"{path}: is there already and is not {what}. Choose another name; it stays as it is."
            )
