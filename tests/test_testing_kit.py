"""check_objective: every property is violated by something, which is caught in words; what is healthy passes without alarm."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import conv_net, images, same_state, state_of, tiny_transformer
from torch import Tensor, nn

import landscape as ls
from landscape.errors import CheckError
from landscape.testing import Report, check_objective

F = nn.functional


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes_of(inputs: Tensor, classes: int = 3) -> Tensor:
    """Labels that a linear map of the inputs gives, so that they can be learnt."""
    flat = inputs.flatten(1)
    return (flat @ drawn(flat.shape[1], classes, seed=5).to(flat)).argmax(1)


X = drawn(48, 6)
Y = classes_of(X)


def made(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval()


def mlp(outputs: int = 3) -> nn.Module:
    return made(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, outputs)))


def convolutions(dtype: torch.dtype = torch.float32) -> nn.Module:
    """With BatchNorms that say they have seen a training."""
    net = conv_net(dtype=dtype)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked.fill_(100)
    return net


def wrong(report: Report, name: str, *words: str) -> None:
    """This property is found wrong, in a sentence that holds the words."""
    finding = report[name]
    assert finding.ok is False, str(report)
    for word in words:
        assert word in finding.sentence, finding.sentence


class Lstm(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(5, 6, batch_first=batch_first), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Tokens(nn.Module):
    """Scores (B, V, T) for the next of T tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 5), nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(x)).cumsum(1)).transpose(1, 2)


TOKENS = torch.randint(7, (40, 6), generator=torch.Generator().manual_seed(0))
HEALTHY: dict[str, tuple[nn.Module, Any, Any]] = {
    "MLP": (mlp(), "cross_entropy", (X, Y)),
    "ReLU MLP in training mode": (
        made(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))).train(),
        nn.CrossEntropyLoss(),
        (X, Y),
    ),
    "convolutions with BatchNorm": (
        convolutions(),
        nn.CrossEntropyLoss(),
        images(40, dtype=torch.float32),
    ),
    "LSTM": (made(lambda: Lstm(True)), "cross_entropy", (drawn(40, 4, 5), torch.arange(40) % 3)),
    "transformer layer": (tiny_transformer(torch.float32), "cross_entropy", images(40, dtype=torch.float32)),
    "regression": (mlp(1), nn.MSELoss(), (X, X.prod(1, keepdim=True))),
    "tokens": (made(Tokens), nn.CrossEntropyLoss(), (TOKENS, TOKENS.roll(1, 1))),
    "a function of one value a sample": (mlp(1), lambda o, y: (o - y).abs().mean(1), (X, X[:, :1])),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_healthy_passes_without_an_alarm(name: str) -> None:
    module, loss, data = HEALTHY[name]
    before = state_of(module)
    report = check_objective(module, loss, data, device="cpu")
    assert report.ok, str(report)
    report.raise_if_wrong()
    for told in ("per sample", "value", "deterministic", "order", "restored", "gradient", "Hessian product", "range"):
        assert report[told].ok is True, str(report)
    assert report["gradient"].numbers["relative_error"] < 1e-5
    assert same_state(before, state_of(module))


@pytest.mark.parametrize("policy", ["batch", "reestimated", "interpolated"])
def test_every_policy_of_batch_norm_passes(policy: str) -> None:
    report = check_objective(
        convolutions(torch.float64), "cross_entropy", images(40), batch_norm=policy, batch_size=16, device="cpu"
    )
    assert report.ok, str(report)
    assert report["value"].ok
    assert report["gradient"].ok
    assert report["Hessian product"].ok


def test_a_module_that_couples_samples_is_named() -> None:
    report = check_objective(made(lambda: Lstm(False)), "cross_entropy", (drawn(40, 4, 5), torch.arange(40) % 3))
    wrong(report, "per sample", "rnn (LSTM)", "batch_first")


def test_a_loss_that_couples_samples_is_found() -> None:
    def contrastive(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)), reduction="none")

    finding = check_objective(mlp(), contrastive, (X, Y), batch_size=12)["per sample"]
    assert not finding.ok
    assert "the loss couples the samples of a batch" in finding.sentence
    assert "batch_size=" in finding.sentence


def test_a_loss_that_reads_the_weights_is_found() -> None:
    module = mlp()

    def decayed(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none") + module[0].weight.square().sum()

    wrong(check_objective(module, decayed, (X, Y)), "objective", "0.weight", "forward=")

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return F.cross_entropy(self.scale * outputs, targets, reduction="none")

    finding = check_objective(module, Scaled(), (X, Y))["outputs alone"]
    assert finding.ok is None
    assert "no part of θ" in finding.sentence


def test_a_value_that_is_not_the_users_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = ls.Objective.evaluate

    def halved(self: Any, *arguments: Any, **named: Any) -> Any:
        from dataclasses import replace

        right = evaluate(self, *arguments, **named)
        return replace(right, loss=right.loss / 2)

    monkeypatch.setattr(ls.Objective, "evaluate", halved)
    wrong(check_objective(mlp(), nn.CrossEntropyLoss(), (X, Y)), "value", "reduction")


class Noisy(nn.Module):
    def __init__(self, drawn_by: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.drawn_by = nn.Linear(6, 8), nn.Linear(8, 3), drawn_by

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drawn_by(torch.tanh(self.first(x))))


class Left(nn.Module):
    """Dropout that is left on in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


def test_randomness_in_evaluation_mode_is_named_where_it_is() -> None:
    inside = made(lambda: nn.Sequential(nn.Linear(6, 8), Left(), nn.Linear(8, 3)))
    wrong(check_objective(inside, "cross_entropy", (X, Y)), "deterministic", "1 (Left)", "draws random numbers")
    itself = made(lambda: Noisy(lambda h: h + 0.1 * torch.randn_like(h)))
    wrong(check_objective(itself, "cross_entropy", (X, Y)), "deterministic", "Noisy", "draws random numbers")


class Counting(nn.Module):
    """Warms up: every call counts, also in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = nn.Linear(6, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x) * (1 + 0.01 * self.calls)


def test_a_module_that_keeps_something_between_calls_is_named() -> None:
    report = check_objective(made(Counting), "cross_entropy", (X, Y))
    wrong(report, "objective", "Counting", "keeps nothing for the next call")


def test_what_is_not_as_before_is_named() -> None:
    def by_python(h: Tensor) -> Tensor:
        return h + 0 * random.random()

    def by_numpy(h: Tensor) -> Tensor:
        return h + 0 * float(np.random.rand())  # noqa: NPY002

    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    wrong(check_objective(made(lambda: Noisy(by_python)), "cross_entropy", (X, Y)), "restored", "Python's random state")
    wrong(check_objective(made(lambda: Noisy(by_numpy)), "cross_entropy", (X, Y)), "restored", "numpy's random state")
    assert states == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002

    def writes(outputs: Tensor, targets: Tensor) -> Tensor:
        memory.add_(1)
        return F.cross_entropy(outputs, targets, reduction="none")

    memory = X.clone()
    wrong(check_objective(mlp(), writes, (memory, Y)), "restored", "data: tensor 0")


class Same(nn.Linear):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        return self


def test_a_module_whose_copy_is_itself_is_not_written_to() -> None:
    module = made(lambda: Same(6, 3))
    before = state_of(module)
    wrong(check_objective(module, "cross_entropy", (X, Y)), "restored", "weight", "__deepcopy__")
    assert same_state(before, state_of(module))


class Backward(torch.autograd.Function):
    """tanh whose backward forgets the square."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (1 - ctx.saved_tensors[0])


def test_a_wrong_backward_is_found_and_the_tensors_before_it_named() -> None:
    report = check_objective(made(lambda: Noisy(Backward.apply)), "cross_entropy", (X, Y))
    wrong(report, "gradient", "first.weight", "first.bias", "autograd.Function")
    assert "last" not in report["gradient"].sentence


def test_a_detached_part_is_found() -> None:
    report = check_objective(made(lambda: Noisy(lambda h: h + h.detach() ** 2)), "cross_entropy", (X, Y))
    wrong(report, "gradient", "first.weight", "detach")


def test_a_kink_at_the_checkpoint_is_told_from_a_wrong_backward() -> None:
    module = made(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    nn.init.zeros_(module[0].weight)  # every ReLU is at exactly 0
    nn.init.zeros_(module[0].bias)
    finding = check_objective(module, "cross_entropy", (X, Y))["gradient"]
    assert finding.ok is None
    assert "kink" in finding.sentence
    assert "0.weight" in finding.sentence


class Twice(torch.autograd.Function):
    """A square whose backward is right once; what is differentiated of it is not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (2 * x.detach() + 0.5 * (x - x.detach()))


def test_a_wrong_second_derivative_is_found_or_refused() -> None:
    report = check_objective(made(lambda: Noisy(Twice.apply)), "cross_entropy", (X, Y))
    assert report["gradient"].ok
    wrong(report, "Hessian product")


def test_a_loss_that_is_refused_is_said_in_the_objectives_own_words() -> None:
    report = check_objective(mlp(), "cross_entropy", (X, Y + 5))
    wrong(report, "objective", "labels", "outputs")
    assert len(report.findings) == 1


def test_numbers_that_are_not_finite_are_found_where_they_begin() -> None:
    class Logarithm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.log()

    report = check_objective(made(lambda: nn.Sequential(nn.Linear(6, 3), Logarithm())), "cross_entropy", (X, Y))
    wrong(report, "finite outputs", "1 (Logarithm)")
    spoilt = mlp()
    with torch.no_grad():
        spoilt[2].bias[0] = float("nan")
    wrong(check_objective(spoilt, "cross_entropy", (X, Y)), "finite weights", "2.bias")
    holes = X.clone()
    holes[3, 2] = float("nan")
    wrong(check_objective(mlp(), "cross_entropy", (holes, Y)), "finite outputs", "inputs hold NaN")


def test_a_dead_network_is_said_to_be_dead() -> None:
    module = made(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    with torch.no_grad():
        module[0].bias.fill_(-100)
        module[2].bias.zero_()
    wrong(check_objective(module, "cross_entropy", (X, Y)), "alive", "do not depend on the input")


def test_statistics_that_were_never_taken_and_other_inputs_are_found() -> None:
    fresh = made(lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 4)))
    wrong(
        check_objective(fresh, "cross_entropy", images(40, dtype=torch.float32)),
        "BatchNorm",
        "(1)",
        "0 and 1",
        "reestimated",
    )
    inputs, targets = images(40, dtype=torch.float32)
    young = check_objective(conv_net(dtype=torch.float32), "cross_entropy", (inputs, targets))
    wrong(young, "BatchNorm", "of 3 batches", "73 %")
    wrong(
        check_objective(convolutions(), "cross_entropy", (inputs * 60 + 120, targets)),
        "inputs",
        "Normalise",
    )
    flat = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 4)))
    raw = (inputs.abs() * 60).round()
    wrong(check_objective(flat, "cross_entropy", (raw, targets)), "inputs", "raw bytes")


def trained(module: nn.Module) -> nn.Module:
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(module(X), Y).backward()
        optimizer.step()
    module.zero_grad()
    return module


def test_labels_that_do_not_belong_to_the_inputs_are_found() -> None:
    module = trained(mlp())
    assert check_objective(module, "cross_entropy", (X, Y))["labels"].ok
    wrong(check_objective(module, "cross_entropy", (X, (Y + 1) % 3)), "labels", "numbered otherwise")
    shuffled = check_objective(
        module, "cross_entropy", (X, Y[torch.randperm(48, generator=torch.Generator().manual_seed(1))])
    )
    assert shuffled["labels"].ok is None
    assert "guessing" in shuffled["labels"].sentence


def test_a_checkpoint_that_was_not_loaded_is_asked_about() -> None:
    assert check_objective(mlp(), "cross_entropy", (X, Y))["trained"].ok is None
    assert check_objective(trained(mlp()), "cross_entropy", (X, Y))["trained"].ok


def test_a_loss_that_the_parameters_do_not_reach_is_found() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(6, 3), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    report = check_objective(made(Unused), "cross_entropy", (X, Y), parameters=["unused.*"])
    wrong(report, "range", "do not reach the loss")


def test_layers_that_pytorch_does_not_see_are_found() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.hidden = nn.Linear(6, 3), [nn.Linear(3, 3)]

        def forward(self, x: Tensor) -> Tensor:
            return self.hidden[0](self.first(x))

    finding = check_objective(made(Listed), "cross_entropy", (X, Y))["registered"]
    assert finding.ok is None
    assert "hidden" in finding.sentence
    assert "ModuleList" in finding.sentence


def test_few_samples_are_said_to_be_few() -> None:
    finding = check_objective(mlp(), "cross_entropy", (X, Y), samples=4)["samples"]
    assert finding.ok is None
    assert finding.numbers["standard_error"] > 0.1 * finding.numbers["rise"]


def test_a_report_is_a_table_of_eighty_columns_and_raises_what_is_wrong() -> None:
    report = check_objective(made(Counting), "cross_entropy", (X, Y))
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(finding.name in str(report) for finding in report.findings)
    assert any(line.startswith("  WRONG  objective") for line in lines)
    with pytest.raises(CheckError, match="keeps nothing for the next call"):
        report.raise_if_wrong()


def test_the_kit_is_in_the_front_door() -> None:
    assert ls.testing.check_objective is check_objective
