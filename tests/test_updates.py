"""The step that an optimiser is about to make, against its formula; the optimiser itself makes none."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from landscape.numerics.updates import next_changes


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor(values, dtype=torch.float64)) for values in ([1.0, -2.0], [3.0])]


@pytest.mark.parametrize(("learning_rate", "used"), [(None, 0.5), (0.1, 0.1)])
def test_a_step_of_gradient_descent_is_its_formula_in_every_group(learning_rate: float | None, used: float) -> None:
    first, second = parameters()
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "weight_decay": 0.2}], lr=0.5)
    gradients = {first: torch.tensor([4.0, 8.0]), second: torch.tensor([2.0], requires_grad=True)}
    found = next_changes(optimizer, gradients, learning_rate)
    assert list(found) == [first, second]
    assert found[first].tolist() == pytest.approx([-4 * used, -8 * used])
    assert found[second].tolist() == pytest.approx([-(2 + 0.2 * 3) * used])
    assert not any(change.requires_grad for change in found.values())


def test_a_parameter_without_a_gradient_stays_also_where_it_has_one_of_its_own() -> None:
    first, second = parameters()
    second.grad = torch.ones(1, dtype=torch.float64)
    found = next_changes(torch.optim.SGD([first, second], lr=0.5), {first: torch.ones(2)})
    assert found[first].tolist() == [-0.5, -0.5]
    assert found[second].tolist() == [0.0]


def test_moments_are_used_and_everything_stays_as_it_was() -> None:
    first, second = parameters()
    optimizer = torch.optim.SGD([first, second], lr=0.5, momentum=0.5)
    first.grad, second.grad = torch.full((2,), 2.0).double(), torch.ones(1).double()
    optimizer.step()
    values, state = [p.detach().clone() for p in (first, second)], copy.deepcopy(optimizer.state_dict())
    gradient = torch.ones(2, dtype=torch.float64)
    found = next_changes(optimizer, {first: gradient, second: torch.zeros(1)})
    assert found[first].tolist() == [-0.5 * (0.5 * 2 + 1)] * 2
    assert found[second].tolist() == [-0.5 * 0.5]
    assert all(torch.equal(p, v) for p, v in zip((first, second), values, strict=True))
    assert str(optimizer.state_dict()) == str(state)
    assert gradient.tolist() == [1.0, 1.0]
    assert first.grad.tolist() == [2.0, 2.0]
