"""What a study would do, before anything starts: its runs, their updates, and how long they may take on this machine.

A plan runs no code of the user's: of it only what can be counted is said.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import nn

from landscape.data import NAMED_FACTS, TRAIN_IMAGES, load_data
from landscape.errors import InputError
from landscape.models import build_model, fitting_options
from landscape.places import Places
from landscape.probes.costs import PRODUCT, probe_steps
from landscape.probes.trust import runs_code
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
    """One training: what it is called, its updates and images seen, whether it is there already, and the seconds expected.

    None stands for what only the user's own code could say.
    """

    label: str
    groups: tuple[str, ...]
    epochs: int | None
    updates: int | None
    images: int | None
    done: bool
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """All runs, and the seconds that the probes of their checkpoints may take. Estimates, good to a factor of two.

    ``untimed`` are the models, data and losses that are the user's own: what is made of them is in no number of seconds.
    """

    runs: list[PlannedRun]
    probe_seconds: float
    untimed: tuple[str, ...] = ()

    @property
    def run_seconds(self) -> float:
        """Of every run that is timed, whether it is there or not."""
        return sum(run.seconds for run in self.runs if run.seconds is not None)

    @property
    def seconds(self) -> float:
        """Of what is timed and still to be done."""
        missing = (run.seconds for run in self.runs if run.seconds is not None and not run.done)
        return sum(missing) + self.probe_seconds


def training_images(run: RunSettings, places: Places) -> int:
    """How many training images a run's data set has; a named one need not be there, a user's own is loaded."""
    if run.data in TRAIN_IMAGES:
        return TRAIN_IMAGES[run.data]
    return len(load_data(run.data, root=places.data_root, download=places.download, **run.data_options).train)


def planned_images(run: RunSettings) -> int:
    """The same without running anything.

    Raises:
        InputError: for data of the user's own, where the run does not say how many images it trains on.
    """
    images = _known_images(run)
    if images is None:
        raise InputError(
            f"scale: a fraction of the images of {run.data!r} needs their number, which only its code knows, and --plan runs "
            "no code. Say train_images in the study, or leave --scale or --plan out."
        )
    return images


def plan(study: StudySettings, places: Places) -> Plan:
    """Count what the study would train, and time a few steps of every network of ours that it has on this machine.

    Raises:
        InputError: where a run's model cannot be had.
    """
    timed: dict[str, tuple[nn.Module, float]] = {}
    untimed: dict[str, None] = {}
    runs, probing = [], 0.0
    for run, label in zip(study.runs, labels_of(study.runs), strict=True):
        own = [name for part in ("model", "data", "loss") if runs_code(part, name := getattr(run, part))]
        if own:
            untimed |= dict.fromkeys(own)
            runs.append(_planned(run, label, places, None))
            continue
        recipe = run.training
        options = sorted(run.builder_options().items(), key=str)
        key = f"{run.model} {options} {run.data} {recipe.precision} {recipe.engine} {recipe.compile}"
        if key not in timed:
            timed[key] = _timed(run, places.device)
        module, second_an_image = timed[key]
        runs.append(_planned(run, label, places, second_an_image))
        for probe in study.probes:
            if not probe.runs or set(probe.runs) & set(run.groups):
                probing += probe_steps(probe, module, recipe.batch_size) * second_an_image
    return Plan(runs, probing, tuple(untimed))


def _planned(run: RunSettings, label: str, places: Places, second_an_image: float | None) -> PlannedRun:
    done = (run_folder(run, places) / "last.pt").exists()
    images = _known_images(run)
    if images is None:
        epochs = run.training.epochs if run.training.updates is None else None
        return PlannedRun(label, run.groups, epochs, run.training.updates, None, done, None)
    per_epoch = run.training.steps_per_epoch(images)
    recipe = run.training.for_steps(per_epoch)
    updates = recipe.updates_after(recipe.epochs, per_epoch)
    seen = images * updates // per_epoch
    seconds = None if second_an_image is None else (seen + _looked(run, images, updates)) * second_an_image
    return PlannedRun(label, run.groups, recipe.epochs, updates, seen, done, seconds)


def _known_images(run: RunSettings) -> int | None:
    """How many images a run trains on, as far as it can be told without its data; of a user's own at most those asked for."""
    total = TRAIN_IMAGES.get(run.data)
    return run.training.train_images if total is None else min(total, run.training.train_images or total)


def _looked(run: RunSettings, images: int, updates: int) -> float:
    """What is watched along the steps of a training, in training steps of one image."""
    recipe, looked = run.training, 0.0
    probe = run.step_probe(images)
    if probe is not None:
        looks = math.ceil(updates / probe.every)
        looked = looks * len(probe.factors()) * len(probe.along) * min(recipe.batch_size, images)
    if run.stability_every is not None:
        looks = math.ceil(updates / run.stability_every)
        looked += looks * STABILITY_PRODUCTS * PRODUCT * min(recipe.batch_size, images)
    return looked


def _timed(run: RunSettings, device: str) -> tuple[nn.Module, float]:
    """A run's network, and the seconds of a training step for an image, from a few steps on noise of the data's shape."""
    facts = NAMED_FACTS[run.data]
    draws = torch.Generator().manual_seed(0)
    shape = (TIMED_BATCH, facts["channels"], facts["image_size"], facts["image_size"])
    source = (torch.randn(shape, generator=draws), torch.randint(facts["classes"], (TIMED_BATCH,), generator=draws))
    module = build_model(run.model, **{**fitting_options(run.model, **facts), **run.builder_options()})
    config = replace(run.training, batch_size=TIMED_BATCH, updates=TIMED_STEPS, train_images=None, augment=False)
    clock = _Clock()
    fit(module, source, config, loss=run.loss, device=device, observers=(clock,))
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


def clock(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
