"""The checkpoints of a training as people have them: modules, state dicts, files; the last one among them or not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.ends import State, point_of, state_given
from landscape.objective.objective import Objective


def earlier_states(
    objective: Objective, checkpoints: Sequence[State], names: Sequence[str] | None
) -> tuple[list[nn.Module | Mapping[str, Tensor]], Sequence[str] | None]:
    """The checkpoints before the objective's own, read where they are files, and what all are called, the last one included.

    A last one with the objective's own parameters is that checkpoint itself.

    Raises:
        InputError: for what is no list of checkpoints.
        CheckpointError: for a file that cannot be read, or of another architecture.
    """
    if isinstance(checkpoints, str | os.PathLike | nn.Module | Mapping):
        raise InputError(
            f"checkpoints: expected a list of modules, state dicts or files, got one {type(checkpoints).__name__}. Give them in "
            "the order of the training."
        )
    states = [state_given(objective, one, "checkpoints") for one in checkpoints]
    files = all(isinstance(one, str | os.PathLike) for one in checkpoints)
    if names is None and files and states:
        names = [*(Path(one).stem for one in checkpoints if isinstance(one, str | os.PathLike)), "objective"]
    if states and _is_own(objective, states[-1]):
        del states[-1]
        names = names if names is None or len(names) == len(states) + 1 else names[: len(states) + 1]
    return states, names


def _is_own(objective: Objective, state: nn.Module | Mapping[str, Tensor]) -> bool:
    theta, _ = point_of(objective, state, "the last checkpoint")
    return torch.equal(theta.vector, objective.theta.vector)
