"""Adaptive planes: fewer points, the same picture, and an error estimate that tells the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from networks import conv_net, images
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.audit import Known, audits_for, bound_factor, known_by
from landscape.numerics.directions import Direction
from landscape.numerics.refinement import COARSE, Refinement, _State, default_budget, refine
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace
from landscape.probes.plane.measure import plane, surface
from landscape.probes.plane.spans import Span, random_span
from landscape.probes.progress import Progress

Floats = NDArray[np.float64]
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
    clipped = np.minimum(np.nan_to_num(surface, nan=np.inf, posinf=np.inf), top)
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


def cliff(size: int, draws: np.random.Generator) -> Floats:
    """A step along a line of a random direction, which no interpolant expects."""
    turn, axis = draws.uniform(0, math.pi), np.linspace(-1, 1, size)
    return np.where(math.cos(turn) * axis + math.sin(turn) * axis[:, None] > 0.2, 5.0, 0.5)


def strip(size: int, draws: np.random.Generator) -> Floats:
    """A bowl with a narrow wall through it."""
    turn, place, axis = draws.uniform(0, math.pi), draws.uniform(-0.5, 0.5), np.linspace(-1, 1, size)
    away = math.cos(turn) * axis + math.sin(turn) * axis[:, None] - place
    return 1 + axis**2 + axis[:, None] ** 2 + 5 * (np.abs(away) < 0.05)


def half_nan(size: int, draws: np.random.Generator) -> Floats:
    """A bowl of which a half-plane is NaN."""
    turn, axis = draws.uniform(0, 2 * math.pi), np.linspace(-1, 1, size)
    away = math.cos(turn) * axis + math.sin(turn) * axis[:, None]
    return np.where(away > 0.3, np.nan, 1 + axis**2 + 2 * axis[:, None] ** 2)


@pytest.mark.parametrize("surface", [cliff, strip, half_nan])
def test_the_upper_limit_of_the_error_holds_where_interpolants_are_fooled(
    surface: Callable[[int, np.random.Generator], Floats],
) -> None:
    held = []
    for number in range(30):
        values = surface(25, np.random.default_rng(number))
        measure = answers(values)[1]
        refined = refine((25, 25), Refinement(max_passes=default_budget((25, 25))), measure, seed=number)  # type: ignore[arg-type]
        truth = displayed(values.ravel(), refined.scale, 10.0)
        error = np.quantile(np.abs(displayed(refined.values, refined.scale, 10.0) - truth), 0.95) / np.ptp(truth)
        held.append(error <= refined.known.limit + 1e-12)
    assert sum(held) >= 25  # of 96 % in each, fewer come about once in 500 times


@pytest.mark.parametrize("surface", [cliff, strip, half_nan])
def test_95_of_100_interpolated_points_keep_the_bound_that_each_has_where_interpolants_are_fooled(
    surface: Callable[[int, np.random.Generator], Floats],
) -> None:
    kept = []
    for number in range(30):
        values = surface(25, np.random.default_rng(number))
        measure = answers(values)[1]
        refined = refine((25, 25), Refinement(max_passes=default_budget((25, 25))), measure, seed=number)  # type: ignore[arg-type]
        left = ~refined.measured
        assert np.isnan(refined.bounds[refined.measured]).all() and (refined.bounds[left] >= 0).all()
        shown, truth = (displayed(v, refined.scale, 10.0) for v in (refined.values, values.ravel()))
        kept.append(np.mean(np.abs(shown - truth)[left] <= refined.bounds[left] * np.ptp(truth) + 1e-12))
    assert np.mean(kept) >= 0.93


def test_the_factor_of_a_bound_is_kept_by_95_of_100_new_points_whatever_their_ratios_are_like() -> None:
    draws = np.random.default_rng(0)
    for count in (19, 50, 117):
        ratios = np.exp(3 * draws.standard_normal((4000, count + 1)))
        kept = np.mean([one[-1] <= bound_factor(one[:-1]) for one in ratios])
        assert 0.94 <= kept <= 0.95 + 1 / (count + 1) + 0.01
    assert bound_factor(np.ones(18)) == math.inf


def test_the_limit_is_the_order_statistic_that_the_hypergeometric_distribution_gives() -> None:
    draws, points, open_points = np.random.default_rng(0), 400, 300
    errors = np.concatenate([draws.random(open_points), np.zeros(points - open_points)])
    true = np.sort(errors)[::-1][20]  # 20 of 400 may lie above
    for count in (audits_for(points, open_points), 100):
        known = [
            known_by(draws.choice(errors[:open_points], count, replace=False), points, open_points) for _ in range(2000)
        ]
        held = float(np.mean([one.limit >= true for one in known]))
        assert 0.95 <= held < 1.0
    assert np.median([one.error for one in known]) == pytest.approx(true, rel=0.02)
    few = audits_for(points, open_points) - 1
    assert known_by(errors[:few], points, open_points).limit == math.inf
    assert math.isnan(known_by(errors[:0], points, open_points).error)
    assert known_by(errors[:0], points, 20) == Known(0.0, 0.0, 0)


def test_the_sample_has_no_part_in_the_picture_and_every_point_is_as_likely() -> None:
    values = cliff(25, np.random.default_rng(1))
    drawn = np.zeros(625)
    for seed in range(60):
        asked, measure = answers(values)
        refined = refine((25, 25), Refinement(max_passes=200), measure, seed=seed)  # type: ignore[arg-type]
        sample = asked[-refined.known.audits :]
        assert len(set(asked)) == len(asked) and not np.isnan(refined.predicted[sample]).any()
        drawn[sample] += 1
    assert drawn.sum() / 60 > 30 and drawn.max() < 20


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
    # those of the sample that turn out to lie above the clip leave something over
    assert 150 < passes(np.flatnonzero(refined.measured)).sum() <= 200
    assert refined.measured.sum() > 200
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


def rough_surface() -> Floats:
    draws = np.random.default_rng(0)
    rough = 2 + X**2 + Y**2
    for _ in range(40):
        kx, ky, phase = draws.normal(0, 9), draws.normal(0, 9), draws.uniform(0, 2 * math.pi)
        rough = rough + 0.04 * np.sin(kx * X + ky * Y + phase)
    return np.asarray(rough)


def rounds(surface: Floats, settings: Refinement) -> tuple[list[float], list[int]]:
    """The guess to stop by after the coarse mesh and after each round of a refinement, and how many points each held."""
    state, flat = _State((surface.shape[0], surface.shape[1]), settings, 0, "auto", COARSE, None), surface.ravel()
    points = state.coarse_mesh()
    guesses, sizes = [], []
    while True:
        state.tell(points, flat[points])
        guesses.append(state.supposed_error())
        sizes.append(len(points))
        if state.is_done():
            return guesses, sizes
        points = state.next_points()


@pytest.mark.parametrize("tolerance", [0.05, 0.03])
def test_it_ends_with_the_first_round_whose_error_seems_within_the_tolerance(tolerance: float) -> None:
    guesses, sizes = rounds(rough_surface()[::2, ::2], Refinement(tolerance))
    assert len(sizes) > 10 and guesses[-1] <= tolerance
    assert min(guesses[8:-1]) > tolerance


def test_24_points_at_random_are_audited_before_an_error_is_believed() -> None:
    """Three a round: eight rounds after the coarse mesh, however small the error seems."""
    guesses, sizes = rounds(SURFACES["bowl"], Refinement(tolerance=0.5, value_max=100.0))
    assert sizes == [11 * 11] + 8 * [16]
    assert guesses[-1] < 0.01 and guesses[1] < 0.5


def test_a_flat_surface_is_known_from_the_coarse_mesh_and_the_audits() -> None:
    guesses, sizes = rounds(np.full((51, 51), 2.3), Refinement())
    assert sizes == [11 * 11] + 8 * [3] and guesses[-1] == 0
    refined = refine((51, 51), Refinement(), answers(np.full((51, 51), 2.3))[1])  # type: ignore[arg-type]
    assert (refined.known.error, refined.known.limit) == (0, 0)
    assert np.all(refined.values == pytest.approx(2.3))


def test_a_surface_above_the_clip_is_known_from_the_coarse_mesh_alone() -> None:
    guesses, sizes = rounds(np.full((51, 51), 20.0), Refinement(value_max=10.0))
    assert sizes == [11 * 11] and guesses == [0]


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
    assert 130 < whole.attrs["image_passes"] <= 180
    assert all(progress.done <= progress.total <= whole.attrs["measured_points"] + 180 - 130 for progress in seen)
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
