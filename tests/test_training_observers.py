"""What observers are told, the curves as a result, and progress in and out of a terminal."""

from __future__ import annotations

import io
import json
import math
from types import TracebackType
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from training_samples import Keeper, data_set, network

from landscape.data import TensorData
from landscape.training import (
    EpochReport,
    History,
    Observer,
    StartReport,
    StepReport,
    TerminalProgress,
    TrainingConfig,
    TrainingResult,
    fit,
    history_dataset,
)

CONFIG = TrainingConfig(epochs=2, batch_size=20)


class _Diary(Observer):
    """Writes down what it is told, and when it is entered and left."""

    def __init__(self, fail_in: str = "") -> None:
        self.lines: list[str] = []
        self._fail_in = fail_in

    def __enter__(self) -> _Diary:
        self.lines.append("enter")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.lines.append(f"exit {kind.__name__ if kind else 'well'}")

    def on_start(self, report: StartReport) -> None:
        self._note("start", f"start {report.first_epoch} {report.steps_per_epoch} {report.train_images}")

    def on_step(self, report: StepReport) -> None:
        self._note("step", f"step {report.step} of epoch {report.epoch}: {report.batch_size}")

    def on_epoch(self, report: EpochReport) -> None:
        self._note("epoch", f"epoch {report.epoch}/{report.epochs} after {report.step}")

    def on_end(self, result: TrainingResult) -> None:
        self._note("end", f"end {result.status}")

    def _note(self, event: str, line: str) -> None:
        self.lines.append(line)
        if event == self._fail_in:
            raise OSError(event)


def run(*observers: Observer, **options: Any) -> TrainingResult:
    return fit(network(), data_set(), options.pop("config", CONFIG), observers=observers, device="cpu", **options)


def test_observers_are_told_everything_in_order() -> None:
    diary = _Diary()
    run(diary)
    assert diary.lines == [
        "enter",
        "start 1 3 50",
        "step 0 of epoch 1: 20",
        "step 1 of epoch 1: 20",
        "step 2 of epoch 1: 10",
        "epoch 1/2 after 3",
        "step 3 of epoch 2: 20",
        "step 4 of epoch 2: 20",
        "step 5 of epoch 2: 10",
        "epoch 2/2 after 6",
        "end complete",
        "exit well",
    ]


@pytest.mark.parametrize("event", ["start", "step", "epoch", "end"])
def test_an_observer_is_left_when_training_fails(event: str) -> None:
    diary = _Diary(fail_in=event)
    with pytest.raises(OSError, match=event):
        run(diary)
    assert diary.lines[-1] == "exit OSError"


def test_a_resumed_run_starts_at_its_next_epoch() -> None:
    keeper, diary = Keeper(), _Diary()
    run(keeper)
    run(diary, resume=keeper.states[0])
    assert diary.lines[1:3] == ["start 2 3 50", "step 3 of epoch 2: 20"]


def test_the_history_holds_what_was_measured_with_units_and_names() -> None:
    recorder = History()
    result = run(recorder)
    data = recorder.dataset({"model": "tiny"})
    assert data.identical(history_dataset(result, {"model": "tiny"}))
    assert data["epoch"].values.tolist() == [1, 2]
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
        assert data[name].dims == ("epoch",)
        assert data[name].values.tolist() == [record[name] for record in result.history]
    assert float(data["test_loss"]) == result.test["test_loss"]
    assert all({"units", "long_name"} <= set(data[name].attrs) for name in data.variables)
    assert data["train_loss"].attrs["units"] == data["test_loss"].attrs["units"] == "nat"
    assert (data.attrs["kind"], data.attrs["status"], data.attrs["model"]) == ("history", "complete", "tiny")
    assert data.attrs["best_epoch"] == result.best_epoch
    assert TrainingConfig.from_dict(json.loads(data.attrs["settings"])) == CONFIG


def test_the_history_of_an_unfinished_run_is_running_and_includes_what_came_before_a_resume() -> None:
    first, second = History(), History()
    keeper = Keeper(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        run(first, keeper)
    assert (first.dataset().attrs["status"], first.dataset().sizes["epoch"]) == ("running", 1)
    with pytest.raises(KeyboardInterrupt):
        run(second, Keeper(stop_after=2), resume=keeper.states[0])
    assert second.dataset().sizes["epoch"] == 2
    assert second.dataset()["train_loss"][0] == first.dataset()["train_loss"][0]
    assert second.dataset()["train_loss"].attrs["units"] == "nat"


def test_quantities_that_do_not_exist_are_no_variables_and_other_losses_have_no_unit() -> None:
    inputs = np.zeros((4, 2), dtype=np.float32)
    result = fit(nn.Linear(2, 1), (inputs, np.ones((4, 1), dtype=np.float32)), CONFIG, loss="mse", device="cpu")
    data = history_dataset(result)
    assert set(data.data_vars) == {"train_loss", "learning_rate"}
    assert data["train_loss"].attrs["units"] == "1"
    assert "best_epoch" not in data.attrs


def test_a_diverged_run_keeps_its_nan() -> None:
    data = history_dataset(
        TrainingResult(CONFIG, "diverged", ({"train_loss": 1.0}, {"train_loss": math.nan}), {}, "mse", "mine", 2)
    )
    assert (data.attrs["status"], data.attrs["diverged_epoch"]) == ("diverged", 2)
    assert np.isnan(data["train_loss"].values).tolist() == [False, True]


def test_without_a_terminal_progress_is_one_plain_line_an_epoch() -> None:
    file = io.StringIO()
    result = run(TerminalProgress("a [bold]", Console(file=file, width=40)))
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    for epoch, (line, record) in enumerate(zip(lines, result.history, strict=True), start=1):
        losses = f"train {record['train_loss']:.4f} ({record['train_accuracy']:.1%})"
        assert line.startswith(f"a [bold]: epoch {epoch}/2  {losses}  validation {record['validation_loss']:.4f}")
        assert "images/s" in line
        assert line.endswith(" left")
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("event", ["", "epoch"])
def test_in_a_terminal_progress_is_a_bar_that_gives_the_cursor_back(event: str) -> None:
    file = io.StringIO()
    progress = TerminalProgress("bar", Console(file=file, force_terminal=True, width=120))
    try:
        run(progress, _Diary(fail_in=event))
    except OSError:
        assert event
    text = file.getvalue()
    assert "epoch 2/2" in text
    assert "validation" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0


def test_progress_says_that_training_diverged() -> None:
    file = io.StringIO()
    unreachable = TensorData(torch.zeros(4, 2), torch.full((4, 1), math.inf))
    progress = TerminalProgress("d", Console(file=file))
    fit(nn.Linear(2, 1), unreachable, CONFIG, loss="mse", device="cpu", observers=[progress])
    assert "ended after epoch 1: the training loss is no longer finite" in file.getvalue()
