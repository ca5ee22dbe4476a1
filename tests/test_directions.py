"""Directions that are given or found, against dense autograd, the optimiser's own step and closed forms."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from networks import conv_net, images
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import (
    Direction,
    cosine,
    direction_between,
    given_direction,
    orthogonalize,
    random_direction,
)
from landscape.numerics.parameters import Layout, ParameterVector
from landscape.objective.objective import Objective
from landscape.probes.plane.along import eigenvector_directions, gradient_direction, update_direction
from landscape.probes.plane.measure import line, plane
from landscape.probes.plane.spans import along_span, random_span


def objective_of(net: nn.Module, **options: Any) -> Objective:
    return Objective(net, "cross_entropy", images(), **options)


def autograd(net: nn.Module) -> dict[str, Tensor]:
    """∇L of the plain module over all images, by name."""
    inputs, targets = images()
    copied = copy.deepcopy(net).eval()
    nn.functional.cross_entropy(copied(inputs), targets).backward()
    return {name: p.grad for name, p in copied.named_parameters() if p.grad is not None}


def test_the_gradient_direction_is_autograds_gradient_of_the_plain_module() -> None:
    net = conv_net()
    found = gradient_direction(objective_of(net))
    views = found.layout.views(found.vector)
    for name, expected in autograd(net).items():
        torch.testing.assert_close(views[name].cpu(), expected, rtol=1e-9, atol=1e-12)
    assert found.provenance["kind"] == "gradient"


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_the_update_direction_is_the_step_that_the_optimiser_then_makes(kind: str) -> None:
    net = conv_net()
    inputs, targets = images()
    made = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
        "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    }
    optimizer = made[kind](net.parameters())
    for _ in range(3):  # so that there are moments
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    optimizer.zero_grad()
    objective = objective_of(net)
    state = copy.deepcopy(optimizer.state_dict())
    direction = update_direction(objective, net, optimizer)
    assert str(optimizer.state_dict()) == str(state)  # it has not moved
    assert torch.equal(objective.parameters_of(net).vector, objective.theta.vector)
    nn.functional.cross_entropy(net(inputs), targets).backward()
    optimizer.step()
    stepped = objective.parameters_of(net).vector - objective.theta.vector
    torch.testing.assert_close(direction.vector, stepped, rtol=1e-7, atol=1e-12)


def test_without_moments_the_update_of_gradient_descent_is_minus_the_gradient() -> None:
    net = conv_net()
    objective = objective_of(net)
    direction = update_direction(objective, net, torch.optim.SGD(net.parameters(), lr=0.5))
    torch.testing.assert_close(direction.vector, -0.5 * gradient_direction(objective).vector)


def test_along_a_dense_hessians_eigenvector_the_loss_curves_by_its_eigenvalue() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(72, 2)).double()
        inputs, targets = images(classes=2)
    objective = Objective(net, "cross_entropy", (inputs, targets))

    def loss(theta: Tensor) -> Tensor:
        weight, bias = theta[:144].reshape(2, 72), theta[144:]
        return nn.functional.cross_entropy(inputs.flatten(1) @ weight.T + bias, targets)

    values, vectors = torch.linalg.eigh(torch.autograd.functional.hessian(loss, objective.theta.vector.cpu()))
    direction = eigenvector_directions(objective, [vectors[:, -1]], [float(values[-1])])[0]
    step = 1e-3
    result = line(objective, x=(-step, step, 3), along=direction, normalization="none")
    left, middle, right = result["loss"].values[0]
    assert (left - 2 * middle + right) / step**2 == pytest.approx(float(values[-1]), rel=1e-4)
    assert direction.provenance["eigenvalue"] == pytest.approx(float(values[-1]))


def test_orthogonalised_directions_are_orthogonal_keep_their_lengths_and_span_the_same_plane() -> None:
    theta = objective_of(conv_net()).theta
    a, b = random_direction(theta, seed=0), random_direction(theta, seed=0, axis=1)
    mixed = Direction(b.vector + 0.7 * a.vector, theta.layout, b.provenance)
    first, second = orthogonalize([a, mixed])
    assert first is a
    assert abs(cosine(first, second)) < 1e-15
    assert second.norm == pytest.approx(mixed.norm, rel=1e-14)
    basis = torch.stack([a.vector, mixed.vector]).T
    remainder = second.vector - basis @ torch.linalg.lstsq(basis, second.vector[:, None]).solution[:, 0]
    assert float(remainder.norm()) < 1e-12 * second.norm
    assert float(second.vector @ mixed.vector) > 0
    assert (second.provenance["orthogonalized"], second.provenance["seed"]) == (1, 0)


def test_orthogonalisation_takes_the_running_statistics_along() -> None:
    start, ends = conv_net(seed=0), [conv_net(seed=1), conv_net(seed=2)]
    objective = objective_of(start, batch_norm="interpolated")
    between = [
        direction_between(
            objective.theta,
            objective.parameters_of(end),
            statistics=(objective.statistics, objective.statistics_of(end)),
        )
        for end in ends
    ]
    _, second = orthogonalize(between)
    basis = torch.stack([d.vector for d in between]).T
    weights = torch.linalg.lstsq(basis, second.vector[:, None]).solution[:, 0]
    changes = torch.stack([d.statistics for d in between if d.statistics is not None])
    assert second.statistics is not None
    torch.testing.assert_close(second.statistics, weights @ changes, rtol=1e-9, atol=1e-12)


def test_a_plane_along_gradient_and_random_has_the_gradients_slope_and_the_random_planes_second_axis() -> None:
    objective = objective_of(conv_net(), device="cpu")  # a GPU forms the two points by other operations
    steep = plane(objective, along=["gradient", "random"], x=(-1e-4, 1e-4, 3), y=(-1, 1, 3), seeds=[5])
    gradient = gradient_direction(objective)
    length = math.hypot(*(float(v.norm()) for v in objective.theta.views().values() if v.ndim > 1))
    slope = np.diff(steep["loss"].sel(seed=5, y=0).values)[[0, 1]].mean() / 1e-4
    assert slope == pytest.approx(gradient.norm * length, rel=1e-4)
    random = plane(objective, x=(-1, 1, 3), y=(-1, 1, 3), seeds=[5])
    np.testing.assert_array_equal(steep["loss"].sel(seed=5, x=0).values, random["loss"].sel(seed=5, x=0).values)


def test_two_random_directions_by_name_are_the_random_plane() -> None:
    objective = objective_of(conv_net())
    named, span = along_span(objective, ["random", "random"], seeds=[0, 3]), random_span(objective, [0, 3], 2)
    for a, b in zip(named.subspaces, span.subspaces, strict=True):
        assert torch.equal(a.basis, b.basis)
    assert (named.kind, named.axis_labels) == (span.kind, span.axis_labels)


def test_scaled_directions_have_the_norm_of_a_filter_normalised_one() -> None:
    objective = objective_of(conv_net())
    span = along_span(objective, ["gradient", "random"])
    gradient, random = span.subspaces[0].directions
    assert gradient.norm == pytest.approx(random.norm, rel=1e-9)
    assert abs(cosine(gradient, gradient_direction(objective))) == pytest.approx(1.0, abs=1e-14)
    raw = along_span(objective, ["gradient", "random"], normalization="none").subspaces[0].directions[0]
    assert torch.equal(raw.vector, gradient_direction(objective).vector)


def test_a_difference_of_checkpoints_keeps_its_length_beside_another_direction() -> None:
    start, end = conv_net(seed=0), conv_net(seed=1)
    objective = objective_of(start)
    between = direction_between(objective.theta, objective.parameters_of(end))
    result = plane(objective, along=[between, "gradient"], x=(0, 1, 2), y=(0, 1, 2))
    other = float(objective.evaluate(objective.parameters_of(end)).loss)
    assert float(result["loss"].sel(seed=0, x=1, y=0)) == pytest.approx(other, rel=1e-9)


def test_the_origin_of_every_direction_is_on_the_result() -> None:
    objective = objective_of(conv_net())
    result = plane(
        objective, along=["gradient", "random"], x=(-1, 1, 2), y=(-1, 1, 2), seeds=[1, 2], orthogonalize=True
    )
    origins = json.loads(json.dumps(result.attrs["direction_origins"]))
    assert [[d["kind"] for d in plane_] for plane_ in origins] == [["gradient", "random"]] * 2
    assert [plane_[1]["seed"] for plane_ in origins] == [1, 2]
    assert [plane_[1]["orthogonalized"] for plane_ in origins] == [1, 1]
    np.testing.assert_allclose(result["direction_cosine"], 0.0, atol=1e-14)


def _at_its_minimum() -> Objective:
    """Squared outputs of a linear layer whose weights are zero."""
    net = nn.Linear(3, 2).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    return Objective(net, "mse", (torch.ones(4, 3, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)))


def test_directions_that_lead_nowhere_or_elsewhere_are_refused_with_the_reason() -> None:
    objective = objective_of(conv_net())
    theta = objective.theta
    vector = torch.randn(theta.vector.shape, dtype=torch.float64)
    other = objective_of(conv_net(classes=5)).theta
    cases: list[tuple[Any, str]] = [
        (lambda: gradient_direction(_at_its_minimum()), "the gradient is the zero vector"),
        (lambda: given_direction(torch.zeros_like(vector), theta, kind="vector"), "zero vector, which leads nowhere"),
        (lambda: given_direction(vector / 0, theta, kind="vector"), "NaN or infinite"),
        (lambda: given_direction(vector[1:], theta, kind="vector"), "one entry for each of the model's parameters"),
        (lambda: given_direction(other, theta, kind="eigenvector"), "belongs to another model"),
        (lambda: direction_between(theta, ParameterVector(theta.vector.clone(), theta.layout)), "identical parameters"),
        (lambda: objective.parameters_of(conv_net(classes=5)), r"expected \(4, 20\), got \(5, 20\)"),
        (
            lambda: along_span(objective, ["gradient", "gradient"], orthogonalize=True),
            "is a combination of those before",
        ),
        (lambda: along_span(objective, ["gradint"]), "Did you mean 'gradient'"),
        (lambda: along_span(objective, ["gradient"], seeds=[0, 1]), "none of the directions is random"),
        (lambda: along_span(objective, []), "expected a list of directions"),
        (lambda: plane(objective, to=[conv_net(seed=1), conv_net(seed=2)], orthogonalize=True), "decide both"),
        (lambda: line(objective, to=conv_net(seed=1), along="gradient"), "either a direction"),
        (lambda: eigenvector_directions(objective, []), "at least one eigenvector"),
        (
            lambda: update_direction(objective, conv_net(), torch.optim.SGD(conv_net().parameters(), lr=1.0)),
            "moves none of the module's parameters",
        ),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message):
            call()


def test_an_automatic_range_suits_each_direction_by_itself() -> None:
    class Valley(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[1e-3, 1.0]], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            steep, flat = self.w[0]
            return (0.5 + 1e4 * (steep - 1e-3) ** 2 + 0.5 * (flat - 1) ** 2).expand(len(x))

    x = torch.zeros(3, 1, dtype=torch.float64)
    objective = Objective(Valley(), lambda outputs, targets: outputs, (x, x[:, 0]))
    axes = [given_direction(axis, objective.theta, kind="vector") for axis in torch.eye(2, dtype=torch.float64)]
    result = plane(objective, along=axes, x="auto:5", y="auto:5", normalization="none")
    # the loss reaches three times its 0.5 where 1e4 x² = 1 and y² / 2 = 1
    assert (float(result["x"].max()), float(result["y"].max())) == (2.0**-6, 2.0)
    assert "±0.015625 and ±2" in result.attrs["range_note"]


def test_a_stored_eigenvector_is_the_same_direction_in_either_memory_format() -> None:
    from landscape.probes.plane.directions import _in_layout

    channels_last = objective_of(conv_net(dtype=torch.float32)).theta
    plain = Layout.of(channels_last.views())
    assert plain != channels_last.layout
    tensors = {name: torch.randn(view.shape) for name, view in channels_last.views().items()}
    for layout, name in ((plain, "contiguous"), (channels_last.layout, "channels_last")):
        moved = _in_layout(layout.pack(tensors), {"memory_format": name}, channels_last.layout)
        for key, view in channels_last.layout.views(moved).items():
            assert torch.equal(view, tensors[key]), (name, key)
