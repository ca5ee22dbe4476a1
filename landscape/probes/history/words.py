"""What is said of a training history."""

from __future__ import annotations

import xarray as xr

from landscape.results.words import metrics


def _history(dataset: xr.Dataset) -> list[str]:
    last = dataset.isel(epoch=-1)
    lines = [
        f"epochs: {dataset.sizes['epoch']}; at the last: {metrics({n: float(v) for n, v in last.items() if v.ndim == 0})}"
    ]
    if "validation_accuracy" in dataset and dataset["validation_accuracy"].notnull().any():
        best = dataset["validation_accuracy"].isel(epoch=dataset["validation_accuracy"].argmax("epoch"))
        lines.append(f"best validation accuracy: {float(best):.4f} at epoch {int(best['epoch'])}")
    return lines


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of a training history holds."""
    if not dataset.sizes.get("epoch"):
        return []
    return [f"training history, {dataset.attrs.get('status', 'of unknown status')}", *_history(dataset)]
