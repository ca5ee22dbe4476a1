"""Sweeps: every combination once, equal updates, what is watched, and failures that do not stop the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import fails, run

from landscape.errors import InputError
from landscape.places import Places
from landscape.probes.probing import probe_checkpoint
from landscape.probes.settings import probe_settings
from landscape.probes.subjects import Subject
from landscape.results import load_checkpoint, load_result
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import train_run
from landscape.studies.settings import load_study
from landscape.studies.sweep import distinct, labels_of, sweep_settings
from landscape.studies.variations import on_data, scaled, with_seeds

TINY = """
import torch
from torch import nn

def data():
    draws = torch.Generator().manual_seed(0)
    def split(n):
        x = torch.randn(n, 5, generator=draws)
        return x, (x[:, 0] > 0).long() + (x[:, 1] > 1).long()
    return split(60), split(20), split(20)

def net():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))

def broken():
    raise ValueError("this network has no weights today")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tiny(**settings: object) -> dict[str, object]:
    return {"model": "tiny.py:net", "data": "tiny.py:data", "batch_size": 20, "epochs": 2, **settings}


SWEEP = ["train", "--data", "tiny.py:data", "--epochs", "2", "--device", "cpu"]


def test_a_list_trains_every_combination_and_a_failure_does_not_stop_the_rest(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = run(
        capsys, *SWEEP, "--model", "tiny.py:broken,tiny.py:net", "--batch-size", "20,30", "--learning-rate", "1e-2,1e-3"
    )
    assert finished.status == 1
    histories = [load_result(path) for path in sorted(here.glob("checkpoints/*/history.h5"))]
    found = {(h.attrs["batch_size"], h.attrs["learning_rate"]) for h in histories}
    assert found == {(20, 1e-2), (20, 1e-3), (30, 1e-2), (30, 1e-3)}
    assert finished.err.count("this network has no weights today") == 4


def test_a_single_run_that_fails_says_so_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, *SWEEP, "--model", "tiny.py:broken", status=2, says="this network has no weights today")


def test_equal_updates_are_equal_at_every_batch_size(here: Path) -> None:
    for batch_size in (10, 25, 60):
        recipe = {k: v for k, v in tiny(batch_size=batch_size).items() if k != "epochs"}
        outcome = train_run(run_settings({**recipe, "updates": 7}), Places(device="cpu"))
        assert outcome.history.attrs["updates"] == 7
        assert load_checkpoint(outcome.last).state["step"] == 7


def test_a_training_cut_short_within_an_epoch_starts_like_the_longer_one(here: Path) -> None:
    def weights(updates: int) -> dict[str, torch.Tensor]:
        recipe = {k: v for k, v in tiny(schedule="constant").items() if k != "epochs"}
        outcome = train_run(run_settings({**recipe, "updates": updates, "flow_every": 1}), Places(device="cpu"))
        return load_result(outcome.folder / "gradient_flow.h5")["gradient_norm"].values

    short, long = weights(4), weights(6)
    assert len(short) == 4
    assert np.array_equal(short, long[:4])


def test_watching_changes_no_weight(here: Path) -> None:
    plain = train_run(run_settings(tiny()), Places(device="cpu"))
    watched = train_run(run_settings(tiny(probe_every=1, flow_every=1, probe_eta="0.5:4:3")), Places(device="cpu"))
    a, b = load_checkpoint(plain.last).state, load_checkpoint(watched.last).state
    assert all(torch.equal(tensor, b["model"][name]) for name, tensor in a["model"].items())
    assert plain.folder != watched.folder
    assert load_result(watched.folder / "steps.h5").sizes["step"] == 6


@pytest.mark.parametrize("options", [[], ["--optimizer", "sgd", "--momentum", "0.9"], ["--precision", "bf16"]])
def test_weights_of_the_command_with_the_probe_at_every_step_are_those_without(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    command = [*SWEEP, "--model", "tiny.py:net", "--batch-size", "20", *options]
    for folder, watched in (("plain", []), ("watched", ["--probe-every", "1"])):
        assert run(capsys, *command, "--out", folder, *watched).status == 0
    a, b = (load_checkpoint(here / folder / "last.pt").state for folder in ("plain", "watched"))
    assert a["model"].keys() == b["model"].keys()
    assert all(torch.equal(tensor, b["model"][name]) for name, tensor in a["model"].items())
    plain, watched_too = (load_result(here / folder / "history.h5") for folder in ("plain", "watched"))
    assert np.array_equal(plain["train_loss"], watched_too["train_loss"])
    assert load_result(here / "watched" / "steps.h5").sizes["step"] == 6


def test_looks_are_spread_evenly_over_the_training(here: Path) -> None:
    for batch_size, steps in ((10, [0, 4, 8]), (30, [0, 1, 2, 3])):
        outcome = train_run(run_settings(tiny(batch_size=batch_size, probe_count=3)), Places(device="cpu"))
        assert load_result(outcome.folder / "steps.h5")["step"].values.tolist() == steps


def test_what_was_just_made_is_what_is_found_later(here: Path) -> None:
    """Else a picture of runs, of which some were there already, would tell them apart by where they came from."""
    made = train_run(run_settings(tiny()), Places(device="cpu"))
    assert made.trained_epochs and made.history.identical(train_run(run_settings(tiny()), Places(device="cpu")).history)
    settings, subject = probe_settings({"kind": "line", "x": "-1:1:3", "images": 20}), Subject(made.last, trust=True)
    first, again = (probe_checkpoint(subject, settings, Places(device="cpu")) for _ in range(2))
    assert (first.measured, again.measured) == (3, 0) and first.dataset.identical(again.dataset)


def test_the_steps_probe_goes_on_from_a_checkpoint_and_leaves_its_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train_run(run_settings(tiny()), Places(device="cpu"))
    before = outcome.last.read_bytes()
    arguments = [
        "probe",
        "--trust",
        "--kind",
        "steps",
        "--checkpoint",
        str(outcome.last),
        "--device",
        "cpu",
        "--out",
        "steps.h5",
    ]
    finished = run(capsys, *arguments, "--steps", "4", "--probe-every", "2")
    assert finished.status == 0, finished.err
    assert outcome.last.read_bytes() == before
    made = load_result("steps.h5")
    assert made["step"].values.tolist() == [6, 8]
    assert "median" in finished.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--probe-every", "0"], "probe_every"),
        (["--probe-eta", "0.5:4:8"], "probe_eta: says where to look along a step, and not how often"),
        (["--probe-spacing", "log"], "probe_spacing: says where"),
        (["--probe-every", "5", "--probe-eta", "4:0.5:8"], "probe_eta"),
        (["--probe-every", "5", "--probe-eta", "1:2:0"], "probe_eta"),
        (["--probe-every", "5", "--probe-spacing", "cubic"], "probe_spacing"),
        (["--probe-every", "5", "--probe-count", "5"], "either probe_every or probe_count"),
        (["--updates", "5"], "either epochs or updates"),
        (["--batch-size", "20,many"], "--batch-size: expected a whole number"),
        (["--batch-size", "20,30", "--out", "one"], "--out"),
    ],
)
def test_what_cannot_be_watched_or_swept_is_said(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    fails(capsys, *SWEEP, "--model", "tiny.py:net", *options, status=2, says=says)


def test_options_of_another_kind_of_probe_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = train_run(run_settings(tiny()), Places(device="cpu"))
    start = ["probe", "--checkpoint", str(outcome.last), "--device", "cpu"]
    fails(capsys, *start, "--kind", "steps", "--images", "5", status=2, says="images: is no setting of kind 'steps'")
    fails(capsys, *start, "--probe-every", "5", status=2, says="--probe-every: is no setting of kind 'plane'")
    torch.save(load_checkpoint(outcome.last).state["model"], "weights.pt")
    bare = [
        "probe",
        "--kind",
        "steps",
        "--checkpoint",
        "weights.pt",
        "--model",
        "tiny.py:net",
        "--data",
        "tiny.py:data",
    ]
    fails(capsys, *bare, status=1, says="weights alone")


def test_the_coursework_is_thirteen_trainings_a_seed() -> None:
    study = load_study("coursework")
    assert len(study.runs) == 13
    assert len(with_seeds(study, {"": (0, 1)}).runs) == 26
    more = with_seeds(study, {"batch-sizes": (0, 1)})
    assert len(more.runs) == 13 + 6
    recipes = [run.training for run in study.runs if "learning-rates" in run.groups]
    assert sorted(r.learning_rate for r in recipes) == [1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2]
    assert {r.batch_size for r in recipes} == {100}
    sizes = [run.training for run in study.runs if "batch-sizes" in run.groups]
    assert sorted(r.batch_size for r in sizes) == [50, 100, 150, 200, 400, 800]
    assert {r.learning_rate for r in sizes} == {5e-2}
    assert {(r.model, r.norm) for r in study.runs if "plain" in r.groups} == {("vgg38", "input"), ("vgg08", "input")}
    default = [run for run in study.runs if "default" in run.groups]
    assert [(r.norm, r.training.learning_rate, r.training.batch_size) for r in default] == [("batch", 1e-3, 100)]


def test_a_seed_added_to_one_group_stays_out_of_the_others() -> None:
    study = with_seeds(load_study("coursework"), {"batch-sizes": (0, 1)})
    rates = [run.training for run in study.runs if "learning-rates" in run.groups]
    assert len(rates) == 6
    assert {r.seed for r in rates} == {0}


def test_scaling_shrinks_images_and_epochs_alike_and_says_so() -> None:
    study = scaled(on_data(load_study("coursework"), "fashion-mnist-10k"), 0.2, lambda run: 8500)
    assert {run.training.train_images for run in study.runs} == {1700}
    assert {run.training.epochs for run in study.runs} == {20}
    assert {run.data for run in study.runs} == {"fashion-mnist-10k"}
    assert len(study.runs) == 13
    assert "0.2" in study.name
    assert "Scaled to 0.2" in study.note
    for wrong in (0.0, -1.0, 1.5):
        with pytest.raises(InputError, match="scale"):
            scaled(study, wrong, lambda run: 8500)


def test_the_plan_lists_every_training_before_anything_starts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = here / "mine.toml"
    study.write_text(
        "[[runs]]\nmodel='tiny.py:net'\ndata='tiny.py:data'\nbatch_size=[20, 30]\nepochs=2\n"
        "[[probes]]\nkind='line'\nx='-1:1:5'\nimages=20\n"
    )
    finished = run(capsys, "study", str(study), "--plan", "--seeds", "0,1,2", "--device", "cpu")
    assert finished.status == 0, finished.err
    assert "6 trainings" in finished.out
    assert not (here / "checkpoints").exists()
    rows = [line.split() for line in finished.out.splitlines() if line.lstrip().startswith("tiny.py:net")]
    assert len(rows) == 6
    assert all(" ".join(row).endswith("2 not known not known not timed") for row in rows)
    assert "Not timed, nor probes of it: tiny.py:net, tiny.py:data" in finished.out


def test_a_study_writes_its_comparisons_in_every_format_and_draws_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = here / "mine.toml"
    study.write_text(
        "[[runs]]\nmodel='tiny.py:net'\ndata='tiny.py:data'\nbatch_size=[20, 30]\nseed=[0, 1]\nepochs=2\n"
        "[[comparisons]]\nname='sizes'\nby='batch_size'\nequivalence={train_loss=50.0}\n"
        "[[comparisons]]\nname='chosen'\nby='batch_size'\nreference=20\nmeasures=['train_loss']\n"
    )
    finished = run(capsys, "study", str(study), "--scale", "0.5", "--device", "cpu")
    assert finished.status == 0, finished.err
    written = {path.suffix for path in here.glob("outputs/*/sizes.*")}
    assert written == {".csv", ".md", ".tex", ".html", ".h5", ".png", ".txt"}
    for suffix in (".md", ".html", ".tex"):
        text = next(here.glob(f"outputs/*/sizes{suffix}")).read_text()
        assert "Scaled to 0.5" in text and "p, equivalent" in text
    sizes, chosen = (next(here.glob(f"outputs/*/{name}.md")).read_text() for name in ("sizes", "chosen"))
    assert "20 vs 30" in sizes and "training accuracy" in sizes
    assert "30 vs 20" in chosen and "training accuracy" not in chosen


def test_runs_of_equal_settings_belong_to_every_group_that_names_them() -> None:
    runs = distinct(
        sweep_settings({"model": "vgg08", "batch_size": [50, 100], "groups": ["a"]})
        + sweep_settings({"model": "vgg08", "batch_size": 100, "groups": ["b"]})
    )
    assert [run.groups for run in runs] == [("a",), ("a", "b")]


def test_a_setting_that_a_run_does_not_have_is_not_in_its_name() -> None:
    runs = [run_settings({"model": "mlp", "updates": 20}), run_settings({"model": "mlp", "epochs": 3})]
    assert labels_of(runs) == ["mlp, updates 20", "mlp, epochs 3"]
