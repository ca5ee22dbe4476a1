"""Files that earlier versions wrote are read for ever: the same numbers, words, pictures, and no work done twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from commands import run
from frozen.make import PROBES, RUN, probe

from landscape.probes.plot import plot
from landscape.registry import of_file
from landscape.results import describe, load_checkpoint, load_result, save_result
from landscape.results.digest import is_whole

FOLDER = Path(__file__).parent / "frozen"
# version -> file -> variable -> index of a value in the flattened variable, and the value
VALUES: dict[str, dict[str, dict[str, tuple[int, float]]]] = {
    "0.1.0": {
        "comparison.h5": {"mean": (2, 0.33625), "p_holm": (1, 0.12887035125636814)},
        "curvature.h5": {"eigenvalues": (2, 0.919812237915724), "density": (157, 4.978400164236463)},
        "curvature_map.h5": {"curvature_ratio": (4, -0.6356986385124566), "loss": (4, 1.0033258259296418)},
        "curvature_per_layer.h5": {"eigenvalues": (5, 3.0834914261968056e-05), "trace": (2, 1.078266893126056)},
        "line.h5": {"loss_mean": (4, 1.0033258259296418), "loss": (13, 1.0033258259296418)},
        "noise_scale.h5": {"noise_scale": (0, 4.972100607599578), "noise_scale_without": (5, 4.754865366535478)},
        "path.h5": {"barrier": (1, 0.0805297177284956), "loss": (10, 0.8219467024008433)},
        "plane_adaptive.h5": {"loss": (255, 1.2126764009396236), "status": (255, 1)},
        "plane_curvature.h5": {"curvature_largest": (3, 0.030950943295617046), "gram": (2, -0.14577892133931253)},
        "plane_full.h5": {"loss": (10, 1.0176014706492424), "accuracy": (10, 0.55)},
        "plane_smoothness.h5": {"curvature_mean": (0, 0.28131616802726506), "stencils": (0, 6)},
        "run/gradient_flow.h5": {
            "gradient_norm": (10, 0.4308333374983195),
            "mean_abs_gradient": (10, 0.04473982647905359),
        },
        "run/history.h5": {"train_loss": (1, 0.8329413688182831), "train_accuracy": (1, 0.695)},
        "run/stability.h5": {"sharpness": (2, 150.14524725731462), "ratio": (2, 0.01979546549366174)},
        "run/steps.h5": {"loss_along": (15, 0.9686069473624229), "effective_beta": (5, 5.2397816875581835)},
        "run_range.h5": {"loss_minimum": (2, 0.9029564961791039), "gradient_norm_maximum": (2, 1.2116541562720002)},
        "sharpness.h5": {"sharpness": (15, -0.00014647576544019915), "gap": (0, np.nan)},
        "steps.h5": {"loss_along": (6, 0.8039154388010502), "gradient_predictiveness": (2, 0.008691243210038143)},
        "topology.h5": {"smad": (1, 0.0), "node_value": (5, 0.9896018144652928)},
        "trajectory.h5": {"loss": (10, 1.0010466823975246), "path_x": (1, 3.7750629147820436)},
    },
}
# version -> checkpoint -> hash of its weights, epoch, tensor, and an entry of it
WEIGHTS = {
    "0.1.0": {
        "run/last.pt": ("28c5890cfc79b86c", 2, "head.weight", 0.07301423698663712),
        "run/epoch-0001.pt": ("3c9fd07ae9513d35", 1, "head.weight", 0.048699893057346344),
        "other/last.pt": ("be407cefbccf56cc", 2, "head.weight", 0.1944473385810852),
    },
}
# Made before a sample of its own said how well an adaptive plane is known; the same command has the sample's budget now.
GUESSED = "plane_adaptive"
RESULTS = [(version, name) for version, files in VALUES.items() for name in files]
CHECKPOINTS = [(version, name) for version, files in WEIGHTS.items() for name in files]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A copy of a version's folder, in which commands run."""
    shutil.copytree(FOLDER / request.param, tmp_path / "frozen")
    monkeypatch.chdir(tmp_path / "frozen")
    return tmp_path / "frozen"


def test_no_frozen_file_is_left_unread_and_all_are_small() -> None:
    for version in (path for path in FOLDER.iterdir() if path.name[0].isdigit()):
        files = [file for file in version.rglob("*") if file.is_file()]
        known = {*VALUES[version.name], *WEIGHTS[version.name]}
        assert {file.relative_to(version).as_posix() for file in files} == known
        assert max(file.stat().st_size for file in files) < 60_000
        assert sum(file.stat().st_size for file in files) < 700_000


@pytest.mark.parametrize(("version", "name"), RESULTS)
def test_a_frozen_result_has_its_digest_its_values_its_words_and_its_picture(version: str, name: str) -> None:
    path = FOLDER / version / name
    assert is_whole(path.read_bytes())
    dataset = load_result(path)
    for variable, (index, value) in VALUES[version][name].items():
        np.testing.assert_equal(dataset[variable].values.flat[index], value)
    said = describe(path).splitlines()
    assert said[0].startswith(f"{path}: ") and len(said) > 1
    record = of_file(dataset.attrs["kind"])
    assert record is not None, "a kind that was once written stays known"
    if record.drawn:
        figure = plot(dataset)
        assert any(axes.has_data() for axes in figure.axes)
        plt.close(figure)


@pytest.mark.parametrize(("version", "name"), CHECKPOINTS)
def test_a_frozen_checkpoint_has_its_weights_and_says_so(version: str, name: str) -> None:
    path = FOLDER / version / name
    checkpoint, (weights, epoch, tensor, value) = load_checkpoint(path), WEIGHTS[version][name]
    assert checkpoint.weights_hash() == weights and checkpoint.epoch == epoch
    assert float(checkpoint.state_dict[tensor].flatten()[3]) == value
    assert weights in describe(path)


@pytest.mark.parametrize("folder", VALUES, indirect=True)
def test_the_same_commands_find_their_frozen_results_complete(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in folder.rglob("*.*") if file.is_file()}
    for command in (RUN, *(probe(name) for name in PROBES if name != GUESSED)):
        assert "lready complete" in run(capsys, *command).out, command
    assert "refinement.max_passes: 181 stored" in run(capsys, *probe(GUESSED)).err
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("folder", VALUES, indirect=True)
def test_a_frozen_plane_that_is_unfinished_is_gone_on_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = load_result("plane_full.h5")
    part = whole.copy(deep=True)
    part["status"][0, 3] = 0
    part["loss"][0, 3] = np.nan
    save_result(part.assign_attrs(complete=0), "plane_full.h5")
    assert run(capsys, *probe("plane_full")).status == 0
    continued = load_result("plane_full.h5")
    np.testing.assert_array_equal(continued["loss"][0, :3], whole["loss"][0, :3])
    np.testing.assert_allclose(continued["loss"], whole["loss"], rtol=1e-5)
    assert continued.attrs["complete"] == 1
