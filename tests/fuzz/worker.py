"""Reads changed files one after another in a process that may hang or crash: ``python -m fuzz.worker FOLDER SEED DOOR``.

A line "format number" comes in, a line of JSON goes out.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

from fuzz import canary
from fuzz.formats import FORMATS, originals_of
from landscape.errors import LandscapeError
from landscape.results import hdf5, reading

_RUNS_CODE = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.startfile", "pty.spawn")


class _Watch:
    """Whether the process was asked to start another one."""

    def __init__(self, *, quiet: bool) -> None:
        self.seen: list[str] = []
        self.quiet = quiet
        if not quiet:
            sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: object) -> None:
        if event in _RUNS_CODE:
            self.seen.append(event)


@cache
def _values(folder: Path, name: str, number: int) -> str:
    """What is read from a whole file."""
    path = folder / f"whole-{os.getpid()}{FORMATS[name].suffix}"
    path.write_bytes(originals_of(folder / "originals", name)[number])
    try:
        return FORMATS[name].read(path)
    finally:
        path.unlink()


@cache
def _originals(folder: Path, name: str) -> list[bytes]:
    return originals_of(folder / "originals", name)


def changed(folder: Path, seed: int, name: str, case: int) -> tuple[bytes, bool, int]:
    """The file of a case, whether it is a damaged one, and the number of the original it was."""
    dice = random.Random(f"{name}/{seed}/{case}")
    whole = _originals(folder, name)
    number = dice.randrange(len(whole))
    data, damage = FORMATS[name].change(dice, whole[number], whole, str(folder / "canary"))
    return data, damage, number


def judge(folder: Path, seed: int, name: str, case: int, watch: _Watch) -> tuple[str, str]:
    """What came of one file, and why."""
    data, damage, number = changed(folder, seed, name, case)
    expected = _values(folder, name, number)
    if FORMATS[name].apart and not watch.quiet:
        return _in_a_fork(lambda: _judged(folder, name, data, damage, expected, watch))
    return _judged(folder, name, data, damage, expected, watch)


def _in_a_fork(judged: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """As the product does it, but that the process need not start anew: one that spins or crashes is given up."""
    import resource

    inlet, outlet = os.pipe()
    child = os.fork()
    if not child:
        used = math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + hdf5._SECONDS, used + hdf5._SECONDS + 1))
        with os.fdopen(outlet, "w") as answer:
            answer.write(json.dumps(judged()))
        os._exit(0)
    os.close(outlet)
    with os.fdopen(inlet) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "ended by the reader", signal.Signals(os.WTERMSIG(status)).name
    outcome, detail = json.loads(text)
    return outcome, detail


def _judged(folder: Path, name: str, data: bytes, damage: bool, expected: str, watch: _Watch) -> tuple[str, str]:
    path = folder / f"case-{os.getpid()}{FORMATS[name].suffix}"
    path.write_bytes(data)
    watch.seen.clear()
    detail = ""
    try:
        outcome = "same" if FORMATS[name].read(path) == expected else "other"
        if outcome == "other" and damage:
            outcome = "wrong values"
    except LandscapeError as error:
        outcome = "refused"
        detail = "" if str(error).strip() else "without a word"
    except Exception as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/landscape/" in frame.filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
        outcome, detail = "unforeseen", f"{type(error).__name__}: {str(error)[:200]} at {where}"
    if watch.seen or canary.dead(folder / "canary"):
        outcome, detail = "code run", str(watch.seen)
    return outcome, detail


def _confine() -> None:
    """No file may take the machine's memory."""
    if sys.platform == "linux":
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), resource.RLIM_INFINITY))


def main() -> None:
    folder, seed, door = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "door"
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr
    if not door:  # the same parsing, without a process for every file
        hdf5._apart = lambda data: reading.unpack(b"".join(reading.answer(data)))
        _confine()
    watch = _Watch(quiet=door)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name, case = line.split()
        print(json.dumps(judge(folder, seed, name, int(case), watch)), file=answers, flush=True)


if __name__ == "__main__":
    main()
