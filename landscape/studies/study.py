"""A whole study: its runs, its probes of them, its pictures and its table. Only what is missing is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from landscape.errors import LandscapeError
from landscape.store import atomic_write
from landscape.studies.pictures import Drawing, draw
from landscape.studies.places import Places
from landscape.studies.probing import Subject, probe_checkpoint
from landscape.studies.runs import RunOutcome, train_run
from landscape.studies.settings import PictureSettings, ProbeSettings, RunSettings, StudySettings

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One run of the study's table, as text."""

    cells: dict[str, str]


@dataclass(frozen=True)
class StudyOutcome:
    """What a study made: the table's rows, the pictures, every result file, and what failed, by name."""

    rows: list[Row]
    table: Path
    pictures: list[Path]
    results: list[Path]
    failures: dict[str, str]


def run_study(study: StudySettings, places: Places) -> StudyOutcome:
    """Train what is not trained, probe what is not probed, draw everything, and write ``table.md``.

    A part that fails is reported and leaves the others to go on.

    Raises:
        LandscapeError: if every run failed.
    """
    folder = places.outputs / study.name
    failures: dict[str, str] = {}
    runs: list[tuple[RunSettings, RunOutcome]] = []
    for number, settings in enumerate(study.runs, 1):
        places.reporter.message(f"run {number} of {len(study.runs)}: {settings.label()}")
        outcome = _attempt(failures, settings.label(), partial(train_run, settings, places))
        if outcome is not None:
            runs.append((settings, outcome))
    if not runs:
        raise LandscapeError(
            f"study {study.name}: every run failed: {'; '.join(f'{k}: {v}' for k, v in failures.items())}"
        )
    probed = {
        name: _probe_all(probe, name, runs, places, folder, failures)
        for name, probe in zip(_names(study.probes), study.probes, strict=True)
    }
    pictures: list[Path] = []
    for picture, stem in zip(study.pictures, _names(study.pictures), strict=True):
        made = _attempt(failures, stem, partial(_draw, picture, stem, runs, probed, folder))
        pictures.extend(made or [])
    labels = _labels([settings for settings, _ in runs])
    rows = [_row(label, outcome, probed) for label, (_, outcome) in zip(labels, runs, strict=True)]
    table = folder / "table.md"
    atomic_write(table, _markdown(study, rows, failures).encode())
    results = [outcome.folder / "history.h5" for _, outcome in runs]
    results += [path for results_of in probed.values() for path, _ in results_of.values()]
    return StudyOutcome(rows, table, pictures, results, failures)


_Probed = dict[Path, tuple[Path, xr.Dataset]]


def _probe_all(
    probe: ProbeSettings,
    name: str,
    runs: Sequence[tuple[RunSettings, RunOutcome]],
    places: Places,
    folder: Path,
    failures: dict[str, str],
) -> _Probed:
    """The probe of every run, by the run's folder."""
    made: _Probed = {}
    for settings, outcome in runs:
        places.reporter.message(f"probe {name}: {settings.label()}")
        subject = Subject(outcome.last if probe.checkpoint == "last" else outcome.best)
        inside = replace(places, outputs=folder)
        result = _attempt(failures, f"{name} of {settings.label()}", partial(probe_checkpoint, subject, probe, inside))
        if result is not None:
            made[outcome.folder] = (result.path, result.dataset)
    return made


def _draw(
    picture: PictureSettings,
    stem: str,
    runs: Sequence[tuple[RunSettings, RunOutcome]],
    probed: dict[str, _Probed],
    folder: Path,
) -> list[Path]:
    labels = _labels([settings for settings, _ in runs])
    if picture.kind == "curves":
        datasets = [outcome.history for _, outcome in runs]
    else:
        of_probe = probed[picture.probe] if picture.probe else next(iter(probed.values()))
        labels = [label for label, (_, o) in zip(labels, runs, strict=True) if o.folder in of_probe]
        datasets = [of_probe[o.folder][1] for _, o in runs if o.folder in of_probe]
    page = picture.kind == "interactive"
    drawing = Drawing(
        kind="auto" if page else picture.kind,
        scale=picture.scale,
        loss_max=picture.loss_max,
        labels=tuple(labels),
    )
    suffixes = ("html",) if page else picture.formats
    return draw(datasets, [folder / f"{stem}.{suffix}" for suffix in suffixes], drawing)


def _attempt(failures: dict[str, str], name: str, work: Callable[[], T]) -> T | None:
    """The work's result; None, and its message kept under its name, if it fails in a way that a user can mend."""
    try:
        return work()
    except LandscapeError as error:
        failures[name] = str(error)
        return None


def _names(parts: Sequence[Any]) -> list[str]:
    """A name for each part: its own, else its kind, numbered where that repeats."""
    names: list[str] = []
    for part in parts:
        base = part.name or part.kind
        taken = sum(1 for name in names if name == base or name.startswith(f"{base}-"))
        names.append(f"{base}-{taken + 1}" if taken else base)
    return names


def _labels(runs: Sequence[RunSettings]) -> list[str]:
    """What tells the runs apart, in words: the model and norm, and every setting in which they differ."""
    recipes = [run.training.to_dict() for run in runs]
    differing = [key for key in recipes[0] if len({str(r[key]) for r in recipes}) > 1]
    return [
        ", ".join([_title(run), *(f"{key.replace('_', ' ')} {recipe[key]}" for key in differing)])
        for run, recipe in zip(runs, recipes, strict=True)
    ]


def _title(run: RunSettings) -> str:
    words = {
        None: "",
        "none": " without BN",
        "batch": " with BN",
        "input": " plain (BN at the input)",
        "blocks": " with BN in blocks",
    }
    return f"{run.model.upper() if run.model.startswith('vgg') else run.model}{words.get(run.norm, f' {run.norm}')}"


def _row(label: str, outcome: RunOutcome, probed: dict[str, _Probed]) -> Row:
    history = outcome.history
    cells = {
        "run": label,
        "epochs": str(history.sizes["epoch"]),
        "train loss": _last(history, "train_loss"),
        "val. loss": _last(history, "validation_loss"),
        "val. acc.": _last(history, "validation_accuracy"),
        "test acc.": _last(history, "test_accuracy"),
        "state": str(history.attrs.get("status", "")),
    }
    for name, results in probed.items():
        if outcome.folder in results:
            dataset = results[outcome.folder][1]
            cells[f"{name}: loss"] = f"{float(dataset['loss'].min()):.3g} to {_top(dataset)}"
            cells["state"] = "dead" if dataset.attrs.get("dead") else cells["state"]
    return Row(cells)


def _top(dataset: xr.Dataset) -> str:
    """The largest loss of a plane; just that it lies above the clip where it was not looked at closer."""
    top, clip = float(dataset["loss"].max()), dataset.attrs.get("loss_max", math.inf)
    return f"over {clip:g}" if "tolerance" in dataset.attrs and top > clip else f"{top:.3g}"


def _last(history: xr.Dataset, name: str) -> str:
    if name not in history:
        return ""
    value = float(history[name].values.reshape(-1)[-1])
    return "NaN" if math.isnan(value) else f"{value:.4f}"


def _markdown(study: StudySettings, rows: Sequence[Row], failures: dict[str, str]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row.cells))
    lines = [f"# {study.name}", "", study.description, "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(row.cells.get(c, '') for c in columns)} |" for row in rows]
    lines += ["", *(f"- failed: {name}: {why}" for name, why in failures.items())]
    return "\n".join(lines).rstrip() + "\n"
