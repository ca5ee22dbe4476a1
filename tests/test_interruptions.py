"""A run that is interrupted at any of its instants, and again while it resumes: every file ends with the bits of a whole run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from samefiles import differing
from test_sweeps import here, tiny

from landscape.places import Places
from landscape.results import load_checkpoint
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import train_run
from landscape.training import Observer

__all__ = ["here"]  # a fixture

SETTINGS = tiny(checkpoint_every=2, flow_every=2, probe_every=3, stability_every=2, learning_rate=1e-2)


class Killed(BaseException):
    """Ends the run where it is raised."""


class Steps(Observer):
    """A reporter that shows training to itself, and ends it at a step."""

    def __init__(self, at: int) -> None:
        self.left = at

    def message(self, text: str) -> None: ...

    def progress(self, task: str, done: int, total: int, unit: str = "points") -> None: ...

    def training_observers(self, task: str) -> tuple[Observer, ...]:
        return (self,)

    def on_step(self, report: Any) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def at_a_step(folder: Path, at: int) -> None:
    train_run(run_settings(SETTINGS), Places(device="cpu", reporter=Steps(at)), folder=folder)


def at_a_file(folder: Path, at: int) -> None:
    """The ``at``-th file that is to be replaced is not."""
    replace, left = Path.replace, itertools.count(1)

    def replaced(self: Path, target: Path) -> Path:
        if next(left) == at:
            raise Killed
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", replaced)
        train_run(run_settings(SETTINGS), Places(device="cpu"), folder=folder)


def resumed(interrupted: Callable[[Path, int], None], folder: Path, at: int) -> bool:
    """Whether there was such an instant: a run that was interrupted there, twice more while it resumed, and then went on."""
    for number in (at, at // 2 + 1, 1, 0):
        try:
            interrupted(folder, number)
        except Killed:
            continue
        return number != at
    raise AssertionError


def test_an_interrupted_training_ends_with_the_bits_of_a_whole_one(here: Path) -> None:
    at_a_step(here / "whole", 0)
    for interrupted, at in ((at_a_step, 5), (at_a_file, 3)):  # in the second epoch, and between its files
        with pytest.raises(Killed):
            interrupted(here / "part", at)
    at_a_step(here / "part", 0)
    assert differing(here / "whole", here / "part") == []
    assert isinstance(load_checkpoint(here / "whole/last.pt").state["stability_start"], torch.Tensor)


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [at_a_step, at_a_file])
def test_every_instant_of_a_training(here: Path, interrupted: Callable[[Path, int], None]) -> None:
    interrupted(here / "whole", 0)
    at = 1
    while resumed(interrupted, here / str(at), at):
        assert differing(here / "whole", here / str(at)) == []
        at += 1
    assert at > (6 if interrupted is at_a_step else 14)
