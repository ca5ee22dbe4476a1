"""The probe that follows a training through its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import xarray as xr
from torch import nn

from landscape.errors import InputError
from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.places import Places
from landscape.probes.costs import EVALUATION, grid_points
from landscape.probes.plane.held import held_points
from landscape.probes.plane.result import ABOVE, MEASURED
from landscape.probes.saving import Prepared, Saver
from landscape.probes.subjects import Subject, open_subject, stem
from landscape.probes.trajectory.config import TrajectorySettings
from landscape.probes.trajectory.measure import path_of, path_span, trajectory
from landscape.results import Checkpoint

DEFAULT_AXIS = "auto:51"


def prepare_trajectory(subject: Subject, settings: TrajectorySettings, places: Places) -> Prepared:
    """The plane through the subject's checkpoint and the earlier ones of its run.

    The earlier ones are those that the subject leads to, or else the files ``epoch-*.pt`` beside the checkpoint. They are put
    in the order of their epochs where they say them; those with the weights of the last are left out.

    Raises:
        InputError: where there are none.
        CheckpointError: for one that cannot be read.
    """
    if subject.directions is not None:
        raise InputError("directions: belongs to lines and planes; a trajectory has the directions of its checkpoints.")
    opened = open_subject(replace(subject, to=_earlier(subject)), places)
    last = opened.checkpoint.weights_hash()
    earlier = _in_order([other for other in opened.others if other.weights_hash() != last])
    opened = replace(opened, others=tuple(earlier))
    objective = opened.objective(settings, places)
    axes = [settings.x or DEFAULT_AXIS, settings.y or DEFAULT_AXIS]
    refinement = settings.refinement(axes)
    every = (*opened.others, opened.checkpoint)
    identity = {**opened.identity(), **settings.axes_identity(axes)}

    states = [other.state_dict for other in opened.others]

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        path = path_of(objective, states, centred=settings.centred, ordered=settings.ordered)
        return objective, held_points(path_span(objective, path), existing)

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return trajectory(
            objective,
            states,
            names=_names([checkpoint.path for checkpoint in every]),
            epochs=[checkpoint.epoch for checkpoint in every],
            x=axes[0],
            y=axes[1],
            centred=settings.centred,
            ordered=settings.ordered,
            refinement=refinement,
            resume=existing,
            observer=saver,
            executor=places.executor,
        )

    task, made = f"trajectory to {opened.stem}", partial(signature, objective)
    return Prepared(task, opened.stem, identity, made, opened.attributes(), measure, _measured, held)


def _measured(dataset: xr.Dataset) -> int:
    return int(dataset["status"].isin([MEASURED, ABOVE]).sum()) + int(dataset["path_measured"].sum())


def _earlier(subject: Subject) -> tuple[Path, ...]:
    beside = tuple(sorted(subject.checkpoint.parent.glob("epoch-*.pt")))
    if not subject.to and not beside:
        raise InputError(
            f"to: a trajectory needs earlier checkpoints, and {subject.checkpoint.parent} holds no epoch-*.pt. Name them with "
            "--to, or train with --checkpoint-every 1."
        )
    return subject.to or beside


def _in_order(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """By epoch where all say it, else as given."""
    if any(checkpoint.epoch is None for checkpoint in checkpoints):
        return list(checkpoints)
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.epoch or 0)


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names where they lie in one folder, with their folders otherwise."""
    together = len({path.parent for path in paths}) == 1
    return [path.stem if together else stem(path) for path in paths]


def training_steps(settings: TrajectorySettings, module: nn.Module, batch_size: int) -> float:
    """What a trajectory costs, in training steps of one sample."""
    axes = [settings.x or DEFAULT_AXIS, settings.y or DEFAULT_AXIS]
    return grid_points(settings, axes)[1] * EVALUATION * settings.images
