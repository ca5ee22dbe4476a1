"""What a training came to: losses and accuracies, the mean over its final epochs. One number a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from landscape.probes.comparable import NOT_SAID, RESCALINGS, Kind, Measure, Options, Reading

FINAL_EPOCHS = 5
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
        final = f", mean over the final {FINAL_EPOCHS} epochs" if name in _CURVES else ""
        units = str(history[name].attrs.get("units", "1"))
        # The function's own values, so that no rescaling that leaves the function changes them.
        measure = Measure(name, f"{words}{final}", units, _FAMILY, invariant=RESCALINGS)
        curve = history[name].values.reshape(-1)
        readings.append(Reading(measure, {"run": float(curve[-FINAL_EPOCHS:].mean())}))
    return readings


TRAINING = Kind(_FAMILY, _conditions, _read)
