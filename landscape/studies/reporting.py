"""The report of a study: its own pictures of its own runs, and what is not there yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError
from landscape.pictures.report_page import Plotly, Stamp
from landscape.places import Places
from landscape.registry import run_file
from landscape.reporting.figures import Wanted
from landscape.reporting.gathering import Gathered, Piece, Training, gather
from landscape.reporting.writing import Asked, written
from landscape.results.names import REPORT, part_names
from landscape.studies.parts import PictureSettings
from landscape.studies.pictures import Drawing, drawn_of_runs, joined
from landscape.studies.runs import run_folder
from landscape.studies.settings import StudySettings
from landscape.studies.sweep import labels_of


@dataclass
class StudyReport:
    """The report of a study as far as it has come.

    Attributes:
        study: what was asked.
        places: where its runs and results lie.
        recipe: the study's file, by its name and content.
        commands: lines that make everything anew.
        failures: what failed in the run of it that ends with this report.
        title: of the page; None: the study's name.
    """

    study: StudySettings
    places: Places
    recipe: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    title: str | None = None

    @property
    def path(self) -> Path:
        """The page's usual place."""
        return self.places.outputs / self.study.name / f"{REPORT}.html"

    def sources(self) -> list[Path]:
        """The folders of its runs that are there, and that of its results."""
        folders = [*self._folders(), self.places.outputs / self.study.name]
        return [folder for folder in folders if folder.is_dir()]

    def page(self, plotly: Plotly = "inline", stamp: Stamp | None = None) -> tuple[str, bool]:
        """The page's text, and whether nothing of the study is missing."""
        folders = self._folders()
        sources = self.sources()
        found = gather(sources, folders, empty=True)
        runs = {training.folder.absolute(): training for training in found.trainings if training.folder is not None}
        own = {folder: runs[folder.absolute()] for folder in folders if folder.absolute() in runs}
        probed, aside = self._probed(found, own)
        missing = self._missing(own, probed)
        wanted, failed = self._wanted(own, probed)
        kept = Gathered([*own.values()], [piece for piece in found.pieces if id(piece) not in aside], found.faults)
        asked = Asked(
            self.study.name if self.title is None else self.title,
            [self.study.description] if self.study.description else [],
            self.study.note,
            wanted,
            missing,
            [*(f"{name}: {why}" for name, why in self.failures.items()), *failed],
            self.commands,
            self.recipe,
        )
        return written(kept, asked, plotly, stamp), not missing

    def _folders(self) -> dict[Path, str]:
        labels = labels_of(self.study.runs)
        return {run_folder(run, self.places): label for run, label in zip(self.study.runs, labels, strict=True)}

    def _probed(self, found: Gathered, own: Mapping[Path, Training]) -> tuple[dict[tuple[str, str], Piece], set[int]]:
        """The newest result of each probe and run that fits the study best, and the identities of results of other settings."""
        names = [training.name for training in own.values()]
        best: dict[tuple[str, str], tuple[int, str, Piece]] = {}
        others: set[int] = set()
        for piece in found.pieces:
            if "checkpoint" not in piece.dataset.attrs:
                if piece.run and piece.run not in names:
                    others.add(id(piece))
                continue
            others.add(id(piece))
            fit = self._fitting(piece)
            if fit is None or piece.run not in names:
                continue
            key, rank = (fit[0], piece.run), (fit[1], str(piece.dataset.attrs.get("created_at", "")), piece)
            if key not in best or rank[:2] > best[key][:2]:
                best[key] = rank
        chosen = {key: piece for key, (_, _, piece) in best.items()}
        return chosen, others - {id(piece) for piece in chosen.values()}

    def _fitting(self, piece: Piece) -> tuple[str, int] | None:
        """The name of the probe that a result is of, and in how many settings they agree; None for none of its kind."""
        settings = _mapping(piece.dataset.attrs.get("settings"))
        ranked = []
        for name, probe in zip(part_names(self.study.probes), self.study.probes, strict=True):
            said = json.loads(json.dumps(probe.identity(), default=str))
            if settings.get("kind") == probe.kind:
                ranked.append((sum(settings.get(key) == value for key, value in said.items()), name))
        if not ranked:
            return None
        score, name = max(ranked, key=lambda one: one[0])
        return name, score

    def _missing(self, own: Mapping[Path, Training], probed: Mapping[tuple[str, str], Piece]) -> list[str]:
        missing = []
        for folder, label in self._folders().items():
            training = own.get(folder)
            history = None if training is None else training.history
            if history is None:
                missing.append(f"{label}: not begun")
            elif history.attrs.get("status") not in ("complete", "diverged"):
                missing.append(f"{label}: {history.sizes['epoch']} of {training.settings.get('epochs', '?')} epochs")  # type: ignore[union-attr]
        for name, probe in zip(part_names(self.study.probes), self.study.probes, strict=True):
            if probe.kind == "path":  # the last seed leads to none
                continue
            for run, (folder, label) in zip(self.study.runs, self._folders().items(), strict=True):
                if probe.runs and not set(probe.runs) & set(run.groups):
                    continue
                piece = probed.get((name, own[folder].name)) if folder in own else None
                if piece is None:
                    missing.append(f"{name} of {label}: not begun")
                elif piece.dataset.attrs.get("complete", 1) != 1:
                    missing.append(f"{name} of {label}: not complete")
        return missing

    def _wanted(
        self, own: Mapping[Path, Training], probed: Mapping[tuple[str, str], Piece]
    ) -> tuple[list[Wanted], list[str]]:
        """The study's pictures of what is there, and a sentence for each that cannot be made."""
        found: list[Wanted] = []
        failed: list[str] = []
        for picture in self.study.pictures:
            chosen = [(t, p) for t in self._of(picture.runs, own) if (p := self._piece(picture, t, probed)) is not None]
            if not chosen:
                continue
            labels = None if picture.kind == "curves" else tuple(training.label for training, _ in chosen)
            try:
                found.append(self._figure(picture, tuple(piece for _, piece in chosen), labels))
            except LandscapeError as error:
                failed.append(f"{picture.name or picture.kind}: {error}")
        return found, failed

    def _figure(self, picture: PictureSettings, pieces: tuple[Piece, ...], labels: tuple[str, ...] | None) -> Wanted:
        page = picture.kind == "interactive"
        drawing = Drawing(
            kind="auto" if page else picture.kind,
            quantity=picture.quantity,
            scale=picture.scale,
            loss_max=picture.loss_max,
            labels=labels,
            along=picture.along,
        )
        usual = Drawing()
        options = {name: value for name, value in drawing.options().items() if value != getattr(usual, name)}
        drawn = [piece.dataset for piece in pieces]
        made, _ = joined(drawn, drawing)
        words = (picture.name or pieces[0].title).replace("-", " ")
        return Wanted(
            words[:1].upper() + words[1:], pieces, options, () if made is drawn else tuple(made), self.study.note
        )

    def _of(self, groups: Sequence[str], own: Mapping[Path, Training]) -> list[Training]:
        """The trainings of some groups, or all, in the order in which the study's pictures have them."""
        runs = zip(self.study.runs, self._folders(), strict=True)
        chosen = [
            (run, own[folder]) for run, folder in runs if folder in own and (not groups or {*groups} & {*run.groups})
        ]
        chosen.sort(key=lambda one: (one[0].training.learning_rate, one[0].training.batch_size))
        return [training for _, training in chosen]

    def _piece(
        self, picture: PictureSettings, training: Training, probed: Mapping[tuple[str, str], Piece]
    ) -> Piece | None:
        if picture.kind == "curves" or picture.kind in drawn_of_runs():
            name = run_file("history") if picture.kind == "curves" else drawn_of_runs()[picture.kind][0]
            own = (
                piece for piece in training.pieces if piece.path is not None and "checkpoint" not in piece.dataset.attrs
            )
            return next((piece for piece in own if piece.path is not None and piece.path.name == name), None)
        name = picture.probe or next(iter(part_names(self.study.probes)), "")
        return probed.get((name, training.name))


def _mapping(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
