"""Curvature from the command line: measured, described, drawn, followed as a direction, and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import fails, run
from samefiles import uncreated
from torch import Tensor

from landscape.errors import InputError
from landscape.objective.objective import Objective
from landscape.probes.settings import probe_settings
from landscape.results import load_result

TRAIN = ["train", "--model", "mlp", "--model-option", "hidden=8", "--train-images", "100", "--epochs", "2",
         "--device", "cpu"]  # fmt: skip
QUICK = ["--images", "20", "--top", "3", "--bottom", "1", "--trace-probes", "3", "--density-probes", "2",
         "--density-steps", "6", "--device", "cpu"]  # fmt: skip
CURVATURE = ["probe", "--checkpoint", "run/last.pt", "--kind", "curvature", *QUICK]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("curvature")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        from landscape_cli.main import main

        main([*TRAIN, "--out", "run"])
        main([*CURVATURE, "--out", "whole.h5"])
    return place


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_a_finished_probe_is_described_and_not_measured_again(capsys: pytest.CaptureFixture[str]) -> None:
    again = run(capsys, *CURVATURE, "--out", "whole.h5")
    assert "Already complete" in again.out and "Hessian of 24,746 parameters" in again.out
    described = run(capsys, "info", "whole.h5").out
    assert "curvature, complete" in described
    assert "Hessian of 24,746 parameters: 4 of 4 eigenvalues" in described
    told = again.out.splitlines()[1:-1]
    assert [line.strip() for line in described.splitlines()[1:]][: len(told)] == told


def test_ctrl_c_keeps_what_there_is_and_the_same_command_ends_as_if_there_had_been_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    product, made = Objective.hessian_product, 0

    def interrupted(self: Objective, vector: Tensor, *arguments: object, **options: object) -> Tensor:
        nonlocal made
        made += 1
        if made == stop:
            raise KeyboardInterrupt
        return product(self, vector, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "hessian_product", interrupted)
    whole = load_result("whole.h5")
    for stop in (5, int(whole["products"])):
        Path("part.h5").unlink(missing_ok=True)
        made = 0
        assert run(capsys, *CURVATURE, "--out", "part.h5").status == 130
        assert load_result("part.h5").attrs["complete"] == 0
        assert "incomplete (3 quantities missing)" in run(capsys, "info", "part.h5").out
        before, made, stopped = made, 0, stop
        stop = -1
        assert run(capsys, *CURVATURE, "--out", "part.h5").status == 0
        assert before + made == stopped + int(whole["products"]) - (stopped - 1) + 3 + 2 * 6
        xr.testing.assert_identical(uncreated(load_result("part.h5")), uncreated(whole))


def test_its_eigenvectors_are_directions_of_a_plane(capsys: pytest.CaptureFixture[str]) -> None:
    plane = ["probe", "--checkpoint", "run/last.pt", "--x=-0.0005:0.0005:3", "--y=-0.0005:0.0005:3", "--images", "20",
             "--precision", "fp64", "--along", "eigenvector1,eigenvector2", "--device", "cpu"]  # fmt: skip
    scale = ["--normalization", "none"]
    assert run(capsys, *plane, *scale, "--directions", "whole.h5", "--out", "plane.h5").status == 0
    loss = load_result("plane.h5")["loss"].isel(seed=0)
    step = float(loss["x"][2])
    bend = float(loss.sel(y=0)[0] + loss.sel(y=0)[2] - 2 * loss.sel(y=0)[1]) / step**2
    # Near enough that no unit changes sides between the three points.
    assert bend == pytest.approx(float(load_result("whole.h5")["eigenvalues"][0]), rel=1e-3)


def test_those_of_some_parameters_leave_the_others_and_those_of_layers_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = load_result("whole.h5").attrs["parameter_names"]
    assert "weight" in names
    assert run(capsys, *CURVATURE, "--parameters", "*.bias", "--out", "bias.h5").status == 0
    part = load_result("bias.h5")
    assert int(part["parameters"]) < 24_746
    line = ["probe", "--checkpoint", "run/last.pt", "--kind", "line", "--x=-1:1:3", "--images", "20", "--device", "cpu"]
    along = ["--along", "eigenvector1", "--directions"]
    assert run(capsys, *line, *along, "bias.h5", "--out", "line.h5").status == 0
    quick = [*CURVATURE[:5], "--images", "4", "--top", "1", "--bottom", "0", "--trace-probes", "0",
             "--density-probes", "0", "--max-products", "3", "--device", "cpu"]  # fmt: skip
    assert run(capsys, *quick, "--per-layer", "--out", "layers.h5").status == 0
    fails(capsys, *line, *along, "layers.h5", status=2, says="Probe the curvature without --per-layer")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--operator", "fisher"], "operator: unknown value 'fisher'"),
        (["--top", "25000"], "expected at most 24,746 eigenvalues in all"),
        (["--parameters", "nothing.*"], "matches none of the module's names"),
        (["--x=-1:1:3"], "x: is no setting of kind 'curvature'"),
        (["--to", "run/last.pt"], "is of one checkpoint"),
        (["--trace-probes", "1"], "at least 2 for a standard error"),
    ],
)
def test_what_cannot_be_is_named(capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    fails(capsys, *CURVATURE, *options, "--out", "none.h5", status=2, says=says)
    assert not Path("none.h5").exists()


def test_statistics_of_what_is_evaluated_have_no_curvature(capsys: pytest.CaptureFixture[str]) -> None:
    normed = [*TRAIN, "--model-option", "norm=batch", "--out", "normed"]
    assert run(capsys, *normed).status == 0
    asked = ["probe", "--checkpoint", "normed/last.pt", "--kind", "curvature", "--images", "4", "--device", "cpu"]
    fails(capsys, *asked, "--batch-norm", "reestimated", "--out", "none.h5", status=2, says="Choose frozen")
    assert not Path("none.h5").exists()


def test_settings_of_a_study_are_those_of_the_command() -> None:
    settings = probe_settings({"kind": "curvature", "operator": "gauss-newton", "parameters": ["head.*"], "top": 3})
    assert (settings.config().operator, settings.config().top, settings.parameters) == ("gauss-newton", 3, ("head.*",))
    with pytest.raises(InputError, match=r"probes\[0\]: operator: is no setting of kind 'plane'"):
        probe_settings({"kind": "plane", "operator": "hessian"}, where="probes[0]: ")


def test_values_of_the_file_are_finite() -> None:
    whole = load_result("whole.h5")
    assert all(np.isfinite(whole[name].values).all() for name in ("eigenvalues", "eigenvectors", "trace", "moments"))
    assert not [name for name in whole if str(name).startswith("space_")]
