"""An earlier result or run is continued by what made it alone: in Python, by the same command, and along a training."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from commands import fails, run
from torch import Tensor, nn

import landscape as ls
from landscape.errors import MismatchError
from landscape.probes.trajectory.measure import trajectory
from landscape.results import load_checkpoint, load_result, save_result
from landscape.training import EpochReport, Observer, TrainingConfig, fit

SMALL = {"x": (-1, 1, 3), "y": (-1, 1, 3)}
CURVATURE = ls.CurvatureConfig(top=1, bottom=0, trace_probes=2, density_probes=0)
cross_entropy = nn.functional.cross_entropy


def plain(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def mlp(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def samples() -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(30, 6, generator=draws).double(), torch.randint(3, (30,), generator=draws)


def objective(seed: int = 0, loss: Any = plain, **arguments: Any) -> ls.Objective:
    return ls.Objective(mlp(seed), loss, samples(), device="cpu", **arguments)


# name -> a call of an objective that takes up an earlier result
PROBES: dict[str, Callable[..., xr.Dataset]] = {
    "line": lambda o, **further: ls.line(o, x=(-1, 1, 3), seeds=[0], **further),
    "plane": lambda o, **further: ls.plane(o, **{**SMALL, **further}),
    "curvature_map": lambda o, **further: ls.curvature_map(o, x=(-1, 1, 2), y=(-1, 1, 2), **further),
    "trajectory": lambda o, **further: trajectory(
        o, further.pop("checkpoints", [mlp(6), mlp(7), mlp(8)]), **SMALL, **further
    ),
    "sharpness": lambda o, **further: ls.sharpness(
        o, further.pop("config", ls.SharpnessConfig(("sam", "gaussian"), draws=2)), **further
    ),
    "curvature": lambda o, **further: ls.curvature(o, further.pop("config", CURVATURE), **further),
    "path": lambda o, **further: ls.path(o, further.pop("to", mlp(9)), **{"points": 3, **further}),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_result_is_continued_by_its_own_objective_and_refused_to_others(name: str, tmp_path: Path) -> None:
    probe = PROBES[name]
    whole = probe(objective())
    save_result(whole, tmp_path / "whole.h5")
    xr.testing.assert_identical(probe(objective(), resume=load_result(tmp_path / "whole.h5")), whole)
    others = (objective(seed=1), objective(loss=lambda o, t: 7 * plain(o, t)), objective(forward=lambda m, x: 2 * m(x)))
    for other in others:
        with pytest.raises(
            MismatchError, match=r"^resume: other code, weights, data or settings made it: .* was .* and is"
        ):
            probe(other, resume=whole)
    nameless = whole.drop_attrs(deep=False).assign_attrs({k: v for k, v in whole.attrs.items() if k != "made_by"})
    with pytest.raises(MismatchError, match=r"^resume: does not say what made it"):
        probe(objective(), resume=nameless)


CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("plane", {"normalization": "layer"}, "direction x of seed 0 is another"),
    ("plane", {"along": ["gradient", "random"]}, "direction x of seed 0 is another"),
    ("plane", {"to": [mlp(3), mlp(4)]}, "direction x of seed 0 is another"),
    ("plane", {"orthogonalize": True}, "direction y of seed 0 is another"),
    ("plane", {"seeds": (1,)}, "direction x of seed 1 is another"),
    ("plane", {"x": (-2, 2, 3)}, "another grid"),
    ("curvature_map", {"search": ls.EigenvalueSearch(tolerance=0.1)}, "tolerance was 0.01 and is 0.1"),
    ("curvature_map", {"normalization": "layer"}, "direction x of seed 0 is another"),
    ("trajectory", {"checkpoints": [mlp(7), mlp(6), mlp(8)]}, "the other checkpoints are others"),
    ("trajectory", {"centred": True}, "direction . of seed 0 is another"),
    ("sharpness", {"config": ls.SharpnessConfig(("sam", "gaussian"), draws=3)}, "draws was 2 and is 3"),
    (
        "curvature",
        {"config": ls.CurvatureConfig(top=1, bottom=0, trace_probes=2, density_probes=0, draw_seed=1)},
        "draw_seed",
    ),
    ("path", {"to": mlp(5)}, "the other checkpoints are others"),
    ("path", {"points": 5}, "other paths or points"),
]


@pytest.mark.parametrize(("name", "change", "message"), CALLS)
def test_a_result_of_another_call_is_refused_by_what_differs(name: str, change: dict[str, Any], message: str) -> None:
    earlier = PROBES[name](objective())
    with pytest.raises(MismatchError, match=message):
        PROBES[name](objective(), resume=earlier, **change)


def test_a_path_whose_bends_were_trained_on_other_samples_is_refused() -> None:
    curve = {"kinds": ("bezier",), "config": ls.CurveTraining(steps=2, batch_size=5)}
    earlier = PROBES["path"](objective(), **curve, training=objective(samples=20))
    with pytest.raises(MismatchError, match="the training samples are others"):
        PROBES["path"](objective(), **curve, training=objective(samples=20, sample_seed=1), resume=earlier)


def test_a_loss_object_that_was_changed_is_noticed_by_the_objective_that_holds_it() -> None:
    class Scaled:
        scale = 1.0

        def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return self.scale * plain(outputs, targets)

    loss = Scaled()
    held = objective(loss=loss)
    earlier = ls.plane(held, **SMALL)
    loss.scale = 1.01
    with pytest.raises(MismatchError, match="the loss at the checkpoint was"):
        ls.plane(held, **SMALL, resume=earlier)


def test_points_given_up_above_a_clip_are_measured_again_where_it_is_another() -> None:
    held = ls.Objective(mlp().float(), plain, tuple(t.repeat_interleave(20, 0) for t in samples()), device="cpu")
    axes = {"x": (-30, 30, 11), "y": (-30, 30, 11)}
    low, high = ls.Refinement(loss_max := 0.01, value_max=2.0), ls.Refinement(loss_max, value_max=9.0)
    earlier = ls.plane(held, **axes, refinement=low)
    assert bool((earlier["status"] == 3).any())
    xr.testing.assert_identical(ls.plane(held, **axes, resume=earlier), ls.plane(held, **axes))
    higher = ls.plane(held, **axes, refinement=high)
    resumed = ls.plane(held, **axes, refinement=high, resume=earlier)
    both = ((resumed["status"] == 1) & (higher["status"] == 1)).values
    assert np.array_equal(resumed["loss"].values[both], higher["loss"].values[both])
    assert bool((resumed["loss"].where(resumed["status"] == 3) >= 9.0).sum() == (resumed["status"] == 3).sum())


OWN = """
import torch
from torch import nn
from helper import factor

F = nn.functional

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(6, width), nn.Linear(width, 3)
    def forward(self, x):
        return self.b(F.dropout(torch.relu(self.a(x)), 0.2, self.training))

class Images:
    name, classes = "own", 3
    def __init__(self, x, y): self.x, self.y = x, y
    def __len__(self): return len(self.x)
    def batch(self, i): return self.x[i], self.y[i]
    def training_batch(self, i, generator):
        return self.x[i] + 0.1 * torch.randn(self.x[i].shape, generator=generator), self.y[i]
    def fingerprint(self): return str(float(self.x.sum() + self.y.sum()))
    def to(self, device): return self

def net(width=5): return Net(width)

def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 6, generator=g)
    return Images(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())

def loss(o, t): return factor() * F.cross_entropy(o, t, reduction="none")
"""
EDITS = {
    "forward": ("torch.relu(self.a(x))", "torch.tanh(self.a(x))"),
    "loss": ('reduction="none")', 'reduction="none", label_smoothing=0.1)'),
    "data": ("manual_seed(0)", "manual_seed(1)"),
    "labels": ("(x[:, 1] > 0)", "(x[:, 1] > 0.3)"),
}
TRAINED_EDITS = {
    **EDITS,
    "dropout": ("0.2, self.training", "0.3, self.training"),
    "augmentation": ("0.1 * torch.randn", "0.2 * torch.randn"),
    "initialisation": ("return Net(width)", "net = Net(width); nn.init.zeros_(net.b.weight); return net"),
    "architecture": ("width=5", "width=6"),
    "the gradient alone": ("F.cross_entropy(o, t", "F.cross_entropy(o / 2 + o.detach() / 2, t"),
}
SAME = ("return factor() *", "# said otherwise\n    k = factor()\n    return k *")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # of helper.py: it is told from others by the second it was written in
    written(tmp_path)
    return tmp_path


def written(folder: Path, *edits: tuple[str, str], factor: float = 1.0) -> None:
    """The user's two files, edited; what Python remembers of the second is forgotten, as by a new process."""
    text = OWN
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    (folder / "own.py").write_text(text)
    (folder / "helper.py").write_text(f"def factor():\n    return {factor}\n")
    sys.modules.pop("helper", None)


TRAIN = ["train", "--model", "own.py:net", "--data", "own.py:data", "--loss", "own.py:loss", "--epochs", "1"]
TRAIN += ["--batch-size", "20", "--device", "cpu", "--out", "run"]


def probe(kind: str, *further: str) -> list[str]:
    return ["probe", "run", "--kind", kind, "--device", "cpu", "--out", f"{kind}.h5", *further]


PROBED = {
    "line": probe("line", "--x=-1:1:3"),
    "noise_scale": probe("noise_scale", "--small-batch", "5", "--groups", "3"),
    "curvature": probe("curvature", "--top", "1", "--bottom", "0", "--trace-probes", "0", "--density-probes", "0"),
    "steps": probe("steps", "--steps", "2", "--probe-every", "1"),
}


def test_the_same_probe_after_an_edit_of_values_is_refused_and_after_another_edit_complete(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *TRAIN).status == 0
    trusted = ["--model", "own.py:net", "--data", "own.py:data", "--loss", "own.py:loss"]
    for command in PROBED.values():
        finished = run(capsys, *command, *trusted)
        assert finished.status == 0, finished.err
    before = {kind: (here / f"{kind}.h5").read_bytes() for kind in PROBED}
    for what, edit in EDITS.items():
        written(here, edit)
        for kind, command in PROBED.items() if what == "forward" else [("line", PROBED["line"])]:
            fails(
                capsys,
                *command,
                *trusted,
                status=1,
                says=f"{kind}.h5: other code, weights, data or settings made it: the ",
            )
    written(here, factor=1.001)
    advice = "Remove it to measure anew, or write to another file with --out."
    fails(capsys, *PROBED["line"], *trusted, status=1, says=advice)
    written(here, SAME)
    for command in PROBED.values():
        assert "Already complete" in run(capsys, *command, *trusted).out
    assert before == {kind: (here / f"{kind}.h5").read_bytes() for kind in PROBED}


def test_the_same_probe_after_an_edit_that_acts_only_away_from_the_checkpoint_is_refused_by_a_point(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *TRAIN).status == 0
    trusted = ["--model", "own.py:net", "--data", "own.py:data", "--loss", "own.py:loss"]
    commands = {
        "line": probe("line", "--x=-9:9:3"),
        "sharpness": probe("sharpness", "--measures", "sam", "--rho", "20"),
        "path": [*probe("path", "--paths", "linear", "--points", "3"), "--to", "far.pt"],
    }
    state = load_checkpoint(here / "run" / "last.pt").state_dict
    torch.save({name: 20 * tensor for name, tensor in state.items()}, here / "far.pt")
    for command in commands.values():
        finished = run(capsys, *command, *trusted)
        assert finished.status == 0, finished.err
    written(here, ('reduction="none")', 'reduction="none").clamp(max=6.0)'))
    for kind, command in commands.items():
        message = fails(capsys, *command, *trusted, status=1, says=f"{kind}.h5: other code, weights").err
        assert re.search(r"made it: the loss at .* was .* and is .* Remove it", " ".join(message.split()))
    written(here, SAME)
    for command in commands.values():
        assert "Already complete" in run(capsys, *command, *trusted).out


def test_the_same_training_after_an_edit_of_values_is_refused_and_after_another_edit_complete(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *TRAIN).status == 0
    last = (here / "run" / "last.pt").read_bytes()
    for edit in TRAINED_EDITS.values():
        written(here, edit)
        fails(capsys, *TRAIN, status=1, says="run: other code, weights, data or settings made it: the ")
    written(here, SAME)
    assert "Already complete" in run(capsys, *TRAIN).out
    assert (here / "run" / "last.pt").read_bytes() == last


STUDY = "".join(
    f"[[runs]]\nmodel = '{file}:net'\ndata = '{file}:data'\nloss = '{file}:loss'\nepochs = 1\nbatch_size = 20\n"
    for file in ("own.py", "other.py")
)
STUDY += "[[probes]]\nkind = 'line'\nx = '-9:9:3'\n"


def test_a_study_after_an_edit_goes_on_with_what_is_still_its_own_and_says_what_is_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(here)
    (here / "other.py").write_text(OWN)
    (here / "mine.toml").write_text(STUDY)
    command = ("study", "mine.toml", "--device", "cpu")
    assert run(capsys, *command).status == 0
    made = {path: path.read_bytes() for path in here.rglob("*.h5")}
    assert len(made) == 6
    far = ('reduction="none")', 'reduction="none").clamp(max=4.0)')
    for edit, refused, kept in (
        (EDITS["loss"], "own.py-net-.*: other code, .* made it: the loss for", 3),
        (EDITS["forward"], "own.py-net-.*: other code, .* made it: the loss for", 3),
        (far, "line of own.py:net.*-line-.*: other code, .* made it: the loss at x = -?9 was", 5),
    ):
        written(here, edit)
        finished = fails(capsys, *command, status=1, says="Remove ")
        assert len(re.findall("failed:", finished.err)) == 1
        assert re.search(f"failed: .*{refused}", " ".join(finished.err.split()))
        named = " ".join(finished.out.split())
        assert named.count(".h5") == kept
    written(here, SAME)
    assert run(capsys, *command).status == 0
    assert {path: path.read_bytes() for path in here.rglob("*.h5")} == made


class Kept(Observer):
    state: dict[str, Any]

    def on_epoch(self, report: EpochReport) -> None:
        self.state = report.state()
        if report.epoch == 1:
            raise KeyboardInterrupt


def interrupted(seed: int = 0, *observers: Any, **arguments: Any) -> dict[str, Any]:
    keeper = Kept()
    with pytest.raises(KeyboardInterrupt):
        trained(seed, *observers, keeper, **arguments)
    return keeper.state


def trained(
    seed: int, *observers: Any, loss: Any = plain, data: Any = None, resume: Any = None, **further: Any
) -> None:
    config = TrainingConfig(epochs=2, batch_size=10, **further)
    fit(
        mlp(seed),
        samples() if data is None else data,
        config,
        loss=loss,
        device="cpu",
        observers=observers,
        resume=resume,
    )


def test_an_interrupted_training_goes_on_only_with_its_own_code_and_data() -> None:
    state = interrupted()
    assert np.isfinite(np.concatenate([*state["made"]["here"]["numbers"].values()])).all()
    trained(5, resume=state)  # whose weights are those of the state
    inputs, targets = samples()
    others = (
        {"loss": lambda o, t: 1.001 * plain(o, t)},
        {"loss": lambda o, t: plain(o, t) / 2 + plain(o, t).detach() / 2},
        {"data": (inputs, targets.roll(1))},
        {"data": (torch.cat([inputs[:17], inputs[17:18] + 1e-6, inputs[18:]]), targets)},
    )
    for other in others:
        with pytest.raises(MismatchError, match=r"^resume: other code, .* made it: the .* or start a new one"):
            trained(0, resume=state, **other)
    with pytest.raises(MismatchError, match=r"^resume: does not say what made it"):
        trained(0, resume={key: value for key, value in state.items() if key != "made"})


@pytest.mark.parametrize("make", [ls.GradientFlow, ls.StepProbe, lambda **k: ls.StabilityProbe(1, **k)])
def test_what_was_recorded_in_another_training_is_not_continued(make: Callable[..., Any]) -> None:
    recorders = [make(), make()]
    states = [interrupted(seed, recorder) for seed, recorder in enumerate(recorders)]
    for number in (0, 1):
        trained(0, make(resume=recorders[number].dataset()), resume=states[number])
        with pytest.raises(MismatchError, match="resume: was recorded in another training"):
            trained(0, make(resume=recorders[1 - number].dataset()), resume=states[number])
