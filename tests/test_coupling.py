"""What a value may follow from: outputs and targets of one sample. What acts on it besides is recognised, or refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import conv_net, images
from torch import Tensor, nn

import landscape as ls
from landscape.errors import InputError

F = nn.functional
N = 30
DRAWS = torch.Generator().manual_seed(0)
X = torch.randn(N, 6, generator=DRAWS, dtype=torch.float64)
SEQUENCES = torch.randn(N, 4, 6, generator=DRAWS, dtype=torch.float64)
Y = torch.arange(N) % 3


def each(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


def linear(outputs: int = 3) -> nn.Linear:
    layer = nn.Linear(6, outputs, dtype=torch.float64)
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).sin().view_as(parameter) * (number + 1))
    return layer


class Recurrent(nn.Module):
    """An LSTM that takes the samples for the steps of one sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(6, 6, dtype=torch.float64), linear()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = linear(6), linear()

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return self.head((h - h.mean(0)) / (h.std(0) + 1e-5))


class Experts(nn.Module):
    """Each expert takes half of a batch at most."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = linear(2), nn.ModuleList([linear(), linear()])

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gate(x).softmax(1)
        made = torch.zeros(len(x), 3, dtype=x.dtype)
        for number, expert in enumerate(self.experts):
            taken = (weights.argmax(1) == number).nonzero()[: len(x) // 2, 0]
            made = made.index_add(0, taken, expert(x[taken]) * weights[taken, number, None])
        return made


def own(
    module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor, size: int
) -> Tensor:
    parts = zip(inputs.split(size), targets.split(size), strict=True)
    return torch.cat([loss(module(some), wanted) for some, wanted in parts]).mean()


@pytest.mark.parametrize(("build", "inputs"), [(Recurrent, SEQUENCES), (Normalised, X), (Experts, X)])
@pytest.mark.parametrize("size", [10, N])
def test_a_module_that_couples_the_samples_of_a_batch_is_measured_over_fixed_batches(
    build: Callable[[], nn.Module], inputs: Tensor, size: int
) -> None:
    module = build()
    found = ls.Objective(module, "cross_entropy", (inputs, Y), batch_size=size, device="cpu")
    expected = own(module, each, inputs, Y, size)
    assert found.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-12)
    assert "the module couples the samples of a batch" in found.provenance()["loss_batches"]
    slope = torch.autograd.grad(expected, list(module.parameters()))
    gradient = found.gradient().vector.views()
    for name, part in zip(dict(module.named_parameters()), slope, strict=True):
        torch.testing.assert_close(gradient[name], part, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_coupling_is_seen_in_every_precision_and_where_the_last_layer_is_still_zero(precision: str) -> None:
    module = Normalised().float()
    nn.init.zeros_(module.head.weight)
    data = (X.float(), Y)
    assert ls.Objective(module, data=data, precision=precision, device="cpu").couples == "the module"
    assert ls.Objective(module, data=data, precision=precision, device="cpu").batch_size == 128


def logistic(module: nn.Module, x: Tensor) -> Tensor:
    """Eighteen steps of a chaotic map, which makes some 2¹⁸ times as much of a rounding."""
    values = torch.sigmoid(module(x))
    for _ in range(18):
        values = 3.9 * values * (1 - values)
    return values


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
def test_what_does_not_couple_is_not_said_to(precision: str) -> None:
    """Networks whose rounding depends on the batch, that draw, that return samples second, or a number beside the outputs."""
    pictures = images(24)
    cases: list[tuple[nn.Module, Any, dict[str, Any]]] = [
        (conv_net(), pictures, {}),
        (nn.Sequential(linear().float(), nn.Tanh()), (X.float(), Y), {"forward": logistic}),
        (linear().float(), (X.float(), Y), {"forward": lambda m, x: m(x + torch.rand_like(x))}),
        (
            linear().float(),
            (X.float(), Y),
            {"forward": lambda m, x: (m(x).T, x.var(0)), "loss": lambda o, t: each(o[0].T, t)},
        ),
    ]
    for module, data, options in cases:
        assert not ls.Objective(module, data=data, precision=precision, device="cpu", **options).couples


def balanced(outputs: Tensor, targets: Tensor) -> Tensor:
    weights = (1 / torch.bincount(targets, minlength=3).clamp(min=1).double())[targets]
    return each(outputs, targets) * weights / weights.mean()


def test_a_loss_that_counts_the_classes_of_a_batch_couples_also_where_data_is_sorted_by_class() -> None:
    targets = torch.cat([torch.zeros(11), torch.ones(5), torch.full((14,), 2.0)]).long()
    found = ls.Objective(linear(), balanced, (X, targets), batch_size=10, device="cpu")
    assert found.couples == "the loss"
    expected = own(linear(), balanced, X, targets, 10)
    assert found.evaluate().loss == pytest.approx(float(expected.detach()), rel=1e-12)


def test_a_coupling_that_is_no_broadcast_is_not_called_one() -> None:
    """Squares over the variance of the batch's targets, of one output a sample."""

    def explained(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] - targets).square() / (targets - targets.mean()).square().mean()

    found = ls.Objective(linear(1), explained, (X, X[:, 0]), batch_size=N, device="cpu")
    assert found.couples == "the loss"
    assert found.evaluate().loss == pytest.approx(float(own(linear(1), explained, X, X[:, 0], N).detach()), rel=1e-12)
    with pytest.raises(InputError, match=r"samples in the second dimension.*values\.T"):
        ls.Objective(linear(6), lambda o, t: (o - t).square().T, (X[:6], X[:6]), device="cpu")


class Graph(nn.Module):
    """One graph, whose nodes are the samples."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.head = linear()
        self.register_buffer("edges", (torch.arange(nodes)[:, None] - torch.arange(nodes)).abs().lt(3).double())

    def forward(self, x: Tensor) -> Tensor:
        return self.edges @ self.head(x)


def test_a_module_that_takes_all_samples_together_alone_is_measured_with_them_as_one_batch() -> None:
    found = ls.Objective(Graph(N), data=(X, Y), batch_size=N, device="cpu")
    assert found.evaluate().loss == pytest.approx(float(F.cross_entropy(Graph(N)(X), Y).detach()), rel=1e-12)
    assert found.couples == "the module"
    with pytest.raises(InputError, match="Graph raised RuntimeError"):
        ls.Objective(Graph(N), data=(X, Y), device="cpu")


def penalised(module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda outputs, targets: each(outputs, targets) + 0.1 * sum(p.square().sum() for p in module.parameters())


def test_a_loss_that_reads_the_parameters_is_refused_by_name_and_what_the_refusal_says_is_measured() -> None:
    module = linear()
    with pytest.raises(InputError, match=r"reads parameters of the module itself \(weight, bias\).*forward="):
        ls.Objective(module, penalised(module), (X, Y), device="cpu")
    quiet = linear().requires_grad_(False)
    with pytest.raises(InputError, match=r"weight, bias"):  # also where no gradient tells
        ls.Objective(quiet, penalised(quiet), (X, Y), device="cpu")
    found = ls.Objective(
        module,
        lambda outputs, targets: each(outputs[0], targets) + 0.1 * outputs[1],
        (X, Y),
        forward=lambda module, inputs: (module(inputs), sum(p.square().sum() for p in module.parameters())),
        device="cpu",
        batch_size=7,
    )
    assert not found.couples
    for scale in (1.0, 1.5):
        other = linear()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(scale)
        expected = penalised(other)(other(X), Y).mean()
        at = found.theta.vector * scale
        assert found.evaluate(at).loss == pytest.approx(float(expected.detach()), rel=1e-12)
        slope = torch.autograd.grad(expected, list(other.parameters()))
        gradient = found.gradient(at).vector.views()
        for name, part in zip(dict(other.named_parameters()), slope, strict=True):
            torch.testing.assert_close(gradient[name], part, rtol=1e-9, atol=1e-12)


class Scaled(nn.Module):
    """A loss that is trained itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return each(self.scale * outputs, targets)


def test_a_loss_with_trainable_tensors_of_its_own_says_that_they_stay_as_they_are() -> None:
    expected = float(each(2 * linear()(X), Y).mean().detach())
    with pytest.warns(UserWarning, match=r"trainable tensors of its own \(scale\).*no part of θ"):
        assert ls.Objective(linear(), Scaled(), (X, Y), device="cpu").evaluate().loss == pytest.approx(expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ls.Objective(linear(), Scaled().requires_grad_(False), (X, Y), device="cpu")


class Remembers(nn.Module):
    """A hidden state that is used again for a batch of the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 6, dtype=torch.float64), linear()
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        kept = self.state if self.state is not None and len(self.state) == len(x) else torch.zeros_like(x)
        self.state = self.cell(x, kept.detach())
        return self.head(self.state)


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = linear()

    def forward(self, x: Tensor) -> Tensor:
        self.head.weight.data.clamp_(min=-0.1)
        return self.head(x)


def test_a_module_that_keeps_something_between_calls_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="Remembers gives other outputs when it is called again"):
        ls.Objective(Remembers(), data=(X, Y), device="cpu")


def test_a_module_that_writes_into_its_parameters_is_refused_by_their_names() -> None:
    bounded = nn.Sequential(nn.EmbeddingBag(9, 6, max_norm=100.0, mode="sum"), nn.Linear(6, 3))
    with pytest.raises(InputError, match=r"writes into 0\.weight.*max_norm"):
        ls.Objective(bounded, data=(torch.arange(N * 2).view(N, 2) % 9, Y), device="cpu")
    with pytest.raises(InputError, match=r"writes into head\.weight"):
        ls.Objective(Clamped(), data=(X, Y), device="cpu")


def test_a_loss_that_keeps_something_between_calls_is_refused_with_both_values() -> None:
    calls: list[int] = []

    def warming(outputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        return each(outputs, targets) * min(1.0, len(calls) / 100)

    with pytest.raises(InputError, match=r"loss: .*warming gives .* and .* when it is called again"):
        ls.Objective(linear(), warming, (X, Y), device="cpu")


def test_a_loss_that_draws_is_no_loss_that_keeps_something() -> None:
    def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
        return each(outputs + torch.randn_like(outputs), targets)

    assert ls.Objective(linear(), noisy, (X, Y), device="cpu").evaluate().loss > 0
