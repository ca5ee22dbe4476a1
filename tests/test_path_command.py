"""Paths from the command line and in studies: resumed, refused with a reason, drawn as measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from commands import fails, run
from matplotlib.colors import to_rgb
from test_render_planes import caption_of, legend_words

from landscape.errors import InputError
from landscape.models import build_model
from landscape.places import Places
from landscape.probes.interactive import interactive
from landscape.probes.path import result as path_words
from landscape.probes.path.alignment import permute_units
from landscape.probes.path.config import PathSettings
from landscape.probes.path.symmetries import exchangeable_units
from landscape.probes.plot import plot
from landscape.probes.probing import probe_checkpoint
from landscape.probes.settings import probe_settings
from landscape.probes.subjects import Subject
from landscape.results import load_checkpoint, load_result, save_result
from landscape.studies.path_ends import far_end
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import RunOutcome, train_run
from landscape.studies.settings import load_study

TINY = """
import torch
from torch import nn

def data():
    draws = torch.Generator().manual_seed(0)
    def split(n):
        x = torch.randn(n, 5, generator=draws)
        return x, (x[:, 0] > 0).long() + (x[:, 1] > 1).long()
    return split(60), split(20), split(20)

def net(width=6, norm=True):
    middle = nn.BatchNorm1d(width) if norm else nn.Softmax(1)
    return nn.Sequential(nn.Linear(5, width), middle, nn.ReLU(), nn.Linear(width, 3))
"""
PATH = ["probe", "--trust", "--kind", "path", "--device", "cpu", "--images", "40", "--points", "5"]


def tiny(**settings: object) -> dict[str, object]:
    return {"model": "tiny.py:net", "data": "tiny.py:data", "batch_size": 20, "epochs": 3, **settings}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two seeds of one network, and one each of another width and another layer."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("tiny.py").write_text(TINY)
        places = Places(device="cpu")
        for name, settings in {
            "a": {},
            "b": {"seed": 1},
            "wide": {"model_options": {"width": 7}},
            "odd": {"model_options": {"norm": False}},
            "odd2": {"model_options": {"norm": False}, "seed": 1},
        }.items():
            recipe = run_settings(tiny(learning_rate=1e-2, **settings))
            train_run(recipe, places, folder=folder / name)
    return folder


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def test_a_permuted_copy_aligns_back_to_a_barrier_of_exactly_zero(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = load_checkpoint(here / "a/last.pt").state_dict
    module = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    shuffled = permute_units(state, exchangeable_units(module), [np.array([3, 0, 5, 1, 2, 4])])
    torch.save(shuffled, here / "shuffled.pt")
    finished = run(capsys, *PATH, "a", "--to", "shuffled.pt", "--paths", "linear,aligned", "--out", "copy.h5")
    assert finished.status == 0, finished.err
    result = load_result(here / "copy.h5")
    assert float(result["barrier"].sel(path="aligned")) == 0.0
    assert float(result["end_distance"].sel(path="aligned")) == 0.0
    assert float(result["barrier"].sel(path="linear")) > 0.01
    assert int(result["moved_units"]) == 6
    assert (
        "aligned: no barrier: the largest loss is at an end (t = 0), 0 ± 0 nat above the ends' mean; length 0"
        in finished.out
    )
    assert "6 hidden units moved" in finished.out


def test_batch_norm_is_reestimated_along_the_path_and_of_the_minibatch_while_curves_are_trained(here: Path) -> None:
    settings = probe_settings({"kind": "path", "images": 40, "points": 3, "paths": "bezier", "curve_steps": 2} | BATCH)
    made = probe_checkpoint(subject(), settings, Places(device="cpu", outputs=here / "out")).dataset
    assert made.attrs["bn_policy"] == "reestimated"
    assert made.attrs["curve_bn_policy"] == "batch"
    assert made.attrs["curve_samples"] == 60


BATCH: dict[str, Any] = {"curve_batch_size": 20}


def subject() -> Subject:
    return Subject(Path("a/last.pt"), to=(Path("b/last.pt"),), trust=True)


class Stopping:
    """A reporter that interrupts the work at some progress."""

    def __init__(self, at: int) -> None:
        self.at, self.first = at, None

    def message(self, text: str) -> None: ...

    def training_observers(self, task: str) -> tuple[Any, ...]:
        return ()

    def progress(self, task: str, done: int, total: int, unit: str = "points") -> None:
        self.first = self.first or done
        if done >= self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [8, 20])
def test_a_path_that_was_interrupted_goes_on_to_the_same_result(here: Path, at: int) -> None:
    table = {"kind": "path", "images": 40, "points": 6, "paths": "linear,aligned,chain", "curve_steps": 12} | BATCH
    settings = probe_settings(table)
    stopped = here / f"stopped-{at}.h5"
    whole = here / f"whole-{at}.h5"
    probe_checkpoint(subject(), settings, Places(device="cpu"), out=whole)
    with pytest.raises(KeyboardInterrupt):
        probe_checkpoint(subject(), settings, Places(device="cpu", save_every=0.0, reporter=Stopping(at)), out=stopped)
    assert load_result(stopped).attrs["complete"] == 0
    again = Stopping(10**6)
    probe_checkpoint(subject(), settings, Places(device="cpu", reporter=again), out=stopped)
    assert again.first is not None
    assert again.first > at
    xr.testing.assert_identical(load_result(stopped).drop_attrs(), load_result(whole).drop_attrs())
    assert probe_checkpoint(subject(), settings, Places(device="cpu"), out=stopped).measured == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["a"], "to: a path leads to one more checkpoint, got 0"),
        (["a", "b/last.pt", "wide/last.pt"], "got 2"),
        (["a", "--to", "a/last.pt"], "identical parameters"),
        (["odd", "--to", "odd2/last.pt", "--paths", "aligned"], "1 (Softmax) is none of the operations"),
        (["a", "--to", "b/last.pt", "--paths", "bezir"], "paths: unknown value 'bezir'. Did you mean 'bezier'"),
        (["a", "--to", "b/last.pt", "--paths", "linear,linear"], "paths: each may occur once"),
        (["a", "--to", "b/last.pt", "--batch-norm", "frozen"], "first one's statistics"),
        (["a", "--to", "b/last.pt", "--paths", "chain"], "curve_batch_size: expected at most the 60 training images"),
        (["a", "--to", "b/last.pt", "--curve-optimizer", "sdg"], "Did you mean 'sgd'"),
        (["a", "--to", "b/last.pt", "--bends", "0"], "bends: input should be greater than or equal to 1, got 0"),
    ],
)
def test_paths_that_mean_nothing_are_refused_by_name(
    options: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(capsys, *PATH, *options, status=2, says=says)


def test_a_checkpoint_of_another_architecture_is_refused_by_name(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says = "wide/last.pt: does not fit the model (Sequential with 9 tensors); 7 of another shape: 0.weight ((7, 5) in the file"
    fails(capsys, *PATH, "a", "--to", "wide/last.pt", status=1, says=says)


def test_another_kinds_options_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "probe", "a", "--points", "5", status=2, says="points: is no setting of kind 'plane'")


def outcomes(**lists: object) -> list[Any]:
    """Runs that were never made, by the folders that they would have."""
    runs = [run_settings({"model": "vgg08", **flat}) for flat in lists["runs"]]  # type: ignore[attr-defined]
    return [(s, RunOutcome(Path(f"run{k}"), xr.Dataset(), 0)) for k, s in enumerate(runs)]


def test_a_studys_paths_lead_to_the_next_seed_of_equal_settings() -> None:
    runs = outcomes(runs=[{"norm": n, "seed": s} for n in ("none", "batch") for s in (3, 0, 1)])
    ends = [far_end(PathSettings(), settings, runs, runs) for settings, _ in runs]
    assert [None if end is None else end.folder.name for end in ends] == [None, "run2", "run0", None, "run5", "run3"]
    alone = outcomes(runs=[{"norm": "none"}, {"norm": "batch"}])
    with pytest.raises(InputError, match="no other run differs from this one in its seed alone"):
        far_end(PathSettings(), alone[0][0], alone, alone)


def test_a_studys_paths_lead_to_the_same_seed_of_another_group_or_its_only_run() -> None:
    table = [{"batch_size": b, "seed": s, "groups": [g]} for b, g in ((50, "small"), (400, "large")) for s in (0, 1)]
    runs = outcomes(runs=[*table, {"batch_size": 100, "groups": ["one"], "seed": 5}])
    large, one = PathSettings(to="large"), PathSettings(to="one")
    assert [far_end(large, s, runs[:2], runs).folder.name for s, _ in runs[:2]] == ["run2", "run3"]  # type: ignore[union-attr]
    assert {far_end(one, s, runs[:2], runs).folder.name for s, _ in runs[:2]} == {"run4"}  # type: ignore[union-attr]
    with pytest.raises(InputError, match="one run of the group 'large' with the seed 5"):
        far_end(large, runs[4][0], runs, runs)


def test_a_study_measures_and_draws_paths_between_its_seeds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "[[runs]]\nname='nets'\nmodel='tiny.py:net'\ndata='tiny.py:data'\nbatch_size=20\nepochs=2\nseed=[0, 1, 2]\n"
        "[[probes]]\nkind='path'\npaths=['linear', 'aligned']\npoints=3\nimages=30\n"
        "[[probes]]\nkind='plane'\nx='-1:1:5'\ny='-1:1:5'\nimages=30\nname='around'\n"
        "[[pictures]]\nkind='path'\n[[pictures]]\nkind='topology'\nprobe='around'\n"
    )
    Path("seeds.toml").write_text(text)
    finished = run(capsys, "study", "seeds.toml", "--device", "cpu")
    assert finished.status == 0, finished.err
    made = [load_result(path) for path in sorted(here.glob("outputs/seeds/*-path-*.h5"))]
    assert {(m.attrs["seed"], m.sizes["path"]) for m in made} == {(0, 2), (1, 2)}
    for picture in ("path", "topology"):
        assert (here / f"outputs/seeds/{picture}.png").read_bytes().startswith(b"\x89PNG")
    Path("wrong.toml").write_text(text.replace("points=3", "points=3\nto='net'"))
    with pytest.raises(InputError, match="Did you mean 'nets'"):
        load_study("wrong.toml")


@pytest.fixture(scope="module")
def measured(workplace: Path) -> xr.Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        table = {"kind": "path", "images": 40, "points": 9, "paths": "linear,aligned,bezier", "curve_steps": 5} | BATCH
        return probe_checkpoint(subject(), probe_settings(table), Places(device="cpu"), out=workplace / "m.h5").dataset


@pytest.fixture
def hilly(measured: xr.Dataset) -> xr.Dataset:
    """The same with a hill in the middle of every path."""
    made = measured.copy(deep=True)
    made["loss"][:, 4] = made["loss"].max("t") + 1
    made["barrier"][:] = made["loss"][:, 4] - (made["loss"][:, 0] + made["loss"][:, -1]) / 2
    made["barrier_at"][:] = float(made["t"][4])
    return made


def test_the_picture_shows_every_path_with_its_band_and_its_barrier(hilly: xr.Dataset) -> None:
    measured = hilly
    loss, accuracy = plot(measured).axes
    for number, kind in enumerate(measured["path"].values):
        one = measured.sel(path=kind)
        for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
            curves = [np.asarray(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 9]
            np.testing.assert_allclose(curves[number], one[quantity].values)
            band = axes.collections[number].get_paths()[0].vertices[:, 1]
            assert band.max() == pytest.approx(float((one[quantity] + one[f"{quantity}_standard_error"]).max()))
    strokes = {
        to_rgb(line.get_color()): line for line in loss.lines if len(line.get_xdata()) == 2 and line.get_marker() == "_"
    }
    linear = strokes[to_rgb(loss.lines[0].get_color())]
    low, high = linear.get_ydata()
    assert high - low == pytest.approx(float(measured["barrier"].sel(path="linear")))
    assert high == pytest.approx(float(measured["loss"].sel(path="linear").max()))
    assert set(linear.get_xdata()) == {float(measured["barrier_at"].sel(path="linear"))}


def test_a_path_whose_largest_loss_is_at_an_end_has_no_barrier_and_says_so(hilly: xr.Dataset) -> None:
    falling = hilly.copy(deep=True)
    falling["loss"][0] = np.linspace(2.0, 1.0, 9)
    falling["barrier"][0], falling["barrier_at"][0] = 0.5, 0.0
    told = "linear: no barrier: the largest loss is at an end (t = 0), 0.5"
    assert any(line.startswith(told) for line in path_words.words(falling))
    figure = plot(falling.sel(path=["linear"]))
    assert any(words.replace("\u00a0", " ").startswith(told) for words in legend_words(figure.axes[0]))
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "_"]
    sentence = "A path whose largest loss is at an end has no barrier"
    assert sentence in caption_of(figure)
    assert sentence not in caption_of(plot(hilly))


def test_words_under_the_picture_say_barriers_lengths_and_policy(hilly: xr.Dataset) -> None:
    figure = plot(hilly)
    words = " ".join(legend_words(figure.axes[0]))
    for kind in hilly["path"].values:
        assert f"{kind}: barrier" in words
    caption = caption_of(figure)
    assert "BN policy: reestimated, 1 BN layer" in caption
    assert "Length: linear " in caption
    assert "1 bend trained for 5 minibatches of 20" in caption


def test_an_unfinished_path_is_drawn_with_what_is_there_and_says_so(measured: xr.Dataset) -> None:
    partial = measured.copy(deep=True)
    for name in ("loss", "loss_standard_error", "accuracy", "accuracy_standard_error"):
        partial[name][1, 4:] = np.nan
    partial["status"][1, 4:] = 0
    for name in ("barrier", "barrier_standard_error", "barrier_at"):
        partial[name][1] = np.nan
    partial["loss"][0, 4] = np.inf
    words = " ".join(legend_words(plot(partial).axes[0]))
    assert "aligned: not finished" in words
    assert "aligned: not measured at 5 points" in words
    assert "linear: not finite at 1 point" in words


def test_text_stays_text_and_the_page_takes_several_data_sets(
    measured: xr.Dataset, hilly: xr.Dataset, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "plot", "m.h5", "--out", "path.svg").status == 0
    assert (here / "path.svg").read_text().count("barrier") >= 3
    page = interactive([hilly, hilly.assign_attrs(norm="none", model="other")])
    assert "no BatchNorm, bezier: barrier" in page
    with pytest.raises(InputError, match="quantity"):
        plot(measured, quantity="beta")


def test_info_says_where_a_path_leads_and_its_barriers(
    measured: xr.Dataset, hilly: xr.Dataset, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "info", "m.h5").out
    assert "paths between two checkpoints, complete" in said
    assert "from a-last to b-last: 9 points a path" in said
    assert f"linear: no barrier: the largest loss is at an end (t = 1), {float(measured['barrier'][0]):.5g} ± " in said
    save_result(hilly, Path("hilly.h5"))
    said = run(capsys, "info", "hilly.h5").out
    assert f"linear: barrier {float(hilly['barrier'][0]):.5g} ± " in said


def test_the_front_door_leads_to_paths_and_alignment() -> None:
    import landscape as ls

    nets = [build_model("mlp", inputs=6, classes=3, hidden=[5], seed=seed).double() for seed in (0, 1)]
    draws = torch.Generator().manual_seed(0)
    data = (torch.randn(12, 6, generator=draws).double(), torch.randint(3, (12,), generator=draws))
    objective = ls.Objective(nets[0], "cross_entropy", data)
    aligned = ls.align(objective, nets[1])
    assert aligned.similarity[1] >= aligned.similarity[0]
    made = ls.path(objective, nets[1], kinds=["bezier"], points=3, config=ls.CurveTraining(steps=2, batch_size=6))
    right = objective.evaluate(objective.theta).accuracy
    assert right is not None
    flags = torch.tensor([1.0] * round(12 * right) + [0.0] * (12 - round(12 * right)), dtype=torch.float64)
    expected = float(flags.std()) / 12**0.5
    assert float(made["accuracy_standard_error"][0, 0]) == pytest.approx(expected, rel=1e-12)
