"""The main job from the command line: train, probe, plot, info, convert; then everything again without doing it twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from commands import PROBE, TRAIN, run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained run."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        from landscape_cli.main import main

        main([*TRAIN, "--out", "run"])
    return folder


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def test_help_is_immediate_and_imports_no_torch() -> None:
    code = "import sys; sys.argv=['landscape','--help']\nfrom landscape_cli.main import main\n" + (
        "try: main()\nexcept SystemExit: pass\nprint('heavy:', sorted({'torch','xarray','matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "heavy: []" in shown
    assert "landscape study quick" in shown


def test_the_defaults_lead_from_training_to_a_picture(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probed = run(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE)
    assert probed.status == 0
    result = probed.out.splitlines()[-1]
    drawn = run(capsys, "plot", result)
    assert drawn.status == 0
    picture = Path(drawn.out.strip())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_centre_of_the_plane_is_the_checkpoints_own_loss(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "centre.h5").status == 0
    with xr.open_dataset("centre.h5", engine="h5netcdf") as result:
        centre = float(result["loss"].sel(seed=0, x=0, y=0))
        assert centre == pytest.approx(float(result["checkpoint_loss"]), rel=1e-6)


def test_results_open_in_xarray_and_in_plain_h5py(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "open.h5").status == 0
    for path in ("open.h5", "run/history.h5"):
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            for name, variable in tree.to_dataset().variables.items():
                assert variable.attrs["long_name"], name
                assert variable.attrs["units"], name
            assert tree.attrs["settings"]
    with h5py.File("open.h5") as file, xr.open_dataset("open.h5", engine="h5netcdf") as result:
        assert np.array_equal(file["loss"][...], result["loss"].values)
        assert file.attrs["bn_policy"] == "frozen"
        assert file.attrs["checkpoint_hash"]
        assert result.attrs["batch_size"] == json.loads(result.attrs["training"])["batch_size"], "the training's"
        assert result.attrs["evaluation_batch_size"] != result.attrs["batch_size"]


def test_the_same_training_again_does_nothing_twice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = Path("run/last.pt").stat().st_mtime_ns
    assert "Already complete" in run(capsys, *TRAIN, "--out", "run").out
    assert Path("run/last.pt").stat().st_mtime_ns == trained


def test_every_format_can_be_drawn(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "formats.h5")
    outs = [f"--out=plane.{suffix}" for suffix in ("png", "svg", "pdf", "html")]
    assert run(capsys, "plot", "formats.h5", *outs).status == 0
    assert Path("plane.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in Path("plane.svg").read_text()
    assert "plotly" in Path("plane.html").read_text().lower()
    assert run(capsys, "plot", "run", "--out", "curves.png").status == 0
    assert run(capsys, "plot", "formats.h5", "--kind", "surface", "--out", "surface.png").status == 0


def test_a_line_between_two_checkpoints_runs_from_one_to_the_other(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--kind",
        "line",
        "--to",
        "run/last.pt",
        "--x",
        "0:1:3",
        "--batch-norm",
        "interpolated",
        "--images",
        "20",
    ]
    assert run(capsys, *TRAIN, "--seed", "1", "--out", "other").status == 0
    assert run(capsys, "probe", "--checkpoint", "other/last.pt", *options, "--out", "between.h5").status == 0
    for path, x in (("other", 0.0), ("run", 1.0)):
        run(capsys, "probe", "--checkpoint", f"{path}/last.pt", *PROBE, "--out", f"{path}.h5")
        with xr.open_dataset("between.h5") as line, xr.open_dataset(f"{path}.h5") as plane:
            expected = float(plane["checkpoint_loss"])
            assert float(line["loss"].sel(seed=0, x=x)) == pytest.approx(expected, rel=1e-5)


def test_directions_of_the_original_tools_layout_give_the_plane_that_they_span(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from landscape.models import build_model
    from landscape.numerics.directions import random_direction
    from landscape.objective.objective import Objective
    from landscape.results import load_checkpoint, load_into, write_directions

    module = build_model("vgg08", norm="batch", classes=10, channels=3)
    load_into(module, load_checkpoint("run/last.pt"))
    theta = Objective(module, "cross_entropy", (torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64))).theta
    drawn = [random_direction(theta, seed=7, axis=axis) for axis in (0, 1)]
    write_directions("directions.h5", [d.layout.views(d.vector) for d in drawn])
    probe = ["probe", "--checkpoint", "run/last.pt", *PROBE]
    assert run(capsys, *probe, "--directions", "directions.h5", "--out", "from-file.h5").status == 0
    assert run(capsys, *probe, "--seeds", "7", "--out", "drawn.h5").status == 0
    with xr.open_dataset("from-file.h5") as theirs, xr.open_dataset("drawn.h5") as ours:
        np.testing.assert_allclose(theirs["loss"].values, ours["loss"].values, rtol=1e-5)


def test_info_tells_checkpoints_from_results(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "info.h5")
    shown = run(capsys, "info", "run/last.pt", "info.h5", "run/history.h5").out
    for word in ("vgg08", "fashion-mnist-10k", "frozen", "epoch"):
        assert word in shown


def test_a_foreign_state_dict_is_probed_with_model_and_data_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from landscape.results import load_checkpoint

    weights = load_checkpoint("run/last.pt").state_dict
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, "foreign.pt")
    named = ["--model", "vgg08", "--norm", "batch", "--data", "fashion-mnist-10k"]
    assert run(capsys, "probe", "--checkpoint", "foreign.pt", *named, *PROBE, "--out", "foreign.h5").status == 0
    run(capsys, "probe", "--checkpoint", "run/last.pt", *PROBE, "--out", "own.h5")
    with xr.open_dataset("foreign.h5") as foreign, xr.open_dataset("own.h5") as own:
        xr.testing.assert_equal(foreign["loss"], own["loss"])


def test_a_users_own_model_data_and_loss_go_through_the_command_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def net(hidden=4):\n    return nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, 1))\n"
        "def data():\n    x = torch.linspace(-1, 1, 60).reshape(20, 3)\n    return x, x.sum(1, keepdim=True)\n"
        "def huber(outputs, targets):\n    return nn.functional.huber_loss(outputs, targets, reduction='none')\n"
    )
    mine = ["--model", "mine.py:net", "--model-option", "hidden=5", "--data", "mine.py:data", "--loss", "mine.py:huber"]
    assert run(capsys, "train", *mine, "--epochs", "2", "--batch-size", "5", "--out", "mine").status == 0
    probed = run(capsys, "probe", "--checkpoint", "mine/last.pt", *mine, *PROBE, "--out", "mine.h5")
    assert probed.status == 0, probed.err
    with xr.open_dataset("mine.h5") as result:
        assert np.isfinite(result["loss"]).all()
        assert "accuracy" not in result


def test_a_surface_survives_the_way_to_the_original_layout_and_back(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        capsys, "probe", "--checkpoint", "run/last.pt", "--x=-1:1:3", "--y=-1:1:2", "--images", "20", "--out", "ours.h5"
    )
    assert run(capsys, "convert", "ours.h5", "theirs.h5", "--to", "original").status == 0
    assert run(capsys, "convert", "theirs.h5", "back.h5").status == 0
    with xr.open_dataset("ours.h5") as ours, xr.open_dataset("back.h5") as back:
        np.testing.assert_allclose(back["loss"].values, ours["loss"].values)
        np.testing.assert_allclose(back["accuracy"].values, ours["accuracy"].values)


def test_a_diverging_training_is_recorded_and_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ["--optimizer", "sgd", "--learning-rate", "1e20", "--epochs", "3", "--out", "diverged"]
    finished = run(
        capsys, "train", "--model", "vgg08", "--norm", "none", "--train-images", "60", "--batch-size", "20", *recipe
    )
    assert "NaN or infinite" in finished.err
    with xr.open_dataset("diverged/history.h5") as history:
        assert history.attrs["status"] == "diverged"
        assert not np.isfinite(history["train_loss"].values[-1])


def test_an_adaptive_plane_says_how_well_it_is_known_and_how_sure_its_centre(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--x=-1:1:17", "--y=-1:1:17", "--images", "20", "--device", "cpu"]
    shown = run(capsys, "probe", "--checkpoint", "run/last.pt", *grid, "--out", "adaptive.h5")
    with xr.open_dataset("adaptive.h5") as result:
        error = float(result["checkpoint_loss_standard_error"])
        assert f"± {error:.2g} nat over 20 images" in shown.out
        assert f"{result.attrs['measured_points']} of 289 points measured" in shown.out
        assert set(np.unique(result["status"].values)) <= {1, 2, 3}
        assert result.attrs["measured_points"] < 289
    described = run(capsys, "info", "adaptive.h5").out
    assert "for losses up to 10: 95 % of the picture within" in described and "points drawn at random" in described
    assert "loss surface, complete" in described
