"""A report as a page: its parts in the order in which they are read."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from landscape.comparison.made_with import differing, shown
from landscape.errors import unknown_choice
from landscape.pictures.report_page import PLOTLY, Code, Grid, Items, Plotly, Section, Stamp, Text, report_page
from landscape.registry import of_file
from landscape.reporting.figures import Wanted, page_figures, palette_of, usual_figures
from landscape.reporting.gathering import Gathered, Piece, Source, Training, gather
from landscape.reporting.story import comparisons_of, every_sentence, notes_of, what_came_out
from landscape.results.attributes import a_dataset
from landscape.results.words import completeness

TRAINING, AROUND, COMPARED = "Training", "Around the trained networks", "Comparisons"
MOST_MISSING = 12  # lines of what is not there yet that need no fold
_LAST = {
    "train_loss": "train loss",
    "validation_loss": "val. loss",
    "train_accuracy": "train acc.",
    "validation_accuracy": "val. acc.",
    "test_accuracy": "test acc.",
}
# what a figure of provenance says of a file, by attribute
_ORIGIN = ("checkpoint", "checkpoint_hash", "data", "n_samples", "index_hash", "bn_policy", "precision", "landscape_version",
           "torch_version", "created_at")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Asked:
    """What a report is of, as those say who asked for it.

    Attributes:
        description: sentences on what was asked.
        note: what is to be said first of every figure.
        wanted: figures that were asked for; what is measured and in none of them follows them.
        missing: what is not there yet.
        failures: what failed.
        commands: lines that make everything anew.
        recipe: a file that says all of it, by its name and content.
    """

    title: str
    description: Sequence[str] = ()
    note: str = ""
    wanted: Sequence[Wanted] = ()
    missing: Sequence[str] = ()
    failures: Sequence[str] = ()
    commands: Sequence[str] = ()
    recipe: Mapping[str, str] = field(default_factory=dict)


def report(
    sources: Source | Sequence[Source],
    *,
    title: str | None = None,
    plotly: Plotly = "inline",
) -> str:
    """One HTML page over runs and results, which needs nothing else: what came out in five sentences, the table of runs, every
    figure with its caption, its command and its data, comparisons, and where everything came from.

    Args:
        sources: folders of runs, folders of results, result files, data sets, or several of them. Trainings that differ in a
            setting are compared by it, as :func:`landscape.compare` does, where no comparison is among the results.
        title: of the page; None: from the names of the sources.
        plotly: ``inline``: pictures that move, with what moves them inside (5 MB); ``link``: with it in a file beside the page,
            which :func:`landscape.pictures.report_page.plotly_file` gives; ``none``: pictures that stand still.

    Returns:
        The page's text, to be written in UTF-8.

    Raises:
        InputError: for sources that do not exist, or hold nothing.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 5), y=(-1, 1, 5))
        >>> page = ls.report(plane, title="my plane", plotly="none")
        >>> "Where it came from" in page
        True
    """
    if plotly not in PLOTLY:
        raise unknown_choice("plotly", plotly, PLOTLY)
    several = [sources] if isinstance(sources, str | Path | xr.Dataset) else list(sources)
    for one in several:
        if not isinstance(one, str | Path):
            a_dataset(one, "sources")
    return written(gather(several), Asked(title_of(several) if title is None else title), plotly)


def written(gathered: Gathered, asked: Asked, plotly: Plotly = "inline", stamp: Stamp | None = None) -> str:
    """The page of everything that was gathered."""
    comparisons = comparisons_of(gathered)
    figures, failed = _figures(gathered, asked, comparisons, plotly)
    sections = [
        _asked(gathered, asked),
        Section("part-came-out", "What came out", [Items("", what_came_out(gathered, comparisons))]),
        _runs(gathered),
        *figures,
        _origins(gathered, asked, failed),
    ]
    kept = [one for one in sections if one.blocks or one.figures]
    return report_page(asked.title, kept, lead=_lead(gathered, asked), plotly=plotly, stamp=stamp)


def _lead(gathered: Gathered, asked: Asked) -> list[str]:
    counts = [f"{len(gathered.trainings)} training{'s' * (len(gathered.trainings) != 1)}"] if gathered.trainings else []
    counts.append(f"{len(gathered.pieces)} result{'s' * (len(gathered.pieces) != 1)}")
    when = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    running = sum(training.state == "running" for training in gathered.trainings)
    still = f" {running} of the trainings are under way." if running else ""
    return [asked.note, f"{', '.join(counts)}; written {when} UTC.{still}"] if asked.note else [
        f"{', '.join(counts)}; written {when} UTC.{still}"
    ]  # fmt: skip


def _asked(gathered: Gathered, asked: Asked) -> Section:
    kinds = dict.fromkeys(piece.kind for piece in gathered.pieces)
    records = [record for kind in kinds if (record := of_file(kind)) is not None and record.question]
    questions = [f"{record.title[:1].upper()}{record.title[1:]}: {record.question}" for record in records]
    blocks: list[Text | Items] = [Text(line) for line in asked.description if line]
    if questions:
        blocks.append(Items("What was measured, and what it answers", questions))
    if asked.missing:
        blocks.append(Items("Not there yet", list(asked.missing), open=len(asked.missing) <= MOST_MISSING))
    if asked.failures:
        blocks.append(Items("What failed", list(asked.failures)))
    return Section("part-asked", "What was asked", blocks)


def _runs(gathered: Gathered) -> Section:
    if not gathered.trainings:
        return Section("part-runs", "Runs")
    keys = [key for key in differing(one.settings for one in gathered.trainings) if "." not in key]
    rows = [_run_cells(training, keys) for training in gathered.trainings]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[row.get(column, "") for column in columns] for row in rows]
    names = [training.name for training in gathered.trainings]
    return Section("part-runs", "Runs", [Grid("Runs", columns, cells, runs=names)])


def _run_cells(training: Training, keys: Sequence[str]) -> dict[str, str]:
    history = training.history
    cells = {"run": training.label}
    cells |= {key.replace("_", " "): shown(training.settings.get(key)) for key in keys}
    if history is not None:
        of = training.settings.get("epochs")
        cells["epochs done"] = f"{history.sizes['epoch']}{'' if of is None else f' of {of}'}"
        cells |= {
            words: f"{float(history[name].values.reshape(-1)[-1]):.4f}"
            for name, words in _LAST.items()
            if name in history
        }
    cells["state"] = training.state
    cells["measured"] = ", ".join(_measured(piece) for piece in training.pieces if "checkpoint" in piece.dataset.attrs)
    return cells if cells["measured"] else {k: v for k, v in cells.items() if k != "measured"}


def _measured(piece: Piece) -> str:
    unfinished = piece.dataset.attrs.get("complete", 1) != 1
    return piece.words + (f" ({completeness(piece.dataset)})" if unfinished else "")


def _figures(
    gathered: Gathered, asked: Asked, comparisons: Sequence[xr.Dataset], plotly: Plotly
) -> tuple[list[Section], list[str]]:
    """The figures that were asked for, then those of everything else, in their sections; and what could not be drawn."""
    distinct: dict[tuple[object, ...], Wanted] = {}
    for one in asked.wanted:
        distinct.setdefault(one.shows, one)
    shown_pieces = {id(piece) for one in asked.wanted for piece in one.pieces}
    others = [piece for piece in gathered.pieces if id(piece) not in shown_pieces and piece.kind != "comparison"]
    labels = {training.name: training.label for training in gathered.trainings}
    wanted = [*distinct.values(), *(_noted(one, asked.note) for one in usual_figures(others, labels))]
    made, failed = page_figures(wanted, plotly, palette_of(gathered))
    by_name = {figure.title: figure for figure in made}
    around = {one.title for one in wanted if any("checkpoint" in piece.dataset.attrs for piece in one.pieces)}
    sections = [
        Section("part-training", TRAINING, (), [f for f in by_name.values() if _base(f.title) not in around]),
        Section("part-around", AROUND, (), [f for f in by_name.values() if _base(f.title) in around]),
    ]
    for number, comparison in enumerate(comparisons, 1):
        section, why = _comparison(gathered, comparison, number, plotly)
        sections.append(section)
        failed += why
    return sections, failed


def _base(title: str) -> str:
    """The title without the number that tells it from others of its name."""
    head, _, tail = title.rpartition(" (")
    return head if tail[:-1].isdigit() and tail.endswith(")") and head else title


def _noted(wanted: Wanted, note: str) -> Wanted:
    return Wanted(wanted.title, wanted.pieces, wanted.options, wanted.datasets, note)


def _comparison(gathered: Gathered, comparison: xr.Dataset, number: int, plotly: Plotly) -> tuple[Section, list[str]]:
    piece = next((one for one in gathered.pieces if one.dataset is comparison), Piece(None, comparison))
    by = str(comparison.attrs.get("by", "")).replace("_", " ")
    alike = sum(
        one.kind == "comparison" and one.dataset.attrs.get("by") == comparison.attrs.get("by")
        for one in gathered.pieces
    )
    named = f": {piece.path.stem.replace('-', ' ')}" if alike > 1 and piece.path is not None else ""
    title = f"Compared by {by}{named}"
    figures, failed = page_figures([Wanted(title, (piece,), {})], plotly)
    notes, left_out = notes_of(comparison)
    blocks = [
        Items("Every comparison in words", every_sentence(comparison), open=False),
        Items("To know before believing it", notes, open=False),
        Items("Left out", left_out, open=False),
    ]
    return Section(f"part-compared-{number}", title, [block for block in blocks if block.items], figures), failed


def _origins(gathered: Gathered, asked: Asked, failed: Sequence[str]) -> Section:
    blocks: list[Text | Items | Grid | Code] = []
    if asked.commands:
        blocks.append(Code("The commands that make all of it", "\n".join(asked.commands)))
    blocks += [Code(name, text) for name, text in asked.recipe.items()]
    rows = [_origin(piece) for piece in gathered.pieces]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[row.get(column, "") for column in columns] for row in rows]
    if cells:
        blocks.append(Grid("Files, and what they are of", columns, cells, open=False))
    if failed:
        blocks.append(Items("Not drawn", list(failed)))
    if gathered.faults:
        blocks.append(Items("Could not be read", list(gathered.faults)))
    return Section("part-origin", "Where it came from", blocks)


def _origin(piece: Piece) -> dict[str, str]:
    attributes = piece.dataset.attrs
    said = {name.replace("_", " "): str(attributes[name]) for name in _ORIGIN if attributes.get(name) not in (None, "")}
    return {"file": str(piece.path or "in memory"), "kind": piece.kind, **said}


def title_of(sources: Sequence[Source]) -> str:
    """What a report is called where nobody says it."""
    names = [
        Path(one).name if isinstance(one, str | Path) else str(one.attrs.get("title") or "data") for one in sources
    ]
    return f"Report of {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
