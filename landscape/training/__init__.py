"""The fit loop and its schedule. It tells observers what happens and knows none of them."""

from __future__ import annotations

from landscape.training.config import OPTIMIZERS, PRECISIONS, SCHEDULES, TrainingConfig, learning_rate
from landscape.training.history import History, history_dataset
from landscape.training.loop import fit, signature_of
from landscape.training.observers import (
    EpochReport,
    Observer,
    Record,
    StartReport,
    StepReport,
    TrainingResult,
    best_epoch,
)
from landscape.training.progress import TerminalProgress

__all__ = [
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "EpochReport",
    "History",
    "Observer",
    "Record",
    "StartReport",
    "StepReport",
    "TerminalProgress",
    "TrainingConfig",
    "TrainingResult",
    "best_epoch",
    "fit",
    "history_dataset",
    "learning_rate",
    "signature_of",
]
