"""At a prompt and in a notebook: what shows itself, what may be given to a picture, progress and Ctrl-C, usual mistakes."""

from __future__ import annotations

import builtins
import pydoc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

import landscape as ls
from landscape.errors import LandscapeError
from landscape.pictures.inset import Inset

SMALL: dict[str, Any] = {"x": (-1, 1, 5), "y": (-1, 1, 5)}


def net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs.prod(1) > 0).long()


def objective(seed: int = 0, samples: int = 0) -> ls.Objective:
    return ls.Objective(net(seed), "cross_entropy", data(samples), device="cpu")


@pytest.fixture(scope="module")
def plane() -> xr.Dataset:
    return ls.plane(objective(), seeds=[0, 1], **SMALL)


def pixels(figure: Any) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def test_a_figure_and_a_page_show_and_save_themselves(plane: xr.Dataset, tmp_path: Path) -> None:
    figure, page = ls.plot(plane), ls.interactive(plane)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert figure.save(tmp_path / "plane.svg").read_text().count("<svg") == 1
    shown = page._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "<script" not in shown.partition(" style=")[0]
    assert page.save(tmp_path / "plane.html").read_text(encoding="utf-8") == page


def test_a_file_several_and_an_array_are_drawn_as_their_data_sets_are(plane: xr.Dataset, tmp_path: Path) -> None:
    line = ls.line(objective(), seeds=[0], x=(-1, 1, 5))
    ls.save(line, tmp_path / "line.h5")
    one = pixels(ls.plot(line))
    np.testing.assert_array_equal(pixels(ls.plot(str(tmp_path / "line.h5"))), one)
    two = pixels(ls.plot([line, line], labels=["a", "b"]))
    np.testing.assert_array_equal(pixels(ls.plot(line, tmp_path / "line.h5", labels=["a", "b"])), two)
    array = ls.plot(plane["accuracy"].sel(seed=1))
    drawn = ls.plot(plane, quantity="accuracy", seed=1)
    assert [axes.get_ylabel() for axes in array.axes] == [axes.get_ylabel() for axes in drawn.axes]
    levels = [
        [c.get_array().tolist() for c in f.axes[0].collections if c.get_array() is not None] for f in (array, drawn)
    ]
    assert levels[0] == levels[1]
    bare = xr.DataArray(np.arange(3.0), dims="x")
    assert ls.plot(bare).axes[0].get_xlim() == (0, 2)


def test_a_picture_in_axes_is_the_picture_itself_in_their_place(plane: xr.Dataset, tmp_path: Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(8, 6))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot([1, 2])
    assert ls.plot(plane, ax=right, seed=0) is figure
    [inset] = [artist for artist in right.get_children() if isinstance(artist, Inset)]
    box = right.get_window_extent()
    assert inset.picture.get_size_inches()[0] == pytest.approx(box.width / figure.dpi)
    made = pixels(figure).astype(int)
    height = made.shape[0]
    top, x0, x1 = height - round(box.y1), round(box.x0), round(box.x1)
    size = inset.picture.get_size_inches() * figure.dpi
    inside = made[top : top + round(size[1]), x0:x1]
    alone = pixels(inset.picture).astype(int)
    assert abs(inside.mean() - alone.mean()) < 4 and inside.min() < 60
    outside = np.concatenate([made[: top - 4, x0:x1].ravel(), made[top + round(size[1]) + 4 :, x0:x1].ravel()])
    assert (outside > 250).all()
    figure.savefig(tmp_path / "both.pdf")
    with pytest.raises(LandscapeError, match="too narrow"):
        ls.plot(plane, ax=matplotlib.figure.Figure(figsize=(2, 2)).subplots())


def at_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)


def test_at_a_prompt_progress_is_shown_and_ctrl_c_returns_what_resume_goes_on_with(
    plane: xr.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []
    evaluate = ls.Objective.evaluate_points

    def stopping(self: Any, *given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *given, **named)

    at_a_prompt(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(ls.Objective, "evaluate_points", stopping)
        part = ls.plane(objective(), seeds=[0, 1], **SMALL)
    assert 0 < int((part["status"] == 1).sum()) < 50
    assert "go on with resume=" in capsys.readouterr().err
    xr.testing.assert_equal(ls.plane(objective(), seeds=[0, 1], resume=part, **SMALL), plane)
    said = capsys.readouterr().err
    assert re.search(r"plane: 50 of 50, 0:00 left\n$", said)


def test_in_a_script_nothing_is_shown_and_ctrl_c_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*given: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ls.Objective, "evaluate_points", stopped)
    with pytest.raises(KeyboardInterrupt):
        ls.plane(objective(), **SMALL)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("other", [0, 1])
def test_a_difference_is_that_of_the_values_and_its_error_that_of_both(plane: xr.Dataset, other: int) -> None:
    moved = ls.plane(objective(1, samples=other), seeds=[0, 1], **SMALL)
    figure = ls.difference(plane, moved, seed=0, labels=["a", "b"])
    values = (plane["loss"] - moved["loss"]).sel(seed=0).values
    [filled] = [c for c in figure.axes[0].collections if c.get_array() is not None and len(c.get_array()) > 10]
    assert filled.norm.vmax == pytest.approx(np.abs(values).max()) == -filled.norm.vmin
    caption = figure.caption
    errors = [one["loss_standard_error"].sel(seed=0).values for one in (plane, moved)]
    error = errors[0] + errors[1] if other == 0 else np.hypot(*errors)
    far = int((np.abs(values) > 2 * error).sum())
    assert f"{far} of 25 points are more than two errors from 0" in caption
    assert ("upper limit" in caption) == (other == 0)
    red, _, blue = figure.axes[0].collections[0].cmap(filled.norm(np.abs(values).max()))[:3]
    assert red > blue


def test_a_difference_of_what_does_not_belong_together_is_refused(plane: xr.Dataset) -> None:
    coarse = ls.plane(objective(), x=(-1, 1, 3), y=(-1, 1, 5), seeds=[0, 1])
    seeds = ls.plane(objective(), seeds=[2, 3], **SMALL)
    layer = ls.plane(objective(), seeds=[0, 1], normalization="layer", **SMALL)
    for other, says in (
        (coarse, "other coordinates"),
        (seeds, "other direction seeds"),
        (layer, "other normalization"),
    ):
        with pytest.raises(LandscapeError, match=says):
            ls.difference(plane, other)
    line = ls.line(objective(), seeds=[0, 1], x=(-1, 1, 5))
    with pytest.raises(LandscapeError, match="other coordinates"):
        ls.difference(plane, line)
    assert len(ls.difference(line, line).axes) == 1
    with pytest.raises(LandscapeError, match="expected two results of kind 'plane'"):
        ls.difference(plane, ls.sharpness(objective(), ls.SharpnessConfig(measures=("sam",), rho=(0.1,))))


def test_an_axis_of_coordinates_is_that_of_its_ends_and_count(plane: xr.Dataset) -> None:
    same = ls.plane(objective(), x=np.linspace(-1, 1, 5), y=plane["y"], seeds=[0, 1])
    xr.testing.assert_equal(same, plane)
    with pytest.raises(LandscapeError, match="x: expected evenly spaced coordinates"):
        ls.plane(objective(), x=np.array([0.0, 1.0, 3.0]))


def test_one_word_leads_to_another_checkpoint() -> None:
    given = {"to": [net(1), net(2)], **SMALL}
    assert ls.plane(objective(), **given)["loss"].shape == (1, 5, 5)
    with pytest.raises(LandscapeError, match=r"to: a plane leads to two checkpoints, to=\[second, third\]"):
        ls.plane(objective(), to=net(1))  # type: ignore[arg-type]


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a model": (lambda: ls.plane(net()), r"got a Sequential. Make one of it.*ls.Objective\(model, loss, data\)"),
    "a class of model": (lambda: ls.Objective(nn.Linear, "mse", data()), r"Linear is a class. Give an instance"),
    "a class of loss": (lambda: ls.Objective(net(), nn.CrossEntropyLoss, data()), "CrossEntropyLoss"),
    "one seed": (lambda: ls.plane(objective(), seeds=3), r"Try seeds=\[3\] .* seeds=range\(3\)"),
    "a class of config": (lambda: ls.sharpness(objective(), ls.SharpnessConfig), "SharpnessConfig is a class"),
    "a word for a config": (lambda: ls.critical_sharpness(objective(), "gradient"), "expected an ls.CriticalSharpnessConfig"),
    "a model to plot": (lambda: ls.plot(net()), "expected an xarray.Dataset"),
    "a missing file": (lambda: ls.plot("nowhere.h5"), "no such file"),
    "axes": (lambda: ls.plot(xr.DataArray(np.ones((2, 2)), dims=("y", "x")), ax=3), "ax: expected axes of matplotlib"),
    "other dimensions": (lambda: ls.plot(xr.DataArray(np.ones((2, 2)), dims=("a", "b"))), r"values.rename\(alpha='x'"),
    "the wrong way round": (lambda: ls.save("plane.h5", None), r"It comes first: ls.save\(dataset, path\)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_said_in_a_sentence(mistake: str) -> None:
    act, says = MISTAKES[mistake]
    with pytest.raises(LandscapeError, match=says) as refused:
        act()
    assert len(str(refused.value)) < 300


def test_help_is_a_page_that_names_what_there_is() -> None:
    page = pydoc.plain(pydoc.render_doc(ls))
    head = page[: page.index("The public names")]
    named = set(re.findall(r"\b[a-zA-Z_]+\b", head))
    public = {name for name in ls.__all__ if name not in ("__version__", "testing") and not name.endswith("Config")}
    assert len(public & named) > 30 and len(head.splitlines()) < 45
    assert {"plane", "watch", "difference", "critical_sharpness", "basin_radius", "trajectory"} <= named
