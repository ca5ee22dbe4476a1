"""What a study would do, before anything starts: its runs, their updates, and how long they may take on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from landscape.data import NAMED_FACTS, TRAIN_IMAGES, DataSet, load_data
from landscape.models import build_model, fitting_options
from landscape.studies.costs import PRODUCT, probe_steps
from landscape.studies.places import Places
from landscape.studies.run_settings import RunSettings
from landscape.studies.runs import run_folder
from landscape.studies.settings import StudySettings
from landscape.studies.sweep import labels_of
from landscape.training import Observer, StepReport, fit

TIMED_BATCH = 32
TIMED_STEPS = 4
STABILITY_PRODUCTS = 5  # of an eigenvalue that is tracked in training, each time


@dataclass(frozen=True)
class PlannedRun:
    """One training: what it is called, its updates and images seen, whether it is there already, and the seconds expected."""

    label: str
    groups: tuple[str, ...]
    epochs: int
    updates: int
    images: int
    done: bool
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All runs, and the seconds that the probes of their checkpoints may take. Estimates, good to a factor of two."""

    runs: list[PlannedRun]
    probe_seconds: float

    @property
    def seconds(self) -> float:
        return sum(run.seconds for run in self.runs if not run.done) + self.probe_seconds


def training_images(run: RunSettings, places: Places) -> int:
    """How many training images a run's data set has; a named one need not be there."""
    return TRAIN_IMAGES[run.data] if run.data in TRAIN_IMAGES else len(_load(run, places).train)


def plan(study: StudySettings, places: Places) -> Plan:
    """Count what the study would train, and time a few steps of every network that it has on this machine.

    Raises:
        InputError: where a run's model or data cannot be had.
    """
    timed: dict[str, tuple[nn.Module, float]] = {}
    runs, probing = [], 0.0
    for run, label in zip(study.runs, labels_of(study.runs), strict=True):
        recipe = run.training
        options = sorted(run.builder_options().items(), key=str)
        key = f"{run.model} {options} {run.data} {recipe.precision} {recipe.engine} {recipe.compile}"
        if key not in timed:
            timed[key] = _timed(run, places)
        module, second_an_image = timed[key]
        runs.append(_planned(run, label, places, second_an_image))
        for probe in study.probes:
            if not probe.runs or set(probe.runs) & set(run.groups):
                probing += probe_steps(probe, module, recipe.batch_size) * second_an_image
    return Plan(runs, probing)


def _planned(run: RunSettings, label: str, places: Places, second_an_image: float) -> PlannedRun:
    total = training_images(run, places)
    images = min(total, run.training.train_images or total)
    per_epoch = run.training.steps_per_epoch(images)
    recipe = run.training.for_steps(per_epoch)
    updates = recipe.updates_after(recipe.epochs, per_epoch)
    seen = images * updates // per_epoch
    looked = 0.0
    probe = run.step_probe(total)
    if probe is not None:
        looks = math.ceil(updates / probe.every)
        looked = looks * len(probe.factors()) * len(probe.along) * min(recipe.batch_size, images)
    if run.stability_every is not None:
        looks = math.ceil(updates / run.stability_every)
        looked += looks * STABILITY_PRODUCTS * PRODUCT * min(recipe.batch_size, images)
    done = (run_folder(run, places) / "last.pt").exists()
    return PlannedRun(label, run.groups, recipe.epochs, updates, seen, done, (seen + looked) * second_an_image)


def _timed(run: RunSettings, places: Places) -> tuple[nn.Module, float]:
    """A run's network, and the seconds of a training step for an image, from a few steps on noise of the data's shape."""
    facts: Mapping[str, Any] | None = NAMED_FACTS.get(run.data)
    if facts is None:
        data = _load(run, places)
        source: Any = data.train
        facts = {"classes": data.classes, "channels": data.channels, "image_size": data.image_size}
    else:
        draws = torch.Generator().manual_seed(0)
        shape = (TIMED_BATCH, facts["channels"], facts["image_size"], facts["image_size"])
        source = (torch.randn(shape, generator=draws), torch.randint(facts["classes"], (TIMED_BATCH,), generator=draws))
    module = build_model(run.model, **{**fitting_options(run.model, **facts), **run.builder_options()})
    config = replace(run.training, batch_size=TIMED_BATCH, updates=TIMED_STEPS, train_images=None, augment=False)
    clock = _Clock()
    fit(module, source, config, loss=run.loss, device=places.device, observers=(clock,))
    return module, clock.seconds_an_image()


class _Clock(Observer):
    """When the steps were; the first one warms up."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def on_step(self, report: StepReport) -> None:
        float(report.losses.sum())  # an accelerator is done with the step then
        self._times.append(time.perf_counter())

    def seconds_an_image(self) -> float:
        return min(b - a for a, b in zip(self._times[1:], self._times[2:], strict=False)) / TIMED_BATCH


def _load(run: RunSettings, places: Places) -> DataSet:
    return load_data(run.data, root=places.data_root, download=places.download, **run.data_options)


def clock(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
