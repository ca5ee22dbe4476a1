"""The fit loop: epochs of steps, told to observers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from landscape.data import Data, DataSet, as_data, subset
from landscape.data.splits import SPLITS
from landscape.errors import InputError
from landscape.numerics.seeds import derive_seed, generator
from landscape.objective.batches import PreparedBatches
from landscape.objective.labels import ignored_label
from landscape.objective.losses import SampleLoss, loss_name
from landscape.objective.runner import Forward, call
from landscape.objective.signature import Signature
from landscape.objective.torch_losses import per_sample_loss
from landscape.stopping import look
from landscape.torch_state.devices import resolve_device
from landscape.torch_state.isolation import isolated, seed_modules
from landscape.training.checks import check_first_batch
from landscape.training.config import TrainingConfig, learning_rate
from landscape.training.learner import Learner, training_mode
from landscape.training.made import run_name, training_signature
from landscape.training.observers import (
    EpochReport,
    Observer,
    Record,
    StartReport,
    StepReport,
    TrainingResult,
    best_epoch,
)
from landscape.training.state import check_made, diverged, restore, since, snapshot


@torch.inference_mode(False)
@torch.enable_grad()
def fit(
    module: nn.Module,
    dataset: Any,
    config: TrainingConfig | None = None,
    *,
    loss: str | nn.Module | Callable[[Any, Any], Tensor] = "cross_entropy",
    device: str | torch.device = "auto",
    observers: Sequence[Observer] = (),
    resume: Mapping[str, Any] | None = None,
    forward: Forward = call,
) -> TrainingResult:
    """Train ``module`` on the training split of ``dataset``, minimising the loss of each minibatch.

    **The module is trained in place**: afterwards it holds the final weights, in fp32 on ``device``, with images and
    convolution weights channels-last (a memory format; values and shapes are not concerned), its layers in the modes they
    came in. While it is trained, its convolutions may be of a faster class (``TrainingConfig.engine``), which copies of it
    keep: save its ``state_dict()``, not the module. Parameters that require no gradient stay as they are. PyTorch's global random
    state and cuDNN settings are left as they were.

    Every draw of epoch e or step s comes from ``config.seed`` and ("shuffle", e), ("augment", s) or ("dropout", s), so the same
    call on the same machine with the same number of threads gives the same bits, and so does a run that was interrupted
    after any epoch and resumed.

    An epoch whose mean training loss is NaN or infinite is recorded as it is, and training ends after it with the status
    ``diverged``: weights that are not finite stay so, and further epochs would only repeat the NaN.

    Args:
        module: any ``torch.nn.Module``.
        dataset: a :class:`landscape.data.DataSet`, or training data alone: a ``Data``, a pair of tensors, or anything with
            ``__len__`` and ``__getitem__``. Without a validation split nothing is validated and no epoch is best.
        config: the recipe; the defaults of :class:`TrainingConfig` where None.
        loss: a name (``cross_entropy``, ``mse``), a ``torch.nn`` loss with its own reduction, or a callable
            ``(outputs, targets) -> values (B, …)`` or ``-> (values, weights)``; a minibatch's loss is their (weighted) mean.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or a ``torch.device``. The data is moved to it once.
        observers: told about start, steps, epochs and end; see :class:`Observer`.
        resume: what ``EpochReport.state()`` of an earlier run returned; training goes on after that epoch. It is only read. Module,
            loss and data must give what they gave then, for a few samples and by hashes: see :mod:`landscape.training.made`.
        forward: ``(module, inputs) -> outputs`` for modules that are called in another way than ``module(inputs)``,
            ``module(*inputs)`` for tuples or ``module(**inputs)`` for mappings.

    Returns:
        The history, the status, and loss and accuracy of the final weights on the test split where there is one.

    Raises:
        InputError: for an unusable argument, before any training: among them labels outside the module's classes.
        CheckpointError, MismatchError: for a ``resume`` that does not belong to this module, loss, data or recipe.

    Example:
        >>> model = ls.build_model("mlp", seed=0, inputs=2, hidden=8, classes=2)
        >>> result = ls.fit(model, data, ls.TrainingConfig(epochs=5, learning_rate=0.1))
        >>> result.status, result.history[-1]["train_loss"] < result.history[0]["train_loss"]
        ('complete', True)
    """
    config = TrainingConfig() if config is None else config
    _check_arguments(module, config, observers)
    with ExitStack() as stack:
        run = stack.enter_context(_ready(module, dataset, config, loss, device, forward, observers))
        learner, history = run.learner, run.resumed(resume)
        here = run.signature()
        start = here.content() if resume is None else check_made(resume, here)
        run = replace(run, start=start)
        stack.enter_context(learner.filtered(run.data.train.batch(run.indices[: run.config.batch_size])[0]))
        if resume is not None:
            learner.engine = since(resume, learner.engine)
        for observer in observers:
            if isinstance(observer, AbstractContextManager):
                stack.enter_context(observer)
        return run.to_the_end(history, loss_name(loss))


@torch.inference_mode(False)
@torch.enable_grad()
def signature_of(
    module: nn.Module,
    dataset: Any,
    config: TrainingConfig,
    *,
    loss: str | nn.Module | Callable[[Any, Any], Tensor] = "cross_entropy",
    device: str | torch.device = "auto",
    resume: Mapping[str, Any] | None = None,
) -> Signature:
    """What :func:`fit` with these arguments would start from, or go on from; see :mod:`landscape.training.made`.

    ``module`` holds the weights of ``resume`` afterwards. Raises what :func:`fit` does, but for what made ``resume``.
    """
    _check_arguments(module, config, ())
    with _ready(module, dataset, config, loss, device, call, ()) as run:
        run.resumed(resume)
        return run.signature()


@contextmanager
def _ready(
    module: nn.Module,
    dataset: Any,
    config: TrainingConfig,
    loss: Any,
    device: str | torch.device,
    forward: Forward,
    observers: Sequence[Observer],
) -> Iterator[_Run]:
    """Module, loss and data put together and tried, in training mode and with PyTorch's global state borrowed."""
    place = resolve_device(device)
    data = (dataset if isinstance(dataset, DataSet) else _training_data_alone(dataset)).to(place)
    with isolated(place), training_mode(module):
        learner = Learner(
            module, config, _for_labels_of(data, per_sample_loss(loss, place, torch.float32)), forward, place
        )
        indices = subset(data.train, config.train_images)
        config = config.for_steps(config.steps_per_epoch(len(indices)))
        check_first_batch(learner, data, indices[: config.batch_size])
        yield _Run(learner, data, indices.to(place), config, tuple(observers))


@dataclass(frozen=True)
class _Run:
    """What stays the same from epoch to epoch. ``indices`` are the training samples used, on the device.

    ``start`` is what the run was at its first weights, as stored.
    """

    learner: Learner
    data: DataSet
    indices: Tensor
    config: TrainingConfig
    observers: tuple[Observer, ...]
    start: Mapping[str, Any] = field(default_factory=dict)

    def resumed(self, state: Mapping[str, Any] | None) -> list[Record]:
        """Put a state back, if there is one; the history up to it."""
        return [] if state is None else restore(state, self.learner, self.config, self.steps_per_epoch)

    def signature(self) -> Signature:
        """What the run is at its present weights."""
        return training_signature(self.learner, self.data, self.indices, self.config)

    @property
    def steps_per_epoch(self) -> int:
        return self.config.steps_per_epoch(len(self.indices))

    @cached_property
    def _validation(self) -> PreparedBatches | None:
        return None if self.data.validation is None else self._prepared(self.data.validation)

    def to_the_end(self, history: list[Record], loss: str) -> TrainingResult:
        """All epochs that ``history`` does not have yet, then the test split."""
        config, learner = self.config, self.learner
        self._tell_start(tuple(history), loss)
        while len(history) < config.epochs and not diverged(history):
            epoch = len(history) + 1
            history.append(self._epoch(epoch))
            self._tell_epoch(epoch, tuple(history))
        test = {} if self.data.test is None else _record("test", learner.evaluate(self._prepared(self.data.test)))
        learner.optimizer.zero_grad(set_to_none=True)
        status = "diverged" if diverged(history) else "complete"
        name, updates = self.data.train.name, learner.updates
        result = TrainingResult(config, status, tuple(history), test, loss, name, updates, learner.engine)
        for observer in self.observers:
            observer.on_end(result)
        return result

    def _epoch(self, epoch: int) -> Record:
        """Train for one epoch, validate, and give its record."""
        rate, tally = learning_rate(self.config, epoch), self.learner.tally()
        for inputs, targets in self._training_batches(epoch):
            losses = self.learner.backward(inputs, targets, tally)
            self._tell_step(epoch, rate, inputs, targets, losses)
            self.learner.update(rate)
        record = _record("train", tally.means())
        if self._validation is not None:
            record |= _record("validation", self.learner.evaluate(self._validation))
        return record | {"learning_rate": rate}

    def _training_batches(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """The epoch's minibatches in its order, the generators of augmentation and dropout set for each step."""
        config, train, learner = self.config, self.data.train, self.learner
        order = torch.randperm(len(self.indices), generator=generator(config.seed, "shuffle", epoch))
        steps = config.updates_after(epoch, self.steps_per_epoch) - learner.updates
        for part in _batches(self.indices[order.to(self.indices.device)], config.batch_size)[:steps]:
            look()
            if config.augment:
                batch = train.training_batch(part, generator(config.seed, "augment", learner.updates))
            else:
                batch = train.batch(part)
            seed_modules(learner.device, self._step_seed())
            yield learner.place(batch[0]), learner.place(batch[1])

    def _step_seed(self) -> int:
        """What the module's own draws (dropout) at the coming step come from."""
        return derive_seed(self.config.seed, "dropout", self.learner.updates)

    def _prepared(self, data: Data) -> PreparedBatches:
        learner = self.learner
        # Small enough for a CPU's cache, large enough for an accelerator's units.
        size = 32 if learner.device.type == "cpu" else 1024
        return PreparedBatches(
            data,
            torch.arange(len(data)),
            batch_size=size,
            device=learner.device,
            dtype=torch.float32,
            channels_last=learner.channels_last,
        )

    def _tell_start(self, history: Sequence[Record], loss: str) -> None:
        learner, train = self.learner, self.data.train
        for observer in self.observers:
            observer.on_start(
                StartReport(
                    module=learner.module,
                    config=self.config,
                    device=learner.device,
                    data=train.name,
                    train_images=len(self.indices),
                    steps_per_epoch=self.steps_per_epoch,
                    loss_name=loss,
                    history=history,
                    engine=learner.engine,
                    run=run_name(self.start, self.config),
                )
            )

    def _tell_step(self, epoch: int, rate: float, inputs: Any, targets: Any, losses: Tensor) -> None:
        learner = self.learner
        for observer in self.observers:
            observer.on_step(
                StepReport(
                    epoch=epoch,
                    step=learner.updates,
                    seed=self._step_seed(),
                    batch_size=len(losses),
                    learning_rate=rate,
                    module=learner.module,
                    optimizer=learner.optimizer,
                    inputs=inputs,
                    targets=targets,
                    losses=losses,
                    runner=learner.runner,
                )
            )

    def _tell_epoch(self, epoch: int, history: Sequence[Record]) -> None:
        config, learner, step = self.config, self.learner, self.learner.updates

        def state() -> dict[str, Any]:
            if learner.updates != step:
                raise InputError(
                    f"state: epoch {epoch} is over and the weights have moved on. Call it within on_epoch."
                )
            return snapshot(learner, config, history, {"start": self.start, "here": self.signature().content()})

        for observer in self.observers:
            observer.on_epoch(
                EpochReport(
                    epoch=epoch,
                    epochs=config.epochs,
                    step=step,
                    record=history[-1],
                    history=history,
                    is_best=best_epoch(history) == epoch,
                    module=learner.module,
                    _snapshot=state,
                )
            )


def _for_labels_of(data: DataSet, loss: SampleLoss) -> SampleLoss:
    """The loss without a look at what labels weigh, where classes are known of every split and none of them is left out."""
    splits = [split for split in (getattr(data, name) for name in SPLITS) if split is not None]
    classes = [split.classes for split in splits]
    weighted = getattr(loss.whole, "weight", None) is not None
    if loss.takes != "labels" or weighted or any(n is None or 0 <= ignored_label(loss) < n for n in classes):
        return loss
    return loss.plain()


def _batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """``order`` in minibatches, the last one smaller; a last one of a single sample joins the one before it."""
    parts = list(torch.split(order, batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1 and batch_size > 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _record(split: str, means: tuple[float, float | None]) -> dict[str, float]:
    loss, accuracy = means
    return {f"{split}_loss": loss} | ({} if accuracy is None else {f"{split}_accuracy": accuracy})


def _training_data_alone(given: Any) -> DataSet:
    train = as_data(given)
    return DataSet(name=train.name, train=train, classes=train.classes)


def _check_arguments(module: object, config: object, observers: Sequence[object]) -> None:
    if not isinstance(module, nn.Module):
        raise InputError(f"module: expected a torch.nn.Module, got {module!r}.")
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise InputError(f"module: {name} is not initialised yet. Run one batch through the module first.")
    if not isinstance(config, TrainingConfig):
        raise InputError(f"config: expected a TrainingConfig, got {config!r}. Try TrainingConfig.from_dict(…).")
    for observer in observers:
        if not isinstance(observer, Observer):
            raise InputError(
                f"observers: {observer!r} lacks one of on_start, on_step, on_epoch and on_end. "
                "Subclass landscape.training.Observer to get those that do nothing."
            )
