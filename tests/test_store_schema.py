"""A result is read where it has what one of its kind has, and otherwise refused in a sentence that names what is missing."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import render_samples
import render_step_samples
import torch
import xarray as xr
from samefiles import uncreated
from torch import nn

import landscape as ls
from landscape.errors import LandscapeError, ResultFileError
from landscape.probes.trajectory.measure import trajectory
from landscape.registry import asked, probes
from landscape.results import describe, load_result, save_result, summary
from landscape.results.schema import MEASURED, MISSING, check


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


@cache
def objective() -> ls.Objective:
    samples = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    return ls.Objective(network(0), "cross_entropy", (samples, (samples[:, 0] > 0).long()), device="cpu")


MADE: dict[str, Callable[[], xr.Dataset]] = {
    "plane": lambda: ls.plane(objective(), seeds=[0, 1], x=(-1, 1, 3), y=(-1, 1, 3)),
    "line": lambda: ls.line(objective(), x=(-1, 1, 3)),
    "adaptive plane": lambda: render_step_samples.adaptive(render_samples.plane(9, 9)),
    "path": lambda: ls.path(objective(), network(1), points=3),
    "curvature": lambda: ls.curvature(objective()),
    "curvature map": lambda: ls.curvature_map(objective(), x=(-1, 1, 3), y=(-1, 1, 3)),
    "layers": lambda: ls.curvature(
        objective(), ls.CurvatureConfig(top=2, bottom=1, trace_probes=2, density_probes=2, per_layer=True)
    ),
    "sharpness": lambda: ls.sharpness(objective()),
    "trajectory": lambda: trajectory(objective(), [network(1), network(2)], x=(-1, 1, 3), y=(-1, 1, 3)),
    "stability": render_step_samples.stability,
    "noise scale": lambda: ls.noise_scale(objective(), ls.NoiseScaleConfig(2, 4)),
    "topology": lambda: ls.topology(made("plane")),
    "smoothness": lambda: ls.plane_smoothness(made("plane")),
    "plane curvature": lambda: ls.plane_curvature(made("plane")),
    "history": lambda: render_samples.history(3),
    "flow": lambda: render_step_samples.flow(3, 2),
    "steps": lambda: render_step_samples.steps(5),
    "critical steps": lambda: critical_steps(),
    "run range": lambda: render_step_samples.run_range(5),
    "comparison": render_step_samples.comparison,
}


def critical_steps() -> xr.Dataset:
    probe = ls.CriticalSharpnessProbe(every=1)
    recipe = ls.TrainingConfig(epochs=1, batch_size=4, train_images=8)
    ls.fit(network(0), (torch.randn(8, 4), torch.arange(8) % 2), recipe, observers=[probe], device="cpu")
    return probe.dataset()


@cache
def made(name: str) -> xr.Dataset:
    return MADE[name]()


def broken(whole: xr.Dataset) -> dict[str, xr.Dataset]:
    """The data set without each of its variables and attributes, with text for numbers, and with dimensions that are gone."""
    found = {f"without {name}": whole.drop_vars(name) for name in whole.variables}
    for name in whole.attrs:
        if name != "kind":
            found[f"without @{name}"] = whole.drop_attrs(deep=False).assign_attrs(
                {key: value for key, value in whole.attrs.items() if key != name}
            )
            found[f"@{name} a list"] = whole.assign_attrs({name: np.arange(3)})
    for name, variable in whole.data_vars.items():
        found[f"text in {name}"] = whole.assign({name: (variable.dims, np.full(variable.shape, "x"))})
    for dim in whole.dims:
        found[f"one of {dim}"] = whole.isel({dim: 0}, drop=True)
        found[f"none of {dim}"] = whole.isel({dim: []})
    return found


def test_every_kind_is_tried_here_or_over_the_registry_and_has_a_title_and_words() -> None:
    tried = {made(name).attrs["kind"] for name in MADE} | {probe.of_file for probe in asked().values()}
    assert {probe.of_file for probe in probes().values()} == tried
    assert all(probe.title and probe.words for probe in probes().values())


@pytest.mark.parametrize("name", MADE)
def test_what_the_product_makes_is_read_back(tmp_path: Path, name: str) -> None:
    save_result(made(name), tmp_path / "a.h5")
    assert load_result(tmp_path / "a.h5").identical(made(name).assign_attrs(load_result(tmp_path / "a.h5").attrs))
    told = describe(tmp_path / "a.h5").splitlines()
    assert told[0].startswith(f"{tmp_path / 'a.h5'}: {probes()[made(name).attrs['kind']].title}")
    assert "quantities" not in "".join(told)  # a list of its variables is what is said of an unknown kind
    assert [line.strip() for line in told[1:]][: len(summary(made(name)))] == summary(made(name))
    assert len(summary(made(name))) <= 12


@pytest.mark.parametrize("name", MADE)
def test_whatever_is_missing_the_file_is_described_and_drawn_or_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, path = 0, tmp_path / "a.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    for what, dataset in broken(made(name)).items():
        try:
            check("a.h5", dataset)
        except ResultFileError as error:
            assert str(error).startswith("a.h5: is no whole result of kind"), what
            refused += 1
            continue
        with monkeypatch.context() as patched:
            patched.setattr("landscape.results.description.read_contents", lambda _: _Read())
            patched.setattr("landscape.results.results.as_result", lambda *_, dataset=dataset: dataset)
            describe(path)
        if name != "line" or what.startswith("without @"):
            continue
        with contextlib.suppress(LandscapeError):
            ls.interactive(dataset)
    assert refused > 3, name


class _Read:
    groups: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    is_result = True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.assign_attrs(kind="path"), r"'loss' is over \(seed, y, x\); expected \(path, t\)"),
        (lambda d: d.drop_vars("x"), "no coordinate 'x'"),
        (lambda d: d.assign_coords(x=[0.0, 0.0, 1.0]), "'x' has a value twice"),
        (lambda d: d.assign_coords(x=[0.0, np.nan, 1.0]), "'x' is not of finite numbers"),
        (lambda d: d.assign_attrs(picture_error=0.1), "'picture_error', and no attribute 'tolerance'"),
        (lambda d: d.assign_attrs(dead="maybe"), "'dead' is 'maybe'; expected a whole number"),
        (lambda d: d.assign_attrs(settings="{"), "'settings' is not JSON of a mapping"),
        (lambda d: d.assign(status=d["status"] + 0.5), "'status' holds values that are no whole numbers"),
        (lambda d: d.assign(status=d["status"].isel(seed=0)), r"'status' is over \(y, x\); expected \(seed, y, x\)"),
        (lambda d: d.isel(x=[]), "no values along 'x'"),
        (lambda d: d.assign(status=d["status"] + 7), "'status' holds values that stand for nothing"),
    ],
)
def test_the_sentence_names_what_is_wrong(
    tmp_path: Path, change: Callable[[xr.Dataset], xr.Dataset], words: str
) -> None:
    save_result(change(made("plane")), tmp_path / "a.h5")
    with pytest.raises(ResultFileError, match=words):
        load_result(tmp_path / "a.h5")


def test_kinds_of_other_packages_and_parts_of_a_plane_are_read(tmp_path: Path) -> None:
    save_result(made("plane"), tmp_path / "whole.h5")
    whole = load_result(tmp_path / "whole.h5")
    for number, dataset in enumerate(
        (
            xr.Dataset({"anything": ("q", [1.0])}, attrs={"kind": "mine", "dead": "maybe"}),
            whole.isel(seed=0),
            whole.isel(seed=0, drop=True),
            whole.isel(y=1),
            whole.isel(seed=0, x=1, drop=True),
            whole.drop_vars("status"),
        )
    ):
        save_result(dataset, tmp_path / f"{number}.h5")
        xr.testing.assert_identical(uncreated(load_result(tmp_path / f"{number}.h5")), uncreated(dataset))
        assert describe(tmp_path / f"{number}.h5")


@pytest.mark.parametrize("kind", probes())
def test_every_kind_says_by_the_same_numbers_what_is_missing_and_what_was_measured(kind: str) -> None:
    module = importlib.import_module(probes()[kind].schema.partition(":")[0])
    assert [one.value for one in getattr(module, "Status", ())][:2] in ([], [MISSING, MEASURED])
