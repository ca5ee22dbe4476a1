"""The figures of a report: which results share one, what it is called, and the command that makes it as a file."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from landscape.errors import LandscapeError
from landscape.pictures.arrays import grid_dims
from landscape.pictures.colours import setting_of
from landscape.pictures.report_page import PageFigure, Plotly
from landscape.probes.drawn import drawn_as
from landscape.probes.interactive import page_content
from landscape.probes.plot import plot
from landscape.registry import of_file
from landscape.reporting.gathering import Gathered, Piece

PNG_DPI = 110  # of what stands for a figure on a page without plotly
# what tells the subject of a measurement, and not how it was made
_SUBJECT = re.compile(r"(.*_)?(hash|model|data|loss|checkpoint|to|key)$")


@dataclass(frozen=True, eq=False)
class Wanted:
    """A figure that is to be made.

    Attributes:
        title: what it is called.
        pieces: the results that are drawn.
        options: those of :func:`landscape.probes.plot.plot` that are not left as they are.
        datasets: what is drawn in place of the results, where it is made of them.
        note: what is to be said of it first.
        study: results whose colours it shares, where its own do not have them all.
    """

    title: str
    pieces: tuple[Piece, ...]
    options: Mapping[str, Any]
    datasets: tuple[xr.Dataset, ...] = ()
    note: str = ""
    study: tuple[Piece, ...] = ()

    @property
    def drawn(self) -> list[xr.Dataset]:
        sets = list(self.datasets) or [piece.dataset for piece in self.pieces]
        return [dataset.assign_attrs(note=self.note) for dataset in sets] if self.note else sets

    @property
    def shows(self) -> tuple[Any, ...]:
        """Equal for two that are one figure on a page: a plane's contours and its surface stand beside each other there."""
        shown = json.dumps({"kind": "auto", **_both_sides(self.options)}, sort_keys=True, default=str)
        return (frozenset(id(piece) for piece in self.pieces), shown)

    def command(self, name: str) -> str:
        """The line that makes it as a file of a name; empty where a result of it lies in no file."""
        if any(piece.path is None for piece in self.pieces):
            return ""
        words = ["landscape", "plot", *(str(piece.path) for piece in self.pieces)]
        for option, value in self.options.items():
            if option == "labels":
                words += [word for label in value for word in ("--label", label)]
            elif value not in (None, "auto", False):
                words += [f"--{option.replace('_', '-')}", str(value)]
        words += [word for piece in self.study if piece.path for word in ("--study", str(piece.path))]
        return shlex.join([*words, "--out", f"{name}.png"])

    def sharing(self, palette: Sequence[Piece]) -> Wanted:
        """The same figure in a study's colours, of which the palette has one result for each."""
        own = list(dict.fromkeys(setting_of(dataset.attrs) for dataset in self.drawn))
        told = [setting_of(piece.dataset.attrs) for piece in palette]
        return self if own == told or drawn_as(self.drawn[0]).grid == 2 else replace(self, study=tuple(palette))


def usual_figures(pieces: Sequence[Piece], labels: Mapping[str, str]) -> list[Wanted]:
    """A figure for each kind of result that can be drawn, one for each way in which such results were made.

    Args:
        labels: what the trainings are called. Training curves name themselves: seeds become one curve.
    """
    groups: dict[tuple[str, ...], list[Piece]] = {}
    for piece in pieces:
        record = of_file(piece.kind)
        if record is not None and record.drawn:
            groups.setdefault((piece.kind, *_made(piece)), []).append(piece)
    found = []
    for (kind, *_), members in groups.items():
        runs = [piece.run for piece in members]
        named = kind != "history" and all(runs) and len(set(runs)) == len(runs) > 1
        options = {"labels": tuple(labels[run] for run in runs)} if named else {}
        found.append(Wanted(members[0].title, tuple(members), options))
    return found


def page_figures(
    wanted: Iterable[Wanted], plotly: Plotly, palette: Sequence[Piece] = ()
) -> tuple[list[PageFigure], list[str]]:
    """The figures, and a sentence for each that could not be drawn. What cannot share a figure has one each.

    Args:
        palette: a result for each setting of the study that has a colour.
    """
    made: list[PageFigure] = []
    failed: list[str] = []
    taken: set[str] = set()
    for one in wanted:
        try:
            made.append(_figure(one.sharing(palette), plotly, taken))
        except LandscapeError as error:
            if len(one.pieces) < 2 or one.datasets:
                failed.append(f"{one.title}: {error}")
                continue
            for piece in one.pieces:
                alone = Wanted(
                    one.title, (piece,), {k: v for k, v in one.options.items() if k != "labels"}, (), one.note
                )
                try:
                    made.append(_figure(alone.sharing(palette), plotly, taken))
                except LandscapeError as why:
                    failed.append(f"{one.title}, {piece.path}: {why}")
    return made, failed


def palette_of(gathered: Gathered) -> list[Piece]:
    """The first history of each setting that has a colour, in the order of the trainings."""
    histories = (piece for training in gathered.trainings for piece in training.pieces if piece.kind == "history")
    found: dict[tuple[Any, ...], Piece] = {}
    for piece in histories:
        found.setdefault(setting_of(piece.dataset.attrs), piece)
    return list(found.values())


def slug(text: str) -> str:
    """Letters, digits and hyphens of a text, for an address or a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "figure"


def _figure(wanted: Wanted, plotly: Plotly, taken: set[str]) -> PageFigure:
    options = {k: v for k, v in wanted.options.items() if not (wanted.datasets and k in ("labels", "loss_max"))}
    study = [piece.dataset for piece in wanted.study]
    content = page_content(wanted.drawn, **_both_sides(options), study=study)
    content.pop("title")
    runs = [] if wanted.datasets else [piece.run for piece in wanted.pieces]
    content["members"] = [
        [runs[place] for place in places if place < len(runs) and runs[place]] for places in content["members"]
    ]
    title, number = wanted.title, 1
    while slug(title) in taken:
        number += 1
        title = f"{wanted.title} ({number})"
    taken.add(slug(title))
    png = None
    if plotly == "none":
        stream = io.BytesIO()
        plot(wanted.drawn, **options, study=study).savefig(stream, format="png", dpi=PNG_DPI)
        png = stream.getvalue()
    return PageFigure(slug(title), title, content, wanted.command(slug(title)), png)


def _both_sides(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a page: a plane's contours and its surface stand beside each other whichever was asked for."""
    return {k: v for k, v in options.items() if (k, v) not in (("kind", "contour"), ("kind", "surface"))}


def _made(piece: Piece) -> tuple[str, ...]:
    """Equal for results that were made alike, of whichever network: they share a figure and its scale."""
    attributes = piece.dataset.attrs
    axes = str(len(grid_dims(piece.dataset))) if piece.kind == "plane" else ""
    if "training" in attributes and "checkpoint" not in attributes:
        return (axes,)  # watched while training: all runs together
    try:
        settings = json.loads(str(attributes.get("settings", "{}")))
    except ValueError:
        settings = {}
    kept = {k: v for k, v in settings.items() if not _SUBJECT.match(k)} if isinstance(settings, dict) else {}
    return (axes, json.dumps(kept, sort_keys=True))
