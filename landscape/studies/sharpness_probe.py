"""The probes that measure the sharpness of a checkpoint, and the noise of its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import xarray as xr

from landscape.errors import InputError
from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.probes.noise_scale import noise_scale
from landscape.probes.sharpness import points_held, sharpness
from landscape.studies.places import Places
from landscape.studies.saving import Prepared, Saver
from landscape.studies.sharpness_settings import NoiseScaleSettings, SharpnessSettings
from landscape.studies.subjects import Opened, Subject, open_subject


def prepare_sharpness(subject: Subject, settings: SharpnessSettings, places: Places) -> Prepared:
    """Every measure at every ρ; a measurement that was interrupted goes on with the next.

    Raises:
        InputError: for a subject that leads to other checkpoints, or m larger than the number of samples.
    """
    opened, objective = _opened(subject, settings, places)
    config = settings.config()
    identity = {
        **opened.identity(),
        **settings.identity(),
        "rho": {measure: list(config.radii(measure)) for measure in config.measures},
        "m": config.batch(objective.n_samples) if "m_sharpness" in config.measures else None,
    }

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return sharpness(objective, config, resume=existing, observer=saver)

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        return objective, points_held(objective, config, existing)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != 0).sum())

    task = f"sharpness of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count, held)


def prepare_noise_scale(subject: Subject, settings: NoiseScaleSettings, places: Places) -> Prepared:
    """One pass over the samples; what was interrupted begins anew, since the gradients themselves are not stored.

    Raises:
        InputError: for a subject that leads to other checkpoints, or fewer samples than the split needs.
    """
    opened, objective = _opened(subject, settings, places)
    config = settings.config()
    config.split(objective.n_samples)
    identity = {**opened.identity(), **settings.identity()}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return noise_scale(objective, config, observer=saver)

    task = f"gradient noise scale of {opened.stem}"
    attributes: dict[str, Any] = {**opened.attributes(), "title": task}
    made = partial(signature, objective)
    return Prepared(task, opened.stem, identity, made, attributes, measure, lambda found: found.sizes["group"])


def _opened(
    subject: Subject, settings: SharpnessSettings | NoiseScaleSettings, places: Places
) -> tuple[Opened, Objective]:
    if subject.to or subject.directions is not None:
        raise InputError(f"kind: {settings.kind!r} is of one checkpoint; --to and --directions belong to other kinds.")
    opened = open_subject(subject, places)
    return opened, opened.objective(settings, places)
