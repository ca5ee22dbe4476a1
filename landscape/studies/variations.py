"""A study on other data, with other seeds, or smaller: what can be asked of any study without editing its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from landscape.errors import InputError, unknown_choice
from landscape.probes.path.config import PathSettings
from landscape.probes.settings import SampledSettings
from landscape.studies.run_settings import RunSettings
from landscape.studies.settings import StudySettings
from landscape.studies.sweep import distinct

SMALLEST_SPLIT = 100  # images: fewer say nothing, and leave the large batches without a single step
SMALLEST_SAMPLE = 50


def on_data(study: StudySettings, name: str) -> StudySettings:
    """Every run on the data set ``name``."""
    return _with_runs(study, [run.model_copy(update={"data": name, "data_options": {}}) for run in study.runs])


def with_seeds(study: StudySettings, seeds: Mapping[str, Sequence[int]]) -> StudySettings:
    """Every run once for each seed of its groups: those under a group's name, else those under ``""``, else its own.

    Raises:
        InputError: for a group that the study does not have.
    """
    groups = {group for run in study.runs for group in run.groups}
    for group in seeds:
        if group and group not in groups:
            raise unknown_choice("seeds", group, groups)
    runs = []
    for run in study.runs:
        others = seeds.get("", (run.training.seed,))
        of = {group: seeds.get(group, others) for group in run.groups}
        for seed in dict.fromkeys(seed for own in (of.values() or [others]) for seed in own):
            training = dataclasses.replace(run.training, seed=seed)
            belongs = tuple(group for group, own in of.items() if seed in own)
            runs.append(run.model_copy(update={"training": training, "groups": belongs}))
    return _with_runs(study, runs)


def part_of(study: StudySettings, number: int, count: int) -> StudySettings:
    """The ``number``-th of ``count`` parts: every ``count``-th run, and its probes without paths, which may lead to other parts.

    Raises:
        InputError: for a part that there is not.
    """
    if not 1 <= number <= count:
        raise InputError(f"part: expected one from 1/{count} to {count}/{count}, got {number}/{count}.")
    runs = study.runs[number - 1 :: count]
    groups = {group for run in runs for group in run.groups}
    probes = [p for p in study.probes if not isinstance(p, PathSettings) and (not p.runs or groups & set(p.runs))]
    return study.model_copy(update={"runs": runs, "probes": tuple(probes)})


def scaled(study: StudySettings, fraction: float, images: Callable[[RunSettings], int]) -> StudySettings:
    """The study with ``fraction`` of the training images, of the epochs (or updates), and of every probe's images and looks.

    It has another name and says in its note, and so in its tables and pictures, that it is scaled.

    Args:
        study: the study at full scale.
        fraction: above 0, at most 1.
        images: how many training images a run has at full scale.

    Raises:
        InputError: for another fraction.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"scale: expected a fraction above 0 and at most 1, got {fraction!r}. Try 0.1.")
    if fraction == 1:
        return study
    runs = [_scaled_run(run, fraction, images(run)) for run in study.runs]
    probes = [
        probe.model_copy(update={"images": max(SMALLEST_SAMPLE, round(fraction * probe.images))})
        if isinstance(probe, SampledSettings)
        else probe
        for probe in study.probes
    ]
    note = f"Scaled to {fraction:g} of the training images and of the epochs of the full study."
    name = f"{study.name}-scaled-{fraction:g}"
    return _with_runs(study, runs).model_copy(update={"probes": tuple(probes), "note": note, "name": name})


def _scaled_run(run: RunSettings, fraction: float, images: int) -> RunSettings:
    recipe = run.training
    fewer = max(SMALLEST_SPLIT, round(fraction * min(images, recipe.train_images or images)))
    changes: dict[str, Any] = {"train_images": min(fewer, images), "epochs": max(1, round(fraction * recipe.epochs))}
    if recipe.updates is not None:
        # Both fewer images and fewer epochs make fewer updates.
        changes["updates"] = max(1, round(fraction * fraction * recipe.updates))
    looks = None if run.probe_count is None else max(3, round(fraction * run.probe_count))
    return run.model_copy(update={"training": dataclasses.replace(recipe, **changes), "probe_count": looks})


def _with_runs(study: StudySettings, runs: Sequence[RunSettings]) -> StudySettings:
    return study.model_copy(update={"runs": tuple(distinct(runs))})
