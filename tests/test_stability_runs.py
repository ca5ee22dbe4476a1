"""The edge of stability of a run: watched without changing it, kept in its folder, and resumed with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import xarray as xr
from commands import fails, run
from samefiles import uncreated
from test_sweeps import here, tiny

from landscape.comparison import compare
from landscape.errors import InputError
from landscape.places import Places
from landscape.results import load_checkpoint, load_result
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import train_run
from landscape.studies.settings import load_study
from landscape.training import Observer

__all__ = ["here"]  # a fixture

SETTINGS = {"stability_every": 2, "epochs": 4, "learning_rate": 1e-2}


class StopAfterTwo(Observer):
    def on_epoch(self, report: object) -> None:
        if report.epoch == 2:  # type: ignore[attr-defined]
            raise KeyboardInterrupt


class Stopping:
    """A reporter whose training observer stops it after the second epoch."""

    def message(self, text: str) -> None: ...

    def progress(self, task: str, done: int, total: int, unit: str = "points") -> None: ...

    def training_observers(self, task: str) -> tuple[Observer, ...]:
        return (StopAfterTwo(),)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "last.pt").state["model"]


def test_watching_the_edge_of_stability_changes_no_weight(here: Path) -> None:
    plain = train_run(run_settings(tiny(epochs=4, learning_rate=1e-2)), Places(device="cpu"))
    watched = train_run(run_settings(tiny(**SETTINGS)), Places(device="cpu"))
    own, other = weights(watched.folder), weights(plain.folder)
    assert all(torch.equal(tensor, other[name]) for name, tensor in own.items())
    assert plain.folder != watched.folder
    found = load_result(watched.folder / "stability.h5")
    assert found["step"].values.tolist() == [0, 2, 4, 6, 8, 10]
    assert found.attrs["rule"].startswith("Adam")
    assert found.attrs["status"] == "complete"
    assert (found["converged"] == 1).all()
    assert watched.folder / "stability.h5" in watched.files
    assert not (plain.folder / "stability.h5").exists()


def test_a_stopped_run_goes_on_with_the_steps_it_has(here: Path) -> None:
    settings = run_settings(tiny(**SETTINGS))
    whole = train_run(settings, Places(device="cpu"), folder=here / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(settings, Places(device="cpu", reporter=Stopping()), folder=here / "part")
    first = load_result(here / "part/stability.h5")
    assert first["step"].values.tolist() == [0, 2, 4]
    train_run(settings, Places(device="cpu"), folder=here / "part")
    resumed, uninterrupted = (load_result(folder / "stability.h5") for folder in (here / "part", whole.folder))
    xr.testing.assert_identical(uncreated(resumed), uncreated(uninterrupted))


def test_the_command_watches_and_draws_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--model", "tiny.py:net", "--data", "tiny.py:data", "--epochs", "1", "--device", "cpu"]
    assert run(capsys, *command, "--stability-every", "1", "--out", "run").status == 0
    finished = run(capsys, "plot", "run", "--kind", "stability")
    assert finished.out.split() == ["run/stability.png"]
    assert run(capsys, *command, "--out", "other").status == 0
    fails(capsys, "plot", "other", "--kind", "stability", status=2, says="Train with --stability-every")
    fails(capsys, *command, "--stability-every", "0", status=2, says="stability_every")


def test_a_study_watches_and_draws_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("edge.toml").write_text(
        '[[runs]]\nmodel = "tiny.py:net"\ndata = "tiny.py:data"\nepochs = 1\nbatch_size = 20\nstability_every = 1\n'
        '[[pictures]]\nkind = "stability"\nformats = ["svg"]\n'
    )
    assert load_study("edge.toml").runs[0].stability_every == 1
    assert run(capsys, "study", "edge.toml", "--device", "cpu").status == 0
    assert "edge-of-stability" in Path("outputs/edge/stability.svg").read_text("utf-8")


def test_runs_that_were_watched_are_compared_as_those_that_were_not(here: Path) -> None:
    folders = [
        train_run(run_settings(tiny(batch_size=size, seed=seed, **watched)), Places(device="cpu")).folder
        for size, watched in ((20, {}), (30, {"stability_every": 1}))
        for seed in (0, 1)
    ]
    found = compare(folders, by="batch_size")
    assert found.left_out == ()
    assert len(found.settings) == 2


def test_an_interval_below_one_step_is_refused() -> None:
    with pytest.raises(InputError, match="stability_every"):
        run_settings({"stability_every": 0})
