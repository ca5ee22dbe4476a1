"""Arrays that pictures are made of, and what in them is no number."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError

Floats = NDArray[np.float64]


Mask = NDArray[np.bool_]


def counts(values: Floats, missing: Mask) -> dict[str, int]:
    """How many points are not numbers, by what they are."""
    found = {
        "NaN": int((np.isnan(values) & ~missing).sum()),
        "+∞": int((values == np.inf).sum()),
        "−∞": int((values == -np.inf).sum()),
    }
    return {name: count for name, count in found.items() if count}


def grid_dims(dataset: xr.Dataset) -> list[str]:
    """The grid's dimensions, x last.

    Raises:
        InputError: unless they are x, or y and x.
    """
    if "loss" not in dataset:
        raise InputError(
            f"datasets: expected a variable 'loss' in a plane, got {', '.join(map(str, dataset)) or 'none'}."
        )
    dims = sorted((str(d) for d in dataset["loss"].dims if d != "seed"), reverse=True)
    if dims not in (["x"], ["y", "x"]):
        raise InputError(
            f"datasets: expected the loss over x, or over y and x, got the dimensions {', '.join(dims) or 'none'}. "
            "Choose a slice first, such as dataset.isel(z=0)."
        )
    return dims


def error_band(values: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """One standard error below and above; the value itself where no error is known."""
    known = np.where(np.isfinite(errors), errors, 0.0)
    return values - known, values + known
