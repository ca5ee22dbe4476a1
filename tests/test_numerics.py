"""Parameter vectors, directions, grids and statistics against closed forms."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import InputError
from landscape.numerics.directions import Direction, cosine, direction_between, normalize, random_direction
from landscape.numerics.grids import Axis, Grid
from landscape.numerics.parameters import Layout, ParameterVector, ordinary
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
    with pytest.raises(InputError, match=r"^normalization: .*Did you mean 'filter'\?"):
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


@pytest.mark.parametrize(
    ("count", "levels"),
    [
        (1, [0]),
        (2, [0, 0]),
        (3, [0, 0, 0]),
        (5, [0, 1, 0, 1, 0]),
        (6, [0, 1, 0, 1, 0, 0]),
        (9, [0, 2, 1, 2, 0, 2, 1, 2, 0]),
        (10, [0, 2, 1, 2, 0, 2, 1, 2, 0, 0]),
        (17, [0, 3, 2, 3, 1, 3, 2, 3, 0, 3, 2, 3, 1, 3, 2, 3, 0]),
    ],
)
def test_the_mesh_of_an_axis_halves_from_about_three_points_on(count: int, levels: list[int]) -> None:
    assert Axis(0, 1, count).levels.tolist() == levels


def test_a_point_of_a_grid_comes_with_the_finer_of_its_axes_levels() -> None:
    grid = Grid((Axis(0, 1, 5), Axis(0, 1, 3)))
    assert grid.coarse_to_fine.tolist() == [0, 2, 4, 5, 7, 9, 10, 12, 14, 1, 3, 6, 8, 11, 13]


def test_the_nearest_point_is_indexed_as_arrays_are() -> None:
    grid = Grid((Axis(-1, 1, 5), Axis(0, 30, 4)))
    assert grid.nearest((0.6, 14.0)) == (1, 3)
    assert grid.nearest((-9.0, 99.0)) == (3, 0)
    with pytest.raises(ValueError, match="zip"):
        grid.nearest((0.6,))
    assert (grid.names, grid.dims, grid.shape, len(grid)) == (("x", "y"), ("y", "x"), (4, 5), 20)


def test_coordinates_are_evenly_spaced_and_one_point_is_the_start() -> None:
    assert Axis(1, 3, 5).coordinates.tolist() == [1, 1.5, 2, 2.5, 3]
    assert Axis(3, 1, 1).coordinates.tolist() == [3]
    assert Axis.parse("0:2:3") == Axis(0.0, 2.0, 3)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Axis(0, math.inf, 3), r"^axis: expected finite ends, got 0:inf\.$"),
        (lambda: Axis(math.nan, 1, 3), r"^axis: expected finite ends, got nan:1\.$"),
        (lambda: Axis(0, 1, 0), r"^axis: expected a whole number of points of at least 1, got 0\.$"),
        (lambda: Axis(0, 1, 2.5), r"got 2\.5\.$"),
        (lambda: Axis(0, 1, True), r"got True\.$"),
        (lambda: Axis(1, 1, 2), r"^axis: expected start < stop, got 1:1:2\.$"),
        (
            lambda: Axis.parse("1:2"),
            r"^axis: expected start:stop:count with a whole count, such as -1:1:51, got '1:2'\.$",
        ),
        (lambda: Axis.parse("2:1:5"), r"^axis: axis: expected start < stop, got 2\.0:1\.0:5\. Try -1:1:51\.$"),
        (lambda: Grid(()), r"^grid: expected 1 to 6 axes, got 0\.$"),
        (lambda: Grid((Axis(0, 1, 2),) * 7), r"^grid: expected 1 to 6 axes, got 7\.$"),
    ],
)
def test_what_is_no_axis_or_grid_is_refused_with_what_arrived(made: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made()


def test_six_axes_are_a_grid() -> None:
    assert len(Grid((Axis(0, 1, 2),) * 6)) == 64


def test_a_part_of_a_layout_packs_its_tensors_without_gaps() -> None:
    point = theta(True)
    part = point.layout.part(["scale", "conv"])
    assert part.names == ("conv", "scale")
    assert part.size == part.pack(point.views()).numel() == 5 * 3 * 2 * 4 + 1
    assert [(slot.offset, slot.channels_last) for slot in part.slots] == [(0, True), (120, False)]
    assert torch.equal(part.views(part.pack(point.views()))["scale"], point["scale"])
    with pytest.raises(InputError, match=r"^names: expected parameters of the model, got \['bia', 'con'\]\.$"):
        point.layout.part(["con", "scale", "bia"])


def test_a_layout_is_of_pairs_too_and_knows_where_everything_lies() -> None:
    layout = Layout.of(iter(named_tensors().items()), channels_last=True)
    assert layout == Layout.of(named_tensors(), channels_last=True) != Layout.of(named_tensors())
    assert [(s.name, s.shape, s.offset, s.channels_last) for s in layout.slots] == [
        ("conv", (5, 3, 2, 4), 0, True),
        ("linear", (7, 6), 120, False),
        ("bias", (7,), 162, False),
        ("scale", (), 169, False),
    ]


def test_a_packed_vector_has_the_tensors_type_and_place_or_those_asked_for_and_no_graph() -> None:
    tensors = {"a": torch.ones(2, dtype=torch.float64, requires_grad=True), "b": torch.zeros(1, dtype=torch.float16)}
    layout = Layout.of(tensors)
    assert layout.pack(tensors).dtype == torch.float64
    assert layout.pack(tensors, dtype=torch.float32).dtype == torch.float32
    assert layout.pack(tensors, device=torch.device("meta")).is_meta
    assert Layout.of({"m": torch.zeros(2, device="meta")}).pack({"m": torch.zeros(2, device="meta")}).is_meta
    assert not layout.pack(tensors).requires_grad
    assert Layout.of({}).pack({}).shape == (0,)


def test_a_vector_of_another_size_is_refused_and_more_than_five_misfits_are_counted() -> None:
    layout = Layout.of({str(i): torch.zeros(1) for i in range(7)})
    with pytest.raises(InputError, match=r"^vector: expected shape \(7,\) for this layout, got \(8,\)\.$"):
        layout.views(torch.zeros(8))
    with pytest.raises(InputError, match=r"^vector: expected shape \(7,\), got \(6,\)\.$"):
        ParameterVector(torch.zeros(6), layout)
    with pytest.raises(InputError, match=r"^tensors do not fit the parameters: 0: .*; 4: [^;]* \(and 2 more\)\.$"):
        layout.pack({})
    with pytest.raises(InputError, match=r"^tensors do not fit the parameters: 2: .*; 6: [^;]*nothing'?\.$"):
        layout.pack({"0": torch.zeros(1), "1": torch.zeros(1)})


def test_what_was_made_in_inference_mode_is_copied_and_everything_else_is_itself() -> None:
    plain = torch.ones(2)
    assert ordinary(plain) is plain
    with torch.inference_mode():
        made = torch.ones(2)
        copied = ordinary(made)
    assert not copied.is_inference()
    assert torch.equal(copied, made)


def test_norms_add_up_in_double_precision() -> None:
    layout = Layout.of({"w": torch.zeros(10_001)})
    vector = torch.full((10_001,), 1e-4)
    vector[0] = 1e3
    expected = math.sqrt(float((vector.double() ** 2).sum()))
    assert ParameterVector(vector, layout).norm == pytest.approx(expected, rel=1e-13)
    assert Direction(vector, layout).norm == pytest.approx(expected, rel=1e-13)


def test_a_seed_is_the_first_eight_bytes_of_blake2b_without_a_sign() -> None:
    digest = hashlib.blake2b(b"(7, 'direction', (1, 2))", digest_size=8).digest()
    assert derive_seed(7, "direction", 1, 2) == int.from_bytes(digest, "big") // 2
    assert generator(7, "direction", 1, 2).initial_seed() == derive_seed(7, "direction", 1, 2)
    assert derive_seed(np.int64(7), "direction", np.int64(1), 2) == derive_seed(7, "direction", 1, 2)  # type: ignore[arg-type]


def test_the_error_of_few_values_and_of_one_cluster_is_unknown() -> None:
    one = torch.tensor([2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of a spread of one value
        assert mean_and_standard_error(one) == pytest.approx((2.0, math.nan), nan_ok=True)
    assert mean_and_standard_error(one[:0]) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert mean_and_standard_error(one, torch.tensor([4.0])) == pytest.approx((0.5, math.nan), nan_ok=True)
    two = torch.tensor([1.0, 3.0])
    assert mean_and_standard_error(two, None, torch.tensor([0, 0])) == pytest.approx((2.0, math.nan), nan_ok=True)
    assert mean_and_standard_error(two) == (2.0, 1.0)


def test_the_error_of_a_ratio_is_the_linearised_one() -> None:
    values, weights = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 1.0, 4.0])
    # R = 9/6; residuals −½, ½, 0; √(3/2 · ½) / 6.
    assert mean_and_standard_error(values, weights) == pytest.approx((1.5, math.sqrt(0.75) / 6))
    clustered = mean_and_standard_error(values, weights, torch.tensor([0, 1, 1]))
    assert clustered == pytest.approx((1.5, math.sqrt(2 / 1 * 0.5) / 6))
