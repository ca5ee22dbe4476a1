"""C code compiled once for a machine: kept in a private folder, under all that decides what the compiler makes of it.

The folder is ``$LANDSCAPE_CACHE``, otherwise ``landscape/kernels`` in ``$XDG_CACHE_HOME`` or ``~/.cache``, otherwise one in the
folder for temporary files; ``LANDSCAPE_CACHE=off`` compiles anew in each process. What is loaded runs, so that a folder or a
file that is another user's, or that others may write, is not used, and a file is loaded only as it was written.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from landscape.errors import first_line

OFF = ("off", "0", "")
LIMIT = 600.0
"""Seconds that a compiler is waited for: one that is slow makes the same values as a fast one, only one that hangs is given up."""

_building = threading.Lock()


class Unbuildable(Exception):
    """Why there is no library, in words."""


@dataclass(frozen=True)
class _Job:
    """What is to be compiled, and how: ``command`` is the compiler with arguments of its own."""

    name: str
    sources: Mapping[str, bytes]
    command: tuple[str, ...]
    flags: Sequence[str]

    def key(self) -> str:
        """A hash of the sources, the flags, the compiler, and the processor as the compiler sees it.

        The compiler's own macros name its version, what it makes code for, and each instruction set that ``-march=native``
        stands for, so that machines which share a home keep a file each.
        """
        seen = _output([*self.command, *self.flags, "-dM", "-E", "-x", "c", os.devnull])
        binary = Path(self.command[0]).resolve()
        facts = [*self.command, *self.flags, str(binary), str(binary.stat().st_size), str(binary.stat().st_mtime_ns)]
        parts = [*(fact.encode() for fact in facts), seen]
        parts += [part for name, text in sorted(self.sources.items()) for part in (name.encode(), text)]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:24]

    def build(self, folder: Path) -> Path:
        """The library, made in ``folder``."""
        for name, text in self.sources.items():
            (folder / name).write_bytes(text)
        built = folder / f"{self.name}.so"
        # Messages name no folder: they become part of results, which would differ from run to run.
        _output([*self.command, *self.flags, next(iter(self.sources)), "-o", built.name], folder)
        return built


def library(name: str, sources: Mapping[str, bytes], flags: Sequence[str]) -> ctypes.CDLL:
    """The library that the machine's C compiler makes of ``sources``, of which it is given the first.

    The compiler is what ``CC`` says, arguments included, otherwise ``cc``, ``gcc`` or ``clang``.

    Raises:
        Unbuildable: where there is none, where it refuses or hangs, and where no folder can be written to or loaded from.
    """
    job = _Job(name, sources, _compiler(), flags)
    called = Path(job.command[0]).name
    reasons = ["no folder can be written"]
    try:
        with _building:
            key = job.key()
            for folder in _folders():
                try:
                    return _kept(job, key, folder)
                except OSError as error:  # a folder that is full, or from which nothing may be loaded: try the next
                    reasons.append(error.strerror or first_line(error))
            with tempfile.TemporaryDirectory() as fresh:
                return ctypes.CDLL(str(job.build(Path(fresh))))
    except subprocess.TimeoutExpired as error:
        raise Unbuildable(f"{called} did not end within {LIMIT / 60:g} minutes") from error
    except subprocess.CalledProcessError as error:
        raise Unbuildable(f"{called} cannot build the kernel ({_complaint(error)})") from error
    except OSError as error:
        reasons.append(error.strerror or first_line(error))
        raise Unbuildable(f"{called} cannot build or load the kernel ({reasons[-1]:.120})") from error


def _compiler() -> tuple[str, ...]:
    """The compiler's full path and its arguments."""
    own = os.environ.get("CC", "").strip()
    if not own:
        found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if found is None:
            raise Unbuildable("no C compiler (cc, gcc or clang) is on the PATH")
        return (found,)
    try:
        words = shlex.split(own)
    except ValueError as error:
        raise Unbuildable(f"CC={own!r} cannot be read as a command ({error})") from error
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise Unbuildable(f"the compiler that CC={own!r} names is not on the PATH")
    return (found, *words[1:])


def _folders() -> Iterator[Path]:
    """The private folders that there are, or that could be made, best first."""
    if not hasattr(os, "geteuid"):
        return
    own = os.environ.get("LANDSCAPE_CACHE")
    places: list[Path] = []
    if own is not None:
        places += [] if own.strip().lower() in OFF else [Path(own).expanduser().absolute()]
    else:
        with contextlib.suppress(RuntimeError):  # no home
            cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
            places.append((cache if cache.is_absolute() else Path.home() / ".cache") / "landscape" / "kernels")
        with contextlib.suppress(OSError):  # no folder for temporary files
            places.append(Path(tempfile.gettempdir(), f"landscape-{os.geteuid()}"))
    yield from filter(_private, places)


def _private(folder: Path) -> bool:
    """Whether the folder, made where it is missing, is this user's, and only this user can write to it."""
    try:
        above = next(place for place in folder.parents if place.exists())
        if not folder.exists() and above.stat().st_uid not in (0, os.geteuid()):
            return False  # as root in somebody's home: what would be made there is nothing that they could use
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _ours(status)


def _ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _kept(job: _Job, key: str, folder: Path) -> ctypes.CDLL:
    """The library in ``folder``; built by one process, while others wait, where it is not there."""
    stem = f"{job.name}-{key}"
    found = _found(folder, stem)
    if found is not None:
        return found
    with _alone(folder):
        found = _found(folder, stem)
        if found is not None:
            return found
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as place:
            built = job.build(Path(place))
            built.chmod(0o600)
            # The name tells the content, so that there is no second file to be out of step with.
            built.replace(folder / f"{stem}-{_digest(built.read_bytes())}.so")
    found = _found(folder, stem)
    if found is None:
        raise OSError("what was built is gone again")
    return found


def _found(folder: Path, stem: str) -> ctypes.CDLL | None:
    """What was built before; None where it is missing, damaged or somebody else's."""
    for file in sorted(folder.glob(f"{stem}-*.so")):
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(os.dup(descriptor), "rb") as opened:
            content, status = opened.read(), os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and _ours(status) and file.stem.endswith(f"-{_digest(content)}"):
            # By the descriptor where that can be: what is loaded is then what was looked at. It stays open, because the
            # system knows libraries by their names and takes one of the same name for the same.
            itself = Path(f"/proc/self/fd/{descriptor}")
            return ctypes.CDLL(str(itself if itself.exists() else file))
        os.close(descriptor)
        with contextlib.suppress(OSError):
            file.unlink()
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process builds at a time. Where the file system has no locks, several may: each replaces the file by the same."""
    lock = FileLock(folder / ".lock", timeout=LIMIT)
    try:
        lock.acquire()
    except (OSError, NotImplementedError):  # Timeout is an OSError
        yield
        return
    try:
        for left in folder.glob("build-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.release()


def _output(command: Sequence[str], folder: Path | None = None) -> bytes:
    """What a command writes. In a session of its own: Ctrl-C, which is sent to all that a terminal runs, is not for it."""
    environment = {**os.environ, "LC_ALL": "C"} | ({} if folder is None else {"TMPDIR": str(folder)})
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=null, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=LIMIT)
        except BaseException:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, out, err)
    return out


def _complaint(error: subprocess.CalledProcessError) -> str:
    """What a compiler said, in one line."""
    lines = error.stderr.decode("utf-8", "replace").splitlines() or [f"exit status {error.returncode}"]
    return f"{next((line for line in lines if 'error' in line.lower()), lines[0]).strip():.160}"
