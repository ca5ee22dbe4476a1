"""What watches training: the shape of an observer, and the values it is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from landscape.errors import MismatchError
from landscape.objective.runner import Runner
from landscape.training.config import TrainingConfig

# What is known of one epoch or one split, by name; a quantity that does not exist (no validation split, no classes) has
# no entry, while NaN and ±inf are measured values.
Record = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class StartReport:
    """What is about to be trained, told once, before the first step.

    ``history`` holds the records of the epochs made before a resume, so ``first_epoch`` is ``len(history) + 1``. ``data`` is the
    name of the training split and ``train_images`` the number of its images used; an epoch makes ``steps_per_epoch`` updates.
    ``engine`` says how convolutions are made, or why they are not filtered; it is empty where that was not asked for or none suits.
    ``run`` tells this training from others, by what it started from: a resumed one has the name of the run before.
    """

    module: nn.Module
    config: TrainingConfig
    device: torch.device
    data: str
    train_images: int
    steps_per_epoch: int
    loss_name: str
    history: Sequence[Record]
    engine: str = ""
    run: str = ""

    @property
    def first_epoch(self) -> int:
        return len(self.history) + 1


@dataclass(frozen=True, eq=False, slots=True)
class StepReport:
    """One training step, after the backward pass (``.grad`` is set) and before the optimiser moves the parameters.

    Everything is a reference to what the loop itself uses: to look is free, but reading a value on an accelerator makes the
    host wait for it. ``step`` counts the updates made before this one over the whole training, ``epoch`` is 1-based.
    ``losses`` are the samples' shares in the minibatch's loss ``(B,)``, detached; the gradients are those of their mean. They are
    ``runner.losses(inputs, targets)``; ``runner.of(copy)`` computes the same of a copy of the module, which an observer makes
    to look at other parameters, and draws what the step drew (dropout) after ``seed_modules(device, seed)``.
    """

    epoch: int
    step: int
    seed: int
    batch_size: int
    learning_rate: float
    module: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: Any
    targets: Any
    losses: Tensor
    runner: Runner


@dataclass(frozen=True, eq=False)
class EpochReport:
    """The end of an epoch (1-based) of ``epochs``, after ``step`` updates in all.

    ``record`` has ``train_loss`` and ``train_accuracy``, running over the epoch (train mode, each minibatch before its update,
    augmented), ``validation_loss`` and ``validation_accuracy`` (evaluation mode, after the epoch), all of them over
    all samples, losses reduced as the loss itself does it, and ``learning_rate``. ``history`` is every record so far, this one
    last. ``is_best`` as in :func:`best_epoch`.
    """

    epoch: int
    epochs: int
    step: int
    record: Record
    history: Sequence[Record]
    is_best: bool
    module: nn.Module
    _snapshot: Callable[[], dict[str, Any]] = field(repr=False)

    def state(self) -> dict[str, Any]:
        """A copy, on the CPU, of all that ``fit(resume=…)`` needs to go on from here bit for bit.

        Keys: ``model`` and ``optimizer`` (state dicts), ``epoch``, ``step``, ``generator`` (``seed``, ``epoch`` and ``step``,
        from which every draw is derived), ``config``, ``history``, ``made`` (hashes of the data, and values of module and
        loss for a few samples, at the start and here) and ``best`` (the best epoch's record with its ``epoch``, or None). Tensors
        and plain Python only, so that ``torch.load(weights_only=True)`` reads it back.

        Raises:
            InputError: when called later than in ``on_epoch``, once the weights have moved on.
        """
        return self._snapshot()


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training came to. The trained weights are in the module that was given.

    ``status`` is ``complete``, or ``diverged`` where the mean training loss of the last epoch in ``history`` is NaN or infinite.
    ``test`` has ``test_loss`` and ``test_accuracy`` of the final weights, as far as they exist; ``updates`` were made in all.
    ``engine`` is that of :class:`StartReport`.
    """

    config: TrainingConfig
    status: str
    history: Sequence[Record]
    test: Record
    loss_name: str
    data: str
    updates: int
    engine: str = ""

    @property
    def best_epoch(self) -> int | None:
        """See :func:`best_epoch`."""
        return best_epoch(self.history)

    @property
    def diverged_epoch(self) -> int | None:
        """The epoch (1-based) after which training was given up, or None."""
        return len(self.history) if self.status == "diverged" else None


@runtime_checkable
class Observer(Protocol):
    """Watches training. The loop tells every observer in the order given, and knows nothing else of it.

    Observers leave what they are shown as it is (parameters, gradients, buffers, modes); random draws of theirs do not
    disturb training. An exception from one ends training and reaches the caller of ``fit``: the way to stop early. An
    observer that is also a context manager is entered before and left after training, whichever way it ends. Subclassing
    gives methods that do nothing.
    """

    def on_start(self, report: StartReport) -> None:
        """Before the first step, also when there is none left to make."""
        return

    def on_step(self, report: StepReport) -> None:
        """At every step, between its backward pass and its update."""
        return

    def on_epoch(self, report: EpochReport) -> None:
        """At the end of every epoch."""
        return

    def on_end(self, result: TrainingResult) -> None:
        """After the last epoch, unless an exception ended training."""
        return


def best_epoch(history: Sequence[Record]) -> int | None:
    """The epoch (1-based) of highest validation accuracy, or of lowest validation loss where there is no accuracy.

    Ties go to the earlier epoch. An epoch with any non-finite value is never best. None without a validation split.
    """
    best, best_score = None, -math.inf
    for epoch, record in enumerate(history, start=1):
        score = record.get("validation_accuracy", -record.get("validation_loss", math.inf))
        if score > best_score and all(math.isfinite(value) for value in record.values()):
            best, best_score = epoch, score
    return best


def same_run(report: Any, recorded: str | None) -> str:
    """The name of the training that a ``StartReport`` tells of, for an observer that goes on from a result of ``recorded``.

    A loop of one's own may tell no name; None stands for an observer that begins.

    Raises:
        MismatchError: for a result of another training.
    """
    run = str(getattr(report, "run", ""))
    if recorded is not None and recorded != run:
        raise MismatchError(
            f"resume: was recorded in another training ({recorded or 'of no name'}) than the one that goes on "
            f"({run or 'of no name'}). Resume both from the same run, or start a new one."
        )
    return run
