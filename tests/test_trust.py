"""No file decides what runs: a function that a file names is run where the user says it too, and nowhere else."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import render_samples
import torch
from commands import fails, run
from torch import nn

from landscape.errors import CheckpointError, InputError, LandscapeError
from landscape.models import build_model
from landscape.places import Places
from landscape.probes.probing import probe_checkpoint
from landscape.probes.settings import kinds, probe_settings
from landscape.probes.subjects import Subject
from landscape.results import load_checkpoint, load_result, save_result
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import train_run
from landscape.studies.settings import load_study
from landscape.studies.study import run_study

TASK = """
import pathlib
pathlib.Path("RAN").touch()
import torch
from torch import nn

def net(width=8):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))

def data(n=60):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=draws)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

def loss(outputs, targets):
    return 2 * nn.functional.cross_entropy(outputs, targets, reduction="none")
"""
OWN = {"model": "task.py:net", "data": "task.py:data", "loss": "task.py:loss"}
REPEATED = [word for part, name in OWN.items() for word in (f"--{part}", name)]
QUICK = ["--device", "cpu", "--images", "20"]
LINE = ["--kind", "line", "--x=-1:1:3", *QUICK]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with code that leaves a trace when it runs, and with checkpoints that name it."""
    monkeypatch.chdir(tmp_path)
    Path("task.py").write_text(TASK)
    made("x.pt", **OWN)
    return tmp_path


def made(path: str, **says: Any) -> None:
    """A checkpoint as anybody may write one; a text stands for a name without options."""
    torch.manual_seed(len(path))
    parts = {k: {"name": v, "options": {}} if isinstance(v, str) and k != "loss" else v for k, v in says.items()}
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    state = {"model": net.state_dict(), "epoch": len(path)}
    empty = {"model": None, "data": None, "training": None, "loss": "cross_entropy"}
    torch.save({"format": "landscape-checkpoint", "version": 1, "state": state, **empty, **parts}, path)


def ran() -> bool:
    """Whether the user's code has run since it was last asked."""
    seen = Path("RAN").exists()
    Path("RAN").unlink(missing_ok=True)
    return seen


@pytest.mark.parametrize("kind", kinds())
def test_no_kind_of_probe_runs_what_only_the_file_names(kind: str, here: Path) -> None:
    made("y.pt", **OWN)
    to = {"path": ("y.pt",), "trajectory": ("y.pt", "x.pt")}.get(kind, ())
    with pytest.raises(InputError, match="Code that only a file names is not run"):
        probe_checkpoint(Subject(Path("x.pt"), to=tuple(map(Path, to))), probe_settings({"kind": kind}), Places())
    assert not ran()


@pytest.mark.parametrize("part", OWN)
def test_one_function_that_is_not_repeated_is_enough_to_refuse(
    part: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [word for name in OWN if name != part for word in (f"--{name}", OWN[name])]
    fails(capsys, "probe", "x.pt", *others, *LINE, status=2, says=f"asks to run '{OWN[part]}' ({part})")
    assert not ran()


def test_repeated_or_trusted_gives_the_same_result_and_the_refusal_says_how(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"name": "task.py:net", "options": {"width": 8}}
    made("own file.pt", **{**OWN, "model": options, "data": {"name": "task.py:data", "options": {"n": 50}}})
    said = fails(capsys, "probe", "own file.pt", *LINE, status=2, says="--trust").err
    typed = shlex.split(said.split("repeat it: ")[1].split(". Or")[0])
    assert typed == [*REPEATED[:2], "--model-option", "width=8", *REPEATED[2:4], "--data-option", "n=50", *REPEATED[4:]]
    assert run(capsys, "probe", "own file.pt", *LINE, "--out", "a.h5", *typed).status == 0
    assert "nothing was measured" in run(capsys, "probe", "own file.pt", *LINE, "--out", "a.h5", "--trust").out
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    net.load_state_dict(dict(load_checkpoint("own file.pt").state_dict))
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=draws)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    chosen = 2 * nn.functional.cross_entropy(net(x), y, reduction="none")
    whole = run(capsys, "probe", "own file.pt", *LINE[:5], "--images", "50", "--out", "b.h5", "--trust")
    assert whole.status == 0, whole.err
    np.testing.assert_allclose(float(load_result("b.h5")["checkpoint_loss"]), float(chosen.detach().mean()), rtol=1e-5)


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        ({"model": "mlp", "data": "fashion-mnist-10k"}, ["--model", "task.py:net", "--data", "task.py:data"]),
        ({"model": "task.py:net", "data": "nowhere:data"}, ["--model", "./task.py:net", "--data", "task.py:data"]),
        ({"model": [1], "data": 7, "loss": None}, ["--model", "task.py:net", "--data", "task.py:data"]),
        ({"model": {"name": "mlp", "options": {"seed": 1}}}, ["--model", "task.py:net", "--data", "task.py:data"]),
        ({"data": "task.py:data"}, ["--model", "task.py:net", "--data", "task.py:data"]),
    ],
)
def test_what_the_user_names_is_run_whatever_the_file_says(
    stored: dict[str, Any], options: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made("other.pt", **stored)
    finished = run(capsys, "probe", "other.pt", *options, *LINE)
    assert finished.status == 0, finished.err
    assert ran()


@pytest.mark.parametrize("name", ["task.py:data", "./task.py:data", "../{}/task.py:data"])
def test_a_name_repeated_without_its_options_is_refused_and_not_given_defaults(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made("opted.pt", **{**OWN, "data": {"name": "task.py:data", "options": {"n": 50}}, "loss": "cross_entropy"})
    data = ["--data", name.format(here.name)]
    fails(
        capsys,
        "probe",
        "opted.pt",
        *REPEATED[:2],
        *data,
        *LINE,
        status=2,
        says="--data task.py:data --data-option n=50",
    )
    assert run(capsys, "probe", "opted.pt", *REPEATED[:2], *data, "--data-option", "n=40", *LINE).status == 0


def test_a_built_in_networks_name_without_its_options_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {"name": "mlp", "options": {"inputs": 6, "hidden": [8], "classes": 3, "activation": "tanh"}}
    made("mlp.pt", model=spec, data="task.py:data")
    again = ["--data", "task.py:data", *LINE]
    fails(capsys, "probe", "mlp.pt", "--model", "mlp", *again, status=2, says="activation=tanh")


def test_names_of_our_own_need_no_question(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"classes": 10, "hidden": 4}
    made("own.pt", model={"name": "mlp", "options": options}, data="fashion-mnist-10k")
    content = torch.load("own.pt", weights_only=True)
    content["state"]["model"] = build_model("mlp", **options).state_dict()
    torch.save(content, "own.pt")
    finished = run(capsys, "probe", "own.pt", *LINE)
    assert finished.status == 0, finished.err


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("torchvision:get_model", "unknown value 'get_model'"),
        ("torchvision:list_models", "unknown value 'list_models'"),
        ("torchvision:../task.py:net", "unknown value"),
        ("torchvision:fasterrcnn_resnet50_fpn", "unknown value"),
        ({"name": "torchvision:resnet18", "options": {"weights": "DEFAULT"}}, "built untrained"),
        ({"name": "torchvision:resnet18", "options": {"pretrained": True}}, "torchvision refused the options"),
        ({"name": "torchvision:resnet18", "options": {"norm_layer": "os:system"}}, "torchvision refused the options"),
        ({"name": "mlp", "options": {"inputs": 10**13}}, "cannot be built"),
        ({"name": "mlp", "options": {"seed": 3}}, "the option 'seed', which no file decides"),
        ({"name": "mlp", "options": {"name": "x"}}, "the option 'name', which no file decides"),
        ({"name": "mlp", "options": {3: 4}}, "expected a name, with options"),
        ({"name": ["mlp"], "options": {}}, "expected a name, with options"),
        ({"options": {}}, "expected a name, with options"),
        (7, "expected a name, with options"),
        ("builtins:exec", "asks to run 'builtins:exec'"),
        ("pickle:loads", "asks to run"),
        (":net", "asks to run"),
        ("task.py:", "asks to run"),
    ],
)
def test_a_models_name_reaches_networks_alone(
    model: Any, says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made("x.pt", model=model)
    Path("data.py").write_text(
        "import torch\ndef data(): return torch.randn(9, 6), torch.zeros(9, dtype=torch.int64)\n"
    )
    refused = run(capsys, "probe", "x.pt", "--data", "data.py:data", *LINE)
    assert refused.status in (1, 2) and says in refused.err, refused.err
    assert "not foreseen" not in refused.err
    assert not ran()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "cifar10", "options": {"root": "/etc"}}, "the option 'root', which no file decides"),
        ({"name": "cifar10", "options": {"download": True}}, "the option 'download', which no file decides"),
        ({"name": "fashion-mnist-10k", "options": {"path": "/etc"}}, "unknown option 'path'"),
        ("torchvision:datasets", "asks to run"),
        ("urllib.request:urlopen", "asks to run"),
        ("x.h5", "unknown value"),
        ({"name": None}, "expected a name, with options"),
    ],
)
def test_a_data_sets_name_reads_built_in_sets_alone(
    data: Any, says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made("x.pt", data=data)
    refused = run(capsys, "probe", "x.pt", "--model", "task.py:net", *LINE)
    assert refused.status in (1, 2) and says in refused.err, refused.err
    assert "not foreseen" not in refused.err


def test_further_checkpoints_and_their_neighbours_give_weights_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        made(f"epoch-000{number}" + "0" * number + ".pt", model="evil.py:net", data="evil.py:data", loss="evil.py:loss")
    Path("evil.py").write_text("open('EVIL', 'w')\n")
    plane = ["--kind", "trajectory", "--x=-1:1:3", "--y=-1:1:3", *QUICK]
    finished = run(capsys, "probe", "x.pt", *REPEATED, *plane)
    assert finished.status == 0, finished.err
    assert not Path("EVIL").exists()


def test_a_file_beside_the_checkpoint_never_stands_in_for_the_users(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("received").mkdir()
    Path("received/task.py").write_text("open('EVIL', 'w')\n" + TASK)
    Path("x.pt").rename("received/x.pt")
    assert run(capsys, "probe", "received/x.pt", *LINE, "--trust").status == 0
    assert not Path("EVIL").exists() and ran()


def test_looking_at_files_runs_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = {"model": OWN["model"], "data": OWN["data"], "loss": OWN["loss"], "model_options": {}, "epochs": 2}
    names = {"model": OWN["model"], "data": OWN["data"], "loss_name": OWN["loss"], "checkpoint": "x.pt"}
    for seed, rate in ((0, 1e-3), (1, 1e-2)):
        attributes = {"training": {**training, "learning_rate": rate, "seed": 0}, "learning_rate": rate, **names}
        save_result(render_samples.history(3, status="complete", **attributes), f"run{seed}.h5")
    save_result(render_samples.plane(3, 3, **names), "plane.h5")
    for command in (
        ["info", "x.pt", "run0.h5", "plane.h5"],
        ["plot", "run0.h5", "run1.h5"],
        ["plot", "plane.h5"],
        ["compare", "run0.h5", "run1.h5", "--by", "learning_rate"],
        ["convert", "plane.h5", "theirs.h5", "--to", "original"],
        ["check", "x.pt", "run0.h5", "plane.h5"],
    ):
        finished = run(capsys, *command)
        assert "not foreseen" not in finished.err
        assert command[0] in ("compare", "check") or finished.status == 0, finished.err
    fails(capsys, "check", "--checkpoint", "x.pt", status=2, says="Code that only a file names is not run")
    assert not ran()


STUDY = """
name = "s"
[[runs]]
model = "task.py:net"
model_options = {width = 8}
data = "task.py:data"
data_options = {n = 60}
loss = "task.py:loss"
epochs = 1
batch_size = 20
[[probes]]
kind = "line"
x = "-1:1:3"
images = 20
"""


def test_a_study_runs_what_it_names_and_nothing_that_its_runs_files_name(here: Path) -> None:
    Path("s.toml").write_text(STUDY)
    places = Places(device="cpu")
    first = run_study(load_study("s.toml"), places)
    assert not first.failures and ran()
    [saved] = Path("checkpoints").glob("*/last.pt")
    content = torch.load(saved, weights_only=True)
    assert content["model"]["name"] == OWN["model"] and content["loss"] == OWN["loss"]
    Path("evil.py").write_text("open('EVIL', 'w')\n" + TASK)
    for part, other in (("model", {"name": "evil.py:net", "options": {}}), ("loss", "evil.py:loss")):
        torch.save({**content, part: other}, saved)
        with pytest.raises(
            LandscapeError, match=f"is of a run with the {part} 'evil.py:{part.replace('model', 'net')}'"
        ):
            run_study(load_study("s.toml"), places)
        assert not Path("EVIL").exists()


def test_a_run_goes_on_with_the_users_functions_and_not_with_its_files(here: Path) -> None:
    settings = run_settings({"model": OWN["model"], "data": OWN["data"], "epochs": 1, "batch_size": 20})
    train_run(settings, Places(device="cpu"), folder=Path("run"))
    content = torch.load("run/last.pt", weights_only=True)
    torch.save({**content, "data": {"name": "evil.py:data", "options": {}}}, "run/last.pt")
    with pytest.raises(LandscapeError, match=r"evil\.py:data"):
        train_run(settings, Places(device="cpu"), folder=Path("run"))


def test_a_diverged_checkpoint_of_a_trajectory_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.pt", "bb.pt", "ccc.pt"):
        made(name, **OWN)
    content = torch.load("bb.pt", weights_only=True)
    content["state"]["model"]["2.bias"][0] = float("nan")
    torch.save(content, "bb.pt")
    plane = ["--kind", "trajectory", "--x=-1:1:3", "--y=-1:1:3", *QUICK, *REPEATED]
    to = ["--to", "a.pt", "--to", "bb.pt", "--to", "ccc.pt"]
    said = fails(capsys, "probe", "x.pt", *to, *plane, status=2, says="bb").err
    assert "2.bias" in said and "the same" not in said
    made("bb.pt", **OWN)
    torch.save({**torch.load("x.pt", weights_only=True), "state": content["state"]}, "x.pt")
    assert "x" in fails(capsys, "probe", "x.pt", *to, *plane, status=2, says="NaN").err


def test_what_a_checkpoint_says_is_checked_where_it_is_used(here: Path) -> None:
    made("odd.pt", model="mlp", data=[1, 2])
    assert load_checkpoint("odd.pt").data == [1, 2]
    with pytest.raises(CheckpointError, match="its data is"):
        probe_checkpoint(Subject(Path("odd.pt")), probe_settings({}), Places())


@pytest.mark.parametrize("own", ["model", "data", "loss"])
def test_a_plan_runs_no_code_of_the_users_and_says_what_can_be_counted(
    own: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of = {"model": "mlp", "data": "fashion-mnist-10k", "loss": "cross_entropy", own: OWN[own]}
    lines = [f'{key} = "{value}"' for key, value in run_of.items()]
    sizes = "batch_size = [20, 50]\nepochs = 3\ntrain_images = 100"
    Path("s.toml").write_text("\n".join(["[[runs]]", *lines, sizes, '[[probes]]\nkind = "plane"']))
    for more in ((), ("--scale", "0.5")):
        planned = run(capsys, "study", "s.toml", "--plan", *more)
        assert planned.status == 0, planned.err
        assert not ran() and not Path("checkpoints").exists() and not Path("outputs").exists()
        assert planned.out.count("not timed") == 2
        assert f"Not timed, nor probes of it: {OWN[own]}." in planned.out
    rows = [line.split() for line in run(capsys, "study", "s.toml", "--plan").out.splitlines() if "not timed" in line]
    assert [row[-5:-2] for row in rows] == [["3", "15", "300"], ["3", "6", "300"]]


def test_a_plan_times_what_is_ours_beside_what_is_not(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.toml").write_text(
        '[[runs]]\nmodel = "mlp"\nmodel_options = {hidden = [4]}\nepochs = 1\n'
        '[[runs]]\nmodel = "task.py:net"\ndata = "task.py:data"\nupdates = 7\n'
    )
    planned = run(capsys, "study", "s.toml", "--plan").out
    assert planned.count("not timed") == 1 and "2 trainings, 1 of them timed." in planned and not ran()
    assert "8,500" in planned  # images of a built-in set are known
    refused = fails(capsys, "study", "s.toml", "--plan", "--scale", "0.5", status=2, says="train_images")
    assert "task.py:data" in refused.err and not ran()
