"""The probe that measures how a checkpoint stands noise on its weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import xarray as xr
from torch import nn

from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.places import Places
from landscape.probes.costs import EVALUATION
from landscape.probes.saving import Prepared, Saver
from landscape.probes.settings import Configured
from landscape.probes.subjects import Subject, opened_alone
from landscape.probes.weight_noise.measure import check_policy, points_held, weight_noise
from landscape.probes.weight_noise.result import Status


def prepare_weight_noise(subject: Subject, settings: Configured, places: Places) -> Prepared:
    """Every noise at every σ; a measurement that was interrupted goes on with the next σ.

    Raises:
        InputError: for a subject that leads to other checkpoints, or the policy ``interpolated``.
    """
    opened, objective = opened_alone(subject, settings, places)
    check_policy(objective)
    config = settings.config()
    sigmas = {noise: list(config.sigmas(noise)) for noise in config.noise}
    identity = {**opened.identity(), **settings.identity(), "sigma": sigmas}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return weight_noise(objective, config, resume=existing, observer=saver, executor=places.executor)

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        return objective, points_held(objective, config, existing)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != Status.MISSING).sum())

    task = f"weight noise of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count, held)


def training_steps(settings: Configured, module: nn.Module, batch_size: int) -> float:
    """An evaluation of the checkpoint, one for each draw, and the gradient that tells a dead network."""
    config = settings.config()
    draws: int = config.draws * sum(len(config.sigmas(noise)) for noise in config.noise)
    return settings.images * (1 + EVALUATION * (1 + draws))
