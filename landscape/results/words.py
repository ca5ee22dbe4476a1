"""Phrases in which results of every kind are told: a value with its error and unit, an axis, how much was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

_RECIPE = ("optimizer", "learning_rate", "batch_size", "seed")
_NORMS = (("parameter_norm", "‖θ‖"), ("gradient_norm", "‖∇L‖"))


def count(number: Any, single: str, several: str = "") -> str:
    """So many of something: ``1 minimum``, ``2 minima``; with an s where ``several`` is not said."""
    return f"{int(number):,} {single if int(number) == 1 else several or f'{single}s'}"


def with_error(value: Any, error: Any) -> str:
    """A value, and its standard error where that is known."""
    error = None if error is None else float(error)
    known = error is not None and np.isfinite(error)
    return f"{float(value):.5g} ± {float(f'{error:.2g}'):g}" if known else f"{float(value):.5g}"


def unit_of(variable: xr.DataArray) -> str:
    """The unit of a quantity behind a space; nothing for a pure number."""
    name = variable.attrs.get("units", "1")
    return "" if name == "1" else f" {name.replace('^2', '²')}"


def quantity(dataset: xr.Dataset, name: str, error: str = "standard_error") -> str:
    """A value of a data set with its error, where it has one, and its unit."""
    return with_error(dataset[name], dataset.get(f"{name}_{error}")) + unit_of(dataset[name])


def span(values: Any) -> str:
    """From the smallest to the largest finite value; NaN for none."""
    finite = np.asarray(values)[np.isfinite(values)]
    return f"{finite.min():.5g} to {finite.max():.5g}" if finite.size else "nan"


def at_checkpoint(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's own loss, how many images that is over, its accuracy and norms."""
    if "checkpoint_loss" not in dataset:
        return []
    images = f" over {dataset.attrs['n_samples']} images" if "n_samples" in dataset.attrs else ""
    accuracy = f", accuracy {float(dataset['checkpoint_accuracy']):.4f}" if "checkpoint_accuracy" in dataset else ""
    norms = ", ".join(f"{words} {float(dataset[name]):.4g}" for name, words in _NORMS if name in dataset)
    return [
        f"loss at the checkpoint {quantity(dataset, 'checkpoint_loss')}{images}{accuracy}{f'; {norms}' if norms else ''}"
    ]


def grid_words(dataset: xr.Dataset, over: str) -> str:
    """The axes that a variable of a plane or line is over, and the seeds of its directions."""
    names = [str(name) for name in reversed(dataset[over].dims) if name != "seed"]
    axes = (f"{n} {dataset[n].values.min():g} … {dataset[n].values.max():g} in {dataset[n].size}" for n in names)
    return f"grid: {', '.join(axes)}; direction seeds: {', '.join(map(str, dataset['seed'].values))}"


def measured_words(dataset: xr.Dataset, measured: xr.DataArray) -> str:
    """How many points were measured, and how well an adaptive plane knows those between them."""
    made = dataset.attrs
    between = int((dataset["status"] == 2).sum())
    said = f"{int(measured.sum())} of {count(measured.size, 'point')} measured"
    said += f", {between} interpolated between them" if between else ""
    if "picture_error" not in made or not between:
        return said
    passes = f", in {made['image_passes']:.0f} passes over the images" if "image_passes" in made else ""
    asked = f" (asked: {100 * made['tolerance']:g} %)" if "tolerance" in made else ""
    losses = f", for losses up to {made['loss_max']:g}" if math.isfinite(made.get("loss_max", math.inf)) else ""
    return f"{said}{passes}{losses}: {picture_known(made)}{asked}; --full measures every point"


def nonfinite(number: Any, what: str = "point") -> list[str]:
    """That values are no numbers, where some are not."""
    return [f"{count(number, what)} with values that are NaN or infinite; they are kept as they are."] if number else []


def notes(dataset: xr.Dataset, beginning: str) -> list[str]:
    """What the measurement itself had to say: sentences, some with a semicolon in them, that begin as a pattern says."""
    return [f"{note}." for note in re.split(f"; (?={beginning})", str(dataset.attrs.get("notes", ""))) if note]


def dead(dataset: xr.Dataset) -> list[str]:
    """That a network is dead, and what follows, or that it is in part."""
    if not dataset.attrs.get("dead"):
        part = dataset.attrs.get("dead_part")
        return [f"Dead in part: {part}."] if part else []
    why = f": {dataset.attrs['dead_reason']}" if dataset.attrs.get("dead_reason") else ""
    return [f"Dead network{why}. Its flat surface says nothing about smoothness."]


def recipe(settings: Mapping[str, Any]) -> list[str]:
    """How a run is trained, as far as that is said."""
    known = [f"{name.replace('_', ' ')} {settings[name]}" for name in _RECIPE if name in settings]
    return [f"recipe: {', '.join(known)}"] if known else []


def metrics(record: Mapping[Any, Any]) -> str:
    """Numbers with their names."""
    return ", ".join(
        f"{str(name).replace('_', ' ')} {value:.5g}" for name, value in record.items() if isinstance(value, float)
    )


def over_seeds(dataset: xr.Dataset) -> xr.Dataset:
    """One seed's plane, which somebody chose from several, as those are."""
    if "seed" in dataset.dims:
        return dataset
    seed = [int(dataset["seed"]) if "seed" in dataset.coords else 0]
    without = dataset.drop_vars("seed", errors="ignore")
    grid = set(dataset["loss"].dims) if "loss" in dataset else {"x", "y"}
    of_seed = [name for name, one in without.data_vars.items() if grid <= {*one.dims} or name == "direction_cosine"]
    return without.assign({name: without[name].expand_dims(seed=seed) for name in of_seed})


def completeness(dataset: xr.Dataset) -> str:
    """Whether all of a result was measured, or how a training ended; nothing where that is not known."""
    if "status" in dataset:
        status = dataset["status"]
        what = ("point",) if {"x", "y", "t"} & {*status.dims} else ("quantity", "quantities")
        missing = int((status == 0).sum())
        return f"incomplete ({count(missing, *what)} missing)" if missing else "complete"
    if "status" in dataset.attrs:
        return str(dataset.attrs["status"])
    if "complete" in dataset.attrs:
        return "complete" if dataset.attrs["complete"] else "incomplete"
    return ""


def picture_known(attributes: Mapping[Any, Any]) -> str:
    """How well an adaptive plane knows what it did not measure; nothing of any other.

    The limit is of the 95th percentile of the error, and holds in at least 95 of 100 draws of the sample.
    """
    if "picture_error" not in attributes:
        return ""
    limit = float(attributes["picture_error"])
    if "picture_audits" not in attributes:  # of a version that guessed
        return (
            f"95 % of the picture within about {_percent(limit)} of its range, a guess" if limit == limit else _UNKNOWN
        )
    audits, found = int(attributes["picture_audits"]), float(attributes.get("picture_error_estimate", np.nan))
    if np.isfinite(limit):
        known = f"95 % of the picture within {_percent(found)} of its range (upper limit {_percent(limit)})"
        return f"{known}, by {audits} points drawn at random" if audits else known
    if not audits:
        return _UNKNOWN
    return f"{_UNKNOWN}: {audits} points drawn at random are too few"


_UNKNOWN = "how well the rest is known was not measured"


def _percent(fraction: float) -> str:
    """Rounded up to two digits, and never below what a picture can show."""
    percent = max(100 * fraction, 0.01)
    step = 10.0 ** (np.floor(np.log10(percent)) - 1)
    return f"{np.ceil(percent / step - 1e-9) * step:.2g} %"
