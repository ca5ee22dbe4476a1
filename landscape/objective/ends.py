"""The way from a checkpoint to another network of the same kind, however that is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from landscape.errors import InputError
from landscape.numerics.directions import Direction, direction_between
from landscape.numerics.parameters import ParameterVector
from landscape.objective.objective import Objective
from landscape.results import fitted, load_checkpoint

State = nn.Module | Mapping[str, Tensor] | Objective | str | os.PathLike[str]  # of a network with the same parameters


def an_objective(given: Any) -> None:
    """Refuse what is given in place of an objective.

    Raises:
        InputError: saying how to make one.
    """
    if isinstance(given, Objective):
        return
    what = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
    model = isinstance(given, nn.Module)
    hint = "Make one of it, its loss and its data: ls.Objective(model, loss, data)." if model else ""
    raise InputError(
        f"objective: expected an ls.Objective, got {what}. {hint or 'Make one: ls.Objective(model, loss, data).'}"
    )


def state_of(objective: Objective) -> dict[str, Tensor]:
    """The tensors of an objective's network at its checkpoint, by name."""
    statistics = objective._statistics.layout.views(objective.statistics)
    return {**objective.structure.state_dict(), **objective.theta.views(), **statistics}


def state_given(objective: Objective, end: Any, name: str) -> nn.Module | Mapping[str, Tensor]:
    """Another network as a module or its tensors by name: of an objective, of an averaged model, of a file.

    Raises:
        InputError: for what is none of these, calling it ``name``.
        CheckpointError: for a file that cannot be read.
    """
    an_objective(objective)
    if isinstance(end, AveragedModel):
        inner: nn.Module = end.module
        return inner
    if isinstance(end, nn.Module | Mapping):
        return end
    if isinstance(end, Objective):
        return state_of(end)
    if isinstance(end, str | os.PathLike):
        return fitted(objective.structure, load_checkpoint(end)).state_dict
    if isinstance(end, type):
        raise InputError(f"{name}: {end.__name__} is a class. Give an instance of it: {end.__name__}(…).")
    raise InputError(
        f"{name}: expected a module, a state dict, an objective or the path of a file, got {type(end).__name__} {end!r:.60}."
    )


def direction_to(objective: Objective, end: State, name: str) -> Direction:
    """From the objective's checkpoint to the one called ``name``, with the change of the running statistics.

    Raises:
        InputError: for a checkpoint of another architecture, or with the same parameters.
    """
    there, statistics = point_of(objective, end, name)
    between = (objective.statistics, statistics)
    return direction_between(objective.theta, there, statistics=between, provenance={"to": name})


def point_of(objective: Objective, end: State, name: str) -> tuple[ParameterVector, Tensor]:
    """θ and the flat running statistics of another checkpoint of the objective's architecture, called ``name``.

    Raises:
        InputError: naming it, for a checkpoint of another architecture, or one that has diverged.
    """
    state = state_given(objective, end, name)
    try:
        theta, statistics = objective.parameters_of(state), objective.statistics_of(state)
    except InputError as error:
        raise InputError(f"{name}: is of another architecture than the first checkpoint: {error}") from None
    check_finite(theta, name)
    return theta, statistics


def check_finite(theta: ParameterVector, name: str) -> None:
    """Raise InputError where the parameters of the checkpoint ``name`` are not all numbers: no direction leads there."""
    if not bool(theta.vector.isfinite().all()):
        broken = [key for key, tensor in theta.layout.views(theta.vector).items() if not bool(tensor.isfinite().all())]
        raise InputError(
            f"{name}: this checkpoint holds NaN or infinite parameters (in {', '.join(broken[:3])}), as a training that diverged "
            "leaves them; no direction leads there. Leave it out, or take an earlier one."
        )
