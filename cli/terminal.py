"""What a person sees: progress while work runs (on stderr), and a summary at its end (on stdout)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
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

from .options import NORMAL, QUIET, VERBOSE, VERBOSITY

if TYPE_CHECKING:
    import xarray as xr

    from landscape.probes.probing import ProbeOutcome
    from landscape.studies.plan import Plan
    from landscape.studies.runs import RunOutcome
    from landscape.studies.settings import StudySettings
    from landscape.studies.study import StudyOutcome
    from landscape.studies.sweep import Trained
    from landscape.studies.tables import Row

# Without a terminal a progress line is printed at this interval, so that a log of hours stays readable.
_LINE_EVERY, _VERBOSE_LINE_EVERY = 15.0, 1.0
# Columns that a table takes there to be at the least; a longer word than the second, such as a path, may be broken.
_NARROWEST, _BROKEN_FROM = 20, 32
_USUAL_COLUMNS = 80


class Terminal:
    """A reporter on a terminal: bars where there is one, else a line now and then; of a quiet command nothing."""

    def __init__(self) -> None:
        self._verbosity = verbosity()
        self._every = _LINE_EVERY if self._verbosity < VERBOSE else _VERBOSE_LINE_EVERY
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
        if self._verbosity > QUIET:
            self._close()
            self._console.print(Text(printable(text)))

    def settings(self, values: Mapping[str, Any]) -> None:
        """Everything that a work is done with, defaults included, where more is to be said."""
        if self._verbosity >= VERBOSE:
            self.message(", ".join(f"{name} {'not set' if value is None else value}" for name, value in values.items()))

    def progress(self, task: str, done: int, total: int, unit: str = "points", workers: int | None = None) -> None:
        if self._verbosity == QUIET:
            return
        task = printable(task)
        by = "" if workers is None else f", {workers} worker{'s' * (workers != 1)} at work"
        if self._console.is_terminal:
            self._bar(task, done, total, unit, by)
        else:
            self._line(task, done, total, unit, by)
        if done >= total:
            self._close()

    def training_observers(self, task: str) -> tuple[Any, ...]:
        from landscape.training import TerminalProgress

        self._close()
        if self._verbosity == QUIET:
            return ()
        return (TerminalProgress(title=task, console=self._console),)

    def _bar(self, task: str, done: int, total: int, unit: str, by: str) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.start()
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=total, unit=unit)
        self._progress.update(self._tasks[task], completed=done, total=total, description=task + by)

    def _line(self, task: str, done: int, total: int, unit: str, by: str) -> None:
        now = time.monotonic()
        begun, first = self._started.setdefault(task, (now, done))
        if done < total and now - self._printed < self._every:
            return
        self._printed = now
        rate = (done - first) / (now - begun) if now > begun else 0.0
        left = f", about {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        self._console.print(Text(f"{task}: {done} of {total} {unit}{left}{by}"))

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._tasks.clear()

    def training_summary(self, outcome: RunOutcome, *, picture: bool = True) -> None:
        """What a training ended with, its loss as a small picture, and where it lies."""
        history = outcome.history
        if outcome.trained_epochs == 0:
            tell("Already complete; nothing was trained.")
        status = str(history.attrs.get("status", ""))
        if status == "diverged":
            click.echo(
                f"The loss became NaN or infinite in epoch {int(history['epoch'][-1])}; training stopped there. "
                "A smaller --learning-rate is the usual remedy.",
                err=True,
            )
        shown = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in _last(history).items()]
        tell(f"{int(history['epoch'][-1])} epochs, {status}: {', '.join(shown)}")
        if history.attrs.get("dead"):
            tell(f"Dead network: {history.attrs['dead_reason']}.")
        if history.attrs.get("dead_part"):
            tell(f"Dead in part: {history.attrs['dead_part']}.")
        if picture:
            show_picture(history)
        for path in [*outcome.files, outcome.last]:
            say(path)

    def sweep_summary(self, trained: Trained, failures: Mapping[str, str]) -> None:
        """What every training of a sweep came to, what failed, and the folders."""
        from landscape.studies.tables import run_rows

        self._table("", run_rows(trained, {}))
        _say_failures(failures)
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
        show_table(study.name, *_cells(rows))
        timed = sum(run.seconds is not None for run in plan.runs)
        click.echo(f"{len(plan.runs)} trainings" + (f", {timed} of them timed." if plan.untimed else "."))
        if timed:
            click.echo(
                f"Trainings, {clock(plan.run_seconds)}; probes of their checkpoints, {clock(plan.probe_seconds)}; in all about "
                f"{clock(plan.seconds)} on this machine, good to a factor of two."
            )
        if plan.untimed:
            say(f"Not timed, nor probes of it: {', '.join(plan.untimed)}. Its code is run only by the study itself.")

    def probe_summary(self, outcome: ProbeOutcome, *, picture: bool = True) -> None:
        """What a probe found, as a small picture too, and where it lies."""
        from landscape.results import summary

        if outcome.measured == 0:
            tell("Already complete; nothing was measured.")
        for line in summary(outcome.dataset):
            tell(line)
        if picture:
            show_picture(outcome.dataset)
        say(outcome.path)

    def study_summary(self, name: str, outcome: StudyOutcome) -> None:
        """The study's table, and every path that it made."""
        self._table(name, outcome.rows)
        _say_failures(outcome.failures)
        for path in [*outcome.results, *outcome.tables, *outcome.pictures]:
            say(path)
        if outcome.report is not None:
            tell("All of it on one page, to open in a browser:")
            say(outcome.report)

    def _table(self, name: str, rows: Sequence[Row]) -> None:
        if self._verbosity > QUIET:
            show_table(name, *_cells(rows))


def verbosity() -> int:
    """How much a command says, as its options have it."""
    context = click.get_current_context(silent=True)
    return NORMAL if context is None else context.meta.get(VERBOSITY, NORMAL)


def run_document(outcome: RunOutcome) -> dict[str, Any]:
    """What JSON says of a training."""
    attributes = outcome.history.attrs
    return {
        "folder": str(outcome.folder),
        "checkpoint": str(outcome.last),
        "files": [str(path) for path in outcome.files],
        "state": "dead" if attributes.get("dead") else attributes.get("status"),
        "epochs_done": outcome.history.sizes["epoch"],
        "epochs_trained_now": outcome.trained_epochs,
        "last_metrics": _last(outcome.history),
    }


def probe_document(outcome: ProbeOutcome) -> dict[str, Any]:
    """What JSON says of a probe's result."""
    from landscape.results.plain import result_contents

    return {
        "path": str(outcome.path),
        "type": "result",
        "measured_now": outcome.measured,
        **result_contents(outcome.dataset),
    }


def _last(history: xr.Dataset) -> dict[str, float]:
    """Losses and accuracies of the last epoch, and those of the test."""
    every = {str(name): float(values.values.reshape(-1)[-1]) for name, values in history.data_vars.items()}
    return {name: value for name, value in every.items() if name != "learning_rate"}


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    columns = list(dict.fromkeys(key for row in rows for key in row.cells))
    return columns, [[row.cells.get(column, "") for column in columns] for row in rows]


def _say_failures(failures: Mapping[str, str]) -> None:
    for failed, why in failures.items():
        say_lines(f"failed: {failed}: {why}", err=True)


def _counted(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def say(text: object, *, err: bool = False) -> None:
    """One line that may hold text from files."""
    click.echo(printable(text), err=err)


def tell(text: object) -> None:
    """One line that is no path, which a quiet command leaves out."""
    if verbosity() > QUIET:
        say(text)


def say_lines(text: object, *, err: bool = False) -> None:
    """A message of one or more lines that may hold text from files."""
    click.echo(printable_lines(text), err=err)


def show_json(document: Any) -> None:
    """The one JSON document that a command's stdout then is."""
    from landscape.results.plain import json_text

    click.echo(json_text(document))


def show_picture(dataset: xr.Dataset) -> None:
    """The small picture of a result, as wide as the terminal, or as ``COLUMNS`` says; a quiet command leaves it out."""
    from landscape.probes.terminal_picture import terminal_picture

    if verbosity() == QUIET:
        return
    for line in terminal_picture(dataset, (_columns() or _USUAL_COLUMNS) - 2):
        say(f"  {line}")


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, as wide as the terminal, or as ``COLUMNS`` says.

    Cells are folded between words where they have to be. Where not even their words have room beside each other, each row is
    its first cell and, below it, the others with their columns' names.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    names = [printable(column) for column in columns]
    width = _columns()
    widths = _fitted([[name, *cells] for name, *cells in zip(names, *shown, strict=True)], width)
    console = Console(width=width or sum(widths or ()) + _around(len(names)))
    heading = Text(printable(title)) if title else None
    if widths is None:
        if heading is not None:
            console.print(heading)
        for first, *others in shown:
            pairs = [f"{name} {cell}" for name, cell in zip(names[1:], others, strict=True) if cell]
            console.print(Text(first, style="bold", overflow="fold"))
            console.print(Padding(Text("; ".join(pairs), overflow="fold"), (0, 0, 0, 2)))
        return
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD)
    for name, size in zip(names, widths, strict=True):
        table.add_column(Text(name), overflow="fold", width=size)
    for row in shown:
        table.add_row(*map(Text, row))
    console.print(table)


def _columns() -> int:
    """How many columns there are to write in; 0 where neither a terminal nor ``COLUMNS`` says, and lines may be of any length."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said):
        return max(int(said), _NARROWEST)
    return Console().width if sys.stdout.isatty() else 0


def _fitted(columns: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Widths of a table's columns that fit; None where words would have to be broken."""
    widths = [max(map(cell_len, column)) for column in columns]
    if not width:
        return widths
    words = [[cell_len(word) for text in column for word in text.split()] for column in columns]
    least = [min(max(lengths, default=1), _BROKEN_FROM) for lengths in words]
    room = width - _around(len(columns))
    if sum(least) > room:
        return None
    while sum(widths) > room:
        _, widest = max((size, n) for n, size in enumerate(widths) if size > least[n])
        widths[widest] -= 1
    return widths


def _around(columns: int) -> int:
    """What a table takes beside its cells: a space on both sides of each, and a line's place around."""
    return 3 * columns + 1
