"""The probe that measures the sharpness of a checkpoint."""

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
from landscape.probes.sharpness.config import SharpnessConfig
from landscape.probes.sharpness.measure import points_held, sharpness
from landscape.probes.subjects import Subject, opened_alone


def prepare_sharpness(subject: Subject, settings: Configured, places: Places) -> Prepared:
    """Every measure at every ρ; a measurement that was interrupted goes on with the next.

    Raises:
        InputError: for a subject that leads to other checkpoints, or m larger than the number of samples.
    """
    opened, objective = opened_alone(subject, settings, places)
    config = settings.config()
    identity = {
        **opened.identity(),
        **settings.identity(),
        "rho": {measure: list(config.radii(measure)) for measure in config.measures},
        "m": config.batch(objective.n_samples) if "m_sharpness" in config.measures else None,
    }

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return sharpness(objective, config, resume=existing, observer=saver, executor=places.executor)

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        return objective, points_held(objective, config, existing)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != 0).sum())

    task = f"sharpness of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count, held)


def training_steps(settings: Configured, module: nn.Module, batch_size: int) -> float:
    """What all measures cost, in training steps of one sample."""
    config = settings.config()
    return sum(_measure_steps(config, name) for name in config.measures) * settings.images


def _measure_steps(config: SharpnessConfig, name: str) -> float:
    """One measure over all its radii, for a sample."""
    radii = len(config.radii(name))
    if name in ("sam_steps", "adaptive_steps", "keskar"):
        return radii * config.ascent_steps * (1 + config.restarts)
    if name in ("adaptive_average", "gaussian"):
        return radii * config.draws * EVALUATION
    return radii * (1 + EVALUATION) if name == "m_sharpness" else 1 + radii * EVALUATION
