"""A whole study: its runs, its probes of them, its pictures, tables and comparisons. What is missing is trained and probed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.comparison import compare
from landscape.comparison.writing import FORMATS, writable_files
from landscape.errors import InputError
from landscape.execution.team import Team
from landscape.pictures.labels import BASE, TELLING
from landscape.places import Places
from landscape.probes.path.config import PathSettings
from landscape.probes.probing import ProbeOutcome, probe_checkpoint
from landscape.probes.settings import ProbeSettings
from landscape.probes.subjects import Subject
from landscape.reporting.keeping import write_page
from landscape.results import atomic_write, check_writable, load_result
from landscape.results.names import REPORT, RUNS_TABLE, part_names
from landscape.studies.parts import ComparisonSettings, PictureSettings, TableSettings
from landscape.studies.path_ends import far_end
from landscape.studies.pictures import Drawing, draw, drawn_of_runs
from landscape.studies.reporting import StudyReport
from landscape.studies.run_settings import RunSettings
from landscape.studies.runs import RunOutcome
from landscape.studies.settings import StudySettings, picture_names
from landscape.studies.spread import Job, spread
from landscape.studies.sweep import Trained, attempt, labels_of, train_all
from landscape.studies.tables import Probed, Row, final_rows, run_rows, study_markdown, table_markdown

COMPARED = ("forest", "comparison", "trend")  # kinds of pictures that are of a comparison


@dataclass(frozen=True)
class StudyOutcome:
    """What a study made: the rows of its runs, every file by its kind, and what failed, by name."""

    rows: list[Row]
    tables: list[Path]
    pictures: list[Path]
    results: list[Path]
    failures: dict[str, str]
    report: Path | None = None


def run_study(
    study: StudySettings, places: Places, *, recipe: tuple[str, str] = ("", ""), command: str = ""
) -> StudyOutcome:
    """Train what is not trained, probe what is not probed, then draw, tabulate and compare, and write a report of all of it.

    A part that fails is reported and leaves the others to go on. ``recipe`` is the text and the name of the study's file, and
    ``command`` the line that runs it, for the report.

    Raises:
        ResultFileError: before the first run, if a picture or table cannot be written.
        LandscapeError: if every run failed.
    """
    return _Study(study, places).run(recipe, command)


def measure_study(study: StudySettings, places: Places) -> StudyOutcome:
    """Train and probe what is missing, and nothing else: what :func:`run_study` finds done then.

    Raises:
        LandscapeError: if every run failed.
    """
    return _Study(study, places).measured() if study.runs else StudyOutcome([], [], [], [], {})


class _Study:
    """One study under way: what has been trained and probed, and what failed."""

    def __init__(self, study: StudySettings, places: Places) -> None:
        self._study, self._places = study, places
        self._folder = places.outputs / study.name
        self._failures: dict[str, str] = {}
        self._trained: Trained = []
        self._probed: dict[str, Probed] = {}
        self._compared: dict[str, xr.Dataset] = {}

    def measured(self) -> StudyOutcome:
        """The runs and their probes alone."""
        study = self._study
        self._trained = train_all(study.runs, self._places, self._failures)
        if self._places.executor is not None:
            self._probe_all_by(self._places.executor)
        else:
            for name, probe in zip(part_names(study.probes), study.probes, strict=True):
                self._probed[name] = self._probe(probe, name)
        results = [path for _, outcome in self._trained for path in outcome.files]
        results += [path for made in self._probed.values() for path, _ in made.values()]
        return StudyOutcome([], [], [], results, self._failures)

    def run(self, recipe: tuple[str, str], command: str) -> StudyOutcome:
        study = self._study
        self._check_writable()
        results = self.measured().results
        named = list(zip(study.pictures, picture_names(study), strict=True))
        early = [one for one in named if one[0].kind not in COMPARED]
        pictures = self._each([p for p, _ in early], [name for _, name in early], self._draw)
        rows = run_rows(self._trained, self._probed)
        tables = [self._write(RUNS_TABLE, study_markdown(study, rows, self._failures))]
        tables += self._each(study.tables, [table.name for table in study.tables], self._tabulate)
        tables += self._each(study.comparisons, [made.name for made in study.comparisons], self._compare)
        late = [one for one in named if one[0].kind in COMPARED]
        pictures += self._each([p for p, _ in late], [name for _, name in late], self._draw_comparison)
        # Again, because what was made since may have failed too.
        self._write(RUNS_TABLE, study_markdown(study, rows, self._failures))
        report = attempt(self._failures, REPORT, partial(self._report, recipe, command))
        return StudyOutcome(rows, tables, pictures, results, self._failures, report)

    def _check_writable(self) -> None:
        """What the parts become, before the first run is trained."""
        study = self._study
        for name, picture in zip(picture_names(study), study.pictures, strict=True):
            for suffix in suffixes_of(picture):
                check_writable(self._folder / f"{name}.{suffix}")
        for name in (RUNS_TABLE, *(table.name for table in study.tables)):
            check_writable(self._folder / f"{name}.md")
        check_writable(self._folder / f"{REPORT}.html")
        for comparison in study.comparisons:
            writable_files(self._comparison_files(comparison.name))
            check_writable(self._folder / f"{comparison.name}.png")

    def _each(self, parts: Sequence[Any], names: Sequence[str], make: Any) -> list[Path]:
        made: list[Path] = []
        for part, name in zip(parts, names, strict=True):
            made += attempt(self._failures, name, partial(make, part, name)) or []
        return made

    def _of(self, groups: Sequence[str]) -> Trained:
        """The trained runs of some groups, or all; those that differ in rate or batch size in its order, as a sweep shares runs."""
        chosen = [(s, o) for s, o in self._trained if not groups or set(groups) & set(s.groups)]
        chosen.sort(key=lambda run: (run[0].training.learning_rate, run[0].training.batch_size))
        if not chosen:
            raise InputError(f"none of the runs {', '.join(groups)} could be trained")
        return chosen

    def _probe(self, probe: ProbeSettings, name: str) -> Probed:
        """The probe of every run that it is of, by the run's folder."""
        made: Probed = {}
        for settings, outcome, label, runs in self._probed_runs(probe, name):
            self._places.reporter.message(f"probe {name}: {label}")
            work = partial(self._probe_run, probe, settings, outcome, runs)
            result = attempt(self._failures, f"{name} of {label}", work)
            if result is not None:
                made[outcome.folder] = (result.path, result.dataset)
        return made

    def _probed_runs(self, probe: ProbeSettings, name: str) -> Iterator[tuple[RunSettings, RunOutcome, str, Trained]]:
        """Each run that a probe is of, with its label and all of them."""
        runs = attempt(self._failures, name, partial(self._of, probe.runs)) or []
        for (settings, outcome), label in zip(runs, labels_of([s for s, _ in runs]), strict=True):
            yield settings, outcome, label, runs

    def _probe_run(
        self, probe: ProbeSettings, settings: RunSettings, outcome: RunOutcome, runs: Trained
    ) -> ProbeOutcome | None:
        """The probe of one run; None where it is a path and the run is where the last one ends."""
        subject = self._subject(probe, settings, outcome, runs)
        return None if subject is None else probe_checkpoint(subject, probe, self._inside)

    def _probe_all_by(self, team: Team) -> None:
        """Every probe of every run, by workers."""
        jobs, of = [], []
        for name, probe in zip(part_names(self._study.probes), self._study.probes, strict=True):
            self._probed[name] = {}
            for settings, outcome, label, runs in self._probed_runs(probe, name):
                task = f"{name} of {label}"
                subject = attempt(self._failures, task, partial(self._subject, probe, settings, outcome, runs))
                if subject is not None:
                    jobs.append(Job(task, f"probe {task}", probed_path, (subject, probe)))
                    of.append((name, outcome.folder))
        for (name, folder), path in zip(of, spread(team, jobs, self._inside, self._failures), strict=True):
            if path is not None:
                self._probed[name][folder] = (path, load_result(path))

    @property
    def _inside(self) -> Places:
        return replace(self._places, outputs=self._folder)

    def _subject(
        self, probe: ProbeSettings, settings: RunSettings, outcome: RunOutcome, runs: Trained
    ) -> Subject | None:
        """What is probed of one run; None where it is a path and the run is where the last one ends."""
        to: tuple[Path, ...] = ()
        if isinstance(probe, PathSettings):
            end = far_end(probe, settings, runs, self._trained)
            if end is None:
                return None
            to = (_checkpoint(probe, end),)
        # All from the study, which the user runs: nothing that a file in a run's folder names is.
        return Subject(
            _checkpoint(probe, outcome),
            model={"name": settings.model, "options": settings.builder_options()},
            data={"name": settings.data, "options": settings.data_options},
            loss=settings.loss,
            to=to,
        )

    def _draw(self, picture: PictureSettings, stem: str) -> list[Path]:
        runs = self._of(picture.runs)
        labels = labels_of([settings for settings, _ in runs])
        shown = [(self._drawn(picture, outcome), label) for label, (_, outcome) in zip(labels, runs, strict=True)]
        found = [(dataset, label) for dataset, label in shown if dataset is not None]
        if not found:
            raise InputError(f"nothing was measured that a picture of kind {picture.kind!r} could show")
        page = picture.kind == "interactive"
        drawing = Drawing(
            kind="auto" if page else picture.kind,
            # Data sets that say what tells them apart name themselves: seeds become one curve, a swept setting gives the order.
            labels=None if _self_named([dataset for dataset, _ in found]) else tuple(label for _, label in found),
            study=tuple(outcome.history for _, outcome in self._trained),
            **_asked(picture),
        )
        noted = [self._noted(dataset) for dataset, _ in found]
        return draw(noted, [self._folder / f"{stem}.{suffix}" for suffix in suffixes_of(picture)], drawing)

    def _drawn(self, picture: PictureSettings, outcome: RunOutcome) -> xr.Dataset | None:
        """What a picture shows of one run; None where there is no such thing."""
        if picture.kind == "curves":
            return outcome.history
        if picture.kind in drawn_of_runs():
            path = outcome.folder / drawn_of_runs()[picture.kind][0]
            return load_result(path) if path.exists() else None
        name = picture.probe or next(iter(self._probed), None)
        if name not in self._probed:
            raise InputError(f"probe: no probe of this study is called {name!r}")
        made = self._probed[name].get(outcome.folder)
        return None if made is None else made[1]

    def _draw_comparison(self, picture: PictureSettings, stem: str) -> list[Path]:
        """A picture of one of the study's comparisons, the first where none is named."""
        if not self._compared:
            raise InputError(
                f"no comparison of this study was made, which a picture of kind {picture.kind!r} could show"
            )
        name = picture.comparison or next(iter(self._compared))
        if name not in self._compared:
            raise InputError(f"comparison: {name!r} was not made")
        paths = [self._folder / f"{stem}.{suffix}" for suffix in suffixes_of(picture)]
        return draw([self._compared[name]], paths, Drawing(kind=picture.kind, **_asked(picture)))

    def _noted(self, dataset: xr.Dataset) -> xr.Dataset:
        return dataset.assign_attrs(note=self._study.note) if self._study.note else dataset

    def _tabulate(self, table: TableSettings, name: str) -> list[Path]:
        rows = final_rows(table, self._of(table.runs))
        return [self._write(name, table_markdown(self._study, table, rows))]

    def _compare(self, comparison: ComparisonSettings, name: str) -> list[Path]:
        runs = self._of(comparison.runs)
        folders = [outcome.folder for _, outcome in runs]
        probed = [made[f][0] for made in self._probed.values() for f in folders if f in made]
        found = compare(
            [*folders, *probed],
            by=comparison.by,
            reference=comparison.reference,
            measures=comparison.measures,
            equivalence=comparison.equivalence,
            note=self._study.note,
        )
        paths = found.write(*self._comparison_files(name))
        figure = self._folder / f"{name}.png"
        self._compared[name] = found.dataset()
        return [*paths, *draw([self._compared[name]], [figure], Drawing(kind="forest"))]

    def _report(self, recipe: tuple[str, str], command: str) -> Path:
        text, name = recipe
        made = StudyReport(
            self._study,
            self._places,
            {f"The study's file, {name}.toml": text} if text else {},
            [command] if command else (),
            self._failures,
        )
        write_page(made.path, made.page()[0], "inline")
        return made.path

    def _comparison_files(self, name: str) -> list[Path]:
        return [self._folder / f"{name}.{suffix}" for suffix in FORMATS]

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / f"{name}.md"
        atomic_write(path, text.encode())
        return path


def _asked(picture: PictureSettings) -> dict[str, Any]:
    """What a picture's table says beside its kind and what it is of."""
    names = {field.name for field in fields(Drawing)} - {"kind", "labels", "study"}
    return {name: value for name in names if (value := getattr(picture, name)) is not None}


def _self_named(datasets: Sequence[xr.Dataset]) -> bool:
    """Whether the data sets' own settings tell them apart, or they are training curves, which are grouped by theirs."""
    if datasets[0].attrs.get("kind") == "history":
        return True
    told = [
        tuple(str(dataset.attrs.get(name)) for name in (*BASE, *TELLING) if name != "checkpoint")
        for dataset in datasets
    ]
    return len(set(told)) == len(told)


def probed_path(subject: Subject, probe: ProbeSettings, places: Places) -> Path:
    """Probe a checkpoint, and say where the result lies."""
    return probe_checkpoint(subject, probe, places).path


def suffixes_of(picture: PictureSettings) -> tuple[str, ...]:
    return ("html",) if picture.kind == "interactive" else picture.formats


def _checkpoint(probe: ProbeSettings, outcome: RunOutcome) -> Path:
    return outcome.last if probe.checkpoint == "last" else outcome.best
