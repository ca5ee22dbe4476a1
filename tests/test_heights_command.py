"""What Python measures beside the loss, and how often a loss that draws is asked, from the command line and in studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Finished, fails, run

import landscape as ls
from landscape.errors import InputError
from landscape.probes.settings import probe_settings
from landscape.references import resolve_reference

OWN = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))

def data():
    inputs = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()

def margin(outputs, targets):
    return 10 + outputs.gather(1, targets[:, None])[:, 0]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.py"
    path.write_text(OWN)
    torch.save(resolve_reference("model", f"{path}:net")().state_dict(), tmp_path / "net.pt")
    return path


def probe(capsys: pytest.CaptureFixture[str], own: Path, *options: str, kind: str = "plane") -> Finished:
    parts = ["--checkpoint", "net.pt", "--model", f"{own}:net", "--data", f"{own}:data", "--device", "cpu"]
    return run(capsys, "probe", kind, *parts, "--images", "40", "--out", f"{kind}.h5", *options)


def objective(own: Path, **options: Any) -> ls.Objective:
    net, data, margin = (resolve_reference("own", f"{own}:{name}") for name in ("net", "data", "margin"))
    return ls.Objective(net(), "cross_entropy", data(), metrics={"margin": margin}, device="cpu", **options)


def test_metrics_draws_and_the_height_that_refines_are_those_of_python(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--metrics", f"margin={own}:margin", "--draws", "3", "--draw-seed", "5", "--mode", "train"]
    grid = ["--x=-1:1:25", "--y=-1:1:25", "--quantity", "margin", "--max-points", "180"]
    made = probe(capsys, own, *asked, *grid)
    assert made.status == 0, made.err
    plane = ls.load("plane.h5")
    found = objective(own, draws=3, draw_seed=5, mode="train").evaluate()
    assert plane["checkpoint_margin"].item() == pytest.approx(found.heights["margin"].value, rel=1e-6)
    assert plane["checkpoint_loss"].item() == pytest.approx(found.loss, rel=1e-6)
    assert plane["checkpoint_loss_draw_error"].item() == pytest.approx(found.draw_error, rel=1e-5)
    assert plane.attrs["draws"] == 3 and plane.attrs["refined_by"] == "margin"
    assert int((plane["status"] == 1).sum()) < 625
    assert "Already complete" in probe(capsys, own, *asked, *grid).out
    own.write_text(OWN.replace("10 +", "11 +"))
    again = probe(capsys, own, *asked, *grid)
    assert again.status == 1 and "margin at the checkpoint was 10." in again.err
    other = probe(capsys, own, *asked[:-2], *grid)
    assert other.status == 1 and "mode" in other.err


def test_the_radius_of_a_basin_is_that_of_a_metric(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--metrics", f"margin={own}:margin", "--metric", "margin", "--draws", "3", "--worst", "none"]
    made = probe(capsys, own, *asked, "--better", "higher", kind="basin-radius")
    assert made.status == 0, made.err
    config = ls.BasinRadiusConfig("margin", better="higher", draws=3, worst=("none",))
    expected = ls.basin_radius(objective(own), config)
    np.testing.assert_allclose(ls.load("basin-radius.h5")["radius"], expected["radius"], rtol=1e-5)
    assert (
        "Say better='higher'" in probe(capsys, own, *asked, "--share", "0.2", "--out", "b.h5", kind="basin-radius").err
    )


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--draw-seed", "1"], 2, "draw_seed: is of draws"),
        (["--draws", "0"], 2, "draws"),
        (["--mode", "training"], 2, "mode"),
        (["--quantity", "accuracy", "--x=-1:1:5", "--y=-1:1:5"], 2, "says where an adaptive plane is measured"),
        (["--quantity", "f1", "--adaptive", "--x=-1:1:5", "--y=-1:1:5"], 2, "unknown value 'f1'"),
        (["--metrics", "own.py:margin"], 2, "expected KEY=VALUE"),
        (["--metrics", "margin=own.py:marign", "--x=-1:1:5"], 2, "Did you mean 'margin'"),
        (["--metrics", "loss=own.py:margin", "--x=-1:1:5"], 2, "'loss' is no usable name"),
    ],
)
def test_what_has_no_effect_or_is_not_there_is_refused(
    own: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, says: str
) -> None:
    parts = ["--checkpoint", "net.pt", "--model", "own.py:net", "--data", "own.py:data", "--device", "cpu"]
    fails(capsys, "probe", *parts, *options, status=status, says=says)


def test_studies_have_the_same_keys_and_what_is_not_asked_for_identifies_nothing() -> None:
    made = probe_settings({"kind": "plane", "metrics": {"f1": "own.py:f1"}, "draws": 4, "quantity": "f1"})
    assert made.identity()["metrics"] == {"f1": "own.py:f1"} and made.identity()["draws"] == 4
    assert not {"metrics", "draws", "draw_seed", "mode", "quantity"} & set(probe_settings({"kind": "plane"}).identity())
    with pytest.raises(InputError, match="quantity: is no setting of kind 'sharpness'"):
        probe_settings({"kind": "sharpness", "quantity": "f1"})
