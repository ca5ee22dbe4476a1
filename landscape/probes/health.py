"""Whether a network is dead: no gradient reaches its weights and it predicts the same for every input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from landscape.objective.objective import Objective
from landscape.training import TrainingResult

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

    ``loss`` is the checkpoint's; for what counts as dead see :func:`judge_health`.
    """
    gradient = objective.gradient().vector
    means = [float(g.abs().mean(dtype=torch.float64)) for g in gradient.views().values() if g.ndim > 1]
    return judge_health(loss, classes=objective.data.classes, loss_name=objective.loss_name, gradient=typical(means))


def judge_health(loss: float, *, classes: int | None, loss_name: str, gradient: float) -> Health:
    """Whether a network is dead, from its mean loss and ``gradient``, the median over weight tensors of mean |∂L/∂w|.

    Dead means both: the loss is within 1 % of ln(classes), the cross-entropy of guessing; and half of the weight tensors (more
    than one dimension) have a mean |∂L/∂w| below 1e-8. A network at its initialisation meets the first alone. Where the loss
    is no cross-entropy, or the classes are not known, nothing is called dead.
    """
    if loss_name.rsplit(".")[-1] not in ("cross_entropy", "CrossEntropyLoss") or not classes or classes < 2:
        return Health(False, "", gradient)
    chance = math.log(classes)
    dead = abs(loss - chance) <= CHANCE_TOLERANCE * chance and gradient < DEAD_GRADIENT
    if not dead:
        return Health(False, "", gradient)
    reason = (
        f"loss {loss:.5g} is that of guessing, ln {classes} = {chance:.5g}, "
        f"and the median weight tensor has mean |gradient| {gradient:.0e}"
    )
    return Health(True, reason, gradient)


def typical(means: Sequence[float]) -> float:
    """The median, of an even number the lower of the middle two; NaN where there is none, or any is NaN."""
    return float(torch.tensor(means, dtype=torch.float64).median()) if len(means) else math.nan


def typical_gradient(flow: xr.Dataset) -> float:
    """The median over weight tensors of mean |∂L/∂w| in the last record of a ``gradient_flow``; NaN where there is none.

    What :func:`landscape.probes.health.judge_health` asks for.
    """
    weights = np.flatnonzero(flow["role"].values == "weight")
    return typical(flow["mean_abs_gradient"].values[-1:, weights].ravel().tolist())


def health_of(result: TrainingResult, flow: xr.Dataset, classes: int | None) -> Health:
    """Judged by the last epoch's mean training loss and the last record of the gradient flow."""
    loss = result.history[-1]["train_loss"] if result.history else math.nan
    return judge_health(loss, classes=classes, loss_name=result.loss_name, gradient=typical_gradient(flow))
