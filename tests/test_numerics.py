"""Parameter vectors, directions, grids and statistics against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import InputError
from landscape.numerics.directions import cosine, direction_between, normalize, random_direction
from landscape.numerics.grids import Axis, Grid
from landscape.numerics.parameters import Layout, ParameterVector
from landscape.numerics.seeds import derive_seed, generator
from landscape.numerics.statistics import mean_and_standard_error


def named_tensors() -> dict[str, torch.Tensor]:
    draws = generator(3, "test")
    shapes = {"conv": (5, 3, 2, 4), "linear": (7, 6), "bias": (7,), "scale": ()}
    return {name: torch.randn(shape, generator=draws, dtype=torch.float64) for name, shape in shapes.items()}


def theta(channels_last: bool = False) -> ParameterVector:
    tensors = named_tensors()
    layout = Layout.of(tensors, channels_last=channels_last)
    return ParameterVector(layout.pack(tensors), layout)


@pytest.mark.parametrize("channels_last", [False, True])
def test_packed_tensors_come_back_from_their_views(channels_last: bool) -> None:
    vector = theta(channels_last)
    for name, tensor in named_tensors().items():
        assert torch.equal(vector[name], tensor)


def test_channels_last_views_have_the_strides_that_convolutions_want() -> None:
    assert theta(True)["conv"].is_contiguous(memory_format=torch.channels_last)
    assert theta(False)["conv"].is_contiguous()


def test_writing_to_a_view_writes_to_the_vector() -> None:
    vector = theta(True)
    vector["conv"].zero_()
    assert int((vector.vector == 0).sum()) == 5 * 3 * 2 * 4


def test_packing_names_what_does_not_fit() -> None:
    tensors = named_tensors()
    layout = Layout.of(tensors)
    del tensors["bias"]
    tensors["linear"] = torch.zeros(2, 2)
    with pytest.raises(
        InputError, match=r"linear: expected \(7, 6\), got \(2, 2\); bias: expected \(7,\), got nothing"
    ):
        layout.pack(tensors)


def test_filter_norms_of_a_direction_equal_those_of_the_weights() -> None:
    point = theta()
    direction = random_direction(point, seed=0)
    views = direction.layout.views(direction.vector)
    for name in ("conv", "linear"):
        ours, theirs = views[name].flatten(1).norm(dim=1), point[name].flatten(1).norm(dim=1)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    assert not views["bias"].any()
    assert not views["scale"].any()


def test_layer_norms_of_a_direction_equal_those_of_the_weights() -> None:
    point = theta()
    views = point.layout.views(random_direction(point, seed=0, normalization="layer").vector)
    for name in ("conv", "linear"):
        torch.testing.assert_close(views[name].norm(), point[name].norm(), rtol=1e-6, atol=0)


def test_unnormalised_directions_perturb_every_tensor_with_unit_variance() -> None:
    layout = Layout.of({"w": torch.zeros(200, 200), "b": torch.zeros(20000)})
    direction = random_direction(ParameterVector(torch.zeros(layout.size), layout), seed=1, normalization="none")
    for view in layout.views(direction.vector).values():
        assert abs(float(view.var()) - 1) < 0.05


def test_a_zero_filter_gets_a_zero_direction_and_no_nan() -> None:
    tensors = {"w": torch.tensor([[0.0, 0.0], [3.0, 4.0]])}
    layout = Layout.of(tensors)
    direction = random_direction(ParameterVector(layout.pack(tensors), layout), seed=0)
    rows = layout.views(direction.vector)["w"]
    assert torch.equal(rows[0], torch.zeros(2))
    assert float(rows[1].norm()) == pytest.approx(5, rel=1e-6)


def test_a_seed_means_the_same_direction_in_every_memory_format() -> None:
    plain, last = random_direction(theta(False), seed=5), random_direction(theta(True), seed=5)
    for name, view in plain.layout.views(plain.vector).items():
        assert torch.equal(view, last.layout.views(last.vector)[name])


def test_seeds_and_axes_give_nearly_orthogonal_directions_in_high_dimension() -> None:
    layout = Layout.of({"w": torch.ones(100, 1000)})
    point = ParameterVector(torch.ones(layout.size), layout)
    directions = [random_direction(point, seed=s, axis=a) for s in (0, 1) for a in (0, 1)]
    for i, a in enumerate(directions):
        for b in directions[:i]:
            assert abs(cosine(a, b)) < 5 / math.sqrt(layout.size)


def test_cosine_of_known_vectors() -> None:
    layout = Layout.of({"w": torch.zeros(1, 2)})
    zero = ParameterVector(torch.zeros(2), layout)
    a = direction_between(zero, ParameterVector(torch.tensor([1.0, 0.0]), layout))
    b = direction_between(zero, ParameterVector(torch.tensor([3.0, 4.0]), layout))
    assert cosine(a, b) == pytest.approx(0.6)


def test_a_direction_to_the_same_point_is_refused() -> None:
    with pytest.raises(InputError, match="identical parameters"):
        direction_between(theta(), theta())


def test_normalising_against_weights_of_zero_is_refused() -> None:
    layout = Layout.of({"w": torch.zeros(2, 2), "b": torch.zeros(3)})
    with pytest.raises(InputError, match="zero vector"):
        random_direction(ParameterVector(torch.zeros(7), layout), seed=0)


def test_an_unknown_normalisation_suggests_the_nearest() -> None:
    point = theta()
    with pytest.raises(InputError, match=r"Did you mean 'filter'\?"):
        normalize(random_direction(point, seed=0), point, "filtre")


def test_seeds_differ_by_purpose_and_index_and_repeat_exactly() -> None:
    values = {derive_seed(s, p, i) for s in (0, 1) for p in ("a", "b") for i in (0, 1)}
    assert len(values) == 8
    assert derive_seed(7, "direction", 1) == derive_seed(7, "direction", 1)


@given(st.integers(1, 60), st.integers(1, 40))
def test_coarse_to_fine_visits_every_point_once(columns: int, rows: int) -> None:
    grid = Grid((Axis(-1, 1, columns), Axis(0, 3, rows)))
    assert sorted(grid.coarse_to_fine.tolist()) == list(range(len(grid)))


@given(st.integers(3, 200))
def test_the_first_points_of_a_line_span_it(count: int) -> None:
    order = Grid((Axis(-1, 1, count),)).coarse_to_fine.tolist()
    coarse = sorted(order[: max(3, count // 4)])
    assert coarse[0] == 0
    assert count - 1 in order[:6]


@given(st.integers(0, 100))
def test_a_symmetric_axis_holds_zero_exactly(half: int) -> None:
    assert 0.0 in Axis(-0.7, 0.7, 2 * half + 3).coordinates


def test_coefficients_of_a_three_by_two_grid_are_x_then_y() -> None:
    grid = Grid((Axis(0, 2, 3), Axis(10, 20, 2)))
    assert grid.shape == (2, 3)
    points = grid.coefficients(np.arange(6))
    assert points.tolist() == [[0, 10], [1, 10], [2, 10], [0, 20], [1, 20], [2, 20]]


@pytest.mark.parametrize("text", ["", "1:2", "-1:1:x", "1:-1:5", "-1:1:0", "-1:1:2.5", "nan:1:3", "0:1:2:3"])
def test_a_malformed_axis_says_what_was_expected(text: str) -> None:
    with pytest.raises(InputError, match=r"x: .*-1:1:51"):
        Axis.parse(text, argument="x")


def test_mean_and_standard_error_are_the_textbook_ones() -> None:
    mean, error = mean_and_standard_error(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt(14 / 3) / 2)


def test_sums_of_small_and_large_values_keep_double_precision() -> None:
    values = torch.cat([torch.full((1,), 1e8), torch.full((9999,), 1e-4)])
    mean, _ = mean_and_standard_error(values)
    assert mean == pytest.approx((1e8 + 9999 * float(torch.tensor(1e-4))) / 1e4, rel=1e-14)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_value_makes_a_non_finite_mean(bad: float) -> None:
    assert not math.isfinite(mean_and_standard_error(torch.tensor([1.0, bad]))[0])
