"""Modules that differentiate by themselves, and sequences that go packed from layer to layer, are measured like any other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from landscape import fit
from landscape.errors import InputError
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.probes.plane.measure import plane
from landscape.training import TrainingConfig

Forward = Callable[[nn.Module, Any], Any]


def field() -> nn.Module:
    """u(t, x) of two inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def places(n: int = 20) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 2, generator=generator(0, "places"), dtype=torch.float64), torch.zeros(n, 1)


def by_grad(net: nn.Module, at: Tensor) -> Tensor:
    """The residual of Burgers' equation, with derivatives by autograd."""
    at = at.clone().requires_grad_()
    u = net(at)
    first = torch.autograd.grad(u.sum(), at, create_graph=True)[0]
    second = torch.autograd.grad(first[:, 1].sum(), at, create_graph=True)[0]
    return first[:, :1] + u * first[:, 1:] - 0.1 * second[:, 1:]


def in_place(net: nn.Module, at: Tensor) -> Tensor:
    """The same, by a flag set on the very tensor that is given."""
    at.requires_grad_()
    u = net(at)
    return torch.autograd.grad(u.sum(), at, create_graph=True)[0].sum(1, keepdim=True) + u


def by_jvp(net: nn.Module, at: Tensor) -> Tensor:
    u, change = torch.func.jvp(net, (at,), (torch.ones_like(at),))
    return u + change


def by_func_grad(net: nn.Module, at: Tensor) -> Tensor:
    return torch.func.vmap(torch.func.grad(lambda one: net(one).squeeze()))(at).sum(1, keepdim=True) + net(at)


def by_jacrev(net: nn.Module, at: Tensor) -> Tensor:
    return torch.func.vmap(torch.func.jacrev(net))(at).sum(2) + net(at)


def by_hessian(net: nn.Module, at: Tensor) -> Tensor:
    return torch.func.vmap(torch.func.hessian(lambda one: net(one).squeeze()))(at).sum((1, 2))[:, None]


class Residual(nn.Module):
    """A module whose own forward differentiates."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = field()

    def forward(self, at: Tensor) -> Tensor:
        return by_grad(self.inner, at)


def loss_by_hand(net: nn.Module, forward: Forward, tensors: dict[str, Tensor], data: tuple[Any, Tensor]) -> Tensor:
    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, inputs: Any) -> Any:
            return forward(self.net, inputs)

    outputs = functional_call(Called(), {f"net.{name}": t for name, t in tensors.items()}, (data[0].clone(),))
    return (outputs - data[1]).square().mean()


def gradient_by_hand(net: nn.Module, forward: Forward, point: dict[str, Tensor], data: Any) -> list[Tensor]:
    leaves = {name: t.detach().requires_grad_() for name, t in point.items()}
    return list(
        torch.autograd.grad(loss_by_hand(net, forward, leaves, data), [*leaves.values()], materialize_grads=True)
    )


@pytest.mark.parametrize("forward", [by_grad, in_place, by_jvp, by_func_grad, by_jacrev, by_hessian])
def test_a_forward_that_differentiates_has_its_own_loss_gradient_and_product(forward: Forward) -> None:
    net, data = field(), places()
    objective = Objective(net, "mse", data, forward=forward, device="cpu", batch_size=7)
    layout, theta = objective.theta.layout, objective.theta.views()
    expected = loss_by_hand(net, forward, dict(theta), data)
    for _ in range(2):
        assert objective.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-12)
    gradient = layout.pack(dict(zip(theta, gradient_by_hand(net, forward, theta, data), strict=True)))
    torch.testing.assert_close(objective.gradient().vector.vector, gradient)
    vector = torch.randn(layout.size, generator=generator(0, "vector"), dtype=torch.float64)
    above, below = (
        gradient_by_hand(net, forward, {n: t + h * layout.views(vector)[n] for n, t in theta.items()}, data)
        for h in (1e-5, -1e-5)
    )
    difference = layout.pack({n: (a - b) / 2e-5 for n, a, b in zip(theta, above, below, strict=True)})
    torch.testing.assert_close(objective.hessian_product(vector), difference, rtol=1e-6, atol=1e-8)


def test_a_module_that_differentiates_has_planes_and_is_trained_and_validated() -> None:
    (inputs, targets), net = places(), Residual().float()
    data = inputs.float(), targets
    surface = plane(Objective(net, "mse", data, device="cpu"), x=(-1, 1, 3), y=(-1, 1, 3))
    assert np.isfinite(surface["loss"].values).all()
    before = copy.deepcopy(net.state_dict())
    result = fit(net, data, TrainingConfig(epochs=1, batch_size=10, augment=False), loss="mse", device="cpu")
    assert result.status == "complete"
    assert any(not torch.equal(before[name], t) for name, t in net.state_dict().items())


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_it_differentiates_also_where_gradients_are_off(without: Callable[[], Any]) -> None:
    expected = Objective(field(), "mse", places(), forward=by_grad, device="cpu").evaluate().loss
    with without():
        objective = Objective(field(), "mse", places(), forward=by_grad, device="cpu")
        assert objective.evaluate().loss == expected
        assert not objective.per_sample().requires_grad


def test_the_graph_of_an_evaluation_is_let_go() -> None:
    objective = Objective(field(), "mse", places(), forward=by_grad, device="cpu")
    assert objective._runner.differentiates
    assert not objective._runner.tried(places()[0]).requires_grad
    plain = Objective(field(), "mse", places(), device="cpu")
    assert not plain._runner.differentiates


def test_a_derivative_without_its_own_graph_is_refused_a_product() -> None:
    def forgetful(net: nn.Module, at: Tensor) -> Tensor:
        at = at.clone().requires_grad_()
        u = net(at)
        return torch.autograd.grad(u.sum(), at, retain_graph=True)[0].sum(1, keepdim=True) + u

    objective = Objective(field(), "mse", places(), forward=forgetful, device="cpu")
    with pytest.raises(InputError, match="its gradient is not that of its value"):
        objective.hessian_product(objective.theta.vector)


class States(NamedTuple):
    packed: PackedSequence
    last: Tensor


class Packs(nn.Module):
    """An LSTM over packed sequences, which go through a layer of their own."""

    def __init__(self, *, returns: bool) -> None:
        super().__init__()
        self.rnn, self.through, self.head = nn.LSTM(4, 5, batch_first=True), Through(), nn.Linear(5, 3)
        self.returns = returns

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        packed = self.through(pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False))
        hidden, (last, _) = self.rnn(packed)
        return States(hidden, last[0]) if self.returns else self.head(last[0])


class Through(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, packed: PackedSequence) -> PackedSequence:
        return packed._replace(data=packed.data * self.scale)


def sequences(n: int = 12) -> tuple[tuple[Tensor, Tensor], Tensor]:
    draws = generator(0, "sequences")
    x = torch.randn(n, 6, 4, generator=draws, dtype=torch.float64)
    return (x, torch.randint(1, 7, (n,), generator=draws)), torch.randint(3, (n,), generator=draws)


def of_states(states: States, targets: Tensor) -> Tensor:
    padded, _ = pad_packed_sequence(states.packed, batch_first=True)
    return padded.square().mean((1, 2)) + states.last.sin().sum(1)


@pytest.mark.parametrize("returns", [False, True])
def test_packed_sequences_have_values_and_products(returns: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Packs(returns=returns).double()
    (inputs, lengths), targets = data = sequences()
    loss: Any = of_states if returns else "cross_entropy"
    objective = Objective(net, loss, data, device="cpu", batch_size=5, metric=lambda outputs, targets: None)

    def value(vector: Tensor) -> Tensor:
        outputs = functional_call(net, objective.theta.layout.views(vector), (inputs, lengths))
        return of_states(outputs, targets).mean() if returns else nn.functional.cross_entropy(outputs, targets)

    theta = objective.theta.vector
    by_hand = torch.cat([value_of(net, objective, part, returns) for part in torch.arange(12).split(5)]).mean()
    assert objective.evaluate().loss == pytest.approx(float(by_hand), rel=1e-12)
    if returns:  # a batch is padded to its longest sequence
        objective = Objective(net, loss, data, device="cpu", batch_size=12, metric=lambda outputs, targets: None)
    vector = torch.randn(len(theta), generator=generator(0, "vector"), dtype=torch.float64)

    def gradient(point: Tensor) -> Tensor:
        leaf = point.detach().requires_grad_()
        return torch.autograd.grad(value(leaf), leaf)[0]

    difference = (gradient(theta + 1e-5 * vector) - gradient(theta - 1e-5 * vector)) / 2e-5
    torch.testing.assert_close(objective.hessian_product(vector), difference, rtol=1e-6, atol=1e-9)
    assert float(vector @ objective.gauss_newton_product(vector)) != 0


def value_of(net: nn.Module, objective: Objective, part: Tensor, returns: bool) -> Tensor:
    (inputs, lengths), targets = sequences()
    with torch.no_grad():
        outputs = net(inputs[part], lengths[part])
        if returns:
            return of_states(outputs, targets[part])
        return nn.functional.cross_entropy(outputs, targets[part], reduction="none")
