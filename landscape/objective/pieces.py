"""The functions by which second derivatives are judged: the module through a function of its outputs, and the loss alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from landscape.numerics.parameters import Layout
from landscape.numerics.seeds import generator
from landscape.objective.accuracy import no_metric
from landscape.objective.agreement import elsewhere
from landscape.objective.batches import batch_rows, map_tensors
from landscape.objective.derivatives import HESSIAN, Batch, Batches, Derivatives, Outputs, Way
from landscape.objective.differences import Differences
from landscape.objective.losses import SampleLoss
from landscape.objective.operations import InDouble

SHORT = 2.0**-25  # of d, in which a continuous function hardly changes
JUMP = 1e-4  # of the value
ALONG = 0  # which of the points beside another gives the direction


@dataclass(frozen=True)
class Few:
    """Some samples of a batch, given as copies, which a module may write into."""

    batch: Batch
    dtype: torch.dtype

    def __len__(self) -> int:
        return batch_rows(self.batch)

    def __iter__(self) -> Iterator[Batch]:
        yield map_tensors(lambda t: t.to(self.dtype, copy=True) if t.is_floating_point() else t.clone(), self.batch)


class Linear:
    """Σ c z over a module's outputs in the place of its loss, c being drawn, the same each time, or ``weights``.

    Attributes:
        rows: of the samples.
        outputs: what it was last given.
        generators: the state of PyTorch's generators then.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.weights: list[Tensor] | None = None
        self.outputs: Any = None
        self.generators: list[Tensor] = []

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The value, as often as there are samples."""
        self.outputs, tensors = outputs, Outputs(outputs).differentiable().tensors
        self.generators = generators_of(tensors[0].device)
        weights = self.weights or [_drawn(z, number) for number, z in enumerate(tensors)]
        # As what comes back from a loss would: a backward that can be taken once is told by it.
        weights = [c.requires_grad_(torch.is_grad_enabled()) for c in weights]
        return self._value(tensors, weights).expand(self.rows)

    def _value(self, tensors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        return torch.stack([(c * z).sum() for c, z in zip(weights, tensors, strict=True)]).sum()


class Quadratic(Linear):
    """½ Σ z², whose Gauss–Newton matrix is Jᵀ J."""

    def _value(self, tensors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        return torch.stack([z.square().sum() / 2 for z in tensors]).sum()


class Given(nn.Module):
    """Tensors as the parameters of a module that returns them, or what ``inner`` makes of them as its arguments."""

    def __init__(self, given: Any, inner: nn.Module | None = None) -> None:
        super().__init__()
        self._given = Outputs(given)
        self.tensors = nn.ParameterList([nn.Parameter(z.detach().clone()) for z in self._given.tensors])
        self.inner = inner

    def forward(self, _: Any) -> Any:
        made = self._given.holding([z.clone() for z in self.tensors])  # which may be written into
        return made if self.inner is None else self.inner(*made[0], **made[1])


@dataclass(frozen=True)
class Piece:
    """A function of θ, and the ways of taking products with its second derivative.

    Attributes:
        of: its derivatives.
        few: the samples.
        matrix: which products.
        theta: the point.
        along: the direction d of θ in which it is looked at.
        names: of the parameters that move; None for all.
    """

    of: Derivatives
    few: Batches
    matrix: str
    theta: Tensor
    along: Tensor
    names: Sequence[str] | None = None

    @property
    def loss(self) -> Any:
        """What is called with outputs and targets."""
        return self.of.runner.loss.function

    @property
    def outputs(self) -> Any:
        """What the module gives at θ, for a function of its outputs.

        Raises:
            InputError: where there is no floating-point tensor in them.
        """
        assert isinstance(self.loss, Linear)
        _ = self.differences.here
        return self.loss.outputs

    @property
    def is_finite(self) -> bool:
        """Whether the function has a value and a gradient at θ."""
        try:
            value, gradient = self.differences.here
        except Exception:  # of any kind: a loss may refuse what are no outputs of its module
            return False
        return math.isfinite(value) and bool(gradient.isfinite().all())

    @cached_property
    def differences(self) -> Differences:
        quadratic = isinstance(self.loss, Quadratic)
        return Differences(self._pushed if quadratic else self.gradient, self.theta, self.along, self._kept)

    def jumps(self) -> bool:
        """Whether the value changes at θ along d, or back, by as much however short the step."""
        here = self.of.value(self.theta, self.few)

        def change(step: float) -> float:
            return abs(self.of.value(self.theta + step * self.along, self.few) - here)

        # Never where something is not finite.
        return any(change(step) > JUMP * abs(here) and change(step) > change(16 * step) / 2 for step in (SHORT, -SHORT))

    def product(self, way: Way) -> Tensor:
        return self.of.product(self.matrix, way, self.theta, self._kept(self.along), self.few, self.names)

    def gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        losses, gradient = self.of.gradient(theta, self.few)
        return float(losses.double().sum()) / len(self.few), gradient

    def _pushed(self, theta: Tensor) -> tuple[float, Tensor]:
        """½ ‖f(θ')‖², and Jᵀ f(θ') with the Jacobian at θ: its derivative in θ' is Jᵀ J at θ, as a Gauss–Newton matrix is."""
        value, _ = self.gradient(theta)
        linear = Linear(len(self.few))
        assert isinstance(self.loss, Quadratic)
        linear.weights = [z.detach() for z in Outputs(self.loss.outputs).tensors]
        return value, with_loss(self.of, linear).gradient(self.theta, self.few)[1]

    def norm(self, product: Tensor) -> float:
        """‖d ∘ product‖₂."""
        along = self._kept(self.along) if len(product) < len(self.along) else self.along
        return float(torch.linalg.vector_norm(along * product, dtype=torch.float64))

    def _kept(self, vector: Tensor) -> Tensor:
        if self.names is None:
            return vector
        layout = self.of.layout
        return layout.part(self.names).pack(layout.views(vector), dtype=vector.dtype)


def with_loss(of: Derivatives, loss: SampleLoss | Linear) -> Derivatives:
    """The derivatives of a module with a loss, or a function of its outputs for one."""
    taken = SampleLoss(loss, "a function of the outputs") if isinstance(loss, Linear) else loss
    return of.run_by(replace(of.runner, loss=taken, metric=no_metric))


class InDoublePrecision(Derivatives):
    """Derivatives taken in double precision, whatever types a module's or a loss's own code names or holds."""

    def value(self, *args: Any) -> float:
        with InDouble():
            return super().value(*args)

    def gradient(self, *args: Any) -> tuple[Tensor, Tensor]:
        with InDouble():
            return super().gradient(*args)

    def product(self, *args: Any) -> Tensor:
        with InDouble():
            return super().product(*args)


def in_double(of: Derivatives, plain: nn.Module) -> Derivatives:
    """The derivatives of the module itself in double precision, whatever ``of`` runs in its place."""
    tensors = chain(plain.named_parameters(), plain.named_buffers())
    held = {name: _doubled(t) for name, t in tensors if name not in of.layout.names}
    runner = replace(of.runner, precision="fp64")
    return InDoublePrecision(plain, lambda own: {**held, **own}, runner, of.layout, wide=torch.float64, whole=True)


def through_outputs(of: Derivatives, few: Batches, matrix: str, theta: Tensor, along: Tensor) -> Piece:
    """A module, through a function of its outputs."""
    loss = Linear(len(few)) if matrix == HESSIAN else Quadratic(len(few))
    return Piece(with_loss(of, loss), few, matrix, theta, along)


def loss_alone(of: Derivatives, few: Batches, matrix: str, outputs: Any) -> Piece:
    """The loss as a function of the outputs, at outputs of the same signs and at most of size 1/2."""
    given = Given(outputs)
    layout = Layout.of(given.named_parameters())
    with torch.no_grad():
        for z in given.tensors:
            z /= 2 * max(1.0, float(z.square().mean().sqrt())) if z.numel() else 1
    theta = layout.pack(dict(given.named_parameters()))
    return Piece(of.of_module(given, {}, layout), few, matrix, theta, direction(theta, layout))


def direction(theta: Tensor, layout: Layout, names: Sequence[str] | None = None) -> Tensor:
    """A change of every tensor that moves, by a tenth of its size."""
    along = elsewhere(theta, layout, ALONG) - theta
    if names is not None:
        for name, view in layout.views(along).items():
            view.mul_(name in names)
    return along


def generators_of(device: torch.device) -> list[Tensor]:
    """The states of PyTorch's own generators that a module on ``device`` may draw from."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _doubled(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor.detach().to(torch.complex128)
    return tensor.detach().to(torch.float64) if tensor.is_floating_point() else tensor


def _drawn(like: Tensor, number: int) -> Tensor:
    return torch.randn(like.shape, generator=generator(0, "weights", number), dtype=torch.float64).to(like)
