"""The probe that goes from one checkpoint to another."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from torch import nn

from landscape.errors import InputError
from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import Signature, signature
from landscape.places import Places
from landscape.probes.costs import EVALUATION
from landscape.probes.path.config import PathSettings
from landscape.probes.path.measure import TRAINED, path, points_held
from landscape.probes.saving import Prepared, Saver
from landscape.probes.subjects import Opened, Subject, open_subject, stem


def prepare_path(subject: Subject, settings: PathSettings, places: Places) -> Prepared:
    """Every kind of path to the one checkpoint that the subject leads to; trained curves and measured points are kept.

    Raises:
        InputError: for a subject that leads to none or to several, or minibatches larger than the training images.
        CheckpointError: for a checkpoint that cannot be read.
    """
    if len(subject.to) != 1 or subject.directions is not None:
        got = f"{len(subject.to)} with --to" if subject.directions is None else "a file of directions"
        raise InputError(f"to: a path leads to one more checkpoint, got {got}. Name it with --to.")
    opened = open_subject(subject, places)
    other = opened.others[0]
    objective = opened.objective(settings, places)
    trainer = _trainer(opened, settings, places) if settings.curved else None
    identity = {**opened.identity(), **settings.identity()}

    def made() -> Signature:
        found = signature(objective)
        if trainer is None:
            return found
        trained_on = signature(trainer).named("training")
        return found.also(trained_on.facts, trained_on.numbers)

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return path(
            objective,
            other.state_dict,
            kinds=settings.paths,
            points=settings.points,
            training=trainer,
            config=settings.config(),
            alignment_seed=settings.alignment_seed,
            name=stem(other.path),
            resume=existing,
            observer=saver,
            executor=places.executor,
        )

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        name, seed = stem(other.path), settings.alignment_seed
        return objective, points_held(objective, other.state_dict, existing, seed, name)

    task = f"path from {opened.stem}"
    attributes = {**opened.attributes(), "title": task, "to_hash": other.weights_hash()}
    return Prepared(task, opened.stem, identity, made, attributes, measure, _measured, held)


def _measured(dataset: xr.Dataset) -> int:
    return int(dataset["status"].sum())


def _trainer(opened: Opened, settings: PathSettings, places: Places) -> Objective:
    """The training images under the minibatch's statistics, which is how networks with BatchNorm are trained."""
    trainer = Objective(
        opened.module,
        opened.loss,
        opened.dataset.train,
        batch_norm="batch",
        samples=settings.curve_images,
        sample_seed=settings.image_seed,
        batch_size=settings.curve_batch_size,
        precision=settings.precision,
        device=places.device,
        parameters=settings.parameters or None,
    )
    if settings.curve_batch_size > trainer.n_samples:
        raise InputError(
            f"curve_batch_size: expected at most the {trainer.n_samples} training images, got {settings.curve_batch_size}."
        )
    return trainer


def training_steps(settings: PathSettings, module: nn.Module, batch_size: int) -> float:
    """Points along every path, where the statistics are taken anew as well, and the training of its curves."""
    again = 2 if settings.batch_norm == "reestimated" else 1
    measured = len(settings.paths) * settings.points * again * EVALUATION * settings.images
    curves = sum(kind in TRAINED for kind in settings.paths)
    return measured + curves * settings.curve_steps * settings.curve_batch_size
