"""Folders, files and data sets as trainings with their results, and what could not be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.comparison.made_with import has_identity, identity, settings_of
from landscape.errors import InputError, LandscapeError
from landscape.pictures.labels import labels_of
from landscape.registry import of_file
from landscape.results import load_result
from landscape.results.attributes import mapping

Source = str | Path | xr.Dataset
HISTORY, LAST = "history.h5", "last.pt"


@dataclass(frozen=True, eq=False)
class Piece:
    """One result: where it lies (None for a data set), and the training it belongs to (empty for none)."""

    path: Path | None
    dataset: xr.Dataset
    run: str = ""

    @property
    def kind(self) -> str:
        return str(self.dataset.attrs.get("kind"))

    @property
    def words(self) -> str:
        """The kind as people say it: a plane of one axis is a line."""
        return "line" if self.kind == "plane" and "y" not in self.dataset.dims else self.kind.replace("_", " ")

    @property
    def title(self) -> str:
        """What a figure of it alone is called."""
        record = of_file(self.kind)
        named = record.title if record is not None and record.title else self.words
        said = "loss along a direction" if self.words == "line" else named
        return said[:1].upper() + said[1:]


@dataclass(frozen=True, eq=False)
class Training:
    """One training with its results, its history first where there is one."""

    name: str
    label: str
    settings: Mapping[str, Any]
    folder: Path | None
    pieces: tuple[Piece, ...]

    @property
    def history(self) -> xr.Dataset | None:
        return next((piece.dataset for piece in self.pieces if piece.kind == "history"), None)

    @property
    def state(self) -> str:
        """``dead``, or how its training ended as far as that is known."""
        if any(piece.dataset.attrs.get("dead") for piece in self.pieces):
            return "dead"
        return "" if self.history is None else str(self.history.attrs.get("status", ""))


@dataclass
class Gathered:
    """Everything that a report is of."""

    trainings: list[Training] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def gather(sources: Sequence[Source], labels: Mapping[Path, str] | None = None, *, empty: bool = False) -> Gathered:
    """Read every result of folders and files. What cannot be read is named in ``faults``.

    Args:
        labels: folder of a run -> what it is called; the runs come in this order.
        empty: whether there may be nothing yet.

    Raises:
        InputError: for a place that does not exist, or where there is nothing at all.
    """
    found, groups = Gathered(), dict[str, list[Piece]]()
    folders: dict[str, Path] = {}
    for piece in _read(sources, found):
        key = _key(piece) if _is_of_training(piece) else ""
        if key:
            groups.setdefault(key, []).append(piece)
            if piece.path is not None and piece.path.name == HISTORY:
                folders.setdefault(key, piece.path.parent)
        else:
            found.pieces.append(piece)
    if not empty and not groups and not found.pieces and not found.faults:
        raise InputError(f"{', '.join(map(str, sources))}: holds no result (.h5). Give folders of runs, or results.")
    ordered = {_same(folder): name for folder, name in (labels or {}).items()}
    place = {folder: number for number, folder in enumerate(ordered)}
    keys = sorted(groups, key=lambda key: place.get(_same(folders.get(key)), len(place)))
    firsts = [min(groups[key], key=_history_first).dataset for key in keys]
    for number, (key, label) in enumerate(zip(keys, labels_of(firsts, None) if firsts else [], strict=True)):
        name, folder = f"run-{number + 1}", folders.get(key)
        members = tuple(Piece(p.path, p.dataset, name) for p in sorted(groups[key], key=_history_first))
        settings = max((settings_of(p.dataset) for p in members), key=len)
        found.trainings.append(Training(name, ordered.get(_same(folder), label), settings, folder, members))
        found.pieces += members
    return found


def _read(sources: Sequence[Source], found: Gathered) -> Iterator[Piece]:
    seen: set[Path] = set()
    for source in sources:
        if isinstance(source, xr.Dataset):
            yield Piece(None, source)
            continue
        for path in _files(Path(source)):
            if path.absolute() in seen:
                continue
            seen.add(path.absolute())
            try:
                dataset = load_result(path)
                settings_of(dataset)
            except LandscapeError as error:
                found.faults.append(str(error))
            else:
                yield Piece(path, dataset)


def _files(place: Path) -> Iterable[Path]:
    if not place.exists():
        raise InputError(f"{place}: no such file or folder. Give a study, folders of runs, or results.")
    if not place.is_dir():
        return [place]
    found = []
    for name, folders, files in os.walk(place):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        found += [Path(name) / one for one in sorted(files) if one.endswith(".h5") and not one.startswith(".")]
    return found


def _is_of_training(piece: Piece) -> bool:
    """Whether it says of which training it is; what joins several, such as a comparison, does not."""
    return bool(settings_of(piece.dataset)) and piece.kind not in ("comparison", "run_range")


def _key(piece: Piece) -> str:
    """Equal for results of one training. Where none tells enough of its settings, the checkpoint stands for it, or the place.

    Trainings that differ in what was watched alone are two, as their folders are.
    """
    attributes = piece.dataset.attrs
    if attributes.get("training"):
        return identity(mapping(attributes["training"], "training"))
    if has_identity(piece.dataset):
        return identity(settings_of(piece.dataset))
    return identity(settings_of(piece.dataset)) + str(
        attributes.get("checkpoint_hash", piece.path or id(piece.dataset))
    )


def _history_first(piece: Piece) -> bool:
    return piece.kind != "history"


def _same(folder: Path | None) -> Path | None:
    return None if folder is None else folder.absolute()
