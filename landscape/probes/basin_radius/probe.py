"""The probe that measures the radius of a checkpoint's basin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import xarray as xr
from torch import nn

from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.places import Places
from landscape.probes.basin_radius.measure import basin_radius, check_asked, points_held
from landscape.probes.costs import EVALUATION, PRODUCT
from landscape.probes.saving import Prepared, Saver
from landscape.probes.searches import Status
from landscape.probes.settings import Configured
from landscape.probes.subjects import Subject, opened_alone

PASSES, PRODUCTS = 9, 30  # that a direction, and an eigenvector, take


def prepare_basin_radius(subject: Subject, settings: Configured, places: Places) -> Prepared:
    """Every direction; a measurement that was interrupted goes on with the next.

    Raises:
        InputError: for a subject that leads to other checkpoints, and what :func:`check_asked` refuses.
    """
    opened, objective = opened_alone(subject, settings, places)
    config = settings.config()
    check_asked(objective, config)
    identity = {**opened.identity(), **settings.identity()}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return basin_radius(objective, config, resume=existing, observer=saver)

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        return objective, points_held(objective, config, existing)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != Status.MISSING).sum())

    task = f"basin radius of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count, held)


def training_steps(settings: Configured, module: nn.Module, batch_size: int) -> float:
    """Some passes a direction, the gradient that tells a dead network, and the products of an eigenvector."""
    config = settings.config()
    eigenvector = "eigenvector" in config.worst
    directions = config.draws + ("gradient" in config.worst) + 2 * eigenvector
    return float(settings.images * (1 + EVALUATION * PASSES * directions + PRODUCT * PRODUCTS * eigenvector))
