"""Directions as vectors of three entries, each construction against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from landscape.errors import InputError
from landscape.numerics.directions import (
    Direction,
    cosine,
    direction_between,
    given_direction,
    normalize,
    orthogonalize,
    random_direction,
    scale_to_weights,
)
from landscape.numerics.parameters import Layout, ParameterVector
from landscape.numerics.seeds import generator


def pair(*values: float) -> ParameterVector:
    """A weight of two rows of one, and a bias."""
    layout = Layout.of({"w": torch.zeros(2, 1), "b": torch.zeros(1)})
    return ParameterVector(torch.tensor(values, dtype=torch.float64), layout)


def test_a_direction_is_normalised_slice_by_slice_tensor_by_tensor_or_not_at_all() -> None:
    point = pair(3.0, 4.0, 7.0)
    drawn = Direction(torch.tensor([1.0, -2.0, 5.0]).double(), point.layout, {"kind": "mine"})
    assert normalize(drawn, point, "none") is drawn
    by_filter, by_layer = normalize(drawn, point), normalize(drawn, point, "layer")
    assert by_filter.vector.tolist() == pytest.approx([3.0, -4.0, 0.0], rel=1e-9)
    assert by_layer.vector.tolist() == pytest.approx([math.sqrt(5), -2 * math.sqrt(5), 0.0], rel=1e-9)
    assert by_filter.provenance == {"kind": "mine", "normalization": "filter"}
    tiny = normalize(Direction(1e-10 * drawn.vector, point.layout), point)
    assert tiny.vector.tolist() == pytest.approx([3 / 2, -4 * 2 / 3, 0.0])  # Li et al.'s 1e-10 beside the norm
    with pytest.raises(InputError, match=r"^direction: layer normalisation leaves .* Try normalization='none'\.$"):
        normalize(drawn, pair(0.0, 0.0, 1.0), "layer")


def test_a_random_direction_is_drawn_in_single_precision_and_remembers_how() -> None:
    point = pair(3.0, 4.0, 7.0)
    made = random_direction(point, seed=4, axis=2, normalization="none")
    draws = generator(4, "direction", 2)
    assert (
        made.vector.tolist() == torch.cat([torch.randn(2, generator=draws), torch.randn(1, generator=draws)]).tolist()
    )
    assert made.provenance == {"kind": "random", "seed": 4, "axis": 2, "normalization": "none"}
    assert made.vector.dtype == torch.float64
    assert random_direction(point, seed=4).provenance["axis"] == 0
    assert random_direction(point, seed=4).provenance["normalization"] == "filter"


def test_a_difference_takes_statistics_and_provenance_along() -> None:
    start, end = pair(1.0, 2.0, 3.0), pair(2.0, 2.0, 1.0)
    statistics = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 1.0])
    made = direction_between(start, end, statistics=statistics, provenance={"end": "b.pt"})
    assert made.vector.tolist() == [1.0, 0.0, -2.0]
    assert made.statistics is not None and made.statistics.tolist() == [3.0, -1.0]
    assert made.provenance == {"kind": "difference", "end": "b.pt"}
    assert made.layout == start.layout
    assert direction_between(start, end).statistics is None
    with pytest.raises(
        InputError, match=r"^direction: the two checkpoints have different parameters; they must be of one"
    ):
        direction_between(start, ParameterVector(torch.ones(1), Layout.of({"b": torch.zeros(1)})))


def test_a_given_vector_stays_as_it_is_in_the_type_of_theta() -> None:
    point = pair(1.0, 2.0, 3.0)
    for vector in (torch.tensor([1.0, 0.0, 2.0], requires_grad=True), pair(1.0, 0.0, 2.0)):
        made = given_direction(vector, point, kind="gradient", seed=3)
        assert made.vector.tolist() == [1.0, 0.0, 2.0]
        assert (made.vector.dtype, made.vector.requires_grad, made.statistics) == (torch.float64, False, None)
        assert made.provenance == {"kind": "gradient", "seed": 3}
        assert made.layout == point.layout
    with pytest.raises(
        InputError, match=r"^direction: expected the update as a flat .* shape \(3,\), .* got \(2,\)\.$"
    ):
        given_direction(torch.ones(2), point, kind="update")
    with pytest.raises(InputError, match=r"^direction: the update holds NaN or infinite entries"):
        given_direction(torch.tensor([1.0, math.nan, 0.0]), point, kind="update")


def test_a_direction_scaled_to_the_weights_has_their_norm_and_its_own_way() -> None:
    point = pair(3.0, 4.0, 7.0)
    made = scale_to_weights(
        Direction(torch.tensor([0.0, 0.0, -2.0]), point.layout, {"kind": "mine"}, torch.ones(1)), point
    )
    assert made.vector.tolist() == [0.0, 0.0, -5.0]
    assert made.statistics is not None and made.statistics.tolist() == [2.5]
    assert made.provenance == {"kind": "mine", "normalization": "weights"}
    for without in (pair(0.0, 0.0, 7.0), ParameterVector(torch.ones(1), Layout.of({"b": torch.zeros(1)}))):
        with pytest.raises(InputError, match=r"^direction: cannot be scaled .*, because no .* weight .*'none'\.$"):
            scale_to_weights(made, without)


def test_directions_are_made_orthogonal_with_their_statistics_where_all_have_them() -> None:
    layout = pair(0.0, 0.0, 0.0).layout

    def direction(values: list[float], statistics: float | None) -> Direction:
        moved = None if statistics is None else torch.tensor([statistics]).double()
        return Direction(torch.tensor(values).double(), layout, {"kind": "mine"}, moved)

    first, second = direction([2.0, 0.0, 0.0], 1.0), direction([3.0, 4.0, 0.0], 6.0)
    made = orthogonalize([first, second, direction([1.0, 1.0, 1.0], None)])
    assert made[0] is first
    assert made[1].vector.tolist() == pytest.approx([0.0, 5.0, 0.0])  # (0, 4, 0), as long as (3, 4, 0)
    assert made[1].statistics is not None
    assert made[1].statistics.tolist() == pytest.approx([(6 - 1.5) * 5 / 4])
    assert made[1].provenance == {"kind": "mine", "orthogonalized": 1}
    assert made[2].vector.tolist() == pytest.approx([0.0, 0.0, math.sqrt(3)])
    assert made[2].statistics is None
    assert orthogonalize([direction([2.0, 0.0, 0.0], None), second])[1].statistics is None
    with pytest.raises(InputError, match=r"^orthogonalize: direction 3 is a combination of those before it"):
        orthogonalize([first, second, direction([1.0, 1.0, 9e-6], 0.0)])
    orthogonalize([first, second, direction([1.0, 1.0, 2e-5], 0.0)])


def test_the_cosine_with_nothing_is_not_a_number() -> None:
    layout = pair(0.0, 0.0, 0.0).layout
    one, none = Direction(torch.ones(3), layout), Direction(torch.zeros(3), layout)
    assert math.isnan(cosine(one, none))
    assert math.isnan(cosine(none, one))
    small = Direction(torch.full((3,), 1e-30), layout)
    assert cosine(small, one) == pytest.approx(1.0)
