"""Networks that are dead, dead in part or alive by how they are made, drawn by a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.numerics.seeds import generator

FEATURES = 16


@dataclass(frozen=True)
class Drawn:
    """A network with its loss and data; ``first`` weight tensors get no gradient where it is dead in part."""

    module: nn.Module
    loss: Any
    data: tuple[Tensor, Tensor]
    dead: bool
    first: int = 0


class Draws:
    """Numbers of one case."""

    def __init__(self, family: str, number: int) -> None:
        self.generator = generator(number, f"dead networks: {family}")

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def whole(self, low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def one_of(self, *things: Any) -> Any:
        return things[self.whole(0, len(things) - 1)]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def chain(
        self, depth: int, outputs: int, activation: Callable[[], nn.Module], *, norm: bool = False
    ) -> nn.Sequential:
        """``depth`` layers of one width and a last one, with PyTorch's first values."""
        width = self.whole(8, 24)
        with torch.random.fork_rng():
            torch.manual_seed(self.whole(0, 2**31))
            layers: list[nn.Module] = []
            for number in range(depth):
                layers.append(nn.Linear(width if number else FEATURES, width))
                layers += [nn.BatchNorm1d(width)] if norm else []
                layers.append(activation())
            return nn.Sequential(*layers, nn.Linear(width if depth else FEATURES, outputs)).eval()

    def labels(self, inputs: Tensor, classes: int, favour: float = 0.0) -> Tensor:
        """Classes that follow the inputs; ``favour`` makes the first more frequent."""
        scores = inputs @ self.normal(FEATURES, classes)
        scores[:, 0] += favour * scores.std()
        return scores.argmax(1)

    def real(self, inputs: Tensor, outputs: int) -> Tensor:
        """Numbers of any size and place that follow the inputs."""
        size, place = 10 ** self.between(-3, 3), self.one_of(0.0, self.between(-100, 100))
        return size * (place + torch.tanh(inputs @ self.normal(FEATURES, outputs)))


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.01)


class Step(nn.Module):
    """The sign of its input, of which the gradient is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x)


class Beside(nn.Module):
    """What a block adds to its input, with the layers after it."""

    def __init__(self, block: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.block, self.after = block, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.block(x))


def learn_constant(module: nn.Module, targets: Tensor, classes: int, share: float) -> None:
    """Move the last bias to the best constant prediction by ``share``; the last weights get small, as what they see has no use."""
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        shares = torch.bincount(targets, minlength=classes) / len(targets) if classes else targets.mean(0)
        best = shares.clamp(min=1e-6).log() if classes else shares
        last.weight.mul_(1 - share)
        last.bias.lerp_(best, share)


def unbalanced(draws: Draws) -> Drawn:
    """A deep plain network that has learned, wholly or in part, how frequent each class is."""
    classes, inputs = draws.whole(2, 10), draws.normal(draws.whole(60, 300), FEATURES)
    targets = draws.labels(inputs, classes, favour=draws.between(0.5, 2.0))
    module = draws.chain(draws.whole(30, 45), classes, draws.one_of(leaky, nn.ReLU))
    learn_constant(module, targets, classes, draws.one_of(1.0, draws.between(0, 1)))
    return Drawn(module, "cross_entropy", (inputs, targets), dead=True)


def few_of(classes: int) -> Callable[[Draws], Drawn]:
    """Few images of so many classes, drawn evenly, so that their frequencies are uneven by chance."""

    def draw(draws: Draws) -> Drawn:
        count = draws.whole(50, 475) if classes == 10 else draws.whole(150, 475)
        inputs, targets = draws.normal(count, FEATURES), torch.randint(classes, (count,), generator=draws.generator)
        module = draws.chain(draws.whole(30, 45), classes, leaky)
        learn_constant(module, targets, classes, draws.one_of(0.0, 1.0))
        return Drawn(module, "cross_entropy", (inputs, targets), dead=True)

    return draw


def quantile(outputs: Tensor, targets: Tensor) -> Tensor:
    """A user's own loss, of the 0.8-quantile."""
    error = targets - outputs
    return torch.maximum(0.8 * error, -0.2 * error)


def regression(draws: Draws) -> Drawn:
    inputs, outputs = draws.normal(draws.whole(60, 300), FEATURES), draws.whole(1, 4)
    targets = draws.real(inputs, outputs)
    module = draws.chain(draws.whole(30, 45), outputs, leaky)
    learn_constant(module, targets, 0, draws.one_of(0.0, 1.0, draws.between(0, 1)))
    loss = draws.one_of("mse", nn.L1Loss(), nn.SmoothL1Loss(), quantile)
    return Drawn(module, loss, (inputs, targets), dead=True)


def no_unit_is_on(draws: Draws) -> Drawn:
    """A layer of ReLUs whose biases were thrown far below zero."""
    depth, inputs = draws.whole(2, 6), draws.normal(draws.whole(60, 300), FEATURES)
    classes = draws.one_of(0, draws.whole(2, 10))
    module = draws.chain(depth, classes or 1, nn.ReLU)
    targets = draws.labels(inputs, classes) if classes else draws.real(inputs, 1)
    with torch.no_grad():
        module[2 * draws.whole(0, depth - 1)].bias.fill_(-draws.between(20, 1000))
    return Drawn(module, "cross_entropy" if classes else "mse", (inputs, targets), dead=True)


def first_half_lost(draws: Draws) -> Drawn:
    """The first half passes nothing on; a healthy second half learns a constant with all its layers."""
    classes, inputs = draws.whole(2, 10), draws.normal(draws.whole(60, 300), FEATURES)
    half = draws.whole(8, 12)
    module = draws.chain(2 * half, classes, leaky)
    with torch.no_grad():
        for layer in module[: 2 * half : 2]:
            layer.weight.mul_(draws.between(0.02, 0.08))
        for layer in module[2 * half : 4 * half : 2]:
            layer.weight.mul_(2.4)
    return Drawn(module, "cross_entropy", (inputs, draws.labels(inputs, classes)), dead=True)


def first_half_untrained(draws: Draws) -> Drawn:
    """No gradient reaches the first half, and the outputs follow the input all the same."""
    classes, inputs = draws.whole(2, 10), draws.normal(draws.whole(60, 300), FEATURES)
    targets, half = draws.labels(inputs, classes), draws.whole(1, 4)
    if draws.one_of(True, False):
        module: nn.Module = draws.chain(2 * half - 1, classes, leaky)
        for place in range(1, 2 * half, 2):
            module[place] = Step()
        return Drawn(module, "cross_entropy", (inputs, targets), dead=False, first=half)
    block = draws.chain(half, FEATURES, nn.ReLU)
    with torch.no_grad():
        block[2 * half - 2].bias.fill_(-100.0)
    return Drawn(
        Beside(block, draws.chain(half, classes, leaky)), "cross_entropy", (inputs, targets), dead=False, first=half + 1
    )


def tiny_gradients(draws: Draws) -> Drawn:
    """Alive, with gradients that are nothing: units of the weights or of the loss, fitted data, or noise that was fitted."""
    classes, inputs = draws.whole(2, 10), draws.normal(draws.whole(60, 300), FEATURES)
    targets, size = draws.labels(inputs, classes), 10 ** draws.between(6, 9)
    kind = draws.whole(0, 3)
    if kind == 0:
        module = draws.chain(draws.whole(2, 6), classes, leaky, norm=True).train()
        with torch.no_grad():
            for layer in module[:-1:3]:
                layer.weight.mul_(size)
        return Drawn(module, "cross_entropy", (inputs, targets), dead=False)
    if kind == 1:
        module = draws.chain(draws.whole(2, 4), classes, leaky)
        return Drawn(
            module,
            lambda z, y: nn.functional.cross_entropy(z, y, reduction="none") / size,
            (inputs, targets),
            dead=False,
        )
    module = nn.Linear(FEATURES, classes)
    if kind == 2:  # labels that the inputs say nothing of, at the smallest loss
        inputs = draws.normal(2000, FEATURES)
        targets = torch.randint(classes, (2000,), generator=draws.generator)
    with torch.no_grad():
        module.weight.zero_()
        module.bias.zero_()
    search = torch.optim.LBFGS(module.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def value() -> Tensor:
        search.zero_grad()
        loss = nn.functional.cross_entropy(module(inputs), targets)
        loss.backward()
        return loss

    search.step(value)
    return Drawn(module, "cross_entropy", (inputs, targets), dead=False)


def at_the_beginning(draws: Draws) -> Drawn:
    """At or near the loss of the best constant, because training has hardly begun."""
    classes, inputs = draws.one_of(0, draws.whole(2, 10)), draws.normal(draws.whole(60, 300), FEATURES)
    targets = draws.labels(inputs, classes) if classes else draws.real(inputs, 1)
    kind = draws.whole(0, 3)
    norm = kind == 0
    depth = draws.whole(10, 20) if norm else draws.whole(2, 8)
    module = draws.chain(depth, classes or 1, leaky, norm=norm).train()
    with torch.no_grad():
        if kind == 1:  # as many networks begin: a last layer of zeros
            module[-1].weight.zero_()
        if kind == 2:
            module[2 * draws.whole(0, depth - 1)].weight.zero_()
    learn_constant(module, targets, classes, draws.between(0, 1) if kind != 1 else 1.0)
    return Drawn(
        module, "cross_entropy" if classes else draws.one_of("mse", nn.SmoothL1Loss()), (inputs, targets), dead=False
    )


FAMILIES: dict[str, Callable[[Draws], Drawn]] = {
    "unbalanced labels": unbalanced,
    "few images of 10 classes": few_of(10),
    "few images of 100 classes": few_of(100),
    "regression": regression,
    "no unit is on": no_unit_is_on,
    "first half lost": first_half_lost,
    "first half without gradient": first_half_untrained,
    "tiny gradients": tiny_gradients,
    "beginning of training": at_the_beginning,
}


def drawn(family: str, number: int) -> Drawn:
    """The case of that number."""
    return FAMILIES[family](Draws(family, number))
