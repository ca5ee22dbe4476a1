"""The way from a checkpoint to another network of the same kind."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import Direction, direction_between
from landscape.numerics.parameters import ParameterVector
from landscape.objective.objective import Objective


def direction_to(objective: Objective, end: nn.Module | Mapping[str, Tensor], name: str) -> Direction:
    """From the objective's checkpoint to the one called ``name``, with the change of the running statistics.

    Raises:
        InputError: for a checkpoint of another architecture, or with the same parameters.
    """
    there, statistics = point_of(objective, end, name)
    between = (objective.statistics, statistics)
    return direction_between(objective.theta, there, statistics=between, provenance={"to": name})


def point_of(objective: Objective, end: nn.Module | Mapping[str, Tensor], name: str) -> tuple[ParameterVector, Tensor]:
    """θ and the flat running statistics of another checkpoint of the objective's architecture, called ``name``.

    Raises:
        InputError: naming it, for a checkpoint of another architecture, or one that has diverged.
    """
    try:
        theta, statistics = objective.parameters_of(end), objective.statistics_of(end)
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
