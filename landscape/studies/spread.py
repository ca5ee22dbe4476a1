"""Trainings and probes of a study on workers: each whole on one of them, as files that all of them see."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError
from landscape.execution.team import Flight, Team
from landscape.execution.worker import WorkerError
from landscape.places import Places, Silent


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

    What a worker had done when it died lies in its files, where the next one goes on. A job whose workers died three times
    without any progress is given up.
    """
    made: list[Any | None] = [None] * len(jobs)
    why: dict[int, str] = {}
    before = {number: _age(job) for number, job in enumerate(jobs)}
    there = replace(places, reporter=Silent(), executor=None)

    def again(number: int, arguments: tuple[Any, ...]) -> list[tuple[int, tuple[Any, ...]]]:
        now = _age(jobs[number])
        grown, before[number] = now != before[number], now
        return [(number, arguments)] if grown else []

    flight: Flight[int] = Flight(team, _done_there, (), again)
    with _mark(places.checkpoints) as mark, flight:
        parts = ((k, (str(Path.cwd()), mark, job.function, (*job.arguments, there))) for k, job in enumerate(jobs))
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


def _done_there(folder: str, mark: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, str]:
    """What a job made, and why it failed, in a worker."""
    if not (Path(folder) / mark).exists():
        raise WorkerError(
            f"does not see {folder}, or not the same as this process. A study's runs are files: give the workers the file system "
            "that it works on, at the same place"
        )
    with contextlib.chdir(folder):
        try:
            return function(*arguments), ""
        except LandscapeError as error:
            return None, str(error)
        except Exception as error:  # a part that nobody foresaw to fail must not cost the others
            return None, f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _mark(folder: Path) -> Iterator[str]:
    """A file by which workers know that they see the same folders."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f".{secrets.token_hex(8)}.mark"
    mark.touch()
    try:
        yield str(mark)
    finally:
        mark.unlink(missing_ok=True)


def _age(job: Job) -> int:
    try:
        return 0 if job.grows is None else job.grows.stat().st_mtime_ns
    except OSError:
        return 0
