"""A file says in a few lines what is in it, and every number in them is the file's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from landscape.errors import CheckpointError, ResultFileError
from landscape.results import describe, load_checkpoint, save_checkpoint, save_result


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def saved(dataset: xr.Dataset, path: Path) -> str:
    save_result(dataset, path)
    return describe(path)


def plane(**attributes: Any) -> xr.Dataset:
    loss = np.arange(30, dtype=float).reshape(2, 3, 5) + 1
    status = np.ones(loss.shape, np.int8)
    status[1, 2, 4] = 0
    loss[1, 2, 4], loss[0, 0, 0], loss[0, 0, 1] = np.nan, np.nan, np.inf
    return xr.Dataset(
        {
            "loss": (("seed", "y", "x"), loss, {"units": "nat"}),
            "loss_standard_error": (("seed", "y", "x"), np.full(loss.shape, 0.125)),
            "status": (("seed", "y", "x"), status),
            "direction_cosine": ("seed", [0.01234, -0.5]),
            "checkpoint_loss": ((), 8.0, {"units": "nat"}),
            "checkpoint_loss_standard_error": ((), 0.125),
            "checkpoint_accuracy": ((), 0.75),
        },
        coords={"seed": [3, 4], "x": np.linspace(-1, 1, 5), "y": np.linspace(-2, 2, 3)},
        attrs={
            "kind": "plane",
            "model": "vgg38",
            "norm": "batch",
            "checkpoint": "last",
            "checkpoint_hash": "00ff",
            "data": "cifar10/train",
            "n_samples": 500,
            "index_hash": "abcd",
            "bn_policy": "frozen",
            "precision": "fp32",
            "directions": "random",
            "normalization": "filter",
            "range_note": "range as given",
            "landscape_version": "9.9",
            **attributes,
        },
    )


def test_a_surface_tells_its_grid_its_losses_and_how_it_was_made(tmp_path: Path) -> None:
    lines = saved(plane(), tmp_path / "a.h5").splitlines()
    assert lines[0] == f"{tmp_path / 'a.h5'}: loss surface, incomplete (1 point missing)"
    text = "\n".join(lines)
    for words in (
        "grid: x -1 … 1 in 5, y -2 … 2 in 3; direction seeds: 3, 4",
        "29 of 30 points measured",
        "loss at the checkpoint 8 ± 0.12 nat over 500 images, accuracy 0.7500",
        "loss on the grid 3 to 29 nat, lowest at x = 0, y = -2, seed 3",
        "directions: random, normalisation filter; cosine of x and y: 0.0123 (seed 3), -0.5000 (seed 4)",
        "2 points with values that are NaN or infinite; they are kept as they are.",
        "model vgg38, norm batch, checkpoint last (00ff)",
        "data cifar10/train, 500 samples (index hash abcd)",
        "BatchNorm frozen, precision fp32",
        "range as given",
        "made by landscape 9.9",
    ):
        assert words in text
    assert "dead" not in text.lower()
    assert "origin" not in text  # the checkpoint's own loss stands there
    assert len(lines) <= 13


def test_a_dead_network_is_warned_of(tmp_path: Path) -> None:
    text = saved(plane(dead=1, dead_reason="loss ln 10 and no gradient"), tmp_path / "a.h5")
    assert "Dead network: loss ln 10 and no gradient. Its flat surface says nothing about smoothness." in text


def test_a_surface_without_finite_losses_or_origin_is_still_described(tmp_path: Path) -> None:
    dataset = (
        plane().isel(seed=[0], x=[0], y=[0]).drop_vars(["loss_standard_error", "checkpoint_loss", "direction_cosine"])
    )
    text = saved(dataset, tmp_path / "a.h5")
    assert "loss surface, complete" in text
    assert "1 point with values that are NaN or infinite" in text
    assert "origin" not in text
    assert "loss on the grid" not in text


def test_a_loss_at_the_origin_that_is_not_the_checkpoints_is_told_beside_it(tmp_path: Path) -> None:
    dataset = plane()
    dataset["checkpoint_loss"][...] = 7.5
    text = saved(dataset, tmp_path / "a.h5")
    assert "loss at the checkpoint 7.5 ± 0.12 nat" in text
    assert "loss at the origin 8 ± 0.12 nat" in text


def test_a_history_tells_its_last_and_best_epoch(tmp_path: Path) -> None:
    history = xr.Dataset(
        {
            "train_loss": ("epoch", [2.0, 1.0, 0.5]),
            "validation_accuracy": ("epoch", [0.25, 0.75, 0.5]),
            "test_accuracy": ((), 0.625),
        },
        coords={"epoch": [1, 2, 3]},
        attrs={"kind": "history", "status": "diverged", "model": "vgg08"},
    )
    text = saved(history, tmp_path / "h.h5")
    assert text.splitlines()[0].endswith("training history, diverged")
    assert "3 epochs; at the last: train loss 0.5, validation accuracy 0.5, test accuracy 0.625" in text
    assert "best validation accuracy: 0.7500 at epoch 2" in text


def test_a_result_of_another_kind_lists_its_quantities(tmp_path: Path) -> None:
    other = xr.Dataset({"density": ("eigenvalue", [1.0, 2.0])}, attrs={"kind": "spectrum"})
    text = saved(other, tmp_path / "a.h5")
    assert "kind 'spectrum'" in text
    assert "quantities: density" in text
    assert "sizes: eigenvalue 2" in text


def test_a_checkpoint_tells_its_model_data_size_and_metrics(tmp_path: Path) -> None:
    module, path = network(), tmp_path / "last.pt"
    state = {"model": module.state_dict(), "epoch": 2, "history": [{"train_loss": 9.0}, {"train_loss": 1.5, "n": 2}]}
    model, data = {"name": "vgg08", "options": {"norm": "batch"}}, {"name": "cifar10", "options": {}}
    save_checkpoint(path, state=state, model=model, data=data, training={"epochs": 5, "learning_rate": 0.001})
    text = describe(path)
    entries = sum(p.numel() for p in module.parameters())
    for words in (
        f"{path}: checkpoint\n",
        "model: vgg08 (norm batch)",
        "data: cifar10\n",
        f"weights: 6 tensors of {entries} parameters, and 3 of running statistics",
        load_checkpoint(path).weights_hash(),
        "trained: 2 of 5 epochs, loss cross_entropy",
        "recipe: learning rate 0.001",
        "last metrics: train loss 1.5",
    ):
        assert words in text


def test_a_foreign_checkpoint_says_what_the_user_must_add(tmp_path: Path) -> None:
    torch.save({"state_dict": network().state_dict()}, tmp_path / "a.pth")
    text = describe(tmp_path / "a.pth")
    assert "checkpoint of another program" in text
    assert "--model" in text
    assert "--data" in text


def test_files_of_the_original_tool_are_recognised(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["xcoordinates"], file["train_loss"] = [0.0, 1.0, 2.0], [4.0, 2.0, -1.0]
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["xdirection/0"], file["xdirection/1"], file["ydirection/0"] = 1.0, 2.0, 3.0
    surface = describe(tmp_path / "s.h5")
    assert "surface in the original tool's layout" in surface
    assert "2 of 3 points measured" in surface
    assert "loss on the grid 2 to 4, lowest at x = 1" in surface
    assert "loss at the origin 4\n" in surface
    assert "xdirection of 2 tensors and ydirection of 1 tensors" in describe(tmp_path / "d.h5")


def test_files_that_hold_nothing_known_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("loss was 0.5")
    with pytest.raises(ResultFileError, match="no such file"):
        describe(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="is a folder"):
        describe(tmp_path)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        describe(tmp_path / "notes.txt")
    save_result(plane(), tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:2000])
    with pytest.raises(ResultFileError, match="cut short or damaged"):
        describe(tmp_path / "b.h5")


def test_reading_a_result_does_not_import_torch(tmp_path: Path) -> None:
    save_result(plane(), tmp_path / "a.h5")
    code = "import sys; from landscape.results import describe; describe(sys.argv[1]); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.h5")], check=True)
