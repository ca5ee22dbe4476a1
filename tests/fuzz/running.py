"""Runs the cases in a worker that is started anew where a file made it hang or crash."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

LIMIT = 10.0
"""Seconds of processor time after which a file hangs."""
_TESTS = Path(__file__).resolve().parent.parent
_POLL = 0.5
_WALL = 20  # times as long, on a machine that is busy with other things


class Worker:
    """One worker process."""

    def __init__(self, folder: Path, seed: int, *, door: bool) -> None:
        self._command = [sys.executable, "-m", "fuzz.worker", str(folder), str(seed), "door" if door else "here"]
        self._process: subprocess.Popen[str] | None = None

    def judge(self, name: str, case: int) -> tuple[str, str]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name} {case}\n")
        process.stdin.flush()
        line = self._answer(process)
        if line:
            outcome, detail = json.loads(line)
            return outcome, detail
        ended = process.poll() is not None
        if process.returncode == 1:
            raise RuntimeError(f"the harness fails at {name} {case}; python -m fuzz.worker shows why")
        self.end()
        return ("crash", str(process.returncode)) if ended else ("hang", "")

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                cwd=_TESTS, env=environment,
            )  # fmt: skip
            assert self._process.stdout is not None
            if self._process.stdout.readline() != "ready\n":
                raise RuntimeError("the worker does not start; run python -m fuzz.worker to see why")
        return self._process

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> str:
        """The worker's line; empty where it has crashed or used up its time."""
        began, used = time.monotonic(), _seconds_of(process.pid)
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
            while not waiting.select(_POLL):
                if _seconds_of(process.pid) - used > LIMIT or time.monotonic() - began > _WALL * LIMIT:
                    return ""
        line = process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            process.wait()
        return line


def _seconds_of(number: int) -> float:
    """Processor time of a process; the clock where the system does not say it."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return time.monotonic()


def judged(worker: Worker, name: str, cases: Sequence[int], log: Path) -> Iterator[tuple[str, str]]:
    """The outcome of every case; those that the log holds already are not run again."""
    done = {}
    if log.exists():
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("]")]
        done = {case: (outcome, detail) for case, outcome, detail in lines}
    with log.open("a") as stream:
        for case in cases:
            if case not in done:
                done[case] = worker.judge(name, case)
                stream.write(json.dumps([case, *done[case]]) + "\n")
                stream.flush()
            yield done[case]
