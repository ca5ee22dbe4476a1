"""What a data set is called in a picture: the user's word for it, or what tells it from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from landscape.pictures.style import setting_number

NORMS = {
    "none": "no BatchNorm",
    "input": "BatchNorm at the input",
    "blocks": "BatchNorm in blocks",
    "batch": "BatchNorm",
}
BASE = ("model", "norm")
# what else may tell two data sets apart, the plainest first
TELLING = ("data", "checkpoint", "learning_rate", "batch_size", "optimizer", "seed")


def labels_of(
    datasets: Sequence[xr.Dataset],
    labels: Sequence[str] | None,
    telling: Sequence[str] = TELLING,
    *,
    number: bool = True,
) -> list[str]:
    """A name for each: the user's, or model and norm, with one of ``telling`` that differs, or all that do, or a number.

    ``number``: whether those that nothing tells apart are numbered.
    """
    if labels is not None:
        return [str(label) for label in labels]
    differing = tuple(part for part in telling if len({_words(d, part) for d in datasets}) > 1)
    for more in ((), *((part,) for part in differing), differing):
        names = [name_of(dataset, (*BASE, *more)) for dataset in datasets]
        if len(set(names)) == len(names):
            return names
    if not number:
        return [name_of(dataset, (*BASE, *differing)) for dataset in datasets]
    return [f"{name_of(d, BASE)} ({number_})" for number_, d in enumerate(datasets, 1)]


def differences_of(datasets: Sequence[xr.Dataset]) -> list[str]:
    """For each what tells it from the others alone; its whole name where that is not enough."""
    differing = [part for part in (*BASE, *TELLING) if len({_words(d, part) for d in datasets}) > 1]
    names = [", ".join(word for part in differing if (word := _words(d, part))) for d in datasets]
    return names if len(set(names)) == len(names) and all(names) else labels_of(datasets, None)


def split_words(labels: Sequence[str]) -> tuple[str, list[str]]:
    """The words that all labels have, and each without them; nothing and the labels where one would be left empty."""
    parts = [label.split(", ") for label in labels]
    common = [word for word in parts[0] if all(word in own for own in parts)] if len(labels) > 1 else []
    rest = [", ".join(word for word in own if word not in common) for own in parts]
    return (
        (", ".join(common), rest) if common and all(rest) and len(set(rest)) == len(set(labels)) else ("", list(labels))
    )


def name_of(dataset: xr.Dataset, parts: Sequence[str] = BASE) -> str:
    """The words for some attributes, or the title where it has none of them."""
    return ", ".join(word for part in parts if (word := _words(dataset, part))) or str(
        dataset.attrs.get("title") or "untitled"
    )


def setting_words(name: str, value: Any) -> str:
    """A setting in words, such as ``learning rate 1e-4``."""
    return f"{name.replace('_', ' ')} {plain(value)}"


def plain(value: Any) -> str:
    """A setting's value: 1e-4, 400, adam."""
    if isinstance(value, str):
        return value
    return setting_number(float(value))


def state_words(dataset: xr.Dataset) -> str:
    """What a reader has to know of a run before comparing it: that it is dead, diverged or not over; empty if nothing."""
    state = dataset.attrs.get("status")
    words = ["dead"] if dataset.attrs.get("dead") else []
    words += [str(state)] if state not in (None, "complete") else []
    return ", ".join(words)


def marked(label: str, dataset: xr.Dataset) -> str:
    """The label with :func:`state_words` after it."""
    state = state_words(dataset)
    return f"{label} ({state})" if state else label


def _words(dataset: xr.Dataset, part: str) -> str:
    value = dataset.attrs.get(part)
    if value is None or value == "":
        return ""
    if part in ("learning_rate", "batch_size", "seed"):
        return setting_words(part, value)
    return NORMS.get(str(value), str(value)) if part == "norm" else str(value)
