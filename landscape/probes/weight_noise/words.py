"""What is said of weight noise."""

from __future__ import annotations

import xarray as xr

from landscape.results.words import at_checkpoint, dead, unit_of, with_error


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss, how far each noise raises it at the ends and in the middle of its σ, and what is no plain number."""
    lines = [
        *at_checkpoint(dataset),
        f"rise of the loss, mean over {dataset.sizes['draw']} draws ± its standard error over draws:",
    ]
    for name in dataset["noise"].values:
        row = dataset.sel(noise=name).sortby("sigma")
        shown = sorted({0, row.sizes["level"] // 2, row.sizes["level"] - 1})
        parts = [
            f"{with_error(point['rise'], point['standard_error'])} at σ = {float(point['sigma']):g}"
            for point in (row.isel(level=place) for place in shown)
            if int(point["status"])
        ]
        lines.append(f"{name}: {', '.join(parts)}{unit_of(dataset['rise'])}" if parts else f"{name}: not measured")
    notes = [f"{note}." for note in dataset.attrs["notes"].split("; ") if note]
    return [*lines, *notes, *dead(dataset)]
