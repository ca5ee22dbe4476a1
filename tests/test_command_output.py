"""What commands say: lists of runs and results, JSON for programs, quiet and verbose, and tables that fit where they stand."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import comparison_samples
import numpy as np
import pytest
import render_samples
import xarray as xr
from commands import fails, run
from hypothesis import given, settings
from hypothesis import strategies as st
from landscape_cli.terminal import show_table

from landscape.results import load_checkpoint, load_result, save_result
from landscape.results.plain import json_text

DOCUMENTED = set(re.findall(r"`(\w+)`", Path(__file__).parents[1].joinpath("docs/command.md").read_text("utf-8")))
NET = """
import torch
from torch import nn
def net(): return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
def data():
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return (x, y), (x[:20], y[:20]), (x[:20], y[:20])
"""
TRAIN = ["train", "--model", "mine.py:net", "--data", "mine.py:data", "--epochs", "2", "--bs", "20", "--device", "cpu"]
PROBE = ["probe", "line", "run", "--x=-1:1:3", "--trust", "--device", "cpu", "--out", "line.h5"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was trained and probed by quiet commands."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        from landscape_cli.main import main

        Path("mine.py").write_text(NET)
        main([*TRAIN, "--out", "run", "-q"])
        main([*PROBE, "-q"])
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and results of known settings, each written a minute after the one before, and a damaged file."""
    monkeypatch.chdir(tmp_path)
    made = {
        "checkpoints/a/history.h5": comparison_samples.history([2.0] * 7 + [1.5], seed=0, batch_size=20),
        "checkpoints/b/history.h5": comparison_samples.history(
            math.nan, seed=1, batch_size=20, attrs={"status": "diverged"}
        ),
        "checkpoints/c/history.h5": comparison_samples.history(0.5, seed=0, batch_size=50, norm="none"),
        "outputs/deep/plane.h5": render_samples.plane(3, 3, complete=0, training=comparison_samples.training(seed=7)),
    }
    for number, (name, dataset) in enumerate(made.items()):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        save_result(dataset, name)
        os.utime(name, (60 * number, 60 * number))
    Path("outputs/bad.h5").write_bytes(Path("outputs/deep/plane.h5").read_bytes()[:500])
    os.utime("outputs/bad.h5", (-60, -60))
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    entries = json.loads(run(capsys, "list", "--json", *arguments).out)["entries"]
    assert all({*entry} <= DOCUMENTED for entry in entries)
    return entries


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [Path(entry["path"]).name for entry in entries]


def test_a_list_has_every_run_and_result_the_newest_first_and_says_what_is_damaged(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    entries = listed(capsys)
    assert names(entries) == ["plane.h5", "c", "b", "a", "bad.h5"]
    assert [entry["kind"] for entry in entries] == ["plane", "run", "run", "run", None]
    assert [entry["state"] for entry in entries] == ["incomplete", "complete", "diverged", "complete", "unreadable"]
    assert [entry["loss"] for entry in entries[1:4]] == [0.5, None, 1.5]
    assert [entry["batch_size"] for entry in entries] == [100, 50, 20, 20, None]
    assert (
        entries[1]["norm"] == "none" and entries[1]["epochs"] == entries[1]["epochs_done"] == comparison_samples.EPOCHS
    )
    assert "bad.h5" in entries[-1]["fault"]
    shown = run(capsys, "list")
    assert shown.status == 0 and "bad.h5: is cut short" in shown.err
    rows = [line.split() for line in shown.out.splitlines() if "1970" in line or "1969" in line]
    assert [Path(row[0]).name for row in rows] == names(entries)
    assert "unreadable" in rows[-1] and "50" in rows[1] and "0.5" in rows[1]
    assert run(capsys, "list", "-q").out.split() == [entry["path"] for entry in entries]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["--kind", "run"], "cba"),
        (["--where", "batch_size=20"], "ba"),
        (["--where", "bs=20", "--where", "seeds=0"], "a"),
        (["--where", "norm=none"], "c"),
        (["--where", "learning-rate=0.001", "--kind", "run", "checkpoints/a", "checkpoints/b"], "ba"),
        (["--where", "state=diverged"], "b"),
        (["checkpoints/a/history.h5", "--where", "loss=mse"], ""),
    ],
)
def test_filters_leave_what_has_the_setting(
    place: Path, capsys: pytest.CaptureFixture[str], filters: list[str], left: str
) -> None:
    assert names(listed(capsys, *filters)) == list(left)


def test_what_cannot_be_listed_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "list", "--kind", "plain", status=2, says="Did you mean 'plane'")
    fails(capsys, "list", "--where", "nrom=none", status=2, says="Did you mean 'norm'")
    fails(capsys, "list", "nowhere", status=2, says="nowhere: no such file or folder")
    Path("empty").mkdir()
    fails(capsys, "list", "empty", status=0, says="Nothing in empty")


def test_info_tells_the_parts_of_a_run_and_goes_on_after_what_is_damaged(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, "info", "run", "line.h5").out
    titles = [line.partition(":")[0] for line in told.splitlines() if line and not line.startswith(" ")]
    files = ["history.h5", "gradient_flow.h5", "best.pt", "last.pt"]
    assert titles == [*(f"run/{name}" for name in files), "line.h5"]
    shutil.copytree("run", tmp_path / "run")
    (tmp_path / "run" / "gradient_flow.h5").write_bytes(b"no result")
    again = fails(capsys, "info", str(tmp_path / "run"), status=1, says="gradient_flow.h5")
    assert [line for line in again.out.splitlines() if line.endswith("last.pt: checkpoint")]
    document = json.loads(run(capsys, "info", "--json", str(tmp_path / "run")).out)
    assert [one["type"] for one in document["files"]] == ["result", "unreadable", "checkpoint", "checkpoint"]


def test_json_of_files_is_what_the_files_hold(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, checkpoint = json.loads(run(capsys, "info", "--json", "line.h5", "run/last.pt").out)["files"]
    assert {*result} | {*checkpoint} <= DOCUMENTED
    dataset = load_result("line.h5")
    assert result["sizes"] == dict(dataset.sizes) and {*result["variables"]} == set(map(str, dataset.variables))
    assert result["variables"]["checkpoint_loss"]["value"] == float(dataset["checkpoint_loss"])
    assert result["variables"]["loss"]["units"] == dataset["loss"].attrs["units"]
    assert result["attributes"]["training"]["batch_size"] == 20
    loaded = load_checkpoint("run/last.pt")
    assert checkpoint["weights"]["hash"] == loaded.weights_hash() and checkpoint["epoch"] == 2
    assert checkpoint["weights"]["entries"] == sum(tensor.numel() for tensor in loaded.state_dict.values())


def test_stdout_of_train_and_probe_is_one_json_document_or_the_paths(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trained,) = json.loads(run(capsys, *TRAIN, "--out", "run", "--json").out)["runs"]
    assert {*trained} <= DOCUMENTED
    assert (trained["state"], trained["epochs_done"], trained["epochs_trained_now"]) == ("complete", 2, 0)
    history = load_result("run/history.h5")
    assert trained["last_metrics"]["train_loss"] == float(history["train_loss"][-1])
    probed = json.loads(run(capsys, *PROBE, "--json").out)
    assert {*probed} <= DOCUMENTED
    (told,) = json.loads(run(capsys, "info", "--json", "line.h5").out)["files"]
    assert {**told, "measured_now": 0} == probed
    for quiet in (["-q", *PROBE], [*PROBE, "--quiet"]):
        finished = run(capsys, *quiet)
        assert (finished.out, finished.err) == ("line.h5\n", "")
    finished = run(capsys, "-q", *TRAIN, "--out", "run")
    assert finished.out.split() == ["run/history.h5", "run/gradient_flow.h5", "run/last.pt"] and not finished.err
    wordy = run(capsys, *PROBE, "-v")
    assert "image_seed 0" in " ".join(wordy.err.split()) and wordy.err.splitlines()[-1].startswith("took ")
    fails(capsys, "-q", "list", "-v", status=2, says="opposite")


def test_json_of_a_comparison_has_the_numbers_of_its_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        for size in (20, 50):
            save_result(
                comparison_samples.history(size + seed * size / 10, seed=seed, batch_size=size), f"{seed}-{size}.h5"
            )
    files = [str(path) for path in sorted(Path().glob("*.h5"))]
    document = json.loads(run(capsys, "compare", *files, "--by", "batch-size", "--json", "-o", "c.csv").out)
    assert {*document} <= DOCUMENTED and document["files"] == ["c.csv"] and document["settings"] == {"20": "", "50": ""}
    first = document["comparisons"][0]
    header, line = Path("c.csv").read_text().splitlines()[:2]
    assert [*first] == header.split(",")
    assert (first["mean_a"], first["mean_b"], first["difference"]) == (22.0, 55.0, -33.0) and str(first["p"]) in line
    assert run(capsys, "compare", *files, "--by", "batch_size", "-q", "-o", "c.csv").out == "c.csv\n"
    grouped = ("compare", "--group", "small=?-20.h5", "--group", "large=?-50.h5", "--json", "-o", "c.csv")
    again = json.loads(run(capsys, *grouped).out)
    assert again["by"] == "group" and again["settings"] == {"large": "", "small": ""}
    assert again["comparisons"][0]["difference"] == 33.0
    fails(capsys, "compare", "--group", "none=no-*.h5", status=2, says="and files there; got 'none=no-*.h5'")
    fails(capsys, "compare", files[0], *grouped[1:5], status=2, says="leave the runs out, or the groups")
    fails(capsys, "compare", *files, status=2, says="--by norm")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
@settings(max_examples=60, deadline=None)
def test_json_is_ascii_and_reads_back_as_it_was_but_for_what_is_no_number(value: Any) -> None:
    def expected(one: Any) -> Any:
        if isinstance(one, float) and not math.isfinite(one):
            return None
        if isinstance(one, dict):
            return {key: expected(inner) for key, inner in one.items()}
        return list(map(expected, one)) if isinstance(one, list) else one

    text = json_text(value)
    assert text.isascii() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert json.loads(text) == expected(value)


def test_values_of_arrays_and_data_sets_are_plain() -> None:
    document = {
        "a": np.array([[1.5, np.nan], [np.inf, 2]]),
        "b": np.int8(3),
        "c": xr.DataArray(True).values,
        "d": Path("x"),
    }
    assert json.loads(json_text(document)) == {"a": [[1.5, None], [None, 2.0]], "b": 3, "c": True, "d": "x"}


WORDS = st.lists(st.text("abcdefgh-_/.", min_size=1, max_size=24), min_size=1, max_size=6).map(" ".join)


@pytest.mark.parametrize("width", [60, 80, 120])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_table_fits_where_it_stands_and_no_word_is_broken(width: int, data: st.DataObject) -> None:
    columns = data.draw(st.lists(WORDS, min_size=1, max_size=9))
    row = st.lists(WORDS, min_size=len(columns), max_size=len(columns))
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        out = _printed(lambda: show_table("", columns, rows))
    assert max(map(len, out.splitlines())) <= width
    seen = out.replace(";", " ").split()
    assert {word for cells in rows for cell in cells for word in cell.split()} <= set(seen)


def test_without_a_width_a_row_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    cells = [f"cell {number} " + "x" * 40 for number in range(9)]
    out = _printed(lambda: show_table("", list("abcdefghi"), [cells]))
    assert [line for line in out.splitlines() if all(cell in line for cell in cells)]


def _printed(work: Any) -> str:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        work()
    return stream.getvalue()
