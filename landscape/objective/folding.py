"""BatchNorm with fixed statistics folded into the convolution or linear layer before it: fewer passes over memory, same values.

With s = γ / √(σ² + ε) for each output channel, BN(W x + b) = (s W) x + s (b − μ) + β.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import first_line
from landscape.numerics.parameters import Layout
from landscape.objective.flat_module import has_hooks

_FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_IN_PLACE = (nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SiLU, nn.Hardswish)


@dataclass(frozen=True)
class Fold:
    """One folded pair: the names of the layer and of the BatchNorm, its ε, and whether the layer had a bias."""

    layer: str
    norm: str
    epsilon: float
    had_bias: bool


class NotFoldable(Exception):
    """Why a module runs unfolded, in words."""


def fold_module(module: nn.Module) -> tuple[fx.GraphModule, tuple[Fold, ...]]:
    """A traced copy of ``module`` without the BatchNorms that directly follow a convolution or linear layer.

    The folded layers have a bias; their values are set by :class:`Folding`. Activations that follow work in place
    where nothing else reads their input.

    Raises:
        NotFoldable: where ``torch.fx`` cannot trace the module (control flow on values, ``*args``), or nothing folds.
    """
    try:
        traced = fx.symbolic_trace(copy.deepcopy(module))
    except Exception as error:
        reason = first_line(error)
        raise NotFoldable(f"torch.fx cannot trace {type(module).__name__}: {reason}") from error
    layers = dict(traced.named_modules())
    calls = _call_counts(traced)
    folds = []
    for node in list(traced.graph.nodes):
        fold = _fold_at(node, layers, calls)
        if fold is None:
            continue
        folds.append(fold)
        layer = layers[fold.layer]
        if not fold.had_bias:
            weight = layer.weight
            assert isinstance(weight, Tensor)
            layer.bias = nn.Parameter(torch.zeros(len(weight), dtype=weight.dtype, device=weight.device))
        node.replace_all_uses_with(node.args[0])
        traced.graph.erase_node(node)
    if not folds:
        raise NotFoldable("no BatchNorm directly follows a convolution or linear layer")
    _work_in_place(traced, layers, calls)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced, tuple(folds)


@dataclass(frozen=True)
class Folding:
    """The folded module's parameters as a function of θ and of the running statistics.

    Attributes:
        folds: the pairs.
        layout: of the folded module.
        constants: parameters that are not part of θ.
    """

    folds: tuple[Fold, ...]
    layout: Layout
    constants: Mapping[str, Tensor]

    def tensors(self, parameters: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The folded parameters, differentiable in ``parameters``."""
        known = {**self.constants, **parameters}
        made: dict[str, Tensor] = {}
        for fold in self.folds:
            weight, scale = known[f"{fold.layer}.weight"], _scale(fold, known, statistics)
            mean = _beside(statistics[f"{fold.norm}.running_mean"], scale)
            bias = known[f"{fold.layer}.bias"] if fold.had_bias else 0.0
            shift = known.get(f"{fold.norm}.bias", torch.zeros_like(mean))
            made[f"{fold.layer}.weight"] = weight * _over_outputs(scale, weight)
            made[f"{fold.layer}.bias"] = (bias - mean) * scale + shift
        return {name: made[name] if name in made else known[name] for name in self.layout.names}

    def change(
        self, parameters: Mapping[str, Tensor], statistics: Mapping[str, Tensor], change: Mapping[str, Tensor]
    ) -> dict[str, Tensor] | None:
        """How the folded parameters change along a direction; None where it moves a γ and the fold is not linear.

        With γ fixed, s is, and the fold is affine in W, b and β: the change is s W', s b' + β'.
        """
        known = {**self.constants, **parameters}
        made: dict[str, Tensor] = {}
        for fold in self.folds:
            moved_scale = change.get(f"{fold.norm}.weight")
            if moved_scale is not None and bool(moved_scale.any()):
                return None
            scale = _scale(fold, known, statistics)
            weight = change.get(f"{fold.layer}.weight", torch.zeros_like(known[f"{fold.layer}.weight"]))
            zero = torch.zeros_like(scale)
            bias = change.get(f"{fold.layer}.bias", zero)
            made[f"{fold.layer}.weight"] = weight * _over_outputs(scale, weight)
            made[f"{fold.layer}.bias"] = bias * scale + change.get(f"{fold.norm}.bias", zero)
        return {n: made[n] if n in made else change.get(n, torch.zeros_like(known[n])) for n in self.layout.names}


def _scale(fold: Fold, parameters: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> Tensor:
    variance = statistics[f"{fold.norm}.running_var"]
    inverse = torch.rsqrt(variance + fold.epsilon)
    gamma = parameters.get(f"{fold.norm}.weight")
    return inverse if gamma is None else gamma * _beside(inverse, gamma)


def _beside(constant: Tensor, other: Tensor) -> Tensor:
    """With the derivative 0 where ``other`` has one in forward mode.

    Left without any, torch finds the shape of its products in Python, which takes longer than the products.
    """
    if forward_ad.unpack_dual(other).tangent is None:  # type: ignore[no-untyped-call]
        return constant
    return forward_ad.make_dual(constant, torch.zeros_like(constant))  # type: ignore[no-untyped-call, no-any-return]


def _over_outputs(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


def _call_counts(traced: fx.GraphModule) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module":
            counts[str(node.target)] = counts.get(str(node.target), 0) + 1
    return counts


def _fold_at(node: fx.Node, layers: Mapping[str, nn.Module], calls: Mapping[str, int]) -> Fold | None:
    """The fold that a BatchNorm call allows: its input comes from one layer, which nothing else reads or calls."""
    norm = layers.get(str(node.target)) if node.op == "call_module" else None
    if not isinstance(norm, _BatchNorm) or norm.running_var is None or calls[str(node.target)] != 1 or node.kwargs:
        return None
    source = node.args[0]
    if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
        return None
    layer = layers.get(str(source.target))
    # Exactly these types: a subclass may do more than its base. A linear layer's features must be its BatchNorm's channels.
    if type(layer) not in _FOLDABLE or calls[str(source.target)] != 1 or _shares_weight(layer, layers):
        return None
    if isinstance(layer, nn.Linear) and not isinstance(norm, nn.BatchNorm1d):
        return None
    assert layer is not None
    # A hook sees, and may change, what lies between the two; or it makes the weight (torch.nn.utils.weight_norm).
    if has_hooks(layer) or has_hooks(norm):
        return None
    return Fold(str(source.target), str(node.target), float(norm.eps), layer.bias is not None)


def _shares_weight(layer: nn.Module | None, layers: Mapping[str, nn.Module]) -> bool:
    owners = [other for other in layers.values() if getattr(other, "weight", None) is getattr(layer, "weight", None)]
    return len(owners) != 1


def _work_in_place(traced: fx.GraphModule, layers: Mapping[str, nn.Module], calls: Mapping[str, int]) -> None:
    """Let activations that are called once overwrite the output of a folded or plain layer that only they read."""
    for node in traced.graph.nodes:
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        source = node.args[0] if node.args else None
        if not isinstance(layer, _IN_PLACE) or calls[str(node.target)] != 1 or has_hooks(layer):
            continue
        if isinstance(source, fx.Node) and len(source.users) == 1:
            before = layers.get(str(source.target)) if source.op == "call_module" else None
            if type(before) in _FOLDABLE and not has_hooks(before):
                layer.inplace = True
