"""A stop that is asked for while work goes on: it takes place between two pieces of the work, never inside one.

Who handles signals asks for it (:func:`ask`); loops over batches, points and steps look for it (:func:`look`). An exception
that a signal handler raises wherever the program happens to be is lost inside a callback of a library, which prints it and
goes on, and inside an ``except BaseException`` of somebody else, and leaves values half made. In a script or a notebook nobody
asks, and Ctrl-C is Python's own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Asked:
    """``stop``: what is to be raised. ``heard``: it was, between two pieces. ``cut``: it was, in the middle of one."""

    stop: type[BaseException] | None = None
    heard = False
    cut = False
    depth = 0


def ask(stop: type[BaseException]) -> None:
    """Let the next look raise ``stop``."""
    _Asked.stop = stop


def asked() -> type[BaseException] | None:
    """The stop that was asked for."""
    return _Asked.stop


def forget() -> None:
    """Nothing is asked for any more."""
    _Asked.stop, _Asked.heard, _Asked.cut = None, False, False


def look() -> None:
    """Between two pieces of work: raise the stop that was asked for, in the main thread."""
    if _Asked.stop is not None and threading.current_thread() is threading.main_thread():
        _Asked.heard = True
        raise _Asked.stop


@contextmanager
def in_pieces() -> Iterator[None]:
    """Work that looks by itself, so that nothing need be raised inside it; looks once more at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Asked.depth += 1
    try:
        yield
    finally:
        _Asked.depth -= 1
    if not _Asked.depth:
        look()


def looks() -> bool:
    """Whether work is going on that looks by itself."""
    return _Asked.depth > 0


def heard() -> bool:
    """Whether a look has raised the stop."""
    return _Asked.heard


def cut(stop: type[BaseException]) -> BaseException:
    """``stop``, to be raised in the middle of whatever goes on: from now on nothing is written, as values may be half made."""
    _Asked.cut = True
    return stop()


def was_cut() -> bool:
    """Whether the stop was raised in the middle of something."""
    return _Asked.cut


def look_before_writing() -> None:
    """Raise the stop again where it was :func:`cut` in and lost, so that no value it may have spoilt is written."""
    if _Asked.cut:
        look()


def process_lives(number: int) -> bool:
    """Whether a process of this machine has the number, or may have it."""
    if os.name != "posix":
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's, or no number of a process
        pass
    return True
