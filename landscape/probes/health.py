"""Whether a network is dead: whatever it is given, it gives the same, and no gradient that knows the input reaches its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.data import subset
from landscape.errors import GradientError, LandscapeError
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.seeds import generator
from landscape.objective.batches import evenly
from landscape.objective.dependence import FEW, best_constant_loss, dependence, reach
from landscape.objective.objective import Objective
from landscape.objective.values import Gradient
from landscape.training import TrainingResult

UNREACHED = 1e-8  # of the largest gradient: less than fp32 can add to it
NAMED = 3  # tensors that a sentence lists
FIXED = ("frozen", "interpolated")  # BN policies under which a young network may be as if it had no BatchNorm
CLOSE = 1e-3  # of the best constant prediction's loss


@dataclass(frozen=True)
class Health:
    """What is known of a network's health at a checkpoint.

    Attributes:
        dead: whether it is dead as a whole.
        reason: in words, why; empty for a living network.
        gradient: the median over weight tensors of mean |∂L/∂w|.
        part: of a living network, which of its weight tensors no gradient reaches, or that it was dead at the start of its
            training; empty where there is nothing to say.
    """

    dead: bool
    reason: str
    gradient: float
    part: str = ""

    def attributes(self) -> dict[str, Any]:
        """What results say of it: ``dead`` (0 or 1), ``dead_reason`` and ``dead_part``."""
        return {"dead": int(self.dead), "dead_reason": self.reason, "dead_part": self.part}


def network_health(objective: Objective, loss: float) -> Health:
    """Recognise a dead network, whose landscape looks perfectly smooth because nothing in it does anything.

    Dead means that at the checkpoint neither the outputs nor the gradient depend on the input, see
    :class:`landscape.objective.dependence.Dependence`, so that the loss is at best that of the best constant prediction,
    whichever loss and targets. Near-chance loss, tiny gradients and a last layer that is still zero make no dead network. Where
    it cannot be told (inputs that are all equal, outputs that are not one row a sample, a loss that is not finite), nothing is
    called dead. ``loss`` is the checkpoint's.
    """
    try:
        gradients = _of_weights(objective.gradient())
    except GradientError:
        return Health(False, "", math.nan)
    means = {name: float(g.abs().mean(dtype=torch.float64)) for name, g in gradients.items()}
    middle = typical(list(means.values()))
    found = dependence(objective) if math.isfinite(loss) else None
    if found is None or not found.absent:
        return Health(False, "", middle, _unreached_part(objective, gradients))
    policy = " under its running statistics" if objective.bn_layers and objective.batch_norm in FIXED else ""
    reason = (
        f"its outputs{policy} do not depend on the input (over {found.samples} samples they {_apart(found.outputs)}); "
        f"{_compared(loss, best_constant_loss(objective))}; {_profile(means)}"
    )
    return Health(True, reason, middle)


def _of_weights(found: Gradient) -> dict[str, Tensor]:
    return {name: g for name, g in found.vector.views().items() if g.ndim > 1}


def _unreached_part(objective: Objective, gradients: Mapping[str, Tensor]) -> str:
    """Which weight tensors no gradient reaches, also where those that are zero, as many a last layer is at first, would move."""
    theta = objective.theta
    said = unreached(_sizes(theta, gradients))
    zeros = [name for name in gradients if theta[name].numel() and not bool(theta[name].any())]
    if not said or not zeros:
        return said
    moved = ParameterVector(theta.vector.clone(), theta.layout)
    for name in zeros:
        drawn = torch.randn(theta[name].shape, generator=generator(0, f"instead of zeros: {name}"))
        moved[name].copy_(drawn / math.sqrt(drawn[0].numel()))
    try:
        return unreached(_sizes(moved, _of_weights(objective.gradient(moved))))
    except GradientError:
        return said


def _sizes(theta: ParameterVector, gradients: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(g.norm()) * reach(theta[name]) for name, g in gradients.items()}


def _apart(share: float) -> str:
    """How far outputs differ, in parts of their size."""
    return f"differ by {share:.0e} of their size" if share else "are the same"


def _compared(loss: float, best: float) -> str:
    """The loss beside that of the best constant prediction, where that is known."""
    if math.isnan(best):
        return f"loss {loss:.5g}"
    lies = "is that" if abs(loss - best) <= CLOSE * abs(best) else "is not below that"
    return f"loss {loss:.5g} {lies} of the best constant prediction, {best:.5g}"


def _profile(means: Mapping[str, float]) -> str:
    """The size of the gradient over depth."""
    sizes = list(means.values())
    if not sizes:
        return "no weight tensor has a gradient"
    return (
        f"no gradient tells inputs apart: mean |gradient| {sizes[0]:.0e} in the first of {len(sizes)} weight tensors, "
        f"{typical(sizes):.0e} in the median, {sizes[-1]:.0e} in the last"
    )


def unreached(sizes: Mapping[str, float]) -> str:
    """Which tensors no gradient reaches while it reaches others: their gradient is below 1e-8 of the largest; else empty.

    ``sizes`` of the gradient are in the order of depth.
    """
    largest = max(sizes.values(), default=math.nan)
    names = [name for name, size in sizes.items() if size <= UNREACHED * largest]
    if not names or not math.isfinite(largest) or largest == 0:
        return ""
    leading = names == list(sizes)[: len(names)]
    where = "first " if leading else ""
    named = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return f"no gradient reaches the {where}{len(names)} of {len(sizes)} weight tensors ({named})"


def typical(means: Sequence[float]) -> float:
    """The median, of an even number the lower of the middle two; NaN where there is none, or any is NaN."""
    return float(torch.tensor(means, dtype=torch.float64).median()) if len(means) else math.nan


def health_of(
    module: nn.Module, loss: Any, data: Any, result: TrainingResult, flow: xr.Dataset, device: str | torch.device
) -> Health:
    """Of a network whose training is over, by what it does, with batch statistics, with some of the images of its training.

    ``part`` says, of one that lives, if no gradient reached half of its weights in the first record of the ``flow``. A network
    that diverged, or that can be trained and not measured, is not called dead.
    """
    trained_on = subset(data, result.config.train_images)
    some = trained_on[evenly(len(trained_on), FEW)]
    try:
        objective = Objective(
            module, loss, data, samples=some, batch_norm="batch", engine="plain", parameters="trainable", device=device
        )
        health = network_health(objective, objective.evaluate().loss)
    except LandscapeError:
        return Health(False, "", math.nan)
    if health.dead:
        return health
    return replace(health, part="; ".join(filter(None, (health.part, _at_the_start(flow)))))


def _at_the_start(flow: xr.Dataset) -> str:
    """That the first record of a gradient flow shows weights that no gradient reached."""
    if not flow.sizes["record"]:
        return ""
    weights = flow.isel(record=0, tensor=np.flatnonzero(flow["role"].values == "weight"))
    sizes = dict(zip(map(str, weights["tensor"].values), weights["gradient_norm"].values.tolist(), strict=True))
    found = unreached(sizes)
    return found and f"in epoch {int(weights['epoch'])} of its training {found.replace('reaches', 'reached')}"
