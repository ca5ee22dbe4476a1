"""Gradients and second derivatives of an objective, none of the latter before the way of taking them was checked.

The ways of :data:`~landscape.objective.derivatives.WAYS` are tried in their order, the cheapest first, at the first product of each
matrix: see :mod:`landscape.objective.product_check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.culprit import not_twice
from landscape.objective.derivatives import GAUSS_NEWTON, HESSIAN, WAYS, Batches, Derivatives, Way
from landscape.objective.product_check import right_way
from landscape.objective.runner import Runner

_Block = tuple[str, ...] | None


class CheckedDerivatives:
    """Derivatives at a point, of Σ losses / N, taken in a way that agrees with differences.

    Args:
        derivatives: as they are run.
        plain: the module itself, as the user wrote it.

    Attributes:
        mode: how the latest product was taken.
    """

    def __init__(self, derivatives: Derivatives, plain: nn.Module) -> None:
        self._run, self._plain = derivatives, plain
        self._ways: dict[tuple[str, _Block], Way | str] = {}  # or why there is none
        self.mode = str(WAYS[0])

    def run_by(self, runner: Runner) -> CheckedDerivatives:
        """The same with another loss or precision."""
        return CheckedDerivatives(self._run.run_by(runner), self._plain)

    def at_draw(self, seed: int | None) -> CheckedDerivatives:
        """The same with another seed of what is drawn; which way is right is asked once for all draws."""
        if seed is None:
            return self
        other = self.run_by(replace(self._run.runner, draw=seed))
        other._ways = self._ways
        return other

    def gradient(self, theta: Tensor, batches: Batches) -> tuple[Tensor, Tensor]:
        """The losses of all samples ``(N,)`` and the gradient ``(n,)`` at θ."""
        return self._run.gradient(theta, batches)

    def hessian_product(
        self, theta: Tensor, vector: Tensor, batches: Batches, names: Sequence[str] | None = None
    ) -> Tensor:
        """H(θ) v, shape ``(n,)``; :attr:`mode` says afterwards how it was taken.

        With ``names``, v and the result hold these parameters alone: the product of that diagonal block.

        Raises:
            InputError: where the module or the loss cannot be differentiated twice, or PyTorch's second derivatives of it are
                wrong in every way.
        """
        return self._product(HESSIAN, theta, vector, batches, names)

    def gauss_newton_product(
        self, theta: Tensor, vector: Tensor, batches: Batches, names: Sequence[str] | None = None
    ) -> Tensor:
        """G(θ) v, otherwise as :meth:`hessian_product`.

        Raises:
            InputError: also for outputs that hold no floating-point tensor.
        """
        return self._product(GAUSS_NEWTON, theta, vector, batches, names)

    def _product(
        self, matrix: str, theta: Tensor, vector: Tensor, batches: Batches, names: Sequence[str] | None
    ) -> Tensor:
        block = None if names is None else tuple(names)
        left: Sequence[Way] = WAYS
        while True:
            way = self._way(matrix, left, theta, batches, block)
            try:
                made = self._run.product(matrix, way, theta, vector, batches, names)
                self.mode = str(way)
                return made
            except (NotImplementedError, RuntimeError) as error:
                # Not every operation has such derivatives. If the cause was another, it comes up again in the last way.
                left = WAYS[WAYS.index(way) + 1 :]
                if left:
                    continue
                if refusal := not_twice(error):
                    raise InputError(refusal) from error
                raise

    def _way(self, matrix: str, left: Sequence[Way], theta: Tensor, batches: Batches, block: _Block) -> Way:
        """The way that is right for all parameters, or, where there is none, for the block's."""
        try:
            return self._checked(matrix, left, theta, batches, None)
        except InputError:
            if block is None:
                raise
            return self._checked(matrix, left, theta, batches, block)

    def _checked(self, matrix: str, left: Sequence[Way], theta: Tensor, batches: Batches, block: _Block) -> Way:
        known = self._ways.get((matrix, block))
        if isinstance(known, str):
            raise InputError(known)
        if known is None or known not in left:
            try:
                known = right_way(self._run, self._plain, matrix, left, theta, batches, block)
            except InputError as error:
                self._ways[matrix, block] = str(error)
                raise
            self._ways[matrix, block] = known
        return known
