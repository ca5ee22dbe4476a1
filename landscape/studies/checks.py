"""Checks of what people name on the command line: files, and a checkpoint with its model, data and loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landscape.checking import checked, known_keys
from landscape.errors import InputError, LandscapeError
from landscape.places import Places
from landscape.probes.settings import SampledSettings
from landscape.probes.subjects import Subject, objective_arguments, open_subject
from landscape.testing import Finding, Report, check_objective
from landscape.testing.plain import own_loss


def check_subject(subject: Subject, options: Mapping[str, Any], places: Places) -> Report:
    """:func:`~landscape.testing.check_objective` of a checkpoint over the samples that ``options`` name.

    A checkpoint that cannot be read, or does not fit its model, is a finding.

    Raises:
        InputError: for an option, a model, data or a loss that does not exist.
    """
    known_keys(SampledSettings, options, "")
    settings = checked(lambda: SampledSettings(kind="check", **options), "")
    try:
        opened = open_subject(subject, places)
    except InputError:
        raise
    except LandscapeError as error:
        return Report(str(subject.checkpoint), (Finding("file", False, str(error)),))
    own_loss(opened.loss)  # before anything is measured: a loss that does not exist is no finding
    data = opened.dataset.split(settings.split)
    report = check_objective(opened.module, opened.loss, data, **objective_arguments(settings, places))
    return Report(f"{subject.checkpoint}: {report.subject}", report.findings)
