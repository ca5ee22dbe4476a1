"""What is asked of a basin's radius: of which metric, by how much it falls, and along how many directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from landscape.checking import OWN, Option, is_number
from landscape.errors import InputError, unknown_choice
from landscape.numerics.directions import NORMALIZATIONS
from landscape.probes.settings import Configured, MetricSettings, settings_of

BETTER, WORST = ("auto", "lower", "higher"), ("gradient", "eigenvector", "none")


@dataclass(frozen=True)
class BasinRadiusConfig:
    """Of which metric, by how much, and along what; see :func:`landscape.probes.basin_radius.measure.basin_radius`.

    Args:
        metric: ``loss``, ``accuracy``, or the name of another height that the objective has: a metric, or a term of the loss.
        better: which values of the metric are, ``lower`` or ``higher``. By default lower for the loss and its terms, higher for
            the accuracy, and what a torchmetrics object says of itself; of other metrics it is to be said.
        share: by how much the metric is worse at the edge of the basin, as a part of its value at the checkpoint.
        change: the same in the metric's own unit, in place of ``share``; a loss at or below 0 has no share.
        draws: random directions.
        worst: of ``gradient`` (uphill) and ``eigenvector`` (of the largest eigenvalue of the Hessian, both ways); ``none`` for
            neither. Both are of the loss, whichever the metric.
        normalization: of the random directions: ``filter``, ``layer`` or ``none``. All directions are then of length 1.
        direction_seed: of the random directions. Use the same one for checkpoints that are compared.
        tolerance: of the bracket around each radius, as a part of it.
        max_passes: forward passes over the samples for one direction at most.
        reach: how far it is looked, in lengths ‖θ‖ of the parameters.

    Raises:
        InputError: naming the argument.

    Example:
        >>> config = ls.BasinRadiusConfig(metric="loss", share=0.2, draws=4, worst=("gradient",))
        >>> ls.basin_radius(objective, config)["direction"].values[-1]
        'gradient'
    """

    metric: Annotated[str, Option("loss, accuracy, or one of --metrics.", OWN)] = "loss"
    better: Annotated[
        str, Option("Which of its values are better: lower, higher, or auto where that is known.", OWN, later=True)
    ] = "auto"
    share: Annotated[float, Option("How much worse the metric is at the edge, as a part of it.", OWN)] = 0.1
    change: Annotated[
        float | None, Option("How much worse in the metric's own unit, in place of the share.", OWN, "by the share")
    ] = None
    draws: Annotated[int, Option("Random directions.", OWN)] = 10
    worst: Annotated[tuple[str, ...], Option("Of gradient, eigenvector; or none.", OWN)] = WORST[:2]
    normalization: Annotated[str, Option("Of random directions: filter, layer or none.", OWN)] = "filter"
    direction_seed: Annotated[int, Option("Of the random directions.", OWN)] = 0
    tolerance: Annotated[float, Option("Of each radius, as a part of it.", OWN)] = 0.01
    max_passes: Annotated[int, Option("Passes over the images for a direction at most.", OWN)] = 25
    reach: Annotated[float, Option("How far to look, in lengths of the parameters.", OWN)] = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric:
            raise InputError(f"metric: expected a name, such as 'loss' or 'accuracy', got {self.metric!r}.")
        if self.better not in BETTER:
            raise unknown_choice("better", self.better, BETTER)
        if self.normalization not in NORMALIZATIONS:
            raise unknown_choice("normalization", self.normalization, NORMALIZATIONS)
        most = 1.0 if self.metric == "accuracy" else math.inf
        if not is_number(self.share) or not 0 < self.share < most:
            kind = "a share of the accuracy between 0 and 1" if most == 1 else "a number above 0"
            raise InputError(f"share: expected {kind}, got {self.share!r}. Try 0.1.")
        if self.change is not None and (not is_number(self.change) or not 0 < self.change < math.inf):
            raise InputError(f"change: expected a number above 0, got {self.change!r}. Try 0.1.")
        object.__setattr__(self, "worst", _worst(self.worst))
        for name, least in (("draws", 2), ("max_passes", 4)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
        if not is_number(self.tolerance) or not 1e-6 <= self.tolerance < 1:
            raise InputError(f"tolerance: expected a number from 1e-6 to below 1, got {self.tolerance!r}. Try 0.01.")
        if not is_number(self.reach) or not 0 < self.reach < math.inf:
            raise InputError(f"reach: expected a number above 0, got {self.reach!r}. Try 10.")


def _worst(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in WORST:
            raise unknown_choice("worst", name, WORST)
    if len(set(names)) < len(names) or ("none" in names and len(names) > 1):
        raise InputError(f"worst: expected gradient, eigenvector or both, or none alone, got {names!r}.")
    return tuple(name for name in names if name != "none")


class _Measuring(MetricSettings, Configured):
    """Of any metric that is measured beside the loss."""


BasinRadiusSettings = settings_of(BasinRadiusConfig, "basin_radius", _Measuring)
