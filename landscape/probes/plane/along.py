"""Directions that the loss and its training single out: the gradient, the optimiser's next update, eigenvectors of the Hessian."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import Direction, given_direction
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.updates import next_changes
from landscape.objective.objective import Objective


def gradient_direction(objective: Objective) -> Direction:
    """∇L(θ) of the mean loss over the objective's samples: uphill.

    Raises:
        InputError: for a gradient that is zero (a dead network, an exact minimum) or not finite.
    """
    found = objective.gradient()
    return given_direction(found.vector, objective.theta, kind="gradient", loss=found.loss)


def update_direction(objective: Objective, module: nn.Module, optimizer: torch.optim.Optimizer) -> Direction:
    """The change of θ that ``optimizer``'s next step would make from its present moments, with ∇L(θ) as the step's gradient.

    Args:
        objective: gives the gradient, of the mean loss over its samples, and θ.
        module: the one whose parameters the optimiser moves; it holds the weights that the objective was made of.
        optimizer: any ``torch.optim`` optimiser whose step needs no closure. It and the module stay as they are.

    Raises:
        InputError: for an optimiser that moves none of the module's parameters, or whose step is zero or not finite.
    """
    gradients = objective.gradient().vector.views()
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    moved = [p for group in optimizer.param_groups for p in group["params"] if names.get(id(p)) in gradients]
    if not moved:
        raise InputError("optimizer: moves none of the module's parameters. Make it with module.parameters().")
    changes = next_changes(optimizer, {p: gradients[names[id(p)]] for p in moved})
    flat = torch.zeros_like(objective.theta.vector)
    views = objective.theta.layout.views(flat)
    for parameter in moved:
        views[names[id(parameter)]].copy_(changes[parameter])
    return given_direction(flat, objective.theta, kind="update", optimizer=type(optimizer).__name__)


def eigenvector_directions(
    objective: Objective, vectors: Sequence[Tensor | ParameterVector], eigenvalues: Sequence[float] = ()
) -> tuple[Direction, ...]:
    """Eigenvectors of the Hessian as directions, numbered from 1 in the order given; ``eigenvalues`` are told if known.

    Raises:
        InputError: for no vectors, or one that does not fit the objective's θ.
    """
    if not len(vectors):
        raise InputError("vectors: expected at least one eigenvector.")
    return tuple(
        given_direction(
            vector,
            objective.theta,
            kind="eigenvector",
            number=number,
            **({"eigenvalue": float(eigenvalues[number - 1])} if number <= len(eigenvalues) else {}),
        )
        for number, vector in enumerate(vectors, 1)
    )
