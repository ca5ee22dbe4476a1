"""The probe that goes on training from a checkpoint and looks along the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import xarray as xr
from torch import nn

from landscape.errors import CheckpointError, InputError
from landscape.objective.batches import tensors_in
from landscape.objective.signature import Signature, tensors_hash
from landscape.places import Places
from landscape.probes.health import health_of
from landscape.probes.progress import Progress
from landscape.probes.saving import Prepared, Saver
from landscape.probes.steps.config import StepsSettings
from landscape.probes.steps.observer import StepProbe
from landscape.probes.subjects import Opened, Subject, open_subject
from landscape.registry import found, probes
from landscape.training import Observer, StepReport, TrainingConfig, fit, learning_rate, signature_of


def prepare_steps(subject: Subject, settings: StepsSettings, places: Places) -> Prepared:
    """Train on from the state that the checkpoint holds, at the learning rate of its next epoch, and probe the steps.

    The training is the one that the checkpoint came from (its data, batches, augmentation, optimiser with its moments), at a
    constant rate: that of the epoch that would come next, or of the last one where the training was over.

    Raises:
        CheckpointError: for weights without a training state.
        InputError: for a subject that leads to other checkpoints.
    """
    if subject.to or subject.directions is not None:
        raise InputError("kind: 'steps' goes on training; --to and --directions belong to lines and planes.")
    opened = open_subject(subject, places)
    state = opened.checkpoint.state
    if state is None or not {"optimizer", "config", "epoch", "step", "history"} <= state.keys():
        raise CheckpointError(
            f"{subject.checkpoint}: holds weights alone, and the step probe goes on training from the optimiser's state. "
            "Expected a checkpoint that landscape train wrote, such as last.pt."
        )
    state, config = _continued(state, settings, len(opened.dataset.train))
    moments = {"optimizer": tensors_hash(tensors_in(state["optimizer"])), "training": config.to_dict()}
    identity = {**opened.identity(), **settings.identity(), **moments}
    attributes = {**opened.attributes(), "title": f"steps on from {opened.stem}", "data": opened.dataset.train.name}

    @cache
    def made() -> Signature:
        train, loss = opened.dataset.train, opened.loss
        return signature_of(opened.module, train, config, loss=loss, device=places.device, resume=state)

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        # What is trained here is what is asked for, whatever the checkpoint was trained with.
        own = {**state, "made": {"start": made().content(), "here": made().content()}}
        told = {**attributes, **made().attribute()}
        return _measured(opened, settings, config, own, told, places.device, saver)

    task = f"steps on from {opened.stem}"
    return Prepared(task, opened.stem, identity, made, attributes, measure, lambda found: found.sizes["step"])


def _measured(
    opened: Opened,
    settings: StepsSettings,
    config: TrainingConfig,
    state: Mapping[str, Any],
    attributes: Mapping[str, Any],
    device: str,
    saver: Saver,
) -> xr.Dataset:
    probe, flow = StepProbe(settings.config()), found(probes()["gradient_flow"].observer)(every=settings.probe_every)
    told = _Told(saver, int(state["step"]), settings.steps, lambda: probe.dataset(attributes))
    result = fit(
        opened.module,
        opened.dataset.train,
        config,
        loss=opened.loss,
        device=device,
        observers=(probe, flow, told),
        resume=state,
    )
    health = health_of(opened.module, opened.loss, opened.dataset.train, result, flow.dataset(), device)
    return probe.dataset({**attributes, **health.attributes()})


def _continued(
    state: Mapping[str, Any], settings: StepsSettings, images: int
) -> tuple[Mapping[str, Any], TrainingConfig]:
    """The state as that of a training with a constant rate that ends ``settings.steps`` steps later."""
    saved = TrainingConfig.from_dict(state["config"])
    epoch = int(state["epoch"])
    per_epoch = saved.steps_per_epoch(min(images, saved.train_images or images))
    step = epoch * per_epoch
    rate = learning_rate(saved, min(epoch + 1, saved.epochs))
    config = replace(saved, schedule="constant", learning_rate=rate, updates=step + settings.steps).for_steps(per_epoch)
    return {**state, "step": step, "config": config.to_dict()}, config


class _Told(Observer):
    """Tells the saver of every step."""

    def __init__(self, saver: Saver, first: int, total: int, dataset: Callable[[], xr.Dataset]) -> None:
        self._saver, self._first, self._total, self._dataset = saver, first, total, dataset

    def on_step(self, report: StepReport) -> None:
        self._saver(Progress(report.step - self._first + 1, self._total, self._dataset, "steps"))


def training_steps(settings: StepsSettings, module: nn.Module, batch_size: int) -> float:
    """What it costs, in training steps of one sample: the training itself, and a look at each η."""
    looks = math.ceil(settings.steps / settings.probe_every)
    return (settings.steps + looks * len(settings.config().factors())) * batch_size
