"""The probe of the spectrum of a checkpoint's Hessian or Gauss–Newton matrix."""

from __future__ import annotations

from functools import partial

import xarray as xr

from landscape.errors import InputError
from landscape.objective.signature import signature
from landscape.probes.curvature import check_curvature, curvature
from landscape.studies.curvature_settings import CurvatureSettings
from landscape.studies.places import Places
from landscape.studies.saving import Prepared, Saver
from landscape.studies.subjects import Subject, open_subject


def prepare_curvature(subject: Subject, settings: CurvatureSettings, places: Places) -> Prepared:
    """Every quantity of every block; a measurement that was interrupted goes on in the middle of a search.

    Raises:
        InputError: for a subject that leads to other checkpoints, a BN policy without a Hessian of its own, more eigenvalues than
            parameters, or patterns that match none.
    """
    if subject.to or subject.directions is not None:
        raise InputError(f"kind: {settings.kind!r} is of one checkpoint; --to and --directions belong to other kinds.")
    opened = open_subject(subject, places)
    objective = opened.objective(settings, places)
    config = settings.config()
    check_curvature(objective, config)
    identity = {**opened.identity(), **settings.identity()}

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return curvature(objective, config, resume=existing, observer=saver)

    def count(dataset: xr.Dataset) -> int:
        return int((dataset["status"] != 0).sum())

    task = f"curvature of {opened.stem}"
    attributes = {**opened.attributes(), "title": task}
    return Prepared(task, opened.stem, identity, partial(signature, objective), attributes, measure, count)
