"""The parts of a batch or a sample: which of them the targets are, and arrays and numbers in it as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import InputError

Targets = str | int | Sequence[str] | None  # which part of a batch the targets are
SAME = "inputs"  # the targets of what is to be found again, as an autoencoder does


def separated(batch: Any, targets: Targets, what: str) -> tuple[Any, Any]:
    """Inputs and targets of a batch, or of one sample.

    Args:
        targets: a key of a mapping, several, or a place in a tuple; ``"inputs"``: what goes in is to come out. None: the second of
            a pair.
        what: how an error calls it.

    Raises:
        InputError: where they are not said, or not there.
    """
    if isinstance(batch, Mapping):
        keys = ", ".join(map(repr, batch))
        wanted = [targets] if isinstance(targets, str) else targets
        if wanted == [SAME] and SAME not in batch:
            return dict(batch), dict(batch)
        if not isinstance(wanted, Sequence) or not wanted:
            hint = " or loss='model' where the module computes its loss" if "labels" in batch else ""
            on_command = " or by --loss model" if hint else ""
            shown = "labels" if "labels" in batch else next(reversed(list(batch)), "labels")
            raise InputError(
                f"targets: {what} is a mapping with {keys}; expected which of them the targets are. Say "
                f"targets={shown!r}{hint}, on the command line by a function that returns ls.as_data(…, targets={shown!r})"
                f"{on_command}; a loss of yours over model and batch is given as ls.batch_loss(loss)."
            )
        if missing := [key for key in wanted if key not in batch]:
            raise InputError(f"targets: {what} has no {missing[0]!r}; it has {keys}.")
        inputs = {key: value for key, value in batch.items() if key not in wanted}
        if not inputs:
            raise InputError(f"targets: {what} has {keys} and nothing else, so there are no inputs.")
        return inputs, batch[wanted[0]] if len(wanted) == 1 else {key: batch[key] for key in wanted}
    if targets == SAME:
        alone = batch[0] if isinstance(batch, tuple | list) and len(batch) == 1 else batch
        return alone, alone
    if not isinstance(batch, tuple | list):
        raise InputError(
            f"data: {what} is {described(batch)} and its targets are missing: give (inputs, targets), targets='inputs' where what "
            "goes in is to come out, or a loss over model and batch, ls.batch_loss(lambda model, batch: …)."
        )
    if isinstance(targets, int) and not isinstance(targets, bool) and -len(batch) <= targets < len(batch):
        rest = [part for place, part in enumerate(batch) if place != targets % len(batch)]
        return rest[0] if len(rest) == 1 else tuple(rest), batch[targets]
    if targets is not None or len(batch) != 2:
        said = f" and targets={targets!r} is none of its places" if targets is not None else ""
        raise InputError(
            f"targets: {what} is a {type(batch).__name__} of {len(batch)}{said}; expected a pair (inputs, targets), or which part "
            "the targets are, such as targets=-1 for the last."
        )
    return batch[0], batch[1]


def as_tensors(value: Any) -> Any:
    """Arrays inside ``value`` as tensors, numbers and lists of numbers too; the rest as it is."""
    if isinstance(value, Mapping):
        return {key: as_tensors(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, bool | int | float) for item in value):
        return torch.tensor(value)
    if isinstance(value, tuple | list):
        items = [as_tensors(item) for item in value]
        kind: Any = type(value)
        return kind._make(items) if hasattr(value, "_fields") else kind(items)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        array = np.asarray(value)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    return value.detach() if isinstance(value, Tensor) else value


def described(value: Any) -> str:
    """What a part of a batch is, for a message."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(repr, value))}"
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else f"{type(value).__name__} {value!r:.60}"
