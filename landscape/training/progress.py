"""Training seen in a terminal: a bar with rate, remaining time and current losses, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from landscape.printable import printable
from landscape.training.observers import EpochReport, Observer, Record, StartReport, StepReport, TrainingResult


class TerminalProgress(Observer):
    """Shows how far training is, how many images it takes a second, how long it still needs and what the losses are.

    In a terminal this is one bar that moves with every step. Elsewhere (a file, a pipe) it is one line an epoch. Losses and
    accuracies are those of the last full epoch: to read them at every step would make an accelerator wait.

    Args:
        title: what is being trained, shown in front.
        console: where to write; standard error by default, so that standard output stays free for results.
    """

    def __init__(self, title: str = "training", console: Console | None = None) -> None:
        self._title = printable(title)
        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._images = 0
        self._total = 0
        self._began = 0.0

    def __enter__(self) -> TerminalProgress:
        if self._bar is None and self._console.is_terminal:
            self._bar = _bar(self._console)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_start(self, report: StartReport) -> None:
        self._images, self._began = 0, time.monotonic()
        if report.engine:
            self._line(report.engine)
        self._total = report.train_images * (report.config.epochs - len(report.history))
        if self._bar is not None:
            losses = describe(report.history[-1]) if report.history else ""
            epoch = f"epoch {min(report.first_epoch, report.config.epochs)}/{report.config.epochs}"
            self._bar.add_task(self._title, total=self._total, epoch=epoch, losses=losses)

    def on_step(self, report: StepReport) -> None:
        self._images += report.batch_size
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._images)

    def on_epoch(self, report: EpochReport) -> None:
        losses = describe(report.record)
        if self._bar is not None:
            epoch = f"epoch {min(report.epoch + 1, report.epochs)}/{report.epochs}"
            self._bar.update(self._bar.task_ids[0], epoch=epoch, losses=losses)
            return
        elapsed = time.monotonic() - self._began
        rate = self._images / elapsed if elapsed > 0 else float("nan")
        left = elapsed * (self._total - self._images) / self._images
        self._line(f"epoch {report.epoch}/{report.epochs}  {losses}  {rate:.0f} images/s  {_clock(left)} left")

    def on_end(self, result: TrainingResult) -> None:
        if result.diverged_epoch is not None:
            self._line(f"ended after epoch {result.diverged_epoch}: the training loss is no longer finite")

    def _line(self, text: str) -> None:
        # soft_wrap, so that a line stays one line in a file; no markup, because titles may hold brackets
        self._console.print(Text(f"{self._title}: {text}"), soft_wrap=True)


def describe(record: Record) -> str:
    """A record in a few words: ``train 1.234 (56.7%)  validation 1.345 (54.3%)``."""
    parts = []
    for split in ("train", "validation"):
        if f"{split}_loss" in record:
            accuracy = record.get(f"{split}_accuracy")
            parts.append(f"{split} {record[f'{split}_loss']:.4f}" + ("" if accuracy is None else f" ({accuracy:.1%})"))
    return "  ".join(parts)


class _ImageRate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} images/s" if task.speed else "")  # rich's own style of a speed is red


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[epoch]}"),
        BarColumn(bar_width=12),
        _ImageRate(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        # where the terminal is narrow, this is the column that goes on in a second line
        TextColumn("{task.fields[losses]}", style="dim", table_column=Column()),
        console=console,
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
