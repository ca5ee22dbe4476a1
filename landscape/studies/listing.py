"""Runs and results of folders as entries of a list: what each is of, how far it came, and its loss; damaged files too."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.comparison.made_with import settings_of, shown
from landscape.errors import InputError, LandscapeError, unknown_choice
from landscape.registry import probes, run_file, run_files
from landscape.results import load_result

RUN, UNREADABLE = "run", "unreadable"
_SHOWN = ("model", "norm", "data", "batch_size", "learning_rate", "seed")


@dataclass(frozen=True)
class Entry:
    """One run or result.

    Attributes:
        path: the run's folder, or the file.
        kind: ``run``, or the kind of the result; empty for a file that cannot be read.
        modified: seconds since 1970 at which it was written last.
        state: ``complete``, ``incomplete``, ``running``, ``diverged``, ``dead`` or ``unreadable``.
        settings: of the training, as ``landscape compare`` knows them.
        epochs_done: of a run.
        epochs: how many a run was to have; None where it counts updates.
        loss: of a run the training loss of its last epoch, of a result the checkpoint's over its samples; None where there is none.
        fault: why the file cannot be read; empty where it can.
    """

    path: Path
    kind: str
    modified: float
    state: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs_done: int | None = None
    epochs: int | None = None
    loss: float | None = None
    fault: str = ""

    def cells(self) -> dict[str, str]:
        """Texts of a table by column, those without any left out."""
        of = "" if self.epochs is None else f"/{self.epochs}"
        when = datetime.datetime.fromtimestamp(self.modified).strftime("%Y-%m-%d %H:%M")
        texts = {
            "path": str(self.path),
            "kind": self.kind,
            **{name.replace("_", " "): shown(self.settings[name]) for name in _SHOWN if name in self.settings},
            "epochs": "" if self.epochs_done is None else f"{self.epochs_done}{of}",
            "state": self.state,
            "loss": "" if self.loss is None else f"{self.loss:.4g}",
            "when": when,
        }
        return {name: text for name, text in texts.items() if text}

    def record(self) -> dict[str, Any]:
        """The same as values; the keys are always all there."""
        modified = datetime.datetime.fromtimestamp(self.modified, datetime.UTC).isoformat(timespec="seconds")
        return {
            "path": str(self.path),
            "kind": self.kind or None,
            **{name: self.settings.get(name) for name in _SHOWN},
            "epochs_done": self.epochs_done,
            "epochs": self.epochs,
            "state": self.state,
            "loss": self.loss,
            "modified": modified,
            "settings": dict(self.settings),
            "fault": self.fault or None,
        }

    def value(self, key: str) -> Any:
        """What ``--where`` compares: a setting, or the state."""
        return self.state if key == "state" else self.settings.get(key)


def entries(places: Sequence[Path]) -> list[Entry]:
    """Everything in folders and files, the newest first. A run's folder is one entry, whatever was watched in it.

    Raises:
        InputError: for a place that does not exist.
    """
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such file or folder. Give folders of runs or results.")
    every = {entry.path.absolute(): entry for place in places for entry in _within(place)}
    return sorted(every.values(), key=lambda entry: -entry.modified)


def selected(every: Iterable[Entry], kinds: Sequence[str], where: Mapping[str, Any]) -> list[Entry]:
    """Those of some kinds (none: of all) whose settings are those of ``where``. What cannot be read is of no kind.

    Raises:
        InputError: for a kind or setting that nothing here has.
    """
    every = list(every)
    there = {entry.kind for entry in every if entry.kind}
    for kind in kinds:
        if kind not in there | {RUN} | {probe.of_file for probe in probes().values()}:
            raise unknown_choice("kind", kind, there | {RUN} | {probe.of_file for probe in probes().values()})
    known = {"state", *_SHOWN, *(key for entry in every for key in entry.settings)}
    for key in where:
        if key not in known:
            raise unknown_choice("where", key, known)
    return [
        entry
        for entry in every
        if (not kinds or entry.kind in kinds)
        and all(shown(entry.value(key)) == shown(value) for key, value in where.items())
    ]


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training."""
    return (folder / run_file("history")).exists() or (folder / "last.pt").exists()


def _within(place: Path) -> Iterator[Entry]:
    if not place.is_dir():
        yield _result(place)
        return
    watched = run_files()
    for name, folders, files in os.walk(place):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        folder = Path(name)
        run = is_run(folder)
        if run:
            yield _run(folder)
        for file in sorted(files):
            if file.endswith(".h5") and not file.startswith(".") and not (run and file in watched):
                yield _result(folder / file)


def _run(folder: Path) -> Entry:
    path = folder / run_file("history")
    try:
        history = load_result(path)
        settings = settings_of(history)
    except LandscapeError as error:
        return Entry(folder, "", _written(folder if not path.exists() else path), UNREADABLE, fault=str(error))
    losses = list(history["train_loss"].values) if "train_loss" in history else []
    return Entry(
        folder,
        RUN,
        _written(path),
        "dead" if history.attrs.get("dead") else str(history.attrs.get("status", "")),
        settings,
        history.sizes.get("epoch"),
        settings.get("epochs"),
        float(losses[-1]) if losses else None,
    )


def _result(path: Path) -> Entry:
    try:
        dataset = load_result(path)
        settings = settings_of(dataset)
    except LandscapeError as error:
        return Entry(path, "", _written(path), UNREADABLE, fault=str(error))
    loss = float(dataset["checkpoint_loss"]) if dataset.get("checkpoint_loss", xr.DataArray([])).ndim == 0 else None
    return Entry(path, str(dataset.attrs["kind"]), _written(path), _state(dataset), settings, loss=loss)


def _state(dataset: xr.Dataset) -> str:
    if dataset.attrs.get("dead"):
        return "dead"
    if "complete" in dataset.attrs:
        return "complete" if dataset.attrs["complete"] == 1 else "incomplete"
    if isinstance(dataset.attrs.get("status"), str):
        return str(dataset.attrs["status"])
    missing = "status" in dataset and bool((dataset["status"] == 0).any())
    return "incomplete" if missing else "complete"


def _written(path: Path) -> float:
    return path.lstat().st_mtime
