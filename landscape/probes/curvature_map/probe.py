"""The probe that measures the curvature over a plane."""

from __future__ import annotations

from functools import cache, partial

import xarray as xr
from torch import nn

from landscape.places import Places
from landscape.probes.costs import EVALUATION, PRODUCT, grid_points
from landscape.probes.curvature_map.config import CurvatureMapSettings
from landscape.probes.curvature_map.measure import curvature_over
from landscape.probes.plane.probe import asked_axes, opened_plane, prepared_plane, span_asked
from landscape.probes.saving import Prepared, Saver
from landscape.probes.subjects import Subject

PRODUCTS = 15  # of a point


def prepare_curvature_map(subject: Subject, settings: CurvatureMapSettings, places: Places) -> Prepared:
    """The curvature over such a plane; a measurement that was interrupted goes on with the next point."""
    opened, objective, axes, refinement = opened_plane(subject, settings, places)
    search, span = settings.search(), cache(partial(span_asked, opened, settings, objective))

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return curvature_over(
            objective,
            span(),
            axes,
            search=search,
            refinement=refinement,
            resume=existing,
            observer=saver,
            executor=places.executor,
        )

    task = f"curvature map of {opened.stem}"
    return prepared_plane(
        task, opened, objective, settings, axes, {**opened.attributes(), "title": task}, measure, span
    )


def training_steps(settings: CurvatureMapSettings, module: nn.Module, batch_size: int) -> float:
    """What a map costs, in training steps of one sample."""
    every, points = grid_points(settings, asked_axes(settings))
    return len(settings.seeds) * (every * EVALUATION + points * PRODUCTS * PRODUCT) * settings.images
