"""Ctrl-C, a termination signal and a closed terminal: each stops the command between two pieces of its work.

Work that looks for a stop by itself is only told of it. Anything else is interrupted at once, as Python does. Where neither has
ended the command within :data:`GRACE` seconds, it is interrupted wherever it is, once a second until that works. A second
signal ends the process: every file is replaced at once, so that the last complete ones are there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from landscape import stopping

SECOND = 1.0  # between looks at what has become of a signal
GRACE = 5.0
"""Seconds that a piece of work may take to its end; schedulers give ten or more before they kill."""

ONE_REQUEST = 0.5
"""Seconds within which signals are one request: a shell that closes, or a wrapper that passes Ctrl-C on, sends two."""


class Stopped(BaseException):
    """What a signal asks for: unwinds like Ctrl-C, so that results are saved. ``number`` is the signal's."""

    number = int(signal.SIGTERM)
    word = "Terminated"


class HungUp(Stopped):
    """The terminal is gone."""

    number = int(getattr(signal, "SIGHUP", 1))
    word = "The terminal was closed"


_STOPS: dict[str, type[BaseException]] = {"SIGINT": KeyboardInterrupt, "SIGTERM": Stopped, "SIGHUP": HungUp}


@contextmanager
def stoppable() -> Iterator[None]:
    """Signals stop what runs inside. Those that are ignored (``nohup``, a background job) stay so; elsewhere than in the
    main thread, which alone is told of signals, nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for name in (*_STOPS, "SIGALRM") if (number := _number(name)) is not None]
    # None: somebody's handler in C, which could not be put back.
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) is not None}
    listener = _Listener(before)
    sys.unraisablehook = listener.on_unraisable
    stopping.forget()
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN and number != _number("SIGALRM"):
                signal.signal(number, listener.on_signal)
        yield
    finally:
        listener.end()
        stopping.forget()
        sys.unraisablehook = listener.unraisablehook
        for number, handler in before.items():
            signal.signal(number, handler)


class _Listener:
    """What has been asked for by signals so far."""

    def __init__(self, before: Mapping[signal.Signals, Any]) -> None:
        self._before = before
        self.unraisablehook = sys.unraisablehook
        self._process = os.getpid()
        self._stop: type[BaseException] = KeyboardInterrupt
        self._since: float | None = None
        self._said = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a process that a library has forked: not ours to look after
            signal.signal(number, self._before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        if self._since is not None:
            if time.monotonic() - self._since >= ONE_REQUEST:
                _end(number)
            return
        self._since, self._stop = time.monotonic(), _STOPS[signal.Signals(number).name]
        stopping.ask(self._stop)
        if number == _number("SIGHUP"):
            _speak_to_nobody()
        if _number("SIGALRM") in self._before:
            signal.signal(signal.SIGALRM, self._on_second)
            signal.setitimer(signal.ITIMER_REAL, SECOND, SECOND)
        if not stopping.looks():
            raise stopping.cut(self._stop)

    def _on_second(self, number: int, frame: FrameType | None) -> None:
        if stopping.heard() or self._since is None or os.getpid() != self._process:
            return
        if not stopping.looks() or time.monotonic() - self._since >= GRACE:
            raise stopping.cut(self._stop)
        if not self._said:
            self._said = True
            _say("Stopping after the current piece of work; once more to stop at once.")

    def on_unraisable(self, lost: Any) -> None:
        """Not a word of a stop that was lost in a callback: it is raised again."""
        if lost.exc_type is not self._stop or not stopping.was_cut():
            self.unraisablehook(lost)

    def end(self) -> None:
        if self._since is not None and _number("SIGALRM") in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._since = None


def _number(name: str) -> signal.Signals | None:
    return getattr(signal, name, None)


def _end(number: int) -> NoReturn:
    """End the process here and now; a terminal gets its cursor back, which a progress bar hides."""
    _say(("\x1b[?25h" if os.isatty(2) else "") + "Stopped at once; the last complete files are kept.")
    os._exit(128 + number)


def _say(sentence: str) -> None:
    # Not through Python's streams, which the handler may have interrupted.
    try:
        os.write(2, f"\n{sentence}\n".encode())
    except OSError:
        return


def _speak_to_nobody() -> None:
    """What is written to a terminal that is gone would fail."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream.isatty():
                os.dup2(nobody, stream.fileno())
        except (OSError, ValueError):
            continue
