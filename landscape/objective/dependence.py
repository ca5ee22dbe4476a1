"""Whether what a network gives depends on what it is given: at a point, and to first order beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from landscape.numerics.seeds import generator
from landscape.objective.batches import batch_rows, evenly, tensors_in
from landscape.objective.derivatives import Batches, Outputs
from landscape.objective.objective import Objective
from landscape.objective.signature import reference_of

FEW = 512  # samples that are looked at, or all of fewer, and the rest of their batch
ROUNDED = 5e-7  # four times what fp32 rounds to: what differs by less of its size is taken for equal
SLIGHT = 1e-2  # of the losses' size: more than rounding of large outputs changes them by
UNLEARNABLE = 2e-6  # of the gradient of a constant: one that tells inputs apart by less is rounding
LEVEL = 0.1  # of the first slope: what is left of it near a smallest value

_Values = NDArray[np.float64]
_ANY: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = (lambda z: z, lambda z: z)
# Losses of torch whose outputs lie in a range: into it from any numbers, and back.
_RANGES = {
    nn.NLLLoss: (lambda z: z.log_softmax(1), lambda z: z),
    nn.KLDivLoss: (lambda z: z.log_softmax(1), lambda z: z),
    nn.BCELoss: (torch.sigmoid, torch.logit),
}


@dataclass(frozen=True)
class Dependence:
    """How far outputs, losses and gradient follow the input, over ``samples`` of an objective's.

    Attributes:
        samples: how many were looked at.
        outputs: the largest difference between an output and the same of the first sample, relative to the largest output.
        losses: root mean square of what a sample's loss changes by where the first sample's outputs stand for its own, relative
            to the root mean square of the losses; NaN where all losses are zero.
        gradient: how much of the gradient knows which input has which target: ‖∇L − ∇L'‖, with L' over permuted targets, relative
            to the gradient where all have the target of the largest loss, both as the largest over the tensors, times
            :func:`reach`. It tells a network whose last layer is still zero, with equal outputs, from a dead one. NaN where
            outputs differ, and where the loss of a constant is the same for every target, so that nothing is predicted.
    """

    samples: int
    outputs: float
    losses: float
    gradient: float

    @property
    def absent(self) -> bool:
        """Whether neither outputs nor gradient depend on the input."""
        return _the_same(self.outputs, self.losses) and self.gradient <= UNLEARNABLE


def dependence(objective: Objective) -> Dependence | None:
    """How far the module follows its input at the checkpoint, in fp32 where the objective is in bf16.

    None where that cannot be told: for inputs that are all equal, outputs that are not one row a sample, values that are not
    finite, a loss over model and batch, which makes no difference between outputs and loss, and one that draws.
    """
    if objective._runner.own_loss or objective._draws is not None:
        return None
    run = reference_of(objective)
    theta, seen = run._load(None), _Seen()
    with torch.no_grad(), run._runner.own_randomness():
        for batch in run._batches:
            if not seen.add(*batch, run):
                return None
            if sum(map(len, seen.losses)) >= FEW:
                break
    losses, changed = torch.cat(seen.losses).double(), torch.cat(seen.replaced).double()
    scale = float(losses.square().mean().sqrt())
    if not seen.inputs_differ or not math.isfinite(scale):
        return None
    moved = float((losses - changed).square().mean().sqrt()) / scale if scale else math.nan
    gradient = _of_pairing(run, theta, seen.first) if _the_same(seen.apart, moved) else math.nan
    return Dependence(len(losses), seen.apart, moved, gradient)


def _the_same(outputs: float, losses: float) -> bool:
    """Outputs that differ by rounding alone, or, however small, make no difference to the loss."""
    return (outputs <= ROUNDED and not losses > SLIGHT) or losses <= ROUNDED


@dataclass
class _Seen:
    """What was seen of the batches so far; ``first`` holds the first sample's outputs, ``apart`` how far others are from them."""

    inputs_differ: bool = False
    inputs: list[Tensor] = field(default_factory=list)
    first: list[Tensor] = field(default_factory=list)
    apart: float = 0.0
    losses: list[Tensor] = field(default_factory=list)
    replaced: list[Tensor] = field(default_factory=list)

    def add(self, inputs: Any, targets: Any, run: Objective) -> bool:
        """Look at a batch; whether its outputs are finite rows that can be compared."""
        rows = batch_rows((inputs, targets))
        held = _rows(tensors_in(inputs), rows)
        self.inputs = self.inputs or [leaf[:1].clone() for leaf in held]
        self.inputs_differ = self.inputs_differ or not all(map(_all_equal, held, self.inputs))
        outputs = _outputs(run, inputs)
        given = _rows(outputs.tensors, rows)
        self.first = self.first or [z[:1].clone() for z in given]
        alike = [z.shape[1:] for z in given] == [one.shape[1:] for one in self.first]
        if not given or not alike or not all(bool(z.isfinite().all()) for z in given):
            return False
        for z, one in zip(given, self.first, strict=True):
            size = _largest(z)
            self.apart = max(self.apart, _largest(z - one) / size if size else 0.0)
        self.losses.append(run._runner.loss(outputs.holding(outputs.tensors), targets).cpu())
        self.replaced.append(run._runner.loss(_with(outputs, rows, _each(self.first, rows)), targets).cpu())
        return True


def _of_pairing(run: Objective, theta: Tensor, constant: Sequence[Tensor]) -> float:
    """:attr:`Dependence.gradient`, over samples that are spread over the data, which is often sorted."""
    few = run.part(evenly(run.n_samples, FEW).to(run.indices.device))
    if not _targets_matter(few, constant):
        return math.nan
    losses = few._runner.measure(few._batches)[0]
    shuffled = torch.randperm(few.n_samples, generator=generator(0, "pairing"))
    worst = torch.full_like(shuffled, int(losses.argmax()))
    others = [few.part(order.to(few.indices.device)) for order in (shuffled, worst)]
    batches: list[Batches] = [few._batches, *(_Paired(few, other) for other in others)]
    own, mixed, alike = (few._derivatives.gradient(theta, one)[1] for one in batches)
    layout = few.theta.layout
    reaches = {name: reach(tensor) for name, tensor in layout.views(theta).items()}
    known, whole = (
        max(float(g.norm()) * reaches[name] for name, g in layout.views(some).items()) for some in (own - mixed, alike)
    )
    return known / whole if whole else known


def _targets_matter(few: Objective, constant: Sequence[Tensor]) -> bool:
    """Whether the loss of the same outputs, or its slope in them, differs between samples: whether there is anything to predict."""
    found: list[list[Tensor]] = []
    with few._runner.own_randomness():
        for inputs, targets in few._batches:
            with torch.no_grad():
                outputs, rows = _outputs(few, inputs), batch_rows((inputs, targets))
            with torch.enable_grad():
                made = [z.requires_grad_() for z in _each(constant, rows)]
                losses = few._runner.loss(_with(outputs, rows, made), targets)
            slopes = torch.autograd.grad(losses.sum(), made, allow_unused=True) if losses.requires_grad else ()
            found.append([losses.detach(), *(slope for slope in slopes if slope is not None)])
    return any(bool(_largest(z - z[:1]) > ROUNDED * _largest(z)) for z in map(torch.cat, zip(*found, strict=True)))


@dataclass(frozen=True)
class _Paired:
    """The inputs of one objective's batches with the targets of another's."""

    inputs: Objective
    targets: Objective

    def __len__(self) -> int:
        return self.inputs.n_samples

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        pairs = zip(self.inputs._batches, self.targets._batches, strict=True)
        return ((inputs, targets) for (inputs, _), (_, targets) in pairs)


def reach(tensor: Tensor) -> float:
    """How far a tensor may be thought to move: its norm, of small ones that of usual first values, and of a vector √length.

    A gradient's norm times this does not change where a weight is multiplied and the function stays as it is.
    """
    usual = math.sqrt(len(tensor) if tensor.ndim else 1)
    return max(float(tensor.norm()), usual) if tensor.ndim > 1 else usual


def best_constant_loss(objective: Objective) -> float:
    """The smallest loss over the objective's samples of outputs that are the same for each: of cross-entropy the labels' entropy.

    Found by L-BFGS from the first sample's outputs. Where a loss of torch takes probabilities or their logarithms, only such
    outputs are tried. NaN where none is found: the loss has no smallest value, or no derivative.
    """
    run = reference_of(objective)
    run._load(None)
    inputs, targets = next(iter(run._batches))
    with torch.no_grad(), run._runner.own_randomness():
        outputs, rows, loss = _outputs(run, inputs), batch_rows((inputs, targets)), run._runner.loss
    into, back = _ANY if loss.own else _RANGES.get(type(loss.whole), _ANY)
    start = [back(z[:1]) for z in _rows(outputs.tensors, rows)]

    def value(numbers: _Values) -> tuple[float, _Values]:
        parts = torch.split(torch.from_numpy(numbers).to(start[0]), [z.numel() for z in start])
        free = [part.reshape(z.shape).requires_grad_() for part, z in zip(parts, start, strict=True)]
        total, slope = 0.0, np.zeros_like(numbers)
        for inputs, targets in run._batches:
            made = _with(outputs, rows, _each([into(z) for z in free], batch_rows((inputs, targets))))
            part = loss(made, targets).sum() / run.n_samples
            total += float(part.detach())
            slope += np.concatenate([g.double().cpu().numpy().ravel() for g in torch.autograd.grad(part, free)])
        return total, slope

    here = np.concatenate([z.double().cpu().numpy().ravel() for z in start])
    try:
        with torch.enable_grad(), run._runner.own_randomness():
            before, steep = value(here)
            found = minimize(value, here, jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-9})
    except RuntimeError:  # the loss is the user's code, and need not have a derivative
        return math.nan
    settled = before - found.fun <= SLIGHT * abs(before) or abs(found.jac).max() <= LEVEL * abs(steep).max()
    return float(found.fun) if settled else math.nan


def _outputs(run: Objective, inputs: Any) -> Outputs:
    return Outputs(run._runner.of(run._engine.flat.module).wide_outputs(inputs))


def _rows(tensors: Sequence[Tensor], rows: int) -> list[Tensor]:
    """Those with a row a sample."""
    return [z for z in tensors if z.ndim and len(z) == rows]


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max())


def _each(one: Sequence[Tensor], rows: int) -> list[Tensor]:
    """The same row for so many samples."""
    return [z.repeat(rows, *[1] * (z.ndim - 1)) for z in one]


def _with(outputs: Outputs, rows: int, others: Sequence[Tensor]) -> Any:
    """The outputs with others in the place of the tensors that have these rows."""
    given = iter(others)
    return outputs.holding([next(given) if z.ndim and len(z) == rows else z for z in outputs.tensors])


def _all_equal(rows: Tensor, one: Tensor) -> bool:
    return rows.shape[1:] == one.shape[1:] and bool((rows == one).all())
