"""What came out, in a few sentences: those of the comparisons that claim most, and which networks are dead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xarray as xr

from landscape.comparison import compare
from landscape.comparison.made_with import differing
from landscape.comparison.rows import CANNOT_TELL, EQUIVALENT, FALLS, HIGHER, LOWER, NOT_TESTED, RISES, THESE_RUNS
from landscape.errors import LandscapeError
from landscape.reporting.gathering import Gathered, Training
from landscape.results.description import summary
from landscape.results.words import count

SENTENCES = 5
_LAST = ("train_loss", "validation_loss", "validation_accuracy", "test_accuracy")
MOST_COMPARED = 2  # settings that are compared where nobody says which
# What claims most comes first.
_RANK = {HIGHER: 0, LOWER: 0, RISES: 0, FALLS: 0, EQUIVALENT: 1, THESE_RUNS: 2, CANNOT_TELL: 3, NOT_TESTED: 4}


@dataclass(frozen=True)
class _Said:
    """A sentence of a comparison, of which measure and family, and how much it claims."""

    rank: int
    family: str
    measure: str
    text: str


def comparisons_of(gathered: Gathered) -> list[xr.Dataset]:
    """The comparisons among the results, of some measures before those of all; else by what tells the trainings apart."""
    made = [piece.dataset for piece in gathered.pieces if piece.kind == "comparison"]
    return sorted(made, key=lambda one: not _is_of_some(one, made)) or [
        found for by in _settings_to_compare(gathered.trainings) if (found := _compared(gathered, by)) is not None
    ]


def what_came_out(gathered: Gathered, comparisons: Sequence[xr.Dataset]) -> list[str]:
    """At most five sentences."""
    dead = [_dead(training) for training in gathered.trainings if training.state in ("dead", "diverged")]
    shown = [*dead[:1], f"So are {len(dead) - 1} more; see the table of runs."] if len(dead) > 2 else dead
    some = [one for one in comparisons if _is_of_some(one, comparisons)]
    said = _varied(_ranked(some), SENTENCES - len(shown))
    others = [one for one in _ranked(comparisons) if one.measure not in {answer.measure for answer in said}]
    said += _varied(others, SENTENCES - len(shown) - len(said))
    chosen = [one.text for one in said if one.rank < _RANK[NOT_TESTED]]
    ends = [words for training in gathered.trainings if (words := _end(training))] if not chosen else []
    if not shown and not chosen and not ends:
        lines = [line for piece in gathered.pieces for line in summary(piece.dataset)[:1]]
        ends = [f"{line[:1].upper()}{line[1:]}" for line in dict.fromkeys(lines)]
    return [*shown, *chosen, *ends][:SENTENCES]


def _settings_to_compare(trainings: Sequence[Training]) -> list[str]:
    """The settings in which the trainings differ, but for the seed, which makes replicates."""
    if len(trainings) < 2:
        return []
    keys = differing(training.settings for training in trainings)
    followers = {"epochs", "updates"} if len(keys) > 1 else set()
    return [key for key in keys if key != "seed" and key not in followers][:MOST_COMPARED]


def _compared(gathered: Gathered, by: str) -> xr.Dataset | None:
    sources = [
        piece.dataset.assign_attrs(title=piece.dataset.attrs.get("title") or piece.kind)
        for piece in gathered.pieces
        if piece.run
    ]
    try:
        made = compare(sources, by=by).dataset()
    except LandscapeError:
        return None
    # Of a dead network and a living one no difference is tested, and of one run each nothing can be told.
    least = CANNOT_TELL if (made["n"] > 1).any() else THESE_RUNS
    return made if any(one.rank <= _RANK[least] for one in _sentences(made)) else None


def _dead(training: Training) -> str:
    attributes = [piece.dataset.attrs for piece in training.pieces]
    if training.state == "diverged":
        return f"{training.label} diverged: its loss became NaN or infinite."
    reasons = (str(one.get("dead_reason")) for one in attributes if one.get("dead") and one.get("dead_reason"))
    why = next(reasons, "")
    return f"{training.label} is a dead network{f': {why}' if why else ''}. Its flat surface says nothing about smoothness."


def _end(training: Training) -> str:
    """Where a training that is not dead came to."""
    history = training.history
    if history is None or training.state in ("dead", "diverged"):
        return ""
    last = {name: float(history[name].values.reshape(-1)[-1]) for name in _LAST if name in history}
    values = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in last.items())
    epochs = count(history.sizes["epoch"], "epoch")
    return f"{training.label} after {epochs}: {values}." if values else ""


def _is_of_some(comparison: xr.Dataset, beside: Sequence[xr.Dataset]) -> bool:
    """Whether another by the same setting has its measures and more: then these were chosen, and answer what was asked."""
    measures = {*map(str, comparison["measure"].values)}
    alike = [one for one in beside if one.attrs.get("by") == comparison.attrs.get("by")]
    return any(measures < {*map(str, one["measure"].values)} for one in alike)


def _ranked(comparisons: Sequence[xr.Dataset]) -> list[_Said]:
    return sorted((one for comparison in comparisons for one in _sentences(comparison)), key=lambda one: one.rank)


def _sentences(comparison: xr.Dataset) -> Iterable[_Said]:
    """All trends and differences of a comparison, as its data set says them."""
    measures = [str(name) for name in comparison["measure"].values]
    families = [str(name) for name in comparison["family"].values]
    for row, (measure, family) in enumerate(zip(measures, families, strict=True)):
        for verdicts, sentences in (("trend_verdict", "trend_sentence"), ("verdict", "sentence")):
            if verdicts not in comparison:
                continue
            for verdict, text in zip(comparison[verdicts].values[row], comparison[sentences].values[row], strict=True):
                if text:
                    yield _Said(_RANK.get(str(verdict), 5), family, measure, str(text))


def _varied(said: Sequence[_Said], count: int) -> list[_Said]:
    """The first of each measure, the families by turns, those that claim most first."""
    chosen: list[_Said] = []
    left = list({one.measure: one for one in reversed(said)}.values())[::-1]
    while left and len(chosen) < count:
        best = min(one.rank for one in left)
        used = [one.family for one in chosen]
        one = min((o for o in left if o.rank == best), key=lambda o: used.count(o.family))
        chosen.append(one)
        left.remove(one)
    return chosen


def notes_of(comparison: xr.Dataset) -> tuple[list[str], list[str]]:
    """What a reader must know of a comparison, and what was left out."""
    return tuple(list(json.loads(str(comparison.attrs.get(name, "[]")))) for name in ("notes", "left_out"))  # type: ignore[return-value]


def every_sentence(comparison: xr.Dataset) -> list[str]:
    return [one.text for one in _sentences(comparison)]
