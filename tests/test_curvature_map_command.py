"""Curvature maps from the command line and from studies: resumed where they were stopped, and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray as xr
from commands import fails, run
from test_sweeps import here

from landscape.places import Places
from landscape.probes.curvature_map import probe as map_probe
from landscape.probes.probing import probe_checkpoint
from landscape.probes.settings import probe_settings
from landscape.probes.subjects import Subject

__all__ = ["here"]  # a fixture

TRAIN = [
    "train",
    "--model",
    "tiny.py:net",
    "--data",
    "tiny.py:data",
    "--epochs",
    "1",
    "--device",
    "cpu",
    "--out",
    "run",
]
MAP = [
    "probe",
    "run",
    "--trust",
    "--kind",
    "curvature-map",
    "--x=-1:1:5",
    "--y=-1:1:4",
    "--images",
    "20",
    "--device",
    "cpu",
]


def test_a_map_is_measured_and_told_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, *TRAIN).status == 0
    finished = run(capsys, *MAP, "--out", "map.h5")
    assert finished.status == 0, finished.err
    assert "at the checkpoint λ_max" in finished.out
    assert "λ_min/λ_max over the plane: median" in finished.out
    with xr.open_dataset("map.h5") as made:
        assert made.attrs["kind"] == "curvature_map"
        assert made.attrs["complete"] == 1
        assert made.attrs["n_samples"] == 20
        assert (made["status"] == 1).all()
        before = made.load()
    told = run(capsys, "info", "map.h5").out
    assert "curvature map, complete" in told
    assert "20 of 20 points measured" in told
    assert f"λ_max {float(before['checkpoint_eigenvalue_largest']):.5g}" in told


def test_a_stopped_map_keeps_its_points_and_ends_with_the_same_values(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, *TRAIN).status == 0
    settings = probe_settings(
        {"kind": "curvature-map", "x": "-1:1:5", "y": "-1:1:4", "images": 20, "eigenvalue_tolerance": 0.3}
    )
    subject, places = Subject(Path("run/last.pt"), trust=True), Places(device="cpu")
    whole = probe_checkpoint(subject, settings, places, out=Path("whole.h5"))
    original = map_probe.curvature_over

    def stopped(*arguments: object, observer: object, **options: object) -> xr.Dataset:
        def stop(progress: object) -> None:
            observer(progress)  # type: ignore[operator]
            if progress.done == 27:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        return original(*arguments, observer=stop, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(map_probe, "curvature_over", stopped)
    with pytest.raises(KeyboardInterrupt):
        probe_checkpoint(subject, settings, places, out=Path("part.h5"))
    with xr.open_dataset("part.h5") as part:
        assert part.attrs["complete"] == 0
        assert int((part["status"] == 1).sum()) == 7
        assert int((part["loss_status"] == 1).sum()) == 20
    monkeypatch.undo()
    monkeypatch.chdir(here)
    resumed = probe_checkpoint(subject, settings, places, out=Path("part.h5"))
    assert resumed.measured == 13
    xr.testing.assert_identical(resumed.dataset.drop_attrs(deep=False), whole.dataset.drop_attrs(deep=False))
    told = {name: (resumed.dataset.attrs[name], value) for name, value in whole.dataset.attrs.items()}
    assert [name for name, (one, other) in told.items() if one != other] in ([], ["created_at"])


def test_a_study_measures_and_draws_maps(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("maps.toml").write_text(
        '[[runs]]\nmodel = "tiny.py:net"\ndata = "tiny.py:data"\nepochs = 1\nbatch_size = [20, 30]\n'
        '[[probes]]\nkind = "curvature-map"\nx = "-1:1:9"\ny = "-1:1:3"\nimages = 10\nadaptive = true\nmax_points = 24\n'
        "eigenvalue_tolerance = 0.3\n"
        '[[pictures]]\nkind = "curvature-map"\n[[pictures]]\nkind = "interactive"\n'
    )
    plan = run(capsys, "study", "maps.toml", "--plan", "--device", "cpu")
    assert plan.status == 0, plan.err
    finished = run(capsys, "study", "maps.toml", "--device", "cpu")
    assert finished.status == 0, finished.err
    assert Path("outputs/maps/curvature-map.png").stat().st_size > 10000
    page = Path("outputs/maps/interactive.html").read_text("utf-8")
    assert all(f'"name":{json.dumps(name)}' in page for name in ("λ_max", "λ_min", "loss"))
    found = sorted(Path("outputs").rglob("*curvature_map*.h5"))
    assert len(found) == 2
    with xr.open_dataset(found[0]) as made:
        assert made.attrs["measured_points"] == 24


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--loss-max", "3"], "loss_max: a curvature map shows"),
        (["--batch-norm", "reestimated"], "batch_norm: under 'reestimated'"),
        (["--precision", "bf16"], "precision: 'bf16' is too coarse"),
        (["--eigenvalue-tolerance", "0"], "eigenvalue_tolerance: expected a number between 0 and 1"),
        (["--rho", "0.1"], "rho: is no setting of kind 'curvature_map'"),
    ],
)
def test_what_a_map_cannot_be_made_with_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    fails(capsys, "probe", "run", "--kind", "curvature-map", *options, status=2, says=says)
