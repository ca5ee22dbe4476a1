"""How much curvature an optimiser's steps bear: the edge of stability (Cohen et al. 2021 and 2022, arXiv 2103.00065, 2207.14484).

An optimiser that moves θ by −η P⁻¹ m, m an average of gradients with momentum β and P a diagonal, is linearly stable on a quadratic
of Hessian H while η λ_max(P⁻¹H) stays below a limit:

- gradient descent: P = 1, limit 2;
- SGD with momentum β and dampening τ: P = 1, limit (2 + 2β)/(1 − τ); with Nesterov's momentum (2 + 2β)/(1 + 2β);
- Adam: P = (1 − β₁ᵗ)(√(ν/(1 − β₂ᵗ)) + ε), held as it is at the step, limit (2 + 2β₁)/(1 − β₁), which is 38 at β₁ = 0.9.

Weight decay λ that is added to the gradient makes H + λ of H; the decoupled one of AdamW is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.errors import InputError

_ADAM = (torch.optim.Adam, torch.optim.AdamW)


@dataclass(frozen=True)
class StabilityRule:
    """What η λ_max(P⁻¹H) must stay below, in whose words, and whether P is other than 1."""

    name: str
    limit: float
    adaptive: bool


def stability_rule(optimizer: torch.optim.Optimizer) -> StabilityRule:
    """The rule of an optimiser.

    Raises:
        InputError: for an optimiser other than SGD, Adam and AdamW, or parameter groups with different rules.
    """
    rules = {_rule(optimizer, group) for group in optimizer.param_groups}
    if len(rules) > 1:
        words = "; ".join(f"{rule.name}, limit {rule.limit:g}" for rule in rules)
        raise InputError(
            f"optimizer: its parameter groups have different limits of stability: {words}. Give them one momentum."
        )
    return rules.pop()


def preconditioner(optimizer: torch.optim.Optimizer, group: dict[str, Any], parameter: Tensor) -> Tensor:
    """The diagonal of P, of the parameter's shape, in the update that the optimiser is about to make from ``parameter.grad``."""
    if not isinstance(optimizer, _ADAM):
        return torch.ones_like(parameter)
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()
    gradient = gradient + coupled_decay(optimizer, group) * parameter.detach()
    state, (first, second) = optimizer.state.get(parameter, {}), group["betas"]
    count = float(state.get("step", 0)) + 1
    moment = (1 - second) * gradient**2 + second * state.get("exp_avg_sq", torch.zeros_like(parameter))
    if group["amsgrad"]:
        moment = torch.maximum(moment, state.get("max_exp_avg_sq", torch.zeros_like(parameter)))
    averaged: Tensor = (1 - first**count) * ((moment / (1 - second**count)).sqrt() + group["eps"])
    return averaged


def coupled_decay(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> float:
    """The weight decay that is added to the gradient, and so to H; 0 for the decoupled one of AdamW."""
    decoupled = isinstance(optimizer, torch.optim.AdamW) or group.get("decoupled_weight_decay", False)
    return 0.0 if decoupled else float(group["weight_decay"])


def groups_of(optimizer: torch.optim.Optimizer) -> Iterable[tuple[dict[str, Any], Tensor]]:
    """Every parameter that the optimiser moves, with its group."""
    return ((group, parameter) for group in optimizer.param_groups for parameter in group["params"])


def _rule(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> StabilityRule:
    if isinstance(optimizer, _ADAM):
        beta = float(group["betas"][0])
        return StabilityRule(f"{type(optimizer).__name__}, β₁ = {beta:g}", (2 + 2 * beta) / (1 - beta), True)
    if not isinstance(optimizer, torch.optim.SGD):
        raise InputError(
            f"optimizer: the limit of stability is known for SGD, Adam and AdamW, got {type(optimizer).__name__}."
        )
    beta = float(group["momentum"])
    if beta == 0:
        return StabilityRule("gradient descent", 2.0, False)
    if group["nesterov"]:
        return StabilityRule(f"SGD, Nesterov momentum {beta:g}", (2 + 2 * beta) / (1 + 2 * beta), False)
    return StabilityRule(f"SGD, momentum {beta:g}", (2 + 2 * beta) / (1 - float(group["dampening"])), False)
