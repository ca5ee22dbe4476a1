"""What files of gradient flow hold, and what is said of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import count, dead, nonfinite, recipe, unit_of

SCHEMA = Schema(
    variables="""
    mean_abs_gradient(record tensor) gradient_norm(record tensor)? epoch(record) step(record)?
    tensor(tensor):text? depth(tensor) role(tensor):text
""",
)


def words(dataset: xr.Dataset) -> list[str]:
    """Over which layers and epochs, and how large the gradients of the first and the last layer are at the last record."""
    depth, roles = dataset["depth"].values, dataset["role"].values.astype(str)
    layers = count(len(np.unique(depth)), "layer")
    lines = [f"{count(dataset.sizes['record'], 'record')} of {count(depth.size, 'tensor')} in {layers}"]
    if not dataset.sizes["record"]:
        return [*lines, *dead(dataset)]
    lines[0] += f", epochs {int(dataset['epoch'].values[0])} to {int(dataset['epoch'].values[-1])}"
    sizes = dataset["mean_abs_gradient"]
    unit = unit_of(sizes)
    last, weights = sizes.isel(record=-1).values, np.flatnonzero(roles == "weight")
    if weights.size:
        first, deepest = (weights[place(depth[weights])] for place in (np.argmin, np.argmax))
        lines.append(
            f"mean |gradient| of the weights at the last record: {last[first]:.3g}{unit} in the first layer, "
            f"{last[deepest]:.3g}{unit} in the last"
        )
    zero = int((last == 0).sum())
    lines += [f"{count(zero, 'tensor')} without any gradient at the last record"] if zero else []
    bad = int((~np.isfinite(sizes.values)).any(axis=1).sum())
    return [*lines, *nonfinite(bad, "record"), *recipe(dataset.attrs), *dead(dataset)]
