"""Is this checkpoint one that can be measured?"""

from __future__ import annotations

import os
from collections.abc import Iterator

from landscape.errors import LandscapeError
from landscape.results import Checkpoint, load_checkpoint
from landscape.testing.report import Finding, Report
from landscape.testing.state import (
    YOUNG,
    initial_share,
    least_updated,
    listed,
    of_weights,
    tensors_of,
    untouched_statistics,
)


def check_checkpoint(path: str | os.PathLike[str]) -> Report:
    """Whether a checkpoint can be read, what it leaves open, and whether its weights and statistics are those of a training.

    It is never run: what the network makes of data is :func:`~landscape.testing.check_objective`'s to say.
    """
    try:
        checkpoint = load_checkpoint(path)
    except LandscapeError as error:
        return Report(str(path), (Finding("file", False, str(error)),))
    tensors = tensors_of(checkpoint.state_dict)
    entries = sum(tensor.numel() for tensor in tensors.values())
    note = f" {checkpoint.note}" if checkpoint.note else ""
    sentence = f"can be read: {len(tensors)} tensors of {entries:,} numbers.{note}"
    read = Finding("file", True, sentence, {"tensors": len(tensors)})
    return Report(str(path), (read, *_said(checkpoint), *of_weights(tensors, "the file"), *_statistics(checkpoint)))


def _said(checkpoint: Checkpoint) -> Iterator[Finding]:
    missing = [name for name in ("model", "data") if not getattr(checkpoint, name)]
    if missing:
        options = " and ".join(f"--{name}" for name in missing)
        yield Finding("subject", True, f"does not say its {' and '.join(missing)}; name it with {options}.")
    else:
        yield Finding("subject", True, "says its model and data.")


def _statistics(checkpoint: Checkpoint) -> Iterator[Finding]:
    fresh, layers = untouched_statistics(tensors_of(checkpoint.state_dict))
    if not layers:
        return
    numbers = {"layers": layers, "untouched": len(fresh)}
    if fresh:
        sentence = (
            f"{len(fresh)} of {layers} BatchNorms ({listed(fresh)}) have the running statistics that they were made with, 0 and 1. "
            "Measure with --batch-norm reestimated, or save the checkpoint after training batches have passed."
        )
        yield Finding("BatchNorm", False, sentence, numbers)
    elif (least := least_updated(tensors_of(checkpoint.state_dict))) and initial_share(least[1]) > YOUNG:
        sentence = (
            f"running statistics of {least[0]} are of {least[1]} batches: with PyTorch's momentum 0.1, "
            f"{100 * initial_share(least[1]):.0f} % of them is still 0 and 1. Measure with --batch-norm reestimated."
        )
        yield Finding("BatchNorm", None, sentence, {**numbers, "updates": least[1]})
    else:
        yield Finding("BatchNorm", True, f"running statistics of {layers} BatchNorms were taken in training.", numbers)
