"""The probe that measures the critical sharpness of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import xarray as xr
from torch import nn

from landscape.errors import InputError
from landscape.numerics.directions import Direction
from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.places import Places
from landscape.probes.costs import EVALUATION
from landscape.probes.critical_sharpness.measure import Along, check_policy, critical_sharpness, points_held
from landscape.probes.plane.directions import named_directions
from landscape.probes.saving import Prepared, Saver
from landscape.probes.searches import Status
from landscape.probes.settings import Configured
from landscape.probes.subjects import Opened, Subject, open_subject
from landscape.training import TrainingConfig, learning_rate

TYPICAL = 10  # passes that a direction takes


def prepare_critical_sharpness(subject: Subject, settings: Configured, places: Places) -> Prepared:
    """Every direction; a measurement that was interrupted goes on with the next.

    Raises:
        InputError: for a subject that leads to other checkpoints than its directions do, or the policy ``interpolated``.
    """
    config = settings.config()
    wanted = config.along.count("difference")
    if len(subject.to) != wanted:
        raise InputError(
            f"to: along {', '.join(config.along)} leads to {wanted} more checkpoint(s), got {len(subject.to)}."
        )
    opened = open_subject(subject, places)
    objective = opened.objective(settings, places)
    check_policy(objective)
    identity = {**opened.identity(), **settings.identity()}

    @cache
    def ways() -> Mapping[str, Along]:
        made = zip(config.along, named_directions(config.along, opened, objective), strict=True)
        return {name: _by_rate(one, opened) for name, one in made}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return critical_sharpness(objective, config, directions=ways(), resume=existing, observer=saver)

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        return objective, points_held(objective, config, ways(), existing)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != Status.MISSING).sum())

    task = f"critical sharpness of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count, held)


def _by_rate(way: Direction | str, opened: Opened) -> Direction | str:
    """An update divided by the learning rate that it was made with, so that a step along it is a learning rate."""
    if isinstance(way, str) or way.provenance.get("kind") != "update":
        return way
    assert opened.checkpoint.state is not None  # or there were no update
    training = TrainingConfig.from_dict(opened.checkpoint.state["config"])
    rate = learning_rate(training, min(int(opened.checkpoint.state["epoch"]) + 1, training.epochs))
    return replace(way, vector=way.vector / rate)


def training_steps(settings: Configured, module: nn.Module, batch_size: int) -> float:
    """Some passes a direction, and the gradient that tells a dead network."""
    return settings.images * (1 + EVALUATION * TYPICAL * len(settings.config().along))
