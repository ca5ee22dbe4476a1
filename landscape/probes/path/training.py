"""Bends trained so that the loss stays low along a curve between two networks (Garipov et al. 2018, arXiv 1802.10026)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.probes.path.curves import curve_weights

# what each optimiser remembers of the bends
_MOMENTS = {"adam": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}
OPTIMIZERS = tuple(_MOMENTS)


@dataclass(frozen=True)
class CurveTraining:
    """How bends are trained.

    Attributes:
        steps: minibatches, each at a t of its own, uniform over [0, 1].
        batch_size: samples a minibatch.
        learning_rate: of the first half of the steps; it falls linearly to a hundredth over the second (Garipov et al., A.2).
        optimizer: ``adam``, or ``sgd`` with a momentum of 0.9.
        bends: points that are trained.
        seed: of the minibatches and of t.

    Example:
        >>> bend = ls.CurveTraining(steps=20, batch_size=20, learning_rate=0.01)
        >>> paths = ls.path(objective, other, kinds=["linear", "bezier"], points=5, config=bend)
        >>> paths["training_loss"].sizes["step"]
        20
    """

    steps: int = 300
    batch_size: int = 100
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    bends: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "bends"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}.")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate: expected a positive number, got {self.learning_rate!r}.")
        if self.optimizer not in OPTIMIZERS:
            raise unknown_choice("optimizer", self.optimizer, OPTIMIZERS)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        part = step / self.steps
        return self.learning_rate * min(1.0, 1.0 - 0.99 * (part - 0.5) / 0.5)


@dataclass(frozen=True)
class TrainedCurve:
    """The bends, shape ``(bends, n)``, and the minibatch loss of every step, NaN where it is still to be made.

    ``moments`` ``(k, bends, n)`` are what the optimiser remembers: with them an unfinished training goes on.
    """

    bends: Tensor
    losses: NDArray[np.float64]
    moments: Tensor

    @property
    def steps(self) -> int:
        """How many were made."""
        return int(np.isfinite(self.losses).sum())

    @property
    def complete(self) -> bool:
        return self.steps == self.losses.size


def train_curve(
    objective: Objective,
    start: Tensor,
    end: Tensor,
    shape: str,
    config: CurveTraining,
    observer: Callable[[TrainedCurve], None] | None = None,
    earlier: TrainedCurve | None = None,
) -> TrainedCurve:
    """Minimise the mean over t of L(θ(t)) by the bends, starting from the straight line.

    Every step takes a minibatch of the objective's samples and one t, both drawn from (``config.seed``, step), and the gradient
    ∂L/∂mⱼ = wⱼ(t) ∇L(θ(t)). BatchNorm is the objective's: ``batch`` trains as training does, with the minibatch's statistics.

    Args:
        objective: its samples are the training data, used without augmentation.
        start, end: the flat θ at t = 0 and 1.
        shape: ``bezier`` or ``chain``.
        observer: told what there is after each step, in tensors that the next one changes.
        earlier: an unfinished training of the same curve, which goes on to the same bits.

    Raises:
        InputError: where the loss of a minibatch becomes NaN or infinite.
    """
    parts = torch.arange(1, config.bends + 1, dtype=start.dtype, device=start.device)[:, None] / (config.bends + 1)
    bends = torch.nn.Parameter(start + parts * (end - start) if earlier is None else earlier.bends.clone())
    optimizer = _optimizer(bends, config)
    losses = np.full(config.steps, np.nan) if earlier is None else earlier.losses.copy()
    first = 0 if earlier is None else earlier.steps
    if earlier is not None and first:
        _remember(optimizer, bends, earlier.moments, config, first)
    for step in range(first, config.steps):
        draws = generator(config.seed, "curve", step)
        t = float(torch.rand((), generator=draws, dtype=torch.float64))
        weights = torch.from_numpy(curve_weights(shape, config.bends, np.array([t]))[0]).to(start)
        places = torch.randperm(objective.n_samples, generator=draws)[: config.batch_size]
        theta = start + weights[:-1] @ (bends.detach() - start) + weights[-1] * (end - start)
        found = objective.part(places).gradient(theta)
        losses[step] = found.loss
        if not np.isfinite(found.loss):
            raise InputError(
                f"curve: the loss became {found.loss} at step {step + 1}. A smaller learning rate than {config.learning_rate:g} "
                "is the usual remedy."
            )
        bends.grad = weights[:-1, None] * found.vector.vector
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step)
        optimizer.step()
        if observer is not None:
            observer(TrainedCurve(bends.detach(), losses, _moments(optimizer, bends, config)))
    return TrainedCurve(bends.detach(), losses, _moments(optimizer, bends, config))


def _optimizer(bends: torch.nn.Parameter, config: CurveTraining) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD([bends], lr=config.learning_rate, momentum=0.9)
    return torch.optim.Adam([bends], lr=config.learning_rate)


def _moments(optimizer: torch.optim.Optimizer, bends: torch.nn.Parameter, config: CurveTraining) -> Tensor:
    state = optimizer.state[bends]
    return torch.stack([state[name] for name in _MOMENTS[config.optimizer]])


def _remember(
    optimizer: torch.optim.Optimizer, bends: torch.nn.Parameter, moments: Tensor, config: CurveTraining, steps: int
) -> None:
    """Put the optimiser where it was after so many steps."""
    state = {name: moment.clone() for name, moment in zip(_MOMENTS[config.optimizer], moments, strict=True)}
    if config.optimizer == "adam":
        state["step"] = torch.tensor(float(steps))
    optimizer.state[bends] = state
