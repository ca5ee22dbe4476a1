"""Whether a network is dead: no gradient reaches its weights and it predicts the same for every input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from landscape.objective.objective import Objective

DEAD_GRADIENT = 1e-8
CHANCE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Health:
    """``dead`` and, in words, why; ``gradient`` is the median over weight tensors of mean |∂L/∂w|."""

    dead: bool
    reason: str
    gradient: float


def network_health(objective: Objective, loss: float) -> Health:
    """Recognise a dead network, whose landscape looks perfectly smooth because nothing in it does anything.

    Dead means both: the loss is within 1 % of ln(classes), the cross-entropy of guessing; and half of the weight tensors (more
    than one dimension) have a mean |∂L/∂w| below 1e-8. A network at its initialisation meets the first alone.
    """
    gradient = objective.gradient().vector
    means = [float(g.abs().mean(dtype=torch.float64)) for g in gradient.views().values() if g.ndim > 1]
    typical = float(torch.tensor(means, dtype=torch.float64).median()) if means else math.nan
    classes = objective.data.classes
    if objective.loss_name.rsplit(".")[-1] not in ("cross_entropy", "CrossEntropyLoss") or not classes or classes < 2:
        return Health(False, "", typical)
    chance = math.log(classes)
    dead = abs(loss - chance) <= CHANCE_TOLERANCE * chance and typical < DEAD_GRADIENT
    if not dead:
        return Health(False, "", typical)
    reason = (
        f"loss {loss:.5g} is that of guessing, ln {classes} = {chance:.5g}, "
        f"and the median weight tensor has mean |gradient| {typical:.0e}"
    )
    return Health(True, reason, typical)
