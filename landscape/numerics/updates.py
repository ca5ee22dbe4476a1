"""What an optimiser is about to do: its next step, made on copies of everything that it would change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def next_changes(
    optimizer: torch.optim.Optimizer, gradients: Mapping[Tensor, Tensor], learning_rate: float | None = None
) -> dict[Tensor, Tensor]:
    """The change of each parameter that the optimiser's next step would make with these ``gradients``.

    Both mappings go by the optimiser's own parameters; one without a gradient is left to the optimiser as such. Moments,
    weight decay and, unless it is given, learning rate are the optimiser's present ones; it, its parameters and the
    gradients stay as they are. Any ``torch.optim`` optimiser whose step needs no closure will do.
    """
    copies: dict[int, Any] = {}
    twin = copy.deepcopy(optimizer, copies)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        gradient = gradients.get(parameter)
        copies[id(parameter)].grad = None if gradient is None else gradient.detach().to(parameter).clone()
    if learning_rate is not None:
        for group in twin.param_groups:
            group["lr"] = learning_rate
    twin.step()
    return {parameter: copies[id(parameter)].detach() - parameter.detach() for parameter in parameters}
