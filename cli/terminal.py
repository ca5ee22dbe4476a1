"""What a person sees: progress while work runs (on stderr), and a summary at its end (on stdout)."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from landscape.printable import printable, printable_lines
from landscape.registry import found, of_file

if TYPE_CHECKING:
    from landscape.probes.probing import ProbeOutcome
    from landscape.studies.plan import Plan
    from landscape.studies.runs import RunOutcome
    from landscape.studies.settings import StudySettings
    from landscape.studies.study import StudyOutcome
    from landscape.studies.sweep import Trained
    from landscape.studies.tables import Row

# Without a terminal a progress line is printed at this interval, so that a log of hours stays readable.
_LINE_EVERY = 15.0


class Terminal:
    """A reporter on a terminal: bars where there is one, a line now and then where there is none."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._printed = 0.0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def message(self, text: str) -> None:
        self._close()
        self._console.print(Text(printable(text)))

    def progress(self, task: str, done: int, total: int) -> None:
        task = printable(task)
        if self._console.is_terminal:
            self._bar(task, done, total)
        else:
            self._line(task, done, total)
        if done >= total:
            self._close()

    def training_observers(self, task: str) -> tuple[Any, ...]:
        from landscape.training import TerminalProgress

        self._close()
        return (TerminalProgress(title=task, console=self._console),)

    def _bar(self, task: str, done: int, total: int) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("points"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.start()
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=total)
        self._progress.update(self._tasks[task], completed=done, total=total)

    def _line(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        begun, first = self._started.setdefault(task, (now, done))
        if done < total and now - self._printed < _LINE_EVERY:
            return
        self._printed = now
        rate = (done - first) / (now - begun) if now > begun else 0.0
        left = f", about {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        self._console.print(Text(f"{task}: {done} of {total} points{left}"))

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._tasks.clear()

    def training_summary(self, outcome: RunOutcome) -> None:
        """What a training ended with, and where it lies."""
        history = outcome.history
        if outcome.trained_epochs == 0:
            click.echo("Already complete; nothing was trained.")
        status = str(history.attrs.get("status", ""))
        if status == "diverged":
            click.echo(
                f"The loss became NaN or infinite in epoch {int(history['epoch'][-1])}; training stopped there. "
                "A smaller --learning-rate is the usual remedy.",
                err=True,
            )
        last = {str(name): float(values.values.reshape(-1)[-1]) for name, values in history.data_vars.items()}
        shown = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in last.items() if name != "learning_rate"]
        say(f"{int(history['epoch'][-1])} epochs, {status}: {', '.join(shown)}")
        if history.attrs.get("dead"):
            say(f"Dead network: {history.attrs['dead_reason']}.")
        if history.attrs.get("dead_part"):
            say(f"Dead in part: {history.attrs['dead_part']}.")
        for path in [*outcome.files, outcome.last]:
            say(path)

    def sweep_summary(self, trained: Trained, failures: Mapping[str, str]) -> None:
        """What every training of a sweep came to, what failed, and the folders."""
        from landscape.studies.tables import run_rows

        self._table("", run_rows(trained, {}), failures)
        for _, outcome in trained:
            say(outcome.folder)

    def plan_summary(self, study: StudySettings, plan: Plan) -> None:
        """What a study would do, and how long that may take."""
        from landscape.studies.plan import clock
        from landscape.studies.tables import Row

        rows = [
            Row(
                {
                    "run": run.label,
                    "in": ", ".join(run.groups),
                    "epochs": _counted(run.epochs),
                    "updates": _counted(run.updates),
                    "images seen": _counted(run.images),
                    "time": "done" if run.done else "not timed" if run.seconds is None else clock(run.seconds),
                }
            )
            for run in plan.runs
        ]
        self._table(study.name, rows, {})
        timed = sum(run.seconds is not None for run in plan.runs)
        click.echo(f"{len(plan.runs)} trainings" + (f", {timed} of them timed." if plan.untimed else "."))
        if timed:
            click.echo(
                f"Trainings, {clock(plan.run_seconds)}; probes of their checkpoints, {clock(plan.probe_seconds)}; in all about "
                f"{clock(plan.seconds)} on this machine, good to a factor of two."
            )
        if plan.untimed:
            say(f"Not timed, nor probes of it: {', '.join(plan.untimed)}. Its code is run only by the study itself.")

    def probe_summary(self, outcome: ProbeOutcome) -> None:
        """What a probe found, where it lies, and how to ask for more."""
        if outcome.measured == 0:
            click.echo("Already complete; nothing was measured.")
        record = of_file(outcome.dataset.attrs["kind"])
        for line in found(record.words)(outcome.dataset) if record and record.words else []:
            say(line)
        say(outcome.path)

    def study_summary(self, name: str, outcome: StudyOutcome) -> None:
        """The study's table, and every path that it made."""
        self._table(name, outcome.rows, outcome.failures)
        for path in [*outcome.results, *outcome.tables, *outcome.pictures]:
            say(path)

    def _table(self, name: str, rows: Sequence[Row], failures: Mapping[str, str]) -> None:
        columns = list(dict.fromkeys(key for row in rows for key in row.cells))
        show_table(name, columns, [[row.cells.get(column, "") for column in columns] for row in rows], width=120)
        for failed, why in failures.items():
            click.echo(printable_lines(f"failed: {failed}: {why}"), err=True)


def _counted(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def say(text: object, *, err: bool = False) -> None:
    """One line that may hold text from files."""
    click.echo(printable(text), err=err)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> None:
    """A table on stdout; ``width`` in columns where that is no terminal, so that nothing has to fit into 80."""
    table = Table(title=Text(printable(title)) if title else None, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else width).print(table)
