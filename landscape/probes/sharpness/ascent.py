"""The largest value of a function over a scaled ball or box, sought by projected gradient ascent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# With steps much longer than the region an ascent becomes a power iteration, which is fast near a maximum of a convex function;
# longer ones would only have to be halved more often where the function is not.
LONGEST_STEP = 4.0


@dataclass(frozen=True)
class Region:
    """The perturbations ε = s ⊙ u with ‖u‖ ≤ 1, for a vector of scales s ≥ 0 of shape ``(n,)``.

    ‖·‖ is the Euclidean norm for a ``ball`` and the largest absolute entry for a ``box``. A place in the region is given by u.
    """

    scale: Tensor
    shape: Literal["ball", "box"]

    def offset(self, place: Tensor) -> Tensor:
        """ε ``(n,)`` at u."""
        return self.scale * place

    def support(self, gradient: Tensor) -> float:
        """max over the region of ⟨g, ε⟩: ‖s ⊙ g‖₂ for a ball, ‖s ⊙ g‖₁ for a box; in float64."""
        order = 2 if self.shape == "ball" else 1
        return float(torch.linalg.vector_norm(self.scale * gradient, order, dtype=_wide(gradient)))

    def steepest(self, gradient: Tensor) -> Tensor:
        """The u where ⟨g, ε⟩ is largest: s ⊙ g / ‖s ⊙ g‖₂ for a ball, sign(s ⊙ g) for a box. The support must not be 0."""
        scaled = self.scale * gradient
        return scaled / self.support(gradient) if self.shape == "ball" else scaled.sign()

    def project(self, place: Tensor) -> Tensor:
        """The nearest u of the region."""
        if self.shape == "box":
            return place.clamp(-1.0, 1.0)
        length = float(torch.linalg.vector_norm(place, dtype=_wide(place)))
        return place / length if length > 1.0 else place

    def start(self, normal: Tensor) -> Tensor:
        """A u made of a standard normal vector: uniform on the sphere, or in the box."""
        if self.shape == "box":
            return torch.erf(normal / math.sqrt(2.0))
        return normal / float(torch.linalg.vector_norm(normal, dtype=_wide(normal)))

    def gap(self, place: Tensor, gradient: Tensor) -> float:
        """How much higher the linearised function gets in the region: max ⟨g, ε' − ε⟩ ≥ 0, and 0 where ascent ends."""
        inside = float(torch.sum(self.scale * gradient * place, dtype=_wide(gradient)))
        return max(self.support(gradient) - inside, 0.0)


@dataclass(frozen=True)
class Ascent:
    """Where an ascent has led: the highest value that was met, its u, the gap there, and how many values were asked for.

    ``converged`` says that the gap is small against what has been gained; the value is a lower bound of the maximum all the same.
    """

    value: float
    place: Tensor
    gap: float
    evaluations: int
    converged: bool


def ascend(
    region: Region,
    measure: Callable[[Tensor], tuple[float, Tensor]],
    *,
    steps: int,
    base: float,
    start: Tensor | None = None,
    tolerance: float = 0.01,
) -> Ascent:
    """Climb from ``start`` (the middle by default) for ``steps`` steps along the steepest direction of the region.

    A trial u' = P(u + α d), d the steepest place and P the projection, is kept where the value is higher, and α, 1 at
    first, is then doubled up to :data:`LONGEST_STEP`; otherwise it is halved. From the middle the first trial is therefore
    the single step of sharpness-aware minimisation. The ascent ends early when the gap is at most ``tolerance`` times what
    has been gained over ``base``, or when a gradient is zero or not finite. A trial whose value is NaN is given up; +inf is
    a maximum.

    Args:
        region: where the perturbations lie.
        measure: ε to the function's value and gradient there.
        steps: trials after the start.
        base: the function's value without a perturbation.
        start: u to begin with.
        tolerance: of the gap.

    References:
        Madry et al. 2018 (arXiv 1706.06083) for projected ascent; Jaggi 2013 for the gap.
    """
    place = torch.zeros_like(region.scale) if start is None else start
    value, gradient = measure(region.offset(place))
    step, used = 1.0, 1
    while used <= steps and not _ended(region, place, gradient, tolerance * (value - base)):
        trial = region.project(place + step * region.steepest(gradient))
        found, slope = measure(region.offset(trial))
        used += 1
        if found > value:
            place, value, gradient, step = trial, found, slope, min(2 * step, LONGEST_STEP)
        else:
            step /= 2
    gap = region.gap(place, gradient)
    return Ascent(value, place, gap, used, gap <= tolerance * (value - base))


def _ended(region: Region, place: Tensor, gradient: Tensor, enough: float) -> bool:
    return not 0.0 < region.support(gradient) < math.inf or region.gap(place, gradient) <= enough


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64  # MPS has no float64
