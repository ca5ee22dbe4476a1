"""Words that results of several kinds are told in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def over_seeds(dataset: xr.Dataset) -> xr.Dataset:
    """One seed's plane, which somebody chose from several, as those are."""
    if "seed" in dataset.dims:
        return dataset
    seed = [int(dataset["seed"]) if "seed" in dataset.coords else 0]
    without = dataset.drop_vars("seed", errors="ignore")
    grid = set(dataset["loss"].dims) if "loss" in dataset else {"x", "y"}
    of_seed = [name for name, one in without.data_vars.items() if grid <= {*one.dims} or name == "direction_cosine"]
    return without.assign({name: without[name].expand_dims(seed=seed) for name in of_seed})


def completeness(dataset: xr.Dataset, what: str = "points") -> str:
    """Whether all of a result was measured."""
    missing = int((dataset["status"] == 0).sum())
    return f"incomplete ({missing} {what} missing)" if missing else "complete"


def axis_words(name: str, values: np.ndarray) -> str:
    """From where to where, and how many."""
    return f"{name} {values.min():g} … {values.max():g} in {values.size}"


def metrics(record: Mapping[Any, Any]) -> str:
    """Numbers with their names."""
    return ", ".join(
        f"{str(name).replace('_', ' ')} {value:.5g}" for name, value in record.items() if isinstance(value, float)
    )


def with_error(value: Any, error: Any) -> str:
    """A value, and its standard error where that is known."""
    known = error is not None and np.isfinite(float(error))
    return f"{float(value):.5g} ± {float(error):.2g}" if known else f"{float(value):.5g}"


def unit_of(variable: xr.DataArray) -> str:
    """The unit of a quantity behind a space; nothing for a pure number."""
    name = variable.attrs.get("units", "1")
    return "" if name == "1" else f" {name}"


def dead(dataset: xr.Dataset) -> list[str]:
    """That a network is dead, and what follows, or that it is in part."""
    if not dataset.attrs.get("dead"):
        part = dataset.attrs.get("dead_part")
        return [f"Dead in part: {part}."] if part else []
    return [f"Dead network: {dataset.attrs['dead_reason']}. Its flat surface says nothing about smoothness."]
