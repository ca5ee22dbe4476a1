"""What files of comparisons hold, and what is said of them."""

from __future__ import annotations

import json

import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import count

SCHEMA = Schema(
    variables="""
    value(measure setting replicate) mean(measure setting) low(measure setting) high(measure setting)
    n(measure setting) dead(setting) replication(measure):text scale(measure):text measure(measure):text
    setting(setting):text sentence(measure pair):text? long_name(measure):text? measure_units(measure):text?
    pair(pair):text?
""",
    notes=list,
)


_SENTENCES, _NOTES = 6, 3


def words(dataset: xr.Dataset) -> list[str]:
    """Between which settings, in which measures, and the verdicts in words."""
    by = str(dataset.attrs.get("by", "setting")).replace("_", " ")
    dead = dataset["dead"].values
    settings = [f"{name}{' (dead)' if no else ''}" for name, no in zip(dataset["setting"].values, dead, strict=True)]
    measures = count(dataset.sizes["measure"], "measure")
    sentences = [str(one) for one in dataset["sentence"].values.flat if str(one)] if "sentence" in dataset else []
    notes = [str(note) for note in json.loads(dataset.attrs.get("notes") or "[]")]
    return [
        f"{measures} by {by}: {', '.join(settings)}",
        *_first(sentences, _SENTENCES, "sentence"),
        *_first(notes, _NOTES, "note"),
        *(["A dead network has no rank."] if dead.any() else []),
    ]


def _first(lines: list[str], most: int, what: str) -> list[str]:
    """So many, and how many more there are."""
    return [*lines[:most], *([f"{count(len(lines) - most, f'more {what}')} in the file"] if len(lines) > most else [])]
