"""Trainings and probes of a study on workers: each whole on one of them, as files that all of them see."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError
from landscape.execution.team import Flight, Team
from landscape.execution.worker import WorkerError
from landscape.places import Places, Silent

TRIES = 3  # of a job without progress


@dataclass(frozen=True)
class Job:
    """A training, or a probe of one run.

    Attributes:
        name: in failures.
        task: in messages.
        function: of a module; called with ``arguments`` and places.
        grows: a file that is newer whenever more of it is done: of a training that ends its worker every time, the last checkpoint.
    """

    name: str
    task: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    grows: Path | None = None


def spread(team: Team, jobs: Sequence[Job], places: Places, failures: dict[str, str]) -> list[Any | None]:
    """What each job made, in their order; None, and why under its name in ``failures``, for one that failed.

    What a worker had done when it died lies in its files, where the next one goes on. A job that was begun three times without
    any progress is given up; one that only waited for workers that died is not.
    """
    made: list[Any | None] = [None] * len(jobs)
    why: dict[int, str] = {}
    there = replace(places, reporter=Silent(), executor=None)
    tries: list[_Tries] = []

    def again(number: int, arguments: tuple[Any, ...]) -> list[tuple[int, tuple[Any, ...]]]:
        return [(number, arguments)] if tries[number].another() else []

    flight: Flight[int] = Flight(team, _done_there, (), again)
    with _common_folder(places.checkpoints) as common, flight:
        tries += [_Tries(job, common / str(number)) for number, job in enumerate(jobs)]
        parts = (
            (k, (str(Path.cwd()), str(tries[k].begun), job.function, (*job.arguments, there)))
            for k, job in enumerate(jobs)
        )
        for done, arrived in enumerate(flight.all(parts), 1):
            job = jobs[arrived.key]
            if arrived.lost:
                why[arrived.key] = arrived.lost
            else:
                made[arrived.key], why[arrived.key] = arrived.value
            at_work = f"{team.workers} worker{'s' * (team.workers != 1)} at work"
            failed = f", which failed: {why[arrived.key]}" if why[arrived.key] else ""
            places.reporter.message(f"{done} of {len(jobs)} done, {at_work}: {job.task}{failed}")
    failures.update({jobs[number].name: why[number] for number in sorted(why) if why[number]})
    return made


class _Tries:
    """How often a job was begun since there was more of it: every worker that begins it adds a byte to a file."""

    def __init__(self, job: Job, begun: Path) -> None:
        self._job, self.begun = job, begun
        self._age, self._before, self._asked = _age(job), 0, 0

    def another(self) -> bool:
        """Whether a job whose workers died should be tried once more."""
        begun, age = self.begun.stat().st_size if self.begun.exists() else 0, _age(self._job)
        if age != self._age:
            self._age, self._before, self._asked = age, begun, 0
        self._asked += 1
        return begun - self._before < TRIES and self._asked <= TRIES


def _done_there(folder: str, begun: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, str]:
    """What a job made, and why it failed, in a worker."""
    with contextlib.chdir(folder) if Path(folder).exists() else contextlib.nullcontext():
        try:
            with Path(begun).open("ab") as file:
                file.write(b".")
        except OSError as error:
            raise WorkerError(
                f"does not see {folder}, or not the same as this process. A study's runs are files: give the workers the file "
                "system that it works on, at the same place"
            ) from error
        try:
            return function(*arguments), ""
        except LandscapeError as error:
            return None, f"{error} (on {socket.gethostname()})"
        except Exception as error:  # a part that nobody foresaw to fail must not cost the others
            return None, f"{type(error).__name__}: {error} (on {socket.gethostname()})"


@contextlib.contextmanager
def _common_folder(checkpoints: Path) -> Iterator[Path]:
    """Of a name that nobody can guess: workers that see it see the same folders."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".mark", dir=checkpoints) as folder:
        yield Path(folder)


def _age(job: Job) -> int:
    try:
        return 0 if job.grows is None else job.grows.stat().st_mtime_ns
    except OSError:
        return 0
