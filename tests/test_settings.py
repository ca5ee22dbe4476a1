"""Study files: lists expand, and what is wrong is named by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from landscape.errors import InputError
from landscape.numerics.refinement import default_budget
from landscape.probes.settings import probe_settings
from landscape.studies.run_settings import run_settings
from landscape.studies.settings import expand, load_study


def study_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_lists_of_settings_are_every_combination() -> None:
    combinations = expand({"norm": ["none", "batch"], "seed": [0, 1], "model": "vgg08"})
    assert combinations == [
        {"model": "vgg08", "norm": norm, "seed": seed} for norm in ("none", "batch") for seed in (0, 1)
    ]


def test_a_setting_shared_by_two_sweeps_is_one_run(tmp_path: Path) -> None:
    study = load_study(
        study_file(
            tmp_path,
            "[[runs]]\nmodel='vgg08'\nlearning_rate=[1e-3, 5e-2]\n"
            "[[runs]]\nmodel='vgg08'\nlearning_rate=5e-2\nbatch_size=[50, 100]\n",
        )
    )
    recipes = [(run.training.learning_rate, run.training.batch_size) for run in study.runs]
    assert recipes == [(1e-3, 100), (5e-2, 100), (5e-2, 50)]


def test_the_bundled_study_sets_batch_norm_against_depth() -> None:
    study = load_study("quick")
    assert [(run.model, run.norm) for run in study.runs] == [
        ("vgg38", "none"), ("vgg38", "batch"), ("vgg08", "none"), ("vgg08", "batch"),
    ]  # fmt: skip
    assert all(run.training == study.runs[0].training for run in study.runs)
    assert {picture.kind for picture in study.pictures} >= {"curves", "flow", "line", "contour"}


def test_identity_changes_with_every_setting_that_changes_the_weights() -> None:
    base = run_settings({"model": "vgg08"}).identity()
    for key, value in {"norm": "none", "learning_rate": 0.1, "batch_size": 7, "seed": 3, "precision": "bf16"}.items():
        assert run_settings({"model": "vgg08", key: value}).identity() != base


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs = 3", r"mine.toml: runs: expected tables written as \[\[runs\]\]"),
        ("[[runs]]\nmodle='vgg08'", r"mine.toml: runs\[0\]: key: unknown value 'modle'. Did you mean 'model'"),
        ("[[runs]]\nbatch_size='many'", r"mine.toml: runs\[0\]: batch_size: .*integer.*'many'"),
        (
            "[[runs]]\n[[pictures]]\nkind='contour'\nscale='ln'",
            r"mine.toml: pictures\[0\]: scale: .*'ln'\. auto, linear or log\.$",
        ),
        (
            "[[runs]]\n[[comparisons]]\nname='a'",
            r"mine.toml: comparisons\[0\]: by: field required, .* The setting to compare: ",
        ),
        ("[[runs]]\nbatch_size=0", r"mine.toml: runs\[0\]: .*batch_size.*0"),
        ("[[runs]]\nlearning_rate=-1.0", r"runs\[0\]: .*learning_rate"),
        ("[[runs]]\ndata='fashion'", r"runs\[0\]: data: unknown value 'fashion'"),
        ("[[runs]]\nmodel='vgg08'\n[[probes]]\nkind='plain'", r"probes\[0\]: kind: .*'plain'.*Did you mean 'plane'"),
        ("[[runs]]\nmodel='vgg08'\n[[probes]]\nx='1:2'", r"probes\[0\]: .*start:stop:count.*'1:2'"),
        ("[[runs]]\nmodel='vgg08'\n[[probes]]\nbatch_norm='frozn'", r"Did you mean 'frozen'"),
        ("[[runs]]\nmodel='vgg08'\n[[pictures]]\nkind='pie'", r"pictures\[0\]: kind: .*'pie'"),
        (
            "[[runs]]\nmodel='vgg08'\n[[probes]]\n[[pictures]]\nkind='contour'\nprobe='plain'",
            r"mine.toml: pictures\[0\]: probe: .*'plain'.*Did you mean 'plane'",
        ),
        ("[[runs]\nmodel='vgg08'", r"mine.toml: not a TOML file: .*line 1"),
        ("name='empty'", "expected at least one"),
        ("[study]\nname='x'", "key: unknown value 'study'"),
    ],
)
def test_a_malformed_study_names_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_study(study_file(tmp_path, text))


def test_a_study_that_does_not_exist_lists_what_is_bundled() -> None:
    with pytest.raises(InputError, match="Bundled: quick"):
        load_study("quik")


def test_axes_may_be_written_as_lists() -> None:
    assert probe_settings({"x": [-1, 1, 5]}).x == "-1:1:5"


def test_a_budget_makes_a_small_plane_adaptive_and_belongs_to_no_other() -> None:
    small = probe_settings({"x": "-1:1:9", "y": "-1:1:9", "max_points": 30})
    refinement = small.refinement(["-1:1:9", "-1:1:9"])
    assert refinement is not None and (refinement.max_points, refinement.max_passes) == (30, None)
    usual = probe_settings({}).refinement(["-1:1:51", "-1:1:51"])
    assert usual is not None and (usual.max_points, usual.max_passes) == (None, default_budget((51, 51)))
    mapped = probe_settings({"kind": "curvature_map"}).refinement(["-1:1:21", "-1:1:21"])
    assert mapped is not None and mapped.max_points is not None and mapped.max_passes is None
    # What was measured before there were budgets of passes is found again by what decided it then.
    assert "max_passes" not in mapped.settings() and usual.settings()["max_passes"] == default_budget((51, 51))
    assert probe_settings({"x": "-1:1:9", "y": "-1:1:9"}).refinement(["-1:1:9", "-1:1:9"]) is None
    with pytest.raises(InputError, match="budgets of an adaptive plane"):
        probe_settings({"adaptive": False, "minutes": 1.0})
    for name, value in (
        ("max_points", 30),
        ("loss_max", 0.0),
        ("adaptive", True),
        ("y", "-1:1:3"),
        ("orthogonalize", True),
    ):
        with pytest.raises(InputError, match=f"{name}: is of a plane alone; a line has one direction"):
            probe_settings({"kind": "line", name: value})
    assert probe_settings({"kind": "line", "adaptive": False, "x": "-1:1:999"}).refinement(["-1:1:999"]) is None
