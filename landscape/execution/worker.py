"""What a worker does: it builds what a work needs once, keeps it, and answers one order after the other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import platform
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape._version import __version__
from landscape.errors import LandscapeError, first_line

KEPT = 8
"""Pieces that a worker keeps at most: an objective and its directions are two."""


class Recipe(ABC):
    """What stands for something that cannot be pickled itself, and makes it where it arrives."""

    @abstractmethod
    def build(self) -> Any:
        """The thing itself.

        Raises:
            WorkerError: where this is no place for it.
        """


class WorkerError(LandscapeError):
    """A worker cannot do any work of this kind; its text says why, and what to try."""


@dataclass(frozen=True)
class Piece:
    """Something that a work needs, pickled.

    Attributes:
        digest: the SHA-256 of the pickle, by which workers keep it.
        path: a file with the pickle, for workers that see this file system.
        payload: the pickle itself, for those that do not; None where it is not sent along.
    """

    digest: str
    path: str
    payload: bytes | None = None


@dataclass(frozen=True)
class Order:
    """One part of a work.

    Attributes:
        function: called with what the pieces are, then with ``arguments``.
        threads: of PyTorch, which decide the last bits of values: the same in every worker as in who asks.
        versions: of who asks, as :func:`versions` gives them.
        journal: the file in which a worker says that it begins part ``number``.
    """

    function: Callable[..., Any]
    pieces: tuple[Piece, ...]
    arguments: tuple[Any, ...]
    threads: int
    versions: dict[str, str]
    journal: str = ""
    number: int = 0


@dataclass(frozen=True)
class Answer:
    """What came of an order.

    Attributes:
        worker: host and process.
        value: what the function gave.
        seconds: how long it took, without the building of pieces.
        error: what it raised.
        lacks: whether a piece has to be sent along, as its path is not seen here.
        refusal: why this worker can do no work of this kind.
    """

    worker: str
    value: Any = None
    seconds: float = 0.0
    error: Exception | None = None
    lacks: bool = False
    refusal: str = ""


def carry_out(order: Order) -> Answer:
    """The one function that engines are given."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    if other := _other_versions(order.versions):
        return Answer(worker, refusal=f"has {other}. Install the same there, and start its workers anew")
    with _ONE:
        _use_threads(order.threads)
        try:
            built = [_built(piece) for piece in order.pieces]
        except _Lacking:
            return Answer(worker, lacks=True)
        except Exception as error:  # of any kind: it is the user's code that is built here
            return Answer(worker, refusal=_why_not(error))
        with contextlib.suppress(OSError), Path(order.journal).open("ab") as file:
            file.write(f"{order.number}\n".encode())
        begun = time.perf_counter()
        try:
            value = order.function(*built, *order.arguments)
        except Exception as error:  # of any kind, likewise
            if _is_memory(error) or isinstance(error, WorkerError):
                return Answer(worker, refusal=_why_not(error))
            return Answer(worker, error=_portable(error))
        return Answer(worker, value, time.perf_counter() - begun)


def versions() -> dict[str, str]:
    """What has to be the same on both sides: of another version neither code nor values are sure to be."""
    import torch

    python = ".".join(platform.python_version_tuple()[:2])
    return {"landscape": __version__, "torch": str(torch.__version__), "Python": python}


_BUILT: OrderedDict[str, Any] = OrderedDict()
_ONE = threading.RLock()  # an objective works on one point at a time, and a training with the process's random state


class _Lacking(Exception):
    """A piece is not here."""


def _other_versions(asked: dict[str, str]) -> str:
    here = versions()
    unlike = [
        f"{name} {here[name]}, where this process has {asked[name]}" for name in here if here[name] != asked[name]
    ]
    return " and ".join(unlike)


def _use_threads(count: int) -> None:
    import torch

    if torch.get_num_threads() != count:  # asked first, or PyTorch would set it anew at this thread's first operation
        torch.set_num_threads(count)


def _built(piece: Piece) -> Any:
    if piece.digest in _BUILT:
        _BUILT.move_to_end(piece.digest)
        return _BUILT[piece.digest]
    made = pickle.loads(_read(piece))
    made = made.build() if isinstance(made, Recipe) else made
    while len(_BUILT) >= KEPT:
        _BUILT.popitem(last=False)
    _BUILT[piece.digest] = made
    return made


def _read(piece: Piece) -> bytes:
    """The pickle, which is held against its digest before anything of it is run."""
    try:
        found = piece.payload if piece.payload is not None else Path(piece.path).read_bytes()
    except OSError:
        raise _Lacking from None
    if hashlib.sha256(found).hexdigest() != piece.digest:
        raise _Lacking
    return found


def _why_not(error: Exception) -> str:
    if isinstance(error, WorkerError):
        return str(error).rstrip(".")
    if _is_memory(error):
        return (
            f"has too little memory ({first_line(error):.200}). Give the workers more, or start fewer of them on a machine, or "
            "ask for a smaller batch size"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"cannot import {error.name!r}, which model, loss or data need. Install it there, or put it on its PYTHONPATH"
    return f"cannot build what the work needs: {type(error).__name__}: {first_line(error):.300}"


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "not enough memory" in str(error) or "out of memory" in str(error)


def _portable(error: Exception) -> Exception:
    """The error as it can be sent."""
    try:
        same = pickle.loads(pickle.dumps(error))
    except Exception:  # of any kind: the user's own exceptions
        same = None
    return error if type(same) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")
