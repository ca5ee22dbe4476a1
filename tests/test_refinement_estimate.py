"""An adaptive plane's questions and its estimate of its own error, against both interpolants drawn anew at every round."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from test_refinement import SURFACES, rough_surface

from landscape.errors import InputError
from landscape.numerics.audit import Known, audits_for
from landscape.numerics.interpolation import interpolate
from landscape.numerics.refinement import COARSE, Refinement, _State, default_budget, refine

Floats = NDArray[np.float64]
N = 26
PLACES = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, N)], indexing="ij"), axis=-1).reshape(-1, 2)
WALLS, NEGATIVE, ROUGH = SURFACES["walls"][::2, ::2], SURFACES["negative"][::2, ::2], rough_surface()[::2, ::2]


@dataclass
class Asked:
    """A refinement before its sample is drawn."""

    values: Floats
    measured: NDArray[np.bool_]
    predicted: Floats
    error: float  # as it is guessed, to stop by
    scale: str


def asked_of(
    surface: Floats, settings: Refinement, *, seed: int = 0, scale: str = "auto", coarse: int = COARSE
) -> tuple[Asked, list[list[int]]]:
    questions: list[list[int]] = []

    def measure(points: NDArray[np.int64]) -> Floats:
        questions.append(points.tolist())
        found: Floats = surface.ravel()[points]
        return found

    state = _State((surface.shape[0], surface.shape[1]), settings, seed, scale, coarse, None)
    points = state.coarse_mesh()
    state.tell(points, measure(points))
    while not state.is_done():
        points = state.next_points()
        state.tell(points, measure(points))
    made = state.outcome(Known(0.0, 0.0, 0))
    return Asked(made.values, made.measured, made.predicted, state.supposed_error(), made.scale), questions


def with_sample(points: int, size: int = N * N) -> int:
    """The budget that leaves so many points to refinement."""
    return next(total for total in range(points, size) if total - audits_for(size, size - points) >= points)


@dataclass
class Drawn:
    """Both interpolants of what is known, on the displayed scale."""

    open: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    fine: Floats
    whole: Floats  # the finer one, up to half a range above the clip
    disagreement: Floats
    range: float
    typical: float  # disagreement where the value is open


def drawn(z: Floats, known: list[int], top: float) -> Drawn:
    extent = float(np.ptp(np.minimum(z[known], top)))
    values = np.minimum(z[known], top + extent / 2)
    cubic, thin = (RBFInterpolator(PLACES[known], values, kernel=k)(PLACES) for k in ("cubic", "thin_plate_spline"))
    measured = np.isin(np.arange(z.size), known)
    disagreement = np.where(measured, 0, np.abs(np.minimum(cubic, top) - np.minimum(thin, top)))
    is_open = ~measured & ((cubic < top) | (thin < top))
    typical = float(np.median(disagreement[is_open])) if is_open.any() else 0.0
    whole = np.minimum(cubic, top + extent / 2)
    return Drawn(is_open, ~measured & ~is_open, np.minimum(cubic, top), whole, disagreement, extent, typical)


def estimate(z: Floats, questions: list[list[int]], top: float, tolerance: float) -> float:
    """The error of the picture, as a fraction of its range, from what was asked."""
    known, ratios, slips = list(questions[0]), [], []
    for question in questions[1:]:
        before = drawn(z, known, top)
        audits, checks = min(3, int(before.open.sum())), min(1, int(before.closed.sum()))
        random = question[len(question) - audits - checks :]
        known += question
        floor = max(tolerance * float(np.ptp(np.minimum(z[known], top))) / 10, before.typical)
        for point in random[:audits]:
            assert before.open[point]
            off = abs(before.fine[point] - min(z[point], top))
            ratios.append(off / max(before.disagreement[point], floor))
        for point in random[audits:]:
            assert before.closed[point]
            slips.append(abs(before.fine[point] - min(z[point], top)))
    last = drawn(z, known, top)
    ratios, slips = ratios[-48:], slips or [0.0]
    supposed = np.maximum(last.disagreement[last.open], max(tolerance * last.range / 10, last.typical))
    population = [
        np.repeat(np.outer(supposed, ratios), len(slips)),
        np.repeat(slips, int(last.closed.sum()) * len(ratios)),
        np.zeros(len(known) * len(ratios) * len(slips)),
    ]
    errors = np.sort(np.concatenate(population))
    return float(errors[math.ceil(0.95 * len(errors)) - 1] / last.range)


@pytest.mark.parametrize("points", [137, 201, 505])
@pytest.mark.parametrize(
    ("surface", "scale", "top"), [(WALLS, "log", 10.0), (NEGATIVE, "linear", 1.0), (ROUGH, "log", 3.0)]
)
def test_the_error_is_the_percentile_of_what_the_audits_say(
    surface: Floats, scale: str, top: float, points: int
) -> None:
    for tolerance in (1e-9, 0.02, 0.3):  # the floor of disagreements is the typical one, in between, or the tolerance's
        refined, questions = asked_of(
            surface, Refinement(tolerance, top, with_sample(points if tolerance < 0.01 else 137))
        )
        z = (np.log10(surface) if scale == "log" else surface).ravel()
        clip = math.log10(top) if scale == "log" else top
        assert refined.scale == scale
        assert refined.error == pytest.approx(estimate(z, questions, clip, tolerance), rel=1e-6)
        last = drawn(z, [p for question in questions for p in question], clip)
        expected = np.where(refined.measured, surface.ravel(), 10**last.whole if scale == "log" else last.whole)
        np.testing.assert_allclose(refined.values, expected, rtol=1e-9, atol=1e-12)


def test_each_round_asks_where_the_interpolants_disagree_most_apart_from_each_other() -> None:
    refined, questions = asked_of(WALLS, Refinement(1e-9, 10.0, with_sample(249)))
    z, known = np.log10(WALLS).ravel(), list(questions[0])
    corners = np.round(np.linspace(0, N - 1, 11)).astype(int)
    assert sorted(questions[0]) == sorted(int(row * N + column) for row in corners for column in corners)
    whole = [question for question in questions[1:] if len(question) == 16]
    assert len(whole) >= 7
    for question in whole:
        before = drawn(z, known, 1.0)
        np.testing.assert_allclose(refined.predicted[question], 10 ** before.fine[question], rtol=1e-9)
        chosen, random = question[:-4], question[-4:]
        score = before.disagreement.copy()
        score[random] = 0
        for point in chosen:
            assert score[point] == pytest.approx(score.max(), rel=1e-6)
            near = np.abs(np.indices((N, N)).reshape(2, -1) - np.array([[point // N], [point % N]])).max(axis=0) <= 1
            score[near] = 0
        assert len(set(question)) == 16
        known += question
    assert np.isnan(refined.predicted[questions[0]]).all()
    assert np.isnan(refined.predicted[~refined.measured]).all()


def test_without_a_clip_of_its_own_a_plane_is_clipped_at_ten() -> None:
    assert (
        asked_of(WALLS, Refinement(1e-9, None, with_sample(153)))[1]
        == asked_of(WALLS, Refinement(1e-9, 10.0, with_sample(153)))[1]
    )


def test_the_points_at_random_follow_from_the_seed() -> None:
    settings = Refinement(1e-9, 10.0, with_sample(137))
    first, again, other = (asked_of(WALLS, settings, seed=seed)[1][1] for seed in (1, 1, 2))
    assert first == again
    assert first[:-4] != other[:-4] or first[-4:] != other[-4:]
    assert set(first[-4:]) != set(other[-4:])


def test_before_any_audit_the_error_is_not_known_and_of_a_whole_grid_it_is_none() -> None:
    refined, _ = asked_of(WALLS, Refinement(max_points=121))
    assert math.isnan(refined.error)
    assert int(refined.measured.sum()) == 121
    whole, questions = asked_of(WALLS[:9, :9], Refinement(1e-9))
    assert whole.error == 0
    assert [len(question) for question in questions] == [81]


def test_a_scale_that_was_asked_for_is_kept_and_a_coarse_mesh_has_the_widths_asked_for() -> None:
    refined, questions = asked_of(WALLS, Refinement(0.5), scale="linear", coarse=4)
    assert refined.scale == "linear"
    assert len(questions[0]) == 25
    refined, _ = asked_of(WALLS - WALLS.min(), Refinement(0.5))
    assert refined.scale == "linear"  # zero has no logarithm


def test_minutes_end_a_refinement(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lengths = []

    def measure(points: NDArray[np.int64]) -> Floats:
        nonlocal now
        now += 30
        lengths.append(len(points))
        return WALLS.ravel()[points]

    refine(WALLS.shape, Refinement(1e-9, minutes=1.5), measure)  # type: ignore[arg-type]
    assert lengths[:-1] == [121, 16, 16]  # then no time is left but for the sample
    assert lengths[-1] == audits_for(N * N, N * N - sum(lengths[:-1]))


def test_a_budget_counts_points_and_passes_whichever_ends_first() -> None:
    assert Refinement().most(100) == 100
    assert Refinement(max_points=30).most(100) == 30
    assert Refinement(max_points=30, max_passes=20.9).most(100) == 20
    assert Refinement(max_points=300).most(100) == 100
    assert default_budget((51, 51)) == 2601 // 6 + audits_for(2601, 2601 - 2601 // 6)
    assert default_budget((25, 25)) == 181 + audits_for(625, 625 - 181)
    assert default_budget((25, 25), coarse=4) == 625 // 6 + audits_for(625, 625 - 625 // 6)
    assert default_budget((3, 25)) == 3 * 33 // 2 + audits_for(75, 75 - 3 * 33 // 2)
    refined, _ = asked_of(WALLS, Refinement(1e-9, max_passes=float(with_sample(150))))
    assert int(refined.measured.sum()) == 150
    refined, questions = asked_of(WALLS, Refinement(1e-9, max_points=with_sample(124)))
    assert [len(question) for question in questions] == [121, 3]


def test_settings_name_a_budget_of_passes_only_where_there_is_one() -> None:
    assert Refinement(0.1, 5.0, 7, 2.0).settings() == {
        "tolerance": 0.1, "value_max": 5.0, "max_points": 7, "minutes": 2.0
    }  # fmt: skip
    assert Refinement(max_passes=3.0).settings()["max_passes"] == 3.0


def test_a_clip_is_ten_or_four_times_a_centre_above_five() -> None:
    assert [Refinement().around(c).value_max for c in (5.0, 5.01, math.inf, math.nan, -8.0)] == [
        10.0, pytest.approx(20.04), 10.0, 10.0, 10.0
    ]  # fmt: skip
    given = Refinement(0.2, 3.0, max_points=9)
    assert given.around(2.9) is given
    assert Refinement(0.2, max_points=9).around(1.0) == Refinement(0.2, 10.0, 9)
    with pytest.raises(InputError, match=r"^loss_max: the loss at the centre is 3, not below 3, .* Try 12\.$"):
        given.around(3.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, r"^tolerance: expected a fraction between 0 and 1, such as 0\.01, got 0\.0\.$"),
        ({"tolerance": 1.0}, r"got 1\.0\.$"),
        ({"value_max": math.nan}, r"^loss_max: expected a finite number, such as 10, got nan\.$"),
        ({"max_points": 0}, r"^max_points: expected at least 1, got 0\.$"),
        ({"minutes": 0}, r"^minutes: expected a positive number, got 0\.$"),
        ({"max_passes": -1}, r"^max_passes: expected a positive number, got -1\.$"),
    ],
)
def test_every_refusal_says_what_arrived(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Refinement(**options)  # type: ignore[arg-type]
    assert Refinement(max_points=1).max_points == 1


def test_a_plane_is_interpolated_exactly_from_its_finite_values() -> None:
    rows, columns = np.indices((5, 9))
    values = (2.0 + 3 * rows - 0.5 * columns).ravel()
    known = np.zeros(45, dtype=bool)
    known[[0, 8, 36, 44, 20, 13]] = True
    given = np.where(known, values, 99.0)
    given[13] = np.inf
    found = interpolate((5, 9), given, known)
    assert found[13] == np.inf
    np.testing.assert_allclose(np.delete(found, 13), np.delete(values, 13), atol=1e-9)
    known[[20, 44]] = False
    few = interpolate((5, 9), given, known)
    assert few[0] == values[0]
    assert np.isnan(few[~known]).all()
    known[20] = True
    assert np.isfinite(interpolate((5, 9), given, known)).sum() == 44


def test_a_line_of_points_is_a_grid_too() -> None:
    surface = 1 + np.linspace(-1, 1, 60)[None] ** 2
    refined, questions = asked_of(np.repeat(surface, 3, axis=0), Refinement(0.05))
    assert len(questions[0]) == 33
    assert refined.error <= 0.05
