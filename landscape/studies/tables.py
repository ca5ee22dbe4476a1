"""The tables of a study, as Markdown: its runs, and means over the final epochs beside published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.numerics.notation import value_with_uncertainty
from landscape.printable import markdown as marked_down
from landscape.printable import printable
from landscape.studies.parts import TableSettings
from landscape.studies.run_settings import RunSettings
from landscape.studies.runs import RunOutcome
from landscape.studies.settings import StudySettings
from landscape.studies.sweep import Trained, labels_of

FINAL_EPOCHS = 5
# The results of one probe, by the run's folder: path and content.
Probed = dict[Path, tuple[Path, xr.Dataset]]
_SHORT = {
    "train_loss": "train loss",
    "validation_loss": "val. loss",
    "train_accuracy": "train acc.",
    "validation_accuracy": "val. acc.",
    "test_loss": "test loss",
    "test_accuracy": "test acc.",
}


@dataclass(frozen=True)
class Row:
    """One line of a table, as text by column."""

    cells: dict[str, str]


def run_rows(trained: Trained, probed: Mapping[str, Probed]) -> list[Row]:
    """What every run came to, one row each."""
    labels = labels_of([settings for settings, _ in trained])
    return [_run_row(label, outcome, probed) for label, (_, outcome) in zip(labels, trained, strict=True)]


def final_rows(table: TableSettings, trained: Trained) -> list[Row]:
    """Means over the final epochs with their standard error and deviation, one row for each run, published ones beside them.

    Where a setting has several seeds, a row of their mean follows, with deviation and error over the seeds.

    Raises:
        InputError: for a setting that the runs do not have.
    """
    groups: dict[str, Trained] = {}
    for settings, outcome in trained:
        identity = settings.identity()
        if table.over not in identity:
            raise InputError(f"table {table.name!r}: over: the runs have no setting {table.over!r}.")
        groups.setdefault(_number(identity[table.over]), []).append((settings, outcome))
    rows = []
    for value in sorted(groups, key=_order):
        published = table.published.get(value, ())
        rows += [_final_row(table, value, *run, published) for run in groups[value]]
        if len(groups[value]) > 1:
            rows.append(_seeds_row(table, value, groups[value], published))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row.cells))
    lines = [f"| {' | '.join(map(marked_down, columns))} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(marked_down(row.cells.get(c, '')) for c in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def study_markdown(study: StudySettings, rows: Sequence[Row], failures: Mapping[str, str]) -> str:
    """The study's table of runs, with what failed below it."""
    failed = [f"- failed: {marked_down(name)}: {marked_down(why)}" for name, why in failures.items()]
    parts = [f"# {marked_down(study.name)}", _lines(study.description), study.note, markdown(rows), "\n".join(failed)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _lines(text: str) -> str:
    """The user's own Markdown, with nothing in it that acts on a terminal."""
    return "\n".join(map(printable, text.splitlines()))


def table_markdown(study: StudySettings, table: TableSettings, rows: Sequence[Row]) -> str:
    """A table with its title and what its numbers are."""
    text = (
        f"Means over the final {FINAL_EPOCHS} epochs. 0.479(4) means 0.479 ± 0.004, where ± is the standard error of the mean "
        "(SEM); SD is the standard deviation. Both are over the row's epochs, or over the seeds where the row says so."
    )
    return "\n\n".join(
        [f"# {marked_down(table.title or table.name)}", *([study.note] if study.note else []), text, markdown(rows)]
    )


def _final_row(
    table: TableSettings, value: str, settings: RunSettings, outcome: RunOutcome, published: Sequence[str]
) -> Row:
    history = outcome.history
    cells = {
        table.over.replace("_", " "): value,
        "seed": str(settings.training.seed),
        "updates": f"{int(history.attrs.get('updates', 0)):,}",
        "over": f"{min(FINAL_EPOCHS, history.sizes['epoch'])} epochs",
    }
    for place, quantity in enumerate(table.quantities):
        values = final_values(history, quantity)
        cells |= _cells(quantity, values, published[place] if place < len(published) else "")
    return Row({**cells, **_state(history)})


def _seeds_row(table: TableSettings, value: str, runs: Trained, published: Sequence[str]) -> Row:
    cells = {table.over.replace("_", " "): value, "seed": "mean", "updates": "", "over": f"{len(runs)} seeds"}
    for place, quantity in enumerate(table.quantities):
        values = [mean(final_values(outcome.history, quantity)) for _, outcome in runs]
        cells |= _cells(quantity, values, published[place] if place < len(published) else "")
    return Row(cells)


def final_values(history: xr.Dataset, quantity: str) -> list[float]:
    """The final epochs' values; NaN where a run has none."""
    if quantity not in history:
        return [math.nan]
    return [float(v) for v in np.atleast_1d(history[quantity].values)[-FINAL_EPOCHS:]]


def _cells(quantity: str, values: Sequence[float], published: str) -> dict[str, str]:
    name = _SHORT.get(quantity, quantity.replace("_", " "))
    spread = stdev(values) if len(values) > 1 else math.nan
    shown = value_with_uncertainty(mean(values), spread / math.sqrt(len(values)))
    cells = {f"{name}, mean(SEM)": shown, f"{name}, SD": "" if math.isnan(spread) else f"{spread:.2g}"}
    return {**cells, f"{name}, published": published} if published else cells


def _state(history: xr.Dataset) -> dict[str, str]:
    status = str(history.attrs.get("status", ""))
    return {"state": "dead" if history.attrs.get("dead") else status}


def _run_row(label: str, outcome: RunOutcome, probed: Mapping[str, Probed]) -> Row:
    history = outcome.history
    cells = {
        "run": label,
        "epochs": str(history.sizes["epoch"]),
        **({"updates": f"{int(history.attrs['updates']):,}"} if "updates" in history.attrs else {}),
        "train loss": _last(history, "train_loss"),
        "val. loss": _last(history, "validation_loss"),
        "val. acc.": _last(history, "validation_accuracy"),
        "test acc.": _last(history, "test_accuracy"),
        **_state(history),
    }
    for name, results in probed.items():
        dataset = results[outcome.folder][1] if outcome.folder in results else None
        if dataset is not None and "loss" in dataset and dataset.attrs.get("kind") == "plane":
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


def _number(value: Any) -> str:
    """A setting as people write it: 0.0001 as 1e-4."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.0e}" if value < 0.1 and float(f"{value:.0e}") == value else f"{value:g}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else text


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return math.inf, value
