"""Every line of bad input gets one clear message, the right exit status, and loses nothing."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
import xarray as xr
from commands import PROBE, TRAIN, fails, process, run
from landscape_cli.main import main

from landscape.results import ResultFile


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*TRAIN, "--out", "run"])
        main(["probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "plane.h5"])
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, to damage at will."""
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran-code",)


def damage(kind: str) -> None:
    whole = Path("run/last.pt").read_bytes()
    contents = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "text": b"hello\n",
        "pickle": pickle.dumps(Payload()),
    }
    if kind == "archive":
        torch.save({"state_dict": Payload()}, "bad.pt")
    elif kind != "missing":
        Path("bad.pt").write_bytes(contents[kind])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "bad.pt"),
        ("empty", "empty"),
        ("truncated", "bad.pt"),
        ("text", "bad.pt"),
        ("pickle", "refused"),
        ("archive", "refused"),
    ],
)
@pytest.mark.parametrize("command", ["probe", "info"])
def test_an_unusable_checkpoint_is_named_and_no_code_in_it_is_run(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, kind: str, says: str
) -> None:
    damage(kind)
    arguments = ["probe", "--checkpoint", "bad.pt", "--model", "vgg08"] if command == "probe" else ["info", "bad.pt"]
    fails(capsys, *arguments, status=1, says=says)
    assert not Path("ran-code").exists()


def test_a_checkpoint_of_another_architecture_names_keys_and_shapes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["probe", "--checkpoint", "run/last.pt", "--model", "vgg14", "--norm", "batch"]
    finished = fails(capsys, *arguments, status=1, says="missing")
    assert ".weight" in finished.err


@pytest.mark.parametrize("command", [["plot", "bad.h5"], ["info", "bad.h5"]])
@pytest.mark.parametrize("kind", ["cut", "text", "empty", "missing"])
def test_a_damaged_result_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str], kind: str
) -> None:
    whole = Path("plane.h5").read_bytes()
    if kind != "missing":
        Path("bad.h5").write_bytes({"cut": whole[: len(whole) // 2], "text": b"not hdf5 at all\n", "empty": b""}[kind])
    fails(capsys, *command, status=1, says="bad.h5")


def test_a_damaged_result_is_not_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.h5").write_bytes(b"something else")
    fails(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "bad.h5", status=1, says="bad.h5")
    assert Path("bad.h5").read_bytes() == b"something else"


def test_resuming_a_probe_with_other_settings_names_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("plane.h5").read_bytes()
    other = ["--x=-1:1:3", "--y=-1:1:3", "--images", "30", "--device", "cpu", "--out", "plane.h5"]
    fails(capsys, "probe", "--checkpoint", "run/last.pt", *other, status=1, says="images: 20 stored, 30 asked")
    assert Path("plane.h5").read_bytes() == before


def test_resuming_a_training_with_other_settings_names_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("run/last.pt").read_bytes()
    fails(capsys, *TRAIN, "--learning-rate", "0.5", "--out", "run", status=1, says="learning_rate")
    assert Path("run/last.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("held", "arguments"),
    [
        ("plane.h5", ["probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "plane.h5"]),
        ("run/history.h5", [*TRAIN, "--out", "run"]),
    ],
)
def test_a_second_process_on_the_same_file_is_turned_away(
    here: Path, capsys: pytest.CaptureFixture[str], held: str, arguments: list[str]
) -> None:
    with ResultFile(held, {}):
        fails(capsys, *arguments, status=1, says="another process")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--model", "vgg8"], "vgg08"),
        (["train", "--model", "vgg39"], "vgg38"),
        (["train", "--model", "torchvision:resnt18"], "resnet18"),
        (["train", "--data", "fashion-mnist-10"], "Did you mean 'fashion-mnist-10k'"),
        (["train", "--model", "vgg08", "--norm", "bacth"], "Did you mean 'batch'"),
        (["train", "--optimizer", "adm"], "Did you mean 'adam'"),
        (["train", "--model", "nowhere.py:net"], "nowhere.py"),
        (["train", "--batch-size", "0"], "batch_size"),
        (["train", "--learning-rate", "-1"], "learning_rate"),
        (["train", "--epochs", "0"], "epochs"),
        (["train", "--epochs", "many"], "epochs"),
        (["train", "--device", "cuda:99"], "device"),
        (["train", "--data", "cifar100", "--data-root", "nowhere"], "download"),
        (["train", "--model-option", "classes"], "KEY=VALUE"),
        (["probe", "--checkpoint", "run/last.pt", "--batch-norm", "frozn"], "Did you mean 'frozen'"),
        (["probe", "--checkpoint", "run/last.pt", "--batch-norm", "interpolated"], "frozen or reestimated"),
        (["probe", "--checkpoint", "run/last.pt", "--x", "1:2"], "start:stop:count"),
        (["probe", "--checkpoint", "run/last.pt", "--x", "1:-1:5"], "start < stop"),
        (["probe", "--checkpoint", "run/last.pt", "--seeds", "0,zero"], "whole numbers"),
        (["probe", "--checkpoint", "run/last.pt", "--seeds", "0,0"], "not a second sample"),
        (["probe", "--checkpoint", "run/last.pt", "--kind", "plain"], "Did you mean 'plane'"),
        (["probe", "--checkpoint", "run/last.pt", "--kind", "line", "--y=-1:1:3"], "--y: is no setting of kind 'line'"),
        (["probe", "--checkpoint", "run/last.pt", "--to", "run/best.pt"], "leads to 2 more"),
        (["probe", "--checkpoint", "run/last.pt", "--images", "0"], "images"),
        (["probe", "--checkpoint", "run/last.pt", "--norm", "batch"], "belongs to --model"),
        (["probe"], "--checkpoint"),
        (["plot", "plane.h5", "--kind", "pie"], "contour"),
        (["plot", "plane.h5", "--out", "plane.bmp"], "png"),
        (["plot", "plane.h5", "run/history.h5"], ""),
        (["study", "quik"], "Bundled: quick"),
        (["trian"], "Did you mean 'train'"),
    ],
)
def test_a_wrong_choice_is_a_usage_error_that_says_what_exists(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    fails(capsys, *arguments, status=2, says=says)


def test_labels_outside_the_models_classes_are_refused_before_training(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("wrong.py").write_text(
        "import torch\ndef data():\n    return torch.zeros(8, 3, 32, 32), torch.arange(8) * 3\n"
    )
    arguments = ["train", "--model", "vgg08", "--model-option", "classes=10", "--data", "wrong.py:data"]
    fails(capsys, *arguments, "--epochs", "1", status=2, says="labels from 0 to 21")


def test_a_full_disk_keeps_the_last_complete_file(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    arguments = [
        "probe",
        "--checkpoint",
        "run/last.pt",
        "--x=-1:1:3",
        "--y=-1:1:3",
        "--images",
        "20",
        "--device",
        "cpu",
    ]
    assert run(capsys, *arguments, "--out", "other.h5").status == 0
    monkeypatch.setattr(os, "fsync", full)
    fails(capsys, *arguments, "--out", "new.h5", status=1, says="full")
    fails(capsys, *TRAIN, "--out", "new-run", status=1, says="full")
    fails(capsys, "plot", "plane.h5", "--out", "new.png", status=1, says="full")
    assert not list(here.glob("**/*new.h5*tmp*"))
    assert not Path("new.h5").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [*TRAIN, "--out", "plane.h5/run"],
        ["probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "plane.h5/plane.h5"],
        ["plot", "plane.h5", "--out", "plane.h5/plane.png"],
    ],
)
def test_a_folder_that_cannot_be_written_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    fails(capsys, *arguments, status=1, says="plane.h5/")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143)])  # Ctrl-C: tests/test_stopping.py
def test_an_interrupted_probe_keeps_its_points_and_says_how_to_go_on(
    here: Path, number: signal.Signals, status: int
) -> None:
    arguments = ["probe", "--checkpoint", "run/last.pt", "--x=-1:1:101", "--y=-1:1:101", "--images", "20"]
    arguments.append("--full")  # an adaptive one interpolates for seconds between two of its rounds
    running = process(*arguments, "--save-every", "0.2", "--out", "stopped.h5", cwd=here)
    deadline = time.monotonic() + 240  # where the machine is busy
    while not (here / "stopped.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == status, err
    assert "To go on: landscape probe --checkpoint run/last.pt" in err
    assert "Traceback" not in err
    with xr.open_dataset(here / "stopped.h5") as partial:
        assert 0 < int((partial["status"] == 1).sum()) < 101 * 101


def test_debug_shows_the_traceback(here: Path) -> None:
    shown = process("--debug", "train", "--batch-size", "0", cwd=here).communicate(timeout=60)[1]
    assert "Traceback" in shown
