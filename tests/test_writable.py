"""Where a result cannot be written, nothing is measured, trained or drawn first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import render_samples
import torch
from commands import fails, run
from comparison_samples import history
from torch import nn

from landscape.errors import LockedError, ResultFileError
from landscape.results import ResultFile, atomic_write, check_result_path, check_writable, load_result, save_result

TASK = """
import pathlib
import torch
from torch import nn
def net(): return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
def data():
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()
def loss(outputs, targets):
    pathlib.Path("CALLED").touch()
    return nn.functional.cross_entropy(outputs, targets, reduction="none")
"""
OWN = ["--model", "task.py:net", "--data", "task.py:data", "--loss", "task.py:loss", "--device", "cpu"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with things that stand where a result should go; written as root nothing is forbidden."""
    monkeypatch.chdir(tmp_path)
    Path("task.py").write_text(TASK)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(net.state_dict(), "net.pt")
    Path("folder.h5").mkdir()
    Path("file").write_text("mine")
    Path("foreign.h5").write_text("mine")
    Path("loop.h5").symlink_to("loop.h5")
    os.mkfifo("pipe.h5")
    save_result(render_samples.plane(5, 5), "plane.h5")
    for seed in range(2):
        for size in (20, 30):
            save_result(history(1.0 + seed + size, seed=seed, batch_size=size), f"run{seed}{size}.h5")
    return tmp_path


# where to -> what is said of it
NOWHERE = {
    "folder.h5": "is a folder",
    "file/x.h5": "is a file, not a folder",
    "new/" + "x" * 253 + ".h5": "name is too long",
    "é" * 130 + ".h5": "name is too long",
    "a/" * 2100 + "x.h5": "name is too long",
    "pipe.h5": "is a device or a pipe",
    "loop.h5": "cannot be written",
}


@pytest.mark.parametrize("where", NOWHERE, ids=lambda path: path[-20:])
def test_every_command_refuses_before_it_works(where: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(map(str, Path().rglob("*")))
    stem = where.removesuffix(".h5")
    for command in (
        ["probe", "net.pt", *OWN, "--kind", "line", "--x=-1:1:3", "--images", "20", "--out", where],
        ["topology", "plane.h5", "--out", where],
        ["convert", "plane.h5", where, "--to", "original"],
        ["compare", *map(str, Path().glob("run*.h5")), "--by", "batch_size", "--out", where],
    ):
        fails(capsys, *command, status=1, says=NOWHERE[where])
    if "long" in NOWHERE[where] or "file," in NOWHERE[where]:
        fails(capsys, "plot", "plane.h5", "--out", "good.png", "--out", f"{stem}.png", status=1, says=NOWHERE[where])
        fails(capsys, "train", *OWN, "--epochs", "1", "--out", f"{stem}xxx", status=1, says=NOWHERE[where])
    assert sorted(map(str, Path().rglob("*"))) == before
    assert not Path("CALLED").exists()


@pytest.mark.parametrize("out", ["foreign.h5", "net.pt", "task.py"])
def test_what_is_no_result_is_not_replaced_and_nothing_is_measured_for_it(
    out: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(out).read_bytes()
    line = ["probe", "net.pt", *OWN, "--kind", "line", "--x=-1:1:3", "--images", "20"]
    fails(capsys, *line, "--out", out, status=1, says=out)
    assert Path(out).read_bytes() == before and not Path("CALLED").exists()


def test_no_result_replaces_what_it_is_made_from(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ["run020.h5", "run030.h5", "run120.h5", "run130.h5"]
    before = {name: Path(name).read_bytes() for name in ("plane.h5", *runs)}
    Path("link.h5").symlink_to("plane.h5")
    fails(capsys, "topology", "plane.h5", "--out", "./plane.h5", status=1, says="is what the result is made from")
    fails(capsys, "topology", "plane.h5", "--out", "link.h5", status=1, says="is what the result is made from")
    fails(
        capsys,
        "compare",
        *runs,
        "--by",
        "batch_size",
        "--out",
        runs[2],
        status=1,
        says="is what the result is made from",
    )
    assert {name: Path(name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", ["x" * 252 + ".h5", "é" * 125 + ".h5", "y" * 237 + ".h5", "z" * 100 + ".h5"])
def test_every_name_that_the_file_system_takes_can_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (tmp_path / name).unlink()
    check_writable(tmp_path / name)
    assert not list(tmp_path.iterdir())
    with ResultFile(tmp_path / name, {}) as file:
        file.save(render_samples.plane(3, 3))
        with pytest.raises(LockedError):
            save_result(render_samples.plane(3, 3), tmp_path / name)
    save_result(load_result(tmp_path / name), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [name]


def test_left_overs_of_a_long_name_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    one, other = (tmp_path / f"{'x' * 200}{letter}" for letter in "ab")
    atomic_write(one, b"1")
    seen: list[str] = []
    original = os.fsync

    def died(descriptor: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir() if path.name.endswith(".part"))
        original(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", died)
        atomic_write(one, b"2")
    [temporary] = set(seen)
    left = tmp_path / temporary.replace(f".{os.getpid()}-", ".999999999-")
    left.touch()
    atomic_write(other, b"3")
    assert left.exists()
    atomic_write(one, b"4")
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_refused_first(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = os.open

    def read_only(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if "closed" in os.fspath(path) and flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return original(path, flags, *rest, **more)

    Path("closed").mkdir()
    real = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if "closed" in path.parts and mode != "r":
            raise PermissionError(13, "Permission denied")
        return real(path, mode, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(Path, "open", opened)
    for where in ("closed/x.h5", "closed/new/x.h5"):
        line = ["probe", "net.pt", *OWN, "--kind", "line", "--x=-1:1:3", "--images", "20", "--out", where]
        fails(capsys, *line, status=1, says="its folder is not writable")
    fails(capsys, "train", *OWN, "--epochs", "1", "--out", "closed/run", status=1, says="its folder is not writable")
    assert not Path("CALLED").exists() and not list(Path("closed").iterdir())


def test_a_run_whose_files_cannot_be_written_is_not_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run/best.pt").mkdir(parents=True)
    fails(
        capsys,
        "train",
        *OWN,
        "--epochs",
        "1",
        "--out",
        "run",
        status=1,
        says="best.pt: cannot be written: it is a folder",
    )
    assert not Path("CALLED").exists()


def test_a_study_that_cannot_write_a_part_trains_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.toml").write_text(
        '[[runs]]\nmodel = "task.py:net"\ndata = "task.py:data"\nloss = "task.py:loss"\nepochs = 1\n'
        '[[pictures]]\nkind = "curves"\nname = "p"\n'
    )
    Path("outputs/s/p.png").mkdir(parents=True)
    fails(capsys, "study", "s.toml", status=1, says="p.png: cannot be written: it is a folder")
    Path("outputs/s/p.png").rmdir()
    Path("outputs/s").rmdir()
    Path("outputs/s").write_text("mine")
    fails(capsys, "study", "s.toml", status=1, says="is a file, not a folder")
    assert not Path("CALLED").exists() and not Path("checkpoints").exists()


def test_a_check_makes_nothing_and_says_yes_where_a_write_succeeds(tmp_path: Path) -> None:
    check_result_path(tmp_path / "a/b/c.h5")
    assert not list(tmp_path.iterdir())
    save_result(render_samples.plane(3, 3), tmp_path / "a.h5")
    check_result_path(tmp_path / "a.h5", [tmp_path / "b.h5"])
    with pytest.raises(ResultFileError, match="made from"):
        check_result_path(tmp_path / "a.h5", [tmp_path / "x/../a.h5"])


def test_a_checkpoint_of_a_long_name_gives_a_result_of_a_shorter_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "n" * 250 + ".pt"
    Path("net.pt").rename(name)
    finished = run(capsys, "probe", name, *OWN, "--kind", "line", "--x=-1:1:3", "--images", "20")
    assert finished.status == 0, finished.err
    [made] = Path("outputs").glob("n*.h5")
    assert len(made.name) < 255
