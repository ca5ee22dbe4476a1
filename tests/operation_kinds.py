"""How the modules of :mod:`operations` are made of one operation each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLES = 5
OPERATIONS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {}


class Operation(nn.Module):
    """``function(x, *parameters)`` as a module."""

    def __init__(self, function: Callable[..., Tensor], shapes: tuple[tuple[int, ...], ...], **layers: nn.Module):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList([nn.Parameter(0.5 * torch.randn(shape)) for shape in shapes])
        self.layers = nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.weights, *self.layers.values())


@contextlib.contextmanager
def drawn(seed: int = 0) -> Iterator[None]:
    """PyTorch draws from this seed, and makes double precision, while open."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def add(name: str, function: Callable[..., Tensor], inputs: tuple[int, ...], *shapes: tuple[int, ...]) -> None:
    def build() -> tuple[nn.Module, Tensor]:
        with drawn():
            return Operation(function, shapes), torch.randn(SAMPLES, *inputs)

    OPERATIONS[name] = build


def layer(
    name: str,
    make: Callable[[], nn.Module],
    inputs: tuple[int, ...],
    call: Callable[[Tensor, nn.Module], Tensor] = lambda x, made: made(x),
) -> None:
    """A layer of torch.nn, after a product with parameters of one's own so that its inputs move too."""

    def build() -> tuple[nn.Module, Tensor]:
        with drawn():
            return Operation(lambda x, w, made: call(x * w, made), (inputs,), made=make()), torch.randn(
                SAMPLES, *inputs
            )

    OPERATIONS[name] = build


def pointwise(name: str, function: Callable[[Tensor], Tensor]) -> None:
    """Of products with a matrix: positive and negative numbers up to about two."""
    add(name, lambda x, w: function(x @ w), (3,), (3, 4))


def of_each(kind: Callable[..., None], where: Any, names: str, applied: Callable[[Any, Tensor], Tensor]) -> None:
    """``applied(where.name, tensor)`` for each of the names."""
    for name in names.split():
        kind(name, partial(applied, getattr(where, name)))


def positive(name: str, function: Callable[[Tensor], Tensor]) -> None:
    add(name, lambda x, w: function(F.softplus(x @ w) + 0.3), (3,), (3, 4))


def matrix(name: str, function: Callable[[Tensor], Any]) -> None:
    """Of a matrix of parameters, and one for each sample, near a multiple of the identity."""

    def applied(x: Tensor, w: Tensor) -> Tensor:
        both = torch.cat([w[None], w + 0.3 * torch.tanh(x[:, :, None] * w)]) + 2 * torch.eye(3)
        found = function(both)
        parts = found if isinstance(found, tuple | list) else [found]
        flat = torch.cat(
            [torch.view_as_real(p).flatten(1) if p.is_complex() else p.reshape(len(p), -1) for p in parts], 1
        )
        return flat[1:] + flat[:1]

    add(name, applied, (3,), (3, 3))


def symmetric(name: str, function: Callable[[Tensor], Any]) -> None:
    matrix(name, lambda a: function(a @ a.mT + torch.diag(torch.tensor([0.1, 0.7, 1.9]))))
