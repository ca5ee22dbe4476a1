"""The probe of the spectrum of a checkpoint's Hessian or Gauss–Newton matrix."""

from __future__ import annotations

from functools import partial

import xarray as xr
from torch import nn

from landscape.objective.signature import signature
from landscape.places import Places
from landscape.probes.costs import PRODUCT
from landscape.probes.curvature.config import layers_of
from landscape.probes.curvature.measure import check_curvature, curvature
from landscape.probes.saving import Prepared, Saver
from landscape.probes.settings import Configured
from landscape.probes.subjects import Subject, opened_alone

PAIR_PRODUCTS = 3.5  # of each eigenvalue that is looked for, as measured for one to ten on VGG38


def prepare_curvature(subject: Subject, settings: Configured, places: Places) -> Prepared:
    """Every quantity of every block; a measurement that was interrupted goes on in the middle of a search.

    Raises:
        InputError: for a subject that leads to other checkpoints, a BN policy without a Hessian of its own, more eigenvalues than
            parameters, or patterns that match none.
    """
    opened, objective = opened_alone(subject, settings, places)
    config = settings.config()
    check_curvature(objective, config)
    identity = {**opened.identity(), **settings.identity()}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return curvature(objective, config, resume=existing, observer=saver, executor=places.executor)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != 0).sum())

    task = f"curvature of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count)


def training_steps(settings: Configured, module: nn.Module, batch_size: int) -> float:
    """What a spectrum costs, in training steps of one sample."""
    config = settings.config()
    searched = min(1 + PAIR_PRODUCTS * config.wanted, config.max_products) if config.wanted else 0.0
    blocks = len(layers_of([name for name, _ in module.named_parameters()])) if config.per_layer else 1
    products = blocks * (searched + config.trace_probes + config.density_probes * config.density_steps)
    return float(products * PRODUCT * settings.images)
