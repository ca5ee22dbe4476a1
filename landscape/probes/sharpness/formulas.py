"""Measures of sharpness: how much the mean loss L rises under a perturbation ε of the parameters θ.

With g = ∇L(θ), and all maxima found by ascent, so that they are lower bounds:

- ``sam``: max over ‖ε‖₂ ≤ ρ of L(θ + ε) − L(θ), by the one step ε = ρ g/‖g‖₂ (Foret et al. 2021, arXiv 2010.01412);
- ``sam_steps``: the same by several steps projected onto the ball;
- ``m_sharpness``: the one-step value of each batch of m samples, with that batch's own loss and g, averaged over batches;
- ``adaptive``: max over ‖ε/|θ|‖₂ ≤ ρ, by the one step ε = ρ T² g/‖T g‖₂, T = diag |θ| (Kwon et al. 2021, arXiv 2102.11600);
- ``adaptive_steps``: the same by several projected steps;
- ``adaptive_average``: E L(θ + δ) − L(θ), δ = ρ |θ| ⊙ N(0, I) (Andriushchenko et al. 2023, arXiv 2302.07011);
- ``keskar``: 100 (max f − f)/(1 + f) for f = L, over the box |εᵢ| ≤ e (|θᵢ| + 1) (Keskar et al. 2017, arXiv 1609.04836);
- ``gaussian``: E L(θ + σ z) − L(θ), z ~ N(0, I).

The adaptive ones do not change where a network's weights are rescaled so that its function stays: by (c, 1/c) across a ReLU,
or by c before BatchNorm. The others do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from landscape.execution.worker import Recipe
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.seeds import generator
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.carried import CarriedObjective
from landscape.objective.objective import Objective
from landscape.objective.spread import Spread
from landscape.objective.values import Gradient
from landscape.probes.sharpness.ascent import Region, ascend
from landscape.probes.sharpness.config import SharpnessConfig
from landscape.probes.sharpness.result import MEASURED, NOT_CONVERGED, NOT_FINITE, ZERO_GRADIENT


@dataclass(frozen=True)
class Estimate:
    """One measure at one ρ.

    Attributes:
        value: in the measure's unit; NaN where there is none.
        standard_error: over samples, batches or draws, as :data:`landscape.probes.sharpness.config.MEASURES` says.
        sample_standard_error: over the samples (of ``m_sharpness`` over the batches), the perturbations held fixed.
        gap: of an ascent of several steps, how much more the linearised loss would rise within the region; otherwise NaN.
        perturbation_norm: ‖ε‖₂; the root mean square of several.
        status: ``MEASURED``; ``NOT_CONVERGED``: a maximum whose ascent had not ended; ``ZERO_GRADIENT``: no direction of ascent;
            ``NOT_FINITE``: a loss or gradient is NaN or infinite.
    """

    value: float
    standard_error: float
    sample_standard_error: float
    gap: float
    perturbation_norm: float
    status: int


class Origin:
    """θ, with what every measure needs there: the loss of each sample and the gradient, each taken once."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.theta = objective.theta

    @cached_property
    def losses(self) -> Tensor:
        """Each sample's share in the loss, float64, shape ``(N,)``."""
        return self.objective.per_sample()

    @cached_property
    def gradient(self) -> Gradient:
        return self.objective.gradient()

    def recipe(self) -> CarriedOrigin:
        """What workers are sent of it."""
        return CarriedOrigin(self.objective.recipe())

    def rises(self, offset: Tensor) -> Tensor:
        """lᵢ(θ + ε) − lᵢ(θ) of every sample, shape ``(N,)``: paired, so that what the samples differ in drops out."""
        return self.objective.per_sample(self.theta.vector + offset) - self.losses

    def rise_and_gradient(self, offset: Tensor) -> tuple[float, Tensor]:
        """L(θ + ε) − L(θ) and ∇L(θ + ε)."""
        found = self.objective.gradient(self.theta.vector + offset) if bool(offset.any()) else self.gradient
        return found.loss - self.gradient.loss, found.vector.vector


@dataclass(frozen=True)
class CarriedOrigin(Recipe):
    """What stands for an :class:`Origin` on its way to a worker."""

    objective: CarriedObjective

    def build(self) -> Origin:
        return Origin(self.objective.build())


def estimate(origin: Origin, measure: str, rho: float, config: SharpnessConfig) -> Estimate:
    """A measure at one ρ. Where there is no direction of ascent, or no finite loss to begin with, the value is NaN."""
    scale, way = _WAYS[measure]
    return way(origin, scale(origin.theta.vector, rho), config)


def one_step(origin: Origin, measure: str, rho: float) -> Tensor | None:
    """The ε of a measure of :data:`ONE_STEP`; None where there is no direction of ascent."""
    region = Region(_WAYS[measure][0](origin.theta.vector, rho), "ball")
    return None if _hindrance(region, origin) else region.offset(region.steepest(origin.gradient.vector.vector))


def _one_step(origin: Origin, scale: Tensor, config: SharpnessConfig) -> Estimate:
    region, gradient = Region(scale, "ball"), origin.gradient.vector.vector
    hindrance = _hindrance(region, origin)
    if hindrance:
        return _nothing(hindrance)
    return _risen(origin, region.offset(region.steepest(gradient)))


def _several_steps(origin: Origin, scale: Tensor, config: SharpnessConfig) -> Estimate:
    return _climbed(origin, Region(scale, "ball"), config, mean_rise)


def _in_a_box(origin: Origin, scale: Tensor, config: SharpnessConfig) -> Estimate:
    return _climbed(origin, Region(scale, "box"), config, percent_rise)


def _per_batch(origin: Origin, scale: Tensor, config: SharpnessConfig) -> Estimate:
    """Over disjoint random batches of m; the samples left over, fewer than m, are in none."""
    objective = origin.objective
    m = config.batch(objective.n_samples)
    order = torch.randperm(objective.n_samples, generator=generator(config.draw_seed, "m-sharpness"))
    batches = torch.split(order[: len(order) // m * m].to(objective.indices.device), m)
    found = [_one_step(Origin(objective.part(batch)), scale, config) for batch in batches]
    value, error = mean_and_standard_error(torch.tensor([one.value for one in found], dtype=torch.float64))
    norm = _root_mean_square([one.perturbation_norm for one in found])
    return Estimate(value, error, error, math.nan, norm, max(one.status for one in found))


def _average(origin: Origin, scale: Tensor, config: SharpnessConfig) -> Estimate:
    """Over draws that are the same for every ρ, and for every checkpoint of one architecture."""
    rises, found, norms = [], [], []
    for number in range(config.draws):
        offset = scale * _normal(origin.theta, config.draw_seed, "sharpness", number)
        rises.append(origin.rises(offset))
        found.append(origin.objective.spread.mean(rises[-1])[0])
        norms.append(float(torch.linalg.vector_norm(offset)))
    table = torch.stack(rises)
    value, error = mean_and_standard_error(torch.tensor(found, dtype=torch.float64))
    _, over_samples = origin.objective.spread.mean(table.mean(0))
    status = MEASURED if math.isfinite(value) else NOT_FINITE
    return Estimate(value, error, over_samples, math.nan, _root_mean_square(norms), status)


Rise = Callable[[Tensor, Tensor, Spread], tuple[float, float]]


def mean_rise(rises: Tensor, losses: Tensor, spread: Spread) -> tuple[float, float]:
    """What the samples' shares lᵢ(θ + ε) − lᵢ(θ) make of the loss, and its standard error."""
    return spread.mean(rises)


def percent_rise(rises: Tensor, losses: Tensor, spread: Spread) -> tuple[float, float]:
    """100 (f(θ + ε) − f(θ)) / (1 + f(θ)), and its standard error by the delta method: numerator and denominator share samples."""
    weights = 1.0 if spread.weights is None else spread.weights
    mean, whole = spread.mean(rises)[0], 1.0 + spread.mean(losses)[0]
    _, error = spread.mean((rises - mean / whole * (weights + losses)) / whole)
    return 100.0 * mean / whole, 100.0 * error


def _climbed(origin: Origin, region: Region, config: SharpnessConfig, rise: Rise) -> Estimate:
    """The highest of ascents from θ and from random places."""
    hindrance = _hindrance(region, origin)
    if hindrance == NOT_FINITE or (hindrance and not config.restarts):
        return _nothing(hindrance)
    middle = [] if hindrance else [torch.zeros_like(region.scale)]
    drawn = [_normal(origin.theta, config.draw_seed, "ascent", number) for number in range(config.restarts)]
    climbs = [
        ascend(
            region,
            origin.rise_and_gradient,
            steps=config.ascent_steps,
            base=0.0,
            start=start,
            tolerance=config.ascent_tolerance,
        )
        for start in (*middle, *(region.start(normal) for normal in drawn))
    ]
    best = max(climbs, key=lambda climb: -math.inf if math.isnan(climb.value) else climb.value)
    status = MEASURED if best.converged else NOT_CONVERGED
    return _risen(origin, region.offset(best.place), rise, gap=best.gap, status=status)


def _risen(
    origin: Origin, offset: Tensor, rise: Rise = mean_rise, *, gap: float = math.nan, status: int = MEASURED
) -> Estimate:
    value, error = rise(origin.rises(offset), origin.losses, origin.objective.spread)
    norm = float(torch.linalg.vector_norm(offset))
    return Estimate(value, error, error, gap, norm, status if math.isfinite(value) else NOT_FINITE)


def _hindrance(region: Region, origin: Origin) -> int:
    """Why no ascent can begin at θ, as a status; 0 where one can."""
    slope = region.support(origin.gradient.vector.vector)
    if not math.isfinite(slope) or not math.isfinite(origin.gradient.loss):
        return NOT_FINITE
    return 0 if slope > 0 else ZERO_GRADIENT


def _nothing(status: int) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, math.nan, math.nan, status)


def _normal(theta: ParameterVector, seed: int, purpose: str, number: int) -> Tensor:
    """A standard normal vector of θ's layout, drawn tensor by tensor so that it does not depend on the memory format."""
    draws = generator(seed, purpose, number)
    drawn = {slot.name: torch.randn(slot.shape, generator=draws) for slot in theta.layout.slots}
    return theta.layout.pack(drawn, dtype=theta.vector.dtype, device=theta.vector.device)


def _root_mean_square(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


def _uniform(theta: Tensor, rho: float) -> Tensor:
    return torch.full_like(theta, rho)


def _relative(theta: Tensor, rho: float) -> Tensor:
    return rho * theta.abs()


def _keskar_box(theta: Tensor, rho: float) -> Tensor:
    return rho * (theta.abs() + 1.0)


# measure -> the scales of its perturbations, and the way it is estimated
_WAYS: dict[str, tuple[Callable[[Tensor, float], Tensor], Callable[[Origin, Tensor, SharpnessConfig], Estimate]]] = {
    "sam": (_uniform, _one_step),
    "sam_steps": (_uniform, _several_steps),
    "m_sharpness": (_uniform, _per_batch),
    "adaptive": (_relative, _one_step),
    "adaptive_steps": (_relative, _several_steps),
    "adaptive_average": (_relative, _average),
    "keskar": (_keskar_box, _in_a_box),
    "gaussian": (_uniform, _average),
}
ONE_STEP = tuple(measure for measure, (_, way) in _WAYS.items() if way is _one_step)
