"""What is said of a training history."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.words import count, dead, recipe, unit_of

_BEST = {"validation_accuracy": "argmax", "validation_loss": "argmin"}


def words(dataset: xr.Dataset) -> list[str]:
    """What the training came to at its last and at its best epoch, in how many updates, and by which recipe."""
    if not dataset.sizes.get("epoch"):
        return []
    made, last = dataset.attrs, dataset.isel(epoch=-1)
    numbers = {name: one for name, one in last.items() if one.ndim == 0 and one.dtype.kind in "iuf"}
    shown = [f"{_words(name)} {float(one):.5g}{unit_of(one)}" for name, one in numbers.items()]
    updates = f" of {count(made['updates'], 'update')} in all" if "updates" in made else ""
    lines = [f"{count(dataset.sizes['epoch'], 'epoch')}{updates}; at the last: {', '.join(shown)}"]
    lines += _best(dataset)
    if "diverged_epoch" in made:
        lines.append(f"The loss became NaN or infinite in epoch {made['diverged_epoch']}; training stopped there.")
    return [*lines, *recipe(made), *dead(dataset)]


def _best(dataset: xr.Dataset) -> list[str]:
    """The best validation accuracy, or loss where there is none."""
    for name, choose in _BEST.items():
        if name in dataset and np.isfinite(dataset[name]).any():
            values = dataset[name].where(np.isfinite(dataset[name]))
            best = dataset[name].isel(epoch=int(getattr(values, choose)("epoch")))
            return [f"best {_words(name)}: {float(best):.4f}{unit_of(best)} at epoch {int(best['epoch'])}"]
    return []


def _words(name: object) -> str:
    return str(name).replace("_", " ")
