"""Folders, files and data sets as runs: every result with the training that it belongs to, and what had to be left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.comparison.made_with import conflicts, differing, has_identity, identity, settings_of
from landscape.errors import InputError, LandscapeError
from landscape.probes.comparable import Kind, Options, Reading
from landscape.registry import found, probes, run_file
from landscape.results import load_result

Source = str | Path | xr.Dataset


@dataclass(frozen=True, eq=False)
class Result:
    """One data set, and what people call the place it came from."""

    source: str
    dataset: xr.Dataset

    @property
    def kind(self) -> str:
        return str(self.dataset.attrs.get("kind"))


@dataclass(frozen=True, eq=False)
class Run:
    """One training with its results. ``label`` is its folder, or else its first file."""

    label: str
    settings: Mapping[str, Any]
    results: tuple[Result, ...]

    @property
    def seed(self) -> Any:
        """What tells it from the others of its setting: the training seed, or the label where that is not known."""
        return self.settings.get("seed", self.label)

    @property
    def failure(self) -> str:
        """Why it is never ranked: dead or diverged; empty for a run that trained."""
        dead = next((r.dataset.attrs for r in self.results if r.dataset.attrs.get("dead")), None)
        if dead is not None:
            return f"is a dead network ({dead.get('dead_reason') or 'no reason stored'})"
        ended = [r.dataset.attrs for r in self.results if r.dataset.attrs.get("status") == "diverged"]
        return f"diverged in epoch {ended[0].get('diverged_epoch', 'unknown')}" if ended else ""

    @property
    def dead(self) -> bool:
        return self.failure.startswith("is a dead")

    @property
    def updates(self) -> int | None:
        """Optimiser steps made in all; None where no result says."""
        said = (r.dataset.attrs.get("updates") for r in self.results)
        return next((int(updates) for updates in said if updates is not None), None)


@dataclass(eq=False)
class Collected:
    """Runs, and one sentence for everything that was given and is not among them (``left_out``) or worth knowing."""

    runs: list[Run] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(sources: Iterable[Source]) -> Collected:
    """Read run folders, result files and data sets. Results of equal settings are of one run, wherever they lie."""
    found = Collected()
    groups: dict[str, tuple[str, list[Result]]] = {}
    for number, source in enumerate(sources, 1):
        for label, members in _trainings(source, number, found):
            before, earlier = groups.setdefault(_key(members), (label, []))
            earlier.extend(members)
            if _is_folder(source) and not Path(before).is_dir():
                groups[_key(members)] = (label, earlier)
    found.runs = [_run(label, members) for label, members in groups.values()]
    return found


def collect_groups(groups: Mapping[str, Sequence[Source | Sequence[Source]]], by: str) -> Collected:
    """Results that the user put into groups: each entry is a network, of one result or several, whatever its settings say.

    Networks of different groups are pairs where all of them know their training seed and no group has one twice; else each
    is for itself.
    """
    found = Collected()
    made = {
        str(label): [
            _network(entry, f"{label} {number}", found) for number, entry in enumerate(_entries(label, given), 1)
        ]
        for label, given in groups.items()
    }
    networks = {label: [one for one in given if one[1]] for label, given in made.items()}
    seeds = {label: [_seed(results) for _, results in given] for label, given in networks.items()}
    paired = all(None not in one and len(set(one)) == len(one) for one in seeds.values())
    for label, given in networks.items():
        for (name, results), seed in zip(given, seeds[label], strict=True):
            found.runs.append(Run(name, {by: label, "seed": seed if paired else name}, tuple(results)))
    others = differing(settings_of(run.results[0].dataset) for run in found.runs)
    if confounds := [key for key in others if key != "seed"]:
        found.notes.append(
            f"The networks are in groups as they were given, and their trainings differ in: {', '.join(confounds)}. A difference "
            "may come from any of these."
        )
    return found


def _entries(label: str, given: Any) -> Sequence[Source | Sequence[Source]]:
    if isinstance(given, Source) or not isinstance(given, Sequence) or not given:
        raise InputError(
            f"runs: the group {label!r} is {type(given).__name__}; expected a list of its networks, each a file, a data set, a "
            "run's folder, or a list of such of one network."
        )
    return given


def _network(entry: Source | Sequence[Source], name: str, found: Collected) -> tuple[str, list[Result]]:
    """One network's usable results, with what to call it."""
    several = [entry] if isinstance(entry, Source) else list(entry)
    results = [result for number, source in enumerate(several, 1) for result in _results(source, number, found)]
    named = next((str(source) for source in several if isinstance(source, str | Path)), name)
    return named, results


def _seed(results: Sequence[Result]) -> Any:
    return next((seed for r in results if (seed := settings_of(r.dataset).get("seed")) is not None), None)


def _trainings(source: Source, number: int, found: Collected) -> list[tuple[str, list[Result]]]:
    """The usable results of one source, those of a folder together, with what to call them."""
    results = _results(source, number, found)
    if not _is_folder(source):
        return [(result.source, [result]) for result in results]
    together = _of_one_training(results, found)
    return [(str(source), together)] if together else []


def _is_folder(source: Source) -> bool:
    return isinstance(source, str | Path) and Path(source).is_dir()


def _results(source: Source, number: int, found: Collected) -> list[Result]:
    if isinstance(source, xr.Dataset):
        title = source.attrs.get("title") or source.attrs.get("kind")
        return _usable([Result(f"data set {number} ({title})", source)], found, explicit=True)
    path = Path(source)
    if not path.is_dir():
        return _usable(_loaded([path], found), found, explicit=True)
    files = sorted(path.glob("*.h5"))
    if not files:
        found.left_out.append(f"{path}: holds no result (.h5). Give runs' folders, such as {path}/*.")
    elif path / run_file("history") not in files:
        found.left_out.append(
            f"{path / run_file('history')}: is missing, so this run's losses and accuracies are not compared."
        )
    return _usable(_loaded(files, found), found, explicit=False)


def _loaded(paths: Sequence[Path], found: Collected) -> list[Result]:
    results = []
    for path in paths:
        try:
            results.append(Result(str(path), load_result(path)))
        except LandscapeError as error:
            found.left_out.append(str(error))
    return results


def _usable(results: Sequence[Result], found: Collected, *, explicit: bool) -> list[Result]:
    """Those that are finished and of a kind that is compared."""
    usable = []
    for result in results:
        reason = _unusable(result.dataset)
        if not reason:
            usable.append(result)
        elif explicit or result.kind not in pictures_only():
            found.left_out.append(f"{result.source}: {reason}")
    return usable


def _unusable(dataset: xr.Dataset) -> str:
    kind = dataset.attrs.get("kind")
    if kind not in compared_kinds():
        return f"is of kind {kind!r}; compare reads {', '.join(compared_kinds())}."
    if dataset.attrs.get("status") == "running":
        return "its training is not over (status running); finish it first."
    if dataset.attrs.get("complete", 1) != 1:
        return "its measurement is not complete; finish it first."
    try:
        settings_of(dataset)
    except InputError as error:
        return str(error)
    return ""


def _of_one_training(results: list[Result], found: Collected) -> list[Result]:
    """Those of a folder that do not contradict its first one's settings (a history comes first)."""
    ordered = sorted(results, key=lambda result: result.kind != "history")
    kept: list[Result] = []
    for result in ordered:
        clash = conflicts(settings_of(ordered[0].dataset), settings_of(result.dataset))
        if clash:
            found.left_out.append(
                f"{result.source}: is of another training than {Path(ordered[0].source).name} beside it ({'; '.join(clash)})."
            )
        else:
            kept.append(result)
    return kept


def _key(results: Sequence[Result]) -> str:
    """Equal for results of one training. Where none tells enough of its settings, the checkpoint stands for it, or the place."""
    whole = next((r.dataset for r in results if has_identity(r.dataset)), None)
    if whole is not None:
        return identity(settings_of(whole))
    attributes = results[0].dataset.attrs
    return identity(settings_of(results[0].dataset)) + str(attributes.get("checkpoint_hash", results[0].source))


def _run(label: str, results: Sequence[Result]) -> Run:
    return Run(label, max((settings_of(r.dataset) for r in results), key=len), tuple(results))


@cache
def compared_kinds() -> dict[str, Kind]:
    """Kind of file -> how such results are compared: by what their own room reads, then by what others read of them."""
    own: dict[str, Kind] = {p.of_file: found(p.compared) for p in probes().values() if p.compared and not p.compared_on}
    for probe in probes().values():
        if probe.compared_on:
            own[probe.compared_on] = _both(own[probe.compared_on], found(probe.compared))
    return own


@cache
def pictures_only() -> frozenset[str]:
    """Of the kinds that belong to a run, those that hold nothing that is one number of it."""
    return frozenset(p.of_file for p in probes().values() if p.run_file and not p.compared)


def _both(one: Kind, other: Kind) -> Kind:
    def read(dataset: xr.Dataset, options: Options) -> list[Reading]:
        return [*one.read(dataset, options), *other.read(dataset, options)]

    return Kind(one.family, one.conditions, read)
