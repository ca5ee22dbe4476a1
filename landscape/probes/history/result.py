"""What files of training histories hold, what is said of them, and what is compared.

Compared is what a training came to: losses and accuracies, the mean over its final epochs. One number a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.probes.comparable import NOT_SAID, RESCALINGS, Kind, Measure, Options, Reading
from landscape.results.schema import Schema
from landscape.results.words import count, dead, recipe, unit_of

SCHEMA = Schema(
    variables="""
    epoch(epoch) train_loss(epoch)? validation_loss(epoch)? train_accuracy(epoch)? validation_accuracy(epoch)?
    learning_rate(epoch)? test_loss()? test_accuracy()?
""",
)


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


FINAL_EPOCHS = 5
OVER_FINAL = f"mean over the final {FINAL_EPOCHS} epochs"
_FAMILY = "training"
_CURVES = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "validation_loss": "validation loss",
    "validation_accuracy": "validation accuracy",
}
_ONCE = {"test_loss": "test loss of the final weights", "test_accuracy": "test accuracy of the final weights"}


def _conditions(history: xr.Dataset) -> Mapping[str, Any]:
    return {"data": history.attrs.get("data", NOT_SAID), "loss": history.attrs.get("loss_name", NOT_SAID)}


def _read(history: xr.Dataset, options: Options) -> list[Reading]:
    readings = []
    for name, words in {**_CURVES, **_ONCE}.items():
        if name not in history:
            continue
        final = f", {OVER_FINAL}" if name in _CURVES else ""
        units = str(history[name].attrs.get("units", "1"))
        # The function's own values, so that no rescaling that leaves the function changes them.
        measure = Measure(name, f"{words}{final}", units, _FAMILY, invariant=RESCALINGS)
        curve = history[name].values.reshape(-1)
        readings.append(Reading(measure, {"run": float(curve[-FINAL_EPOCHS:].mean())}))
    return readings


TRAINING = Kind(_FAMILY, _conditions, _read)
