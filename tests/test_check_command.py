"""landscape check and check_result: what is wrong with a file or a network is said, by the exit status too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from commands import fails, run
from torch import nn

import landscape as ls
from landscape.testing import Report, check_checkpoint, check_result

TASK = """import torch
from torch import nn
F = nn.functional

def net(): return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

def data():
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

def loss(outputs, targets): return F.cross_entropy(outputs, targets, reduction="none")

def detached(outputs, targets): return loss(outputs + outputs.detach() ** 2, targets)
"""
NETWORK = ["--checkpoint", "net.pt", "--model", "task.py:net", "--data", "task.py:data", "--device", "cpu"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data and loss of one's own, and weights that fit them."""
    monkeypatch.chdir(tmp_path)
    Path("task.py").write_text(TASK)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    torch.save({name: 1.5 * tensor for name, tensor in net.state_dict().items()}, "net.pt")
    return tmp_path


@pytest.fixture(scope="module")
def plane() -> xr.Dataset:
    """A measured plane of two seeds."""
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    objective = ls.Objective(net, "cross_entropy", (x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()), device="cpu")
    return ls.plane(objective, seeds=[0, 1], x=(-3, 3, 5), y=(-3, 3, 5))


def told(report: Report, name: str, ok: bool | None, *words: str) -> None:
    finding = report[name]
    assert finding.ok is ok, str(report)
    for word in words:
        assert word in finding.sentence, finding.sentence


def test_a_network_with_its_data_and_loss_is_checked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    healthy = run(capsys, "check", *NETWORK, "--loss", "task.py:loss", "--images", "50")
    assert healthy.status == 0, healthy.out
    assert "50 samples" in healthy.out
    assert max(map(len, healthy.out.splitlines())) <= 80
    broken = run(capsys, "check", *NETWORK, "--loss", "task.py:detached")
    assert broken.status == 1
    assert "WRONG  gradient" in broken.out


def test_a_checkpoint_of_another_model_is_a_finding(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.Linear(4, 4).state_dict(), "net.pt")
    finished = run(capsys, "check", *NETWORK)
    assert finished.status == 1
    assert "does not fit the model" in " ".join(finished.out.split())


def test_options_that_cannot_be_used_are_usage_errors(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "check", status=2, says="Give FILES")
    fails(capsys, "check", "net.pt", "--model", "task.py:net", status=2, says="--model: belongs to --checkpoint")
    fails(capsys, "check", *NETWORK, "--precision", "fp8", status=2, says="fp8")
    fails(capsys, "check", *NETWORK, "--loss", "task.py:los", status=2, says="los")


def test_help_shows_two_commands_that_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "check", "--help").out
    assert shown.count("landscape check ") >= 2
    assert "landscape check --checkpoint net.pt" in shown


def test_files_of_every_sort_are_checked_together(
    here: Path, plane: xr.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    ls.save(plane, "plane.h5")
    assert run(capsys, "check", "plane.h5", "net.pt").status == 0
    Path("broken.h5").write_bytes(Path("plane.h5").read_bytes()[:3000])
    finished = run(capsys, "check", "plane.h5", "broken.h5", "absent.h5")
    assert finished.status == 1
    assert finished.out.count("WRONG") == 2
    assert "No such file" in finished.out


def test_whether_a_file_is_as_it_was_written_is_said(here: Path, plane: xr.Dataset) -> None:
    ls.save(plane, "plane.h5")
    told(check_result("plane.h5"), "file", True, "as it was written")
    ls.load("plane.h5").to_netcdf("copied.h5", engine="h5netcdf")
    told(check_result("copied.h5"), "file", None, "no digest")
    changed = bytearray(Path("plane.h5").read_bytes())
    changed[len(changed) // 2] ^= 1
    Path("plane.h5").write_bytes(changed)
    told(check_result("plane.h5"), "file", False, "digest")


def test_no_code_that_only_a_checkpoint_names_is_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.py").write_text("import pathlib\npathlib.Path('mark').touch()\ndef loss(outputs, targets): ...\n")
    ls.save_checkpoint("own.pt", state={"model": torch.load("net.pt"), "epoch": 1}, loss="other.py:loss")
    refused = run(capsys, "check", "--checkpoint", "own.pt", *NETWORK[2:])
    assert refused.status == 2
    assert "--trust" in refused.err
    assert run(capsys, "check", "own.pt").status == 0
    assert not Path("mark").exists()


def test_which_weights_of_several_are_meant_can_be_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load("net.pt")
    torch.save({"one": state, "other": {name: 2 * tensor for name, tensor in state.items()}}, "net.pt")
    assert "--checkpoint-key" in run(capsys, "check", *NETWORK).out
    assert run(capsys, "check", *NETWORK, "--checkpoint-key", "other").status == 0


def test_a_run_is_checked_by_its_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("net.pt").rename("run/last.pt")
    finished = run(capsys, "check", "run")
    assert finished.status == 0
    assert finished.out.startswith("run/last.pt")


def test_results_are_checked_without_importing_torch(here: Path, plane: xr.Dataset) -> None:
    import subprocess
    import sys

    ls.save(plane, "plane.h5")
    code = "import sys; from landscape.testing import check_file; check_file('plane.h5'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_measured_plane_is_all_right(plane: xr.Dataset) -> None:
    report = check_result(plane)
    assert report.ok, str(report)
    for name in ("complete", "origin", "finite", "alive", "seeds", "BatchNorm", "provenance", "labels"):
        told(report, name, True)


def test_an_origin_that_is_not_the_checkpoint_is_found(plane: xr.Dataset) -> None:
    told(check_result(plane.assign(checkpoint_loss=plane["checkpoint_loss"] * 1.001)), "origin", False, "two networks")
    even = plane.isel(x=[0, 1, 3, 4])
    told(check_result(even), "origin", None, "no point of the grid")


def test_what_is_missing_or_not_finite_is_counted(plane: xr.Dataset) -> None:
    hole = plane.copy(deep=True)
    hole["status"][0, 0, :] = 0
    told(check_result(hole), "complete", False, "5 of 50")
    told(check_result(plane.assign_attrs(complete=0)), "complete", False, "goes on where it stopped")
    some = plane.copy(deep=True)
    some["loss"][0, 0, 0] = np.inf
    told(check_result(some), "finite", None, "1 of 50")
    told(check_result(plane.assign(loss=plane["loss"] * np.nan)), "finite", False, "50 of 50")
    told(check_result(plane.assign(checkpoint_loss=plane["checkpoint_loss"] * np.nan)), "finite", False)


def test_doubts_about_a_picture_are_said(plane: xr.Dataset) -> None:
    told(check_result(plane.isel(seed=[0])), "seeds", None, "--seeds 0,1,2")
    told(check_result(plane.assign_attrs(dead=1, dead_reason="loss of guessing")), "alive", False, "loss of guessing")
    told(check_result(plane.assign_attrs(bn_policy=None)), "BatchNorm", False)
    told(check_result(plane.assign_attrs(picture_error=np.nan, tolerance=0.01)), "interpolated", None, "--max-points")
    unsure = plane.assign(loss_standard_error=0 * plane["loss"] + 10)
    told(check_result(unsure), "samples", None, "--images")
    flat = plane.assign(loss=0 * plane["loss"] + 1, checkpoint_loss=plane["checkpoint_loss"] * 0 + 1)
    told(check_result(flat), "range", False, "do not reach")


def test_words_of_a_file_cannot_speak_to_the_terminal(plane: xr.Dataset) -> None:
    said = str(check_result(plane.assign_attrs(dead=1, dead_reason="\x1b[31mred\x07\x9b")))
    assert "red" in said
    assert all(letter.isprintable() or letter == "\n" for letter in said)


def test_a_result_that_lacks_what_its_kind_has_is_found(plane: xr.Dataset) -> None:
    del (bare := plane.copy())["loss"].attrs["units"]
    assert not check_result(bare).ok


def test_weights_and_statistics_of_a_checkpoint_are_looked_at(here: Path) -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2))
    torch.save(net.state_dict(), "fresh.pt")
    report = check_checkpoint("fresh.pt")
    told(report, "BatchNorm", False, "1 of 1", "reestimated")
    told(report, "trained", None, "load_state_dict")
    net[1].running_mean.fill_(0.3)
    net[1].num_batches_tracked.fill_(6)
    with torch.no_grad():
        net[2].weight[0, 0] = float("nan")
    torch.save(net.state_dict(), "young.pt")
    report = check_checkpoint("young.pt")
    told(report, "BatchNorm", None, "6 batches", "53 %")
    told(report, "finite weights", False, "2.weight")
