"""The one door by which HDF5 files come in: read whole into memory, and never parsed where that could harm.

A file that carries a digest (:mod:`landscape.results.digest`) is held against it, and parsed here. One without is parsed in a
process of its own, which is ended where it takes too long: a damaged file can make HDF5 spin or crash, and neither Ctrl-C nor
a termination signal would reach it there.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from landscape.errors import ResultFileError
from landscape.results import reading
from landscape.results.digest import SIZE, is_whole
from landscape.results.reading import Contents, UnreadableError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MARK = b"landscape_digest=sha256"
"""Among the netCDF properties of a file that was written with a digest; programs that write it anew leave it out."""
_SECONDS, _BYTES_A_SECOND = 3, 10_000_000
_PATIENCE = 10  # times as long, on a machine that is busy with other things


def read_contents(path: str | os.PathLike[str], *, unchecked: bool = False) -> Contents:
    """What an HDF5 file holds.

    Args:
        path: the file.
        unchecked: read a file whose digest does not fit any more, or is gone, as if it had never had one.

    Raises:
        ResultFileError: where it is missing, a folder, empty, unreadable, not HDF5, does not match its digest, is cut short or
            damaged, takes longer to read than such a file can, or holds what is not read (:func:`reading.parse`).
    """
    data = _read(path)
    whole = is_whole(data)
    if not unchecked and (whole is False or (whole is None and MARK in data)):
        raise ResultFileError(
            f"{path}: is cut short, damaged, or was changed after it was written: its digest "
            f"{'is gone' if whole is None else 'does not match'}. It has been left as it is: put back a copy, or move it away to "
            f"start anew. If it was changed on purpose, landscape convert {path} NEW.h5 --unchecked, or load(…, unchecked=True) in "
            "Python, takes it as it is now."
        )
    try:
        return reading.parse(data[:-SIZE]) if whole else _apart(data)
    except UnreadableError as error:
        raise ResultFileError(f"{path}: {error}. It has been left as it is.") from error
    except Exception as error:  # h5py and h5netcdf trip over what they do not expect in many ways
        raise ResultFileError(
            f"{path}: is not a file that can be read ({error}). It has been left as it is."
        ) from error


def refuse_other(path: str | os.PathLike[str], is_same: Callable[[Contents], bool], what: str) -> None:
    """Let a write go on only where it replaces nothing, or a file of its own kind.

    Raises:
        ResultFileError: where something else lies at ``path``.
    """
    if not os.path.lexists(path) or os.path.isdir(path):  # noqa: PTH112 - Path's fails where the disk does
        return
    if not is_same(read_contents(path)):
        raise ResultFileError(f"{path}: is there already and is not {what}. Choose another name; it stays as it is.")


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        mode = Path(path).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ResultFileError(f"{path}: is a device or a pipe, not a file. Give the path of a result file.")
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
    if (stated := _stated_size(data)) > len(data):
        raise ResultFileError(
            f"{path}: is cut short or damaged ({len(data)} bytes; it says that it has {stated}). It has been left as it is: move "
            "it away to start anew, or put back a copy."
        )
    return data


def _stated_size(data: bytes) -> int:
    """Where the content ends, as the first bytes of an HDF5 file say it (HDF5 specification, superblock)."""
    start = {0: 40, 1: 44, 2: 28, 3: 28}.get(data[8] if len(data) > 8 else -1, len(data))
    return int.from_bytes(data[start : start + 8], "little")


def _apart(data: bytes) -> Contents:
    """What a process of its own finds in the file.

    Raises:
        UnreadableError: where it refuses the file, crashes or takes too long.
        OSError: where no process can be started.
    """
    seconds = _SECONDS + len(data) // _BYTES_A_SECOND
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path, file=reading.__file__), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            answered, _ = process.communicate(data, timeout=_PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            answered = b""
        finally:
            process.kill()  # also where Ctrl-C or another exception ends the wait
    if process.returncode != 0 or not answered:
        raise UnreadableError(
            f"is damaged: HDF5 crashed on it, or did not come to an end within {seconds} s of processor time "
            f"({len(data)} bytes). Move it away to start anew, or put back a copy"
        )
    return reading.unpack(answered)


_PROGRAM = """
import runpy, sys
sys.path += [place for place in {path!r} if place and place not in sys.path]
runpy.run_path({file!r}, run_name="__main__")
"""
