"""Whether PyTorch's own second derivatives of a module and its loss are right, told from differences of first ones.

Some operations have wrong ones and say nothing: dual numbers through ``linalg.solve``, ``det``, ``slogdet`` or
``scatter_reduce(prod)``, two reverse passes through the fused ``weight_norm``; the matrix that comes out may even be symmetric. So
module and loss are each held against differences, on :data:`FEW` samples and in double precision, in which steps can be too short
to meet a kink. The module is looked at beside θ (each tensor moved by a tenth of its size), where nothing is zero that hides
something else, through a random linear function of its outputs; the loss at outputs shrunk to size 1/2, where it is not
saturated. At last the product as it is run (its precision, folded BatchNorm, filtered convolutions) is held against that in double
precision. At θ itself the module must not jump.

It takes five evaluations, four gradients and two products of :data:`FEW` samples, most of them in double precision, where a product
takes all samples. A module that cannot run in double precision is looked at in its own, where a way is only ever replaced by one
that agrees.

What it cannot see: an operation that is wrong at some values only, or that these samples do not reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.agreement import elsewhere
from landscape.objective.batches import split_batch
from landscape.objective.culprit import jumps, not_twice, wrong_as_run, wrong_gradient, wrong_products
from landscape.objective.derivatives import HESSIAN, Batch, Batches, Derivatives, Outputs, Way
from landscape.objective.differences import Verdict
from landscape.objective.pieces import (
    Few,
    Linear,
    Piece,
    direction,
    generators_of,
    in_double,
    loss_alone,
    through_outputs,
    with_loss,
)

FEW = 2  # samples
TOGETHER = 4  # where they may depend on each other: batch statistics of two would leave nothing to differentiate
BESIDE = 1, 2  # which points beside θ; what is refused was seen at both
AS_RUN = 0.02  # how far the product as it is run may be from that in double precision, of its size
FOLLOWS = 100.0  # or how many times as far as the gradient is
TOO_FAR = 0.5  # from where on nothing is said, single precision being too coarse for this module
FLOOR = 1e-5  # of the gradient, below which a product in single precision is rounding


def right_way(
    run: Derivatives,
    plain: nn.Module,
    matrix: str,
    ways: Sequence[Way],
    theta: Tensor,
    batches: Batches,
    names: Sequence[str] | None = None,
) -> Way:
    """The first of ``ways`` to take products that agrees with differences, or that they say nothing against.

    Args:
        run: the derivatives as they are run.
        plain: the module itself, as the user wrote it.
        matrix: the Hessian or the Gauss–Newton matrix.
        theta: the first point where a product is wanted.
        batches: of which the first is looked at.
        names: of the parameters that move; None for all.

    Raises:
        InputError: naming the layer, where the differences tell and none agrees.
    """
    exact = run.run_by(replace(run.runner, precision="fp32")) if run.runner.precision == "bf16" else run
    few = next(split_batch(next(iter(batches)), TOGETHER if run.whole else FEW))
    for dtype in dict.fromkeys((torch.float64, theta.dtype)):
        try:
            return _Check(exact, plain, matrix, few, theta, dtype, names).way(ways)
        except _Refused as refused:
            raise InputError(str(refused)) from None
        except Exception:  # of any kind: the user's code runs here as it was not made for
            continue
    return ways[0]


class _Refused(Exception):
    """What is wrong, as the user reads it."""


@dataclass
class _Found:
    """What was seen at one point.

    Attributes:
        way: that is right, or that nothing is said against; None where all are wrong.
        told: whether the differences told so.
        reason: what is wrong where all are.
    """

    way: Way | None = None
    told: bool = False
    reason: str = ""


@dataclass(frozen=True)
class _Check:
    """On some samples, in one precision."""

    run: Derivatives
    plain: nn.Module
    matrix: str
    batch: Batch
    theta: Tensor
    dtype: torch.dtype
    names: Sequence[str] | None

    @torch.inference_mode(False)
    def way(self, ways: Sequence[Way]) -> Way:
        """The first way that agrees at some point, or that nothing is said against at any.

        Raises:
            _Refused: where the differences tell, and none agrees.
        """
        self._refuse_jumps()
        undecided, refused = ways[0], []
        for theta in self._points():
            found = self._at(theta, ways)
            if found.way is None:
                refused.append(found.reason)
            elif found.told:
                return found.way
            else:
                undecided = found.way
            if len(refused) == len(BESIDE):
                break
        if refused:
            raise _Refused(refused[0])
        return undecided

    def _refuse_jumps(self) -> None:
        here = self._module(self.theta.to(self.dtype))
        try:
            if self.dtype == torch.float64 and here.jumps():
                raise _Refused(jumps(here, self.plain))
        except InputError:  # of outputs that no function is taken of
            return

    def _points(self) -> Iterator[Tensor]:
        theta = self.theta.to(self.dtype)
        for which in BESIDE:
            yield elsewhere(theta, self.run.layout, which)
        yield theta

    def _at(self, theta: Tensor, ways: Sequence[Way]) -> _Found:
        pieces = self._pieces(theta)
        if any(not piece.differences.follows_values() for piece in pieces):
            return _Found(reason=wrong_gradient(pieces, self.plain))
        undecided: Way | None = None
        off: dict[Way, float] = {}
        off_as_run: dict[Way, float] = {}
        missing: Exception = RuntimeError()
        for way in ways:
            try:
                products = [piece.product(way) for piece in pieces]
                verdicts = [piece.differences.verdict(made) for piece, made in zip(pieces, products, strict=True)]
                if any(verdict is Verdict.DIFFERS for verdict, _ in verdicts):
                    off[way] = max(distance for _, distance in verdicts)
                elif distance := self._as_run(pieces[0], way, products[0]):
                    off_as_run[way] = distance
                elif all(verdict is Verdict.AGREES for verdict, _ in verdicts):
                    return _Found(way, told=True)
                else:
                    undecided = undecided or way
            except (NotImplementedError, RuntimeError) as error:  # there may be no such derivative
                missing = error
        if undecided is not None:
            return _Found(undecided)
        if off_as_run:
            return _Found(reason=wrong_as_run(self.matrix, off_as_run))
        if off:
            return _Found(reason=wrong_products(pieces, self.plain, off))
        if refusal := not_twice(missing):
            return _Found(reason=refusal)
        raise missing

    def _pieces(self, theta: Tensor) -> list[Piece]:
        """The module and the loss alone; where they cannot be taken apart, both together, which is of use for the Hessian only."""
        module = self._module(theta)
        together = [replace(module, of=with_loss(self._of, self._of.runner.loss))] if self.matrix == HESSIAN else []
        try:
            outputs = module.outputs
        except InputError:  # no floating-point tensors in them, or complex ones
            return together
        alone = loss_alone(self._of, self._few, self.matrix, outputs)
        apart = alone.is_finite and not Outputs(outputs).opaque
        return [module, alone] if apart else [module, *together]

    def _module(self, theta: Tensor) -> Piece:
        return replace(through_outputs(self._of, self._few, self.matrix, theta, self._along), names=self.names)

    @cached_property
    def _along(self) -> Tensor:
        return direction(self.theta.to(self.dtype), self.run.layout, self.names)

    @cached_property
    def _of(self) -> Derivatives:
        return in_double(self.run, self.plain) if self.dtype == torch.float64 else self.run

    @property
    def _few(self) -> Few:
        return Few(self.batch, self.dtype)

    def _as_run(self, piece: Piece, way: Way, expected: Tensor) -> float:
        """How far the product as it is run is from that in double precision, of its size; 0 where that may be rounding."""
        own = self.theta.dtype
        same = self.run.module is self.plain and own == torch.float64
        if self.dtype != torch.float64 or same or not isinstance(piece.loss, Linear):
            return 0.0
        few, loss = Few(self.batch, own), type(piece.loss)(piece.loss.rows)
        theta, along = piece.theta.to(own), piece.along.to(own)
        run = replace(piece, of=with_loss(self.run, loss), few=few, theta=theta, along=along)
        product, (value, gradient) = run.product(way), run.gradient(theta)
        if self._draws(loss):  # other numbers in another precision
            return 0.0
        exact, size = piece.differences.here[1], max(piece.norm(product), piece.norm(expected))
        scale = max(piece.norm(exact), 0.1 * abs(value))
        tolerance = max(AS_RUN, FOLLOWS * piece.norm(gradient - exact) / scale) if scale else TOO_FAR
        apart = piece.norm(product - expected)
        return apart / size if tolerance < TOO_FAR and apart > tolerance * size + FLOOR * scale else 0.0

    def _draws(self, loss: Linear) -> bool:
        """Whether the module drew random numbers before its outputs went into ``loss``."""
        with self.run.runner.own_randomness():
            fresh = generators_of(self.theta.device)
        return not all(torch.equal(a, b) for a, b in zip(fresh, loss.generators, strict=True))
