"""Several trainings, one after the other: one that fails is reported and leaves the others to go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from landscape.errors import InputError, LandscapeError
from landscape.places import Places
from landscape.studies.run_settings import RunSettings, run_settings
from landscape.studies.runs import RunOutcome, run_folder, train_run
from landscape.studies.spread import Job, spread

T = TypeVar("T")
Trained = list[tuple[RunSettings, RunOutcome]]


def train_all(runs: Sequence[RunSettings], places: Places, failures: dict[str, str]) -> Trained:
    """The runs that could be trained; what failed goes into ``failures``, by the run's label.

    Raises:
        LandscapeError: if every run failed.
    """
    trained: Trained = []
    if places.executor is not None:
        jobs = [
            Job(label, f"run {label}", train_run, (settings,), run_folder(settings, places) / "last.pt")
            for settings, label in zip(runs, labels_of(runs), strict=True)
        ]
        outcomes = spread(places.executor, jobs, places, failures)
        trained = [(settings, made) for settings, made in zip(runs, outcomes, strict=True) if made is not None]
        runs = ()
    for number, (settings, label) in enumerate(zip(runs, labels_of(runs), strict=True), 1):
        places.reporter.message(f"run {number} of {len(runs)}: {label}")
        outcome = attempt(failures, label, partial(train_run, settings, places))
        if outcome is not None:
            trained.append((settings, outcome))
    if not trained:
        raise LandscapeError(f"every run failed: {'; '.join(f'{k}: {v}' for k, v in failures.items())}")
    return trained


def attempt(failures: dict[str, str], name: str, work: Callable[[], T]) -> T | None:
    """The work's result; None, and its message kept under its name, if it fails. An interruption is no failure."""
    try:
        return work()
    except LandscapeError as error:
        failures[name] = str(error)
    except Exception as error:  # a part that nobody foresaw to fail must not cost the parts after it
        failures[name] = f"{type(error).__name__}: {error}"
    return None


def sweep_settings(table: Mapping[str, Any], *, where: str = "") -> list[RunSettings]:
    """The runs that a flat table with lists stands for, each once, in the order of its keys.

    Raises:
        InputError: naming ``where``, the key and what was expected.
    """
    lists = expand(table, keep=("model_options", "data_options", "groups"))
    return distinct([run_settings(flat, where=where) for flat in lists])


def expand(table: Mapping[str, Any], *, keep: Container[str] = ()) -> list[dict[str, Any]]:
    """Every combination of a table's lists, the last key varying fastest; ``keep`` names keys whose lists are values.

    Raises:
        InputError: for an empty list.
    """
    lists = {k: v for k, v in table.items() if isinstance(v, list) and k not in keep}
    for key, values in lists.items():
        if not values:
            raise InputError(f"{key}: expected at least one value, got an empty list.")
    rest = {k: v for k, v in table.items() if k not in lists}
    return [{**rest, **dict(zip(lists, values, strict=True))} for values in itertools.product(*lists.values())]


def distinct(runs: Sequence[RunSettings]) -> list[RunSettings]:
    """The runs in order, each identity once: a setting shared by two sweeps is trained once and belongs to both."""
    seen: dict[str, RunSettings] = {}
    for run in runs:
        key = repr(sorted(run.identity().items(), key=str))
        first = seen.get(key)
        if first is None:
            seen[key] = run
        else:
            groups = tuple(dict.fromkeys((*first.groups, *run.groups)))
            seen[key] = first.model_copy(update={"groups": groups})
    return list(seen.values())


def labels_of(runs: Sequence[RunSettings]) -> list[str]:
    """What tells the runs apart, in words: the model and norm, and every other setting in which they differ.

    What was only watched is said where nothing else tells two of them apart.
    """
    settings = [{**run.identity(), "model": None, "model_options": run.model_options} for run in runs]
    keys = dict.fromkeys(key for own in settings for key in own)
    differing = [key for key in keys if len({str(s.get(key)) for s in settings}) > 1]
    watched = {key for run in runs for key in run.watching()}
    trained = [key for key in differing if key not in watched]
    parts = [(title_of(run), *(str(own.get(key)) for key in trained)) for run, own in zip(runs, settings, strict=True)]
    if len(set(parts)) == len(parts):
        differing = trained
    return [
        ", ".join([title_of(run), *(f"{key.replace('_', ' ')} {_short(own[key])}" for key in differing if key in own)])
        for run, own in zip(runs, settings, strict=True)
    ]


def title_of(run: RunSettings) -> str:
    """Model and norm in words."""
    words = {
        None: "",
        "none": " without BN",
        "batch": " with BN",
        "input": " plain (BN at the input)",
        "blocks": " with BN in blocks",
    }
    return f"{run.model.upper() if run.model.startswith('vgg') else run.model}{words.get(run.norm, f' {run.norm}')}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
