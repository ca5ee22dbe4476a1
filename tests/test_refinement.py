"""Adaptive planes: fewer points, the same picture, and an error estimate that tells the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import Direction
from landscape.numerics.refinement import Refined, Refinement, refine
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace
from landscape.probes.plane.measure import plane, surface
from landscape.probes.plane.spans import Span, random_span
from landscape.probes.progress import Progress

Y, X = np.mgrid[-1:1:51j, -1:1:51j]  # type: ignore[misc]
SURFACES = {
    "bowl": 0.5 + 8 * (X**2 + 2 * Y**2 + 0.6 * X * Y),
    "walls": 0.1 + np.expm1(3 * np.abs(X + 0.2 * Y) ** 1.5 + 2 * Y**2),
    "waves": 1 + 5 * (X**2 + Y**2) + 0.6 * np.sin(6 * X) * np.cos(5 * Y),
    "negative": X * Y + 0.3 * np.sin(3 * X),
}


def answers(surface: NDArray[np.float64]) -> tuple[list[int], object]:
    asked: list[int] = []

    def measure(points: NDArray[np.int64]) -> NDArray[np.float64]:
        asked.extend(points.tolist())
        return surface.ravel()[points]

    return asked, measure


def displayed(surface: NDArray[np.float64], scale: str, top: float) -> NDArray[np.float64]:
    clipped = np.minimum(surface, top)
    return np.log10(clipped) if scale == "log" else clipped


@pytest.mark.parametrize("name", SURFACES)
def test_a_fraction_of_the_points_gives_the_picture_to_the_tolerance(name: str) -> None:
    surface = SURFACES[name]
    asked, measure = answers(surface)
    refined = refine(surface.shape, Refinement(tolerance=0.01, value_max=10.0), measure)  # type: ignore[arg-type]
    assert len(asked) == len(set(asked)) == int(refined.measured.sum())
    assert len(asked) < surface.size / 6
    truth = displayed(surface.ravel(), refined.scale, 10.0)
    error = np.abs(displayed(refined.values, refined.scale, 10.0) - truth)
    assert np.quantile(error, 0.95) <= 0.01 * np.ptp(truth)
    assert refined.scale == ("linear" if name == "negative" else "log")


def test_measured_values_are_kept_as_they_are_also_above_the_clip() -> None:
    surface = SURFACES["walls"]
    _, measure = answers(surface)
    refined = refine(surface.shape, Refinement(), measure)  # type: ignore[arg-type]
    assert np.array_equal(refined.values[refined.measured], surface.ravel()[refined.measured])
    assert surface.ravel()[refined.measured].max() > 10


def rough_surface() -> NDArray[np.float64]:
    draws = np.random.default_rng(0)
    rough = 2 + X**2 + Y**2
    for _ in range(40):
        kx, ky, phase = draws.normal(0, 9), draws.normal(0, 9), draws.uniform(0, 2 * math.pi)
        rough = rough + 0.04 * np.sin(kx * X + ky * Y + phase)
    return np.asarray(rough)


def test_the_estimated_error_is_near_the_true_one_on_a_rough_surface() -> None:
    rough = rough_surface()
    ratios = []
    for seed in range(6):
        _, measure = answers(rough)
        refined = refine(rough.shape, Refinement(tolerance=1e-9, max_points=300), measure, seed=seed)  # type: ignore[arg-type]
        truth = displayed(rough.ravel(), "log", 10.0)
        error = np.quantile(np.abs(displayed(refined.values, "log", 10.0) - truth), 0.95) / np.ptp(truth)
        ratios.append(refined.error / error)
    assert 0.5 < float(np.median(ratios)) < 2


def test_the_budget_of_points_is_kept() -> None:
    asked, measure = answers(SURFACES["waves"])
    refine((51, 51), Refinement(tolerance=1e-9, max_points=200), measure)  # type: ignore[arg-type]
    assert len(asked) == 200


def test_a_budget_of_passes_is_kept_and_buys_more_points_where_some_take_only_part_of_one() -> None:
    surface = SURFACES["walls"]
    _, measure = answers(surface)

    def passes(points: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(surface.ravel()[points] > 10, 0.125, 1.0)

    settings = Refinement(tolerance=1e-9, value_max=10.0, max_passes=200)
    refined = refine((51, 51), settings, measure, passes=passes)  # type: ignore[arg-type]
    assert 199 < passes(np.flatnonzero(refined.measured)).sum() <= 200
    assert refined.measured.sum() > 220
    plain = refine((51, 51), settings, measure)  # type: ignore[arg-type]
    assert plain.measured.sum() == 200
    both = refine((51, 51), Refinement(tolerance=1e-9, max_points=150, max_passes=200), measure)  # type: ignore[arg-type]
    assert both.measured.sum() == 150


def test_the_questions_follow_from_the_answers_alone() -> None:
    sequences = []
    for _ in range(2):
        asked, measure = answers(SURFACES["walls"])
        refine((51, 51), Refinement(), measure, seed=3)  # type: ignore[arg-type]
        sequences.append(asked)
    assert sequences[0] == sequences[1]


def test_non_finite_values_count_as_above_the_clip_and_stay() -> None:
    surface = SURFACES["bowl"].copy()
    surface[:, 40:] = np.nan
    surface[:, 45:] = np.inf
    _, measure = answers(surface)
    refined = refine((51, 51), Refinement(), measure)  # type: ignore[arg-type]
    values = refined.values.reshape(51, 51)
    measured = refined.measured.reshape(51, 51)
    assert np.isnan(values[:, 40:45][measured[:, 40:45]]).all()
    assert np.isinf(values[:, 45:][measured[:, 45:]]).all()
    assert np.isfinite(values[:, :40]).all()


def rounds(surface: NDArray[np.float64], settings: Refinement) -> tuple[Refined, list[int]]:
    """The refinement of a surface, and how many points each of its questions held."""
    sizes: list[int] = []

    def measure(points: NDArray[np.int64]) -> NDArray[np.float64]:
        sizes.append(len(points))
        return surface.ravel()[points]

    return refine(surface.shape, settings, measure), sizes  # type: ignore[arg-type]


@pytest.mark.parametrize("tolerance", [0.05, 0.03])
def test_it_ends_with_the_first_round_whose_error_is_within_the_tolerance(tolerance: float) -> None:
    surface = rough_surface()[::2, ::2]
    last, sizes = rounds(surface, Refinement(tolerance))
    before, same = rounds(surface, Refinement(tolerance, max_points=sum(sizes[:-1])))
    assert same == sizes[:-1]
    assert last.error <= tolerance < before.error


def test_24_points_at_random_are_audited_before_an_error_is_believed() -> None:
    """Three a round: eight rounds after the coarse mesh, however small the error seems."""
    refined, sizes = rounds(SURFACES["bowl"], Refinement(tolerance=0.5, value_max=100.0))
    assert sizes == [11 * 11] + 8 * [16]
    assert refined.error < 0.01
    after_a_round, _ = rounds(SURFACES["bowl"], Refinement(tolerance=0.5, value_max=100.0, max_points=137))
    assert after_a_round.error < 0.5


def test_a_flat_surface_is_known_from_the_coarse_mesh_and_the_audits() -> None:
    refined, sizes = rounds(np.full((51, 51), 2.3), Refinement())
    assert sizes == [11 * 11] + 8 * [3]
    assert refined.error == 0
    assert np.all(refined.values == pytest.approx(2.3))


def test_a_surface_above_the_clip_is_known_from_the_coarse_mesh_alone() -> None:
    refined, sizes = rounds(np.full((51, 51), 20.0), Refinement(value_max=10.0))
    assert sizes == [11 * 11]
    assert refined.error == 0


class Bowl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return 0.2 + x[:, 0] * (self.w[0] ** 2 + 2 * self.w[1] ** 2)


def bowl() -> tuple[Objective, Span]:
    x = torch.linspace(0.5, 1.5, 400, dtype=torch.float64)[:, None]
    objective = Objective(Bowl(), lambda outputs, targets: outputs, (x, x[:, 0]))
    eye = torch.eye(2, dtype=torch.float64)
    directions = [Direction(row, objective.theta.layout) for row in eye]
    return objective, Span("file", "as given", (0,), (Subspace(objective.theta, directions),), ("a", "b"))


def test_points_above_the_clip_are_recognised_from_part_of_the_samples() -> None:
    objective, span = bowl()
    result = surface(objective, span, [(-4, 4, 41), (-4, 4, 41)], refinement=Refinement(value_max=5.0))
    full = surface(objective, span, [(-4, 4, 41), (-4, 4, 41)])
    above = result["status"] == 3
    assert bool(above.any())
    assert bool((full["loss"].where(above, 1e9) > 5).all())
    assert bool((result["samples"].where(above, 0) < 400).all())
    assert result.attrs["image_passes"] < result.attrs["measured_points"] < full["loss"].size / 3
    measured = result["status"] == 1
    xr.testing.assert_equal(result["loss"].where(measured), full["loss"].where(measured))
    assert bool((result["loss_standard_error"].notnull() == (measured | above)).all())
    seen = np.minimum(np.log10(result["loss"]), math.log10(5)) - np.minimum(np.log10(full["loss"]), math.log10(5))
    assert float(np.abs(seen).quantile(0.95)) < 0.015 * (math.log10(5) - math.log10(0.2))


def sorted_by_class() -> Objective:
    """A trained network and data whose first eighth is one class, as in a folder of images."""
    draws = generator(0, "classes")
    labels = torch.arange(8).repeat_interleave(50)
    inputs = (2 * torch.randn(8, 6, generator=draws))[labels] + 0.3 * torch.randn(400, 6, generator=draws)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 8))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    return Objective(net, data=(inputs, labels))


def test_what_is_given_up_lies_above_the_clip_also_where_data_is_sorted_by_class() -> None:
    objective = sorted_by_class()
    span = random_span(objective, [0, 1, 2], 2)
    axes = [(-2, 2, 25), (-2, 2, 25)]
    full = surface(objective, span, axes)["loss"]
    clip = float(full.quantile(0.7))
    result = surface(objective, span, axes, refinement=Refinement(value_max=clip))
    given_up = result["status"] == 3
    assert int(given_up.sum()) > 20
    # Three standard errors: by chance one in 740 of those at the clip.
    assert float(full.where(given_up).min()) > 0.95 * clip
    assert int((full.where(given_up) <= clip).sum()) <= 1


def test_a_stopped_plane_keeps_its_budget_of_passes() -> None:
    objective, span = bowl()
    axes, settings = [(-4, 4, 41), (-4, 4, 41)], Refinement(1e-9, value_max=5.0, max_passes=180)
    seen: list[Progress] = []
    saved: list[xr.Dataset] = []

    def keep(progress: Progress) -> None:
        seen.append(progress)
        if progress.done >= 150 and not saved:
            saved.append(progress.dataset().copy(deep=True))

    whole = surface(objective, span, axes, refinement=settings, observer=keep)
    assert 179 < whole.attrs["image_passes"] <= 180 < whole.attrs["measured_points"] - 20
    assert all(progress.done <= progress.total <= whole.attrs["measured_points"] for progress in seen)
    assert seen[-1].done == seen[-1].total == whole.attrs["measured_points"]
    seen.clear()
    surface(objective, span, axes, refinement=Refinement(1e-9, value_max=5.0, max_points=150), observer=keep)
    assert {progress.total for progress in seen} == {150}
    seen.clear()
    surface(objective, span, [(-4, 4, 16), (-4, 4, 16)], refinement=Refinement(0.05, value_max=5.0), observer=keep)
    assert max(progress.total for progress in seen) <= 256
    xr.testing.assert_identical(surface(objective, span, axes, refinement=settings, resume=saved[0]), whole)


def test_a_stopped_adaptive_plane_goes_on_to_the_same_result() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    settings = Refinement(tolerance=0.05)

    class Stopped(Exception):
        pass

    saved: list[xr.Dataset] = []

    def stop(progress: Progress) -> None:
        if progress.done >= 150:
            saved.append(progress.dataset())
            raise Stopped

    whole = plane(objective, x=(-1, 1, 21), y=(-1, 1, 21), seeds=[0, 1], refinement=settings)
    with pytest.raises(Stopped):
        plane(objective, x=(-1, 1, 21), y=(-1, 1, 21), seeds=[0, 1], refinement=settings, observer=stop)
    resumed = plane(objective, x=(-1, 1, 21), y=(-1, 1, 21), seeds=[0, 1], refinement=settings, resume=saved[0])
    xr.testing.assert_identical(resumed, whole)


@pytest.mark.parametrize(
    "options", [{"tolerance": 0}, {"tolerance": 2}, {"value_max": math.inf}, {"max_points": 0}, {"max_passes": 0}]
)
def test_unusable_refinements_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        Refinement(**options)  # type: ignore[arg-type]


def test_the_clip_follows_a_checkpoint_of_large_loss_and_refuses_to_hide_it() -> None:
    assert Refinement().around(2.3).value_max == 10
    assert Refinement().around(40.0).value_max == 160
    with pytest.raises(InputError, match=r"loss_max: the loss at the centre is 40.*Try 1.6e\+02"):
        Refinement(value_max=10.0).around(40.0)


def test_accuracy_is_interpolated_beside_the_loss() -> None:
    objective = Objective(conv_net(), "cross_entropy", images())
    adaptive = plane(objective, x=(-1, 1, 41), y=(-1, 1, 41), refinement=Refinement(tolerance=0.02))
    full = plane(objective, x=(-1, 1, 41), y=(-1, 1, 41))
    measured = adaptive["status"] == 1
    xr.testing.assert_equal(adaptive["accuracy"].where(measured), full["accuracy"].where(measured))
    assert float(np.abs(adaptive["accuracy"] - full["accuracy"]).mean()) < 0.05
    assert 0 <= float(adaptive["accuracy"].min()) <= float(adaptive["accuracy"].max()) <= 1
