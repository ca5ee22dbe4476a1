"""Products of a matrix held against differences of the field that it is the derivative of: H v against those of gradients."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

# Lengths of a step, in units of one that moves every tensor by a tenth of its size. In double precision the first leaves all but
# one in 10⁸ of a module's kinks (zeros of a ReLU's inputs, say) on the side where they are. Longer ones are for what cannot be told
# from rounding there, or was rounded to single precision on its way.
STEPS = {torch.float64: (2.0**-25, 2.0**-13, 2.0**-7), torch.float32: (2.0**-7, 2.0**-4)}
CLEAN = 2.0**-13  # from longer ones on, kinks are so many that they look like curvature
AGREEMENT = {torch.float64: 1e-4, torch.float32: 1e-2}  # of the product's size
TELLING = 0.02  # as a part of the product, what noise may be at most for a disagreement to mean something
ROUNDING = 8.0  # in machine epsilons of what is subtracted


class Verdict(enum.Enum):
    """What a difference says of a product: nothing (``UNKNOWN``) where it is not finite, or too small against kinks."""

    AGREES = enum.auto()
    DIFFERS = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True)
class Differences:
    """Differences of a vector field g(θ) along d, at several steps.

    A product P = (∂g/∂θ) d is compared in the norm ‖d ∘ ·‖₂, in which every tensor counts as it moves. It agrees where the
    difference on either side does, (g(θ + s d) − g(θ)) / s or (g(θ) − g(θ − s d)) / s, or the central one: a kink that lies on
    one side only spoils the other two. It differs where both sides are the same but it is not, at a step that is short enough, and
    it agrees at none: in single precision none is, so that nothing is said to differ there.

    Attributes:
        at: gives a value and g, where g is the value's gradient or ought to be.
        theta: the point.
        along: d.
        kept: takes the part of a vector that is compared.
    """

    at: Callable[[Tensor], tuple[float, Tensor]]
    theta: Tensor
    along: Tensor
    kept: Callable[[Tensor], Tensor] = field(default=lambda vector: vector)

    def verdict(self, product: Tensor) -> tuple[Verdict, float]:
        """Whether the product, restricted as ``kept`` does, is the field's derivative, and how far off it is, of its size."""
        off, differs, seen = 0.0, False, False
        for number, step in enumerate(self._steps):
            if number and not seen and not self._clean(step):
                break  # both are zero, to rounding
            compared = self._compared(product, number)
            if not bool(compared.isfinite().all()):
                there = bool(compared[1:, 1:].isfinite().all())
                return (Verdict.DIFFERS, math.nan) if there else (Verdict.UNKNOWN, off)
            found, floor = max(_norm(compared, (1, 0, 0)), _norm(compared, (0, 0.5, 0.5))), self._floor / step
            if floor > TELLING * found:
                continue
            least = min(_norm(compared, combined) for combined in ((-1, 1, 0), (-1, 0, 1), (-1, 0.5, 0.5)))
            noise, slack = _norm(compared, (0, 1, -1)), TELLING * found
            if least <= AGREEMENT[self.theta.dtype] * found + floor + min(noise, slack):
                return Verdict.AGREES, 0.0
            seen, off = True, off or least / found
            differs |= self._clean(step) and noise <= slack and least > 10 * noise + floor
        return (Verdict.DIFFERS if differs else Verdict.UNKNOWN if seen else Verdict.AGREES), off

    def follows_values(self) -> bool:
        """Whether g is the gradient of the value along d, as far as can be told."""
        (value, gradient), rounding, follows = self.here, ROUNDING * torch.finfo(self.theta.dtype).eps, True
        slope = float(self.along.double() @ gradient.double())
        for number, step in enumerate(self._steps):
            if number and follows and not self._clean(step):
                break
            (more, _), (less, _) = self._pair(number)
            difference = (more - less) / (2 * step)
            noise = (abs(more - 2 * value + less) + rounding * max(abs(value), abs(slope))) / step
            found = max(abs(difference), abs(slope))
            if abs(difference - slope) <= 1e-3 * found + min(10 * noise, TELLING * found):
                return True
            follows &= not (self._clean(step) and 10 * noise <= TELLING * found)  # never where something is not finite
        return follows

    def _clean(self, step: float) -> bool:
        return self.theta.dtype == torch.float64 and step <= CLEAN

    @property
    def _steps(self) -> tuple[float, ...]:
        return STEPS[self.theta.dtype]

    @cached_property
    def here(self) -> tuple[float, Tensor]:
        return self.at(self.theta)

    @cached_property
    def _pairs(self) -> dict[int, tuple[tuple[float, Tensor], tuple[float, Tensor]]]:
        return {}

    def _pair(self, number: int) -> tuple[tuple[float, Tensor], tuple[float, Tensor]]:
        if number not in self._pairs:
            step = self._steps[number] * self.along
            self._pairs[number] = self.at(self.theta + step), self.at(self.theta - step)
        return self._pairs[number]

    def _compared(self, product: Tensor, number: int) -> Tensor:
        """The inner products of the product and of the differences after θ and before it, each as d ∘ ·: ``(3, 3)``."""
        step, ((_, more), (_, less)) = self._steps[number], self._pair(number)
        here, along = self.here[1], self.kept(self.along)
        rows = product, self.kept((more - here) / step), self.kept((here - less) / step)
        weighted = torch.stack([(along * row).to(here.dtype) for row in rows])
        return weighted @ weighted.T

    @cached_property
    def _floor(self) -> float:
        """What rounding makes of a difference of step 1: of a gradient's size, or of the value's where it hardly depends on θ."""
        value, gradient = self.here
        size = float(torch.linalg.vector_norm(self.kept(self.along * gradient)))
        return ROUNDING * torch.finfo(self.theta.dtype).eps * max(size, 0.1 * abs(value))


def _norm(inner: Tensor, combined: tuple[float, float, float]) -> float:
    """The length of a combination of the vectors with these inner products."""
    weights = torch.tensor(combined, dtype=inner.dtype, device=inner.device)
    return math.sqrt(max(float(weights @ inner @ weights), 0.0))
