"""The training curves as one labelled result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.results.attributes import labels
from landscape.training.observers import EpochReport, Observer, Record, StartReport, TrainingResult

# Which records there can be, in the order in which they are stored: long name, and whether the unit is that of the loss.
_VARIABLES = {
    "train_loss": ("training loss, mean over the epoch's minibatches before their updates", True),
    "train_accuracy": ("training accuracy, mean over the epoch's minibatches before their updates", False),
    "validation_loss": ("validation loss", True),
    "validation_accuracy": ("validation accuracy", False),
    "learning_rate": ("learning rate", False),
    "test_loss": ("test loss of the final weights", True),
    "test_accuracy": ("test accuracy of the final weights", False),
}
_IN_NATS = ("cross_entropy", "CrossEntropyLoss")


def history_dataset(
    history: TrainingResult | Sequence[Record], attrs: Mapping[str, str | int | float] | None = None
) -> xr.Dataset:
    """Training curves over the dimension ``epoch`` (1-based), a Dataset of ``kind`` "history".

    Variables, float64, as far as they were measured: ``train_loss``, ``validation_loss`` (in nats for cross-entropy, else of no
    unit), ``train_accuracy``, ``validation_accuracy`` (fractions), ``learning_rate``; without a dimension ``test_loss``,
    ``test_accuracy``. NaN and ±inf are values that were measured.

    Attributes: ``title``, ``status`` (``complete``, ``diverged``, ``running``), ``loss_name``, ``data``, ``updates`` (made in all),
    ``settings`` (the recipe as JSON) and, where they exist, ``best_epoch`` and ``diverged_epoch``, as far as ``history`` tells
    them; then ``attrs``, which prevail.

    Args:
        history: what ``fit`` returned, or the records of a run that is not over (status ``running``).
        attrs: further attributes (``model``, ``norm``, …).

    Example:
        >>> result = ls.fit(net, data, ls.TrainingConfig(epochs=2))
        >>> ls.history_dataset(result, {"model": "mine"})["train_loss"].sizes["epoch"]
        2
    """
    records = history.history if isinstance(history, TrainingResult) else history
    test = history.test if isinstance(history, TrainingResult) else {}
    attributes = {"kind": "history", "title": "Training", **_known(history), **(attrs or {})}
    loss_unit = "nat" if attributes.get("loss_name") in _IN_NATS else "1"
    variables: dict[str, Any] = {}
    for name, (long_name, of_loss) in _VARIABLES.items():
        described = labels(long_name, loss_unit if of_loss else "1")
        if name in test:
            variables[name] = ((), np.float64(test[name]), described)
        elif any(name in record for record in records):
            variables[name] = (("epoch",), np.array([record[name] for record in records]), described)
    epochs = np.arange(1, len(records) + 1)
    coordinate = (("epoch",), epochs, labels("epoch"))
    return xr.Dataset(variables, coords={"epoch": coordinate}, attrs=attributes)


class History(Observer):
    """Keeps every epoch's record, those before a resume included, for a look at the curves at any time."""

    def __init__(self) -> None:
        self.records: Sequence[Record] = ()
        self._result: TrainingResult | None = None
        self._started: dict[str, str | int | float] = {}

    def on_start(self, report: StartReport) -> None:
        self.records, self._result = report.history, None
        settings = json.dumps(report.config.to_dict())
        self._started = {"loss_name": report.loss_name, "data": report.data, "settings": settings}
        if report.engine:
            self._started["engine"] = report.engine

    def on_epoch(self, report: EpochReport) -> None:
        self.records = report.history

    def on_end(self, result: TrainingResult) -> None:
        self._result = result

    def dataset(self, attrs: Mapping[str, str | int | float] | None = None) -> xr.Dataset:
        """:func:`history_dataset` of the epochs so far; ``status`` is ``running`` until training has ended."""
        if self._result is not None:
            return history_dataset(self._result, attrs)
        return history_dataset(self.records, {**self._started, **(attrs or {})})


def _known(history: TrainingResult | Sequence[Record]) -> dict[str, Any]:
    if not isinstance(history, TrainingResult):
        return {"status": "running"}
    epochs = {"best_epoch": history.best_epoch, "diverged_epoch": history.diverged_epoch}
    return {
        "status": history.status,
        "loss_name": history.loss_name,
        "data": history.data,
        "updates": history.updates,
        "settings": json.dumps(history.config.to_dict()),
        **({"engine": history.engine} if history.engine else {}),
        **{name: epoch for name, epoch in epochs.items() if epoch is not None},
    }
