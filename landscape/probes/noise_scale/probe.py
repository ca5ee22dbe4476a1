"""The probe that measures the noise of a checkpoint's gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import xarray as xr
from torch import nn

from landscape.objective.signature import signature
from landscape.places import Places
from landscape.probes.noise_scale.measure import noise_scale
from landscape.probes.saving import Prepared, Saver
from landscape.probes.settings import Configured
from landscape.probes.subjects import Subject, opened_alone


def prepare_noise_scale(subject: Subject, settings: Configured, places: Places) -> Prepared:
    """One pass over the samples; what was interrupted begins anew, since the gradients themselves are not stored.

    Raises:
        InputError: for a subject that leads to other checkpoints, or fewer samples than the split needs.
    """
    opened, objective = opened_alone(subject, settings, places)
    config = settings.config()
    config.split(objective.n_samples)
    identity = {**opened.identity(), **settings.identity()}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return noise_scale(objective, config, observer=saver, executor=places.executor)

    task = f"gradient noise scale of {opened.stem}"
    attributes: dict[str, Any] = {**opened.attributes(), "title": task}
    made = partial(signature, objective)
    return Prepared(task, opened.stem, identity, made, attributes, measure, lambda found: found.sizes["group"])


def training_steps(settings: Configured, module: nn.Module, batch_size: int) -> float:
    """A gradient of every sample."""
    return float(settings.images)
