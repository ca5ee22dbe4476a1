"""Killed at any instant and started again: the files end as those of a run that was never interrupted, value for value."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import torch
import xarray as xr
from commands import process

from landscape.store import load_checkpoint

# How often each command is killed; the slow test of the same does more.
KILLS = 3
TRAIN = [
    "train",
    "--model",
    "vgg08",
    "--train-images",
    "400",
    "--epochs",
    "6",
    "--checkpoint-every",
    "2",
    "--device",
    "cpu",
]
PROBE = ["probe", "--checkpoint", "whole/last.pt", "--x=-1:1:13", "--y=-1:1:13", "--seeds", "0,1", "--images", "60"]
PROBE += ["--save-every", "0.05", "--device", "cpu"]


def seconds_of(arguments: list[str], folder: Path, out: str) -> float:
    """Run to the end; how long that took from the moment at which work began."""
    running, begun = started(arguments, folder, out)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    return time.perf_counter() - begun


def started(arguments: list[str], folder: Path, out: str) -> tuple[subprocess.Popen[str], float]:
    """The command as a process that has taken its lock, and when that was seen."""
    target = folder / out
    lock = target / ".history.h5.lock" if not target.suffix else target.with_name(f".{target.name}.lock")
    lock.unlink(missing_ok=True)
    running = process(*arguments, "--out", out, cwd=folder)
    while not lock.exists() and running.poll() is None:
        time.sleep(0.01)
    return running, time.perf_counter()


def kill_until_done(arguments: list[str], folder: Path, out: str, whole: float) -> None:
    """Kill the command at random instants of its work, start it again each time, and let the last one end.

    Where it ends before its kill, what it made is thrown away and it starts from nothing.
    """
    draws, hits = random.Random(out), 0
    while hits < KILLS:
        running, _ = started(arguments, folder, out)
        try:
            running.communicate(timeout=draws.uniform(0.0, 0.8) * whole)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            hits += 1
        else:
            shutil.rmtree(folder / out) if (folder / out).is_dir() else (folder / out).unlink()
    seconds_of(arguments, folder, out)


def test_a_killed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    kill_until_done(TRAIN, tmp_path, "killed", whole=seconds_of(TRAIN, tmp_path, "whole"))
    for name in ("last.pt", "best.pt", "epoch-0002.pt", "epoch-0004.pt", "epoch-0006.pt"):
        a, b = load_checkpoint(tmp_path / "whole" / name), load_checkpoint(tmp_path / "killed" / name)
        assert a.weights_hash() == b.weights_hash()
        assert a.state is not None
        assert b.state is not None
        assert a.state["history"] == b.state["history"]
        assert same_tensors(a.state["optimizer"], b.state["optimizer"])
    with xr.open_dataset(tmp_path / "whole/history.h5") as a, xr.open_dataset(tmp_path / "killed/history.h5") as b:
        xr.testing.assert_identical(a, b)


def test_a_killed_probe_ends_with_the_same_values(tmp_path: Path) -> None:
    seconds_of(TRAIN, tmp_path, "whole")
    kill_until_done(PROBE, tmp_path, "killed.h5", whole=seconds_of(PROBE, tmp_path, "whole.h5"))
    with xr.open_dataset(tmp_path / "whole.h5") as a, xr.open_dataset(tmp_path / "killed.h5") as b:
        xr.testing.assert_identical(a, b)


def same_tensors(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_tensors(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same_tensors, a, b))
    return a == b


@pytest.mark.slow
def test_thirty_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_kills.KILLS", 30)
    for name, test in (
        ("train", test_a_killed_training_ends_with_the_same_bits),
        ("probe", test_a_killed_probe_ends_with_the_same_values),
    ):
        (tmp_path / name).mkdir()
        test(tmp_path / name)
