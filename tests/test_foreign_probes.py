"""Probing other people's checkpoints: which weights, how many outputs, and what the result says of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import fails, run
from safetensors.torch import save_file
from torch import Tensor, nn

from landscape.models import build_model
from landscape.results import load_result

TASK = """
import torch
from torch import nn

def data():
    draws = torch.Generator().manual_seed(0)
    return torch.randn(24, 5, generator=draws), torch.arange(24) % 3

def net(classes=3):
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, classes))
"""
LINE = [
    "--kind",
    "line",
    "--x=-1:1:3",
    "--images",
    "24",
    "--device",
    "cpu",
    "--data",
    "task.py:data",
    "--out",
    "line.h5",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.py").write_text(TASK)
    return tmp_path


def network(seed: int, classes: int = 3) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, classes))


def samples() -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(24, 5, generator=draws), torch.arange(24) % 3


def loss_of(module: nn.Module) -> float:
    inputs, labels = samples()
    return nn.functional.cross_entropy(module(inputs), labels).item()


class Probe:
    """The command, what it said, and what it measured."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys, self.said = capsys, ""

    def loss(self, *options: str, model: str = "task.py:net") -> float:
        self.line(*options, model=model)
        return float(load_result("line.h5")["checkpoint_loss"])

    def line(self, *options: str, model: str = "task.py:net") -> np.ndarray:
        Path("line.h5").unlink(missing_ok=True)
        finished = run(self.capsys, "probe", *LINE, "--model", model, *options)
        self.said = " ".join(finished.err.split())
        assert finished.status == 0, self.said
        return load_result("line.h5")["loss"].values.ravel()


@pytest.fixture
def probe(here: Path, capsys: pytest.CaptureFixture[str]) -> Probe:
    return Probe(capsys)


def test_the_key_says_which_weights_are_probed_and_the_result_says_it_too(
    probe: Probe,
) -> None:
    plain, average = network(0), network(1)
    torch.save({"model": plain.state_dict(), "ema": {"shadow": average.state_dict()}}, "both.pth")
    assert probe.loss("--checkpoint", "both.pth") == pytest.approx(loss_of(plain), rel=1e-6)
    assert "both.pth: The weights are those under 'model'" in probe.said
    assert "--checkpoint-key ema.shadow takes those" in probe.said
    assert load_result("line.h5").attrs["checkpoint_key"] == "model"
    assert "ema.shadow" in load_result("line.h5").attrs["checkpoint_note"]
    assert probe.loss("both.pth", "--checkpoint-key", "ema.shadow") == pytest.approx(loss_of(average), rel=1e-6)
    made = load_result("line.h5").attrs
    assert made["checkpoint_key"] == "ema.shadow"
    assert "checkpoint_note" not in made


def test_a_line_leads_from_the_plain_weights_to_their_average_in_one_file(probe: Probe) -> None:
    plain, average = network(0), network(1)
    torch.save(
        {"model": plain.state_dict(), "ema": {f"module.{k}": v for k, v in average.state_dict().items()}}, "both.pth"
    )
    loss = probe.line("--x=0:1:3", "both.pth", "--to", "both.pth", "--to-key", "ema")
    assert loss[0] == pytest.approx(loss_of(plain), rel=1e-5)
    assert loss[-1] == pytest.approx(loss_of(average), rel=1e-5)


def test_the_key_is_that_of_the_other_checkpoints_too_and_prefixes_of_each_are_found(probe: Probe) -> None:
    first, second = network(0), network(1)
    torch.save({"x": first.state_dict(), "y": second.state_dict()}, "a.pth")
    torch.save({"x": {f"net.{k}": v for k, v in second.state_dict().items()}, "y": first.state_dict()}, "b.pth")
    loss = probe.line("--x=0:1:3", "a.pth", "--to", "b.pth", "--checkpoint-key", "x")
    assert loss[[0, -1]] == pytest.approx([loss_of(first), loss_of(second)], rel=1e-5)


def test_outputs_are_counted_by_the_checkpoints_shapes_where_the_labels_go_less_far(
    probe: Probe,
) -> None:
    wide = network(0, classes=7)
    torch.save({"state_dict": {f"model.{k}": v for k, v in wide.state_dict().items()}}, "wide.ckpt")
    assert probe.loss("--checkpoint", "wide.ckpt") == pytest.approx(loss_of(wide), rel=1e-6)
    assert "has 7 outputs, more than the 3 classes" in probe.said
    assert json.loads(load_result("line.h5").attrs["model_options"]) == {"classes": 7}
    mlp = build_model("mlp", seed=0, inputs=5, hidden=4, classes=11)
    torch.save(mlp.state_dict(), "mlp.pt")
    options = ("--model-option", "inputs=5", "--model-option", "hidden=4")
    assert probe.loss("--checkpoint", "mlp.pt", *options, model="mlp") == pytest.approx(loss_of(mlp), rel=1e-6)


def test_fewer_outputs_than_labels_and_classes_that_the_user_says_are_a_misfit(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(network(0, classes=2).state_dict(), "narrow.pt")
    torch.save(network(0, classes=7).state_dict(), "wide.pt")
    start = ["probe", *LINE, "--model", "task.py:net"]
    fails(capsys, *start, "narrow.pt", status=1, says="(2, 4) in the file, (3, 4) in the model")
    fails(
        capsys,
        *start,
        "wide.pt",
        "--model-option",
        "classes=3",
        status=1,
        says="(7, 4) in the file, (3, 4) in the model",
    )


def test_a_folder_of_hugging_face_is_probed_like_a_file(probe: Probe) -> None:
    Path("hub").mkdir()
    save_file({f"backbone.{k}": v for k, v in network(4).state_dict().items()}, "hub/model.safetensors")
    assert probe.loss("hub") == pytest.approx(loss_of(network(4)), rel=1e-6)
    assert load_result("line.h5").attrs["checkpoint"] == "hub"
    assert probe.loss("--checkpoint", "hub") == pytest.approx(loss_of(network(4)), rel=1e-6)
