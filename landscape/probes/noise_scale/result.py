"""What files of gradient noise hold, and what is said of them."""

from __future__ import annotations

import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import dead, quantity

SCHEMA = Schema(
    variables="""
    noise_scale() noise_scale_standard_error() noise_trace() noise_trace_standard_error()?
    gradient_norm_squared() gradient_norm_squared_standard_error()? resolved() noise_scale_without(group)?
""",
)


_NOT_RESOLVED = "‖G‖² is not told apart from zero, so the noise scale has no upper end: ask for more --images."


def words(dataset: xr.Dataset) -> list[str]:
    """The noise scale with its parts, from what it was made, and whether it has an upper end."""
    made = dataset.attrs
    batches = (
        f", from batches of {made['small_batch']} and {made['big_batch']}"
        if {"small_batch", "big_batch"} <= made.keys()
        else ""
    )
    groups = (
        f"; ±: one standard error, by the jackknife over {dataset.sizes['group']} groups"
        if "group" in dataset.sizes
        else ""
    )
    resolved = float(dataset["resolved"]) == 1
    scale = f"{quantity(dataset, 'noise_scale')} images" if resolved else "not resolved"
    return [
        f"gradient noise scale {scale}{batches}{groups}",
        f"tr Σ {quantity(dataset, 'noise_trace')}, ‖G‖² {quantity(dataset, 'gradient_norm_squared')}",
        *([] if resolved else [_NOT_RESOLVED]),
        *dead(dataset),
    ]
