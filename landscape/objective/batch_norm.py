"""BatchNorm at a perturbed point: the choice that changes the surface, made explicit.

- ``frozen``: the running statistics of the checkpoint (``weights`` in Li et al.'s tool).
- ``interpolated``: the running statistics move with the direction, between checkpoints (Li et al.'s ``states``).
- ``reestimated``: the statistics are recomputed over a fixed calibration set at each point, as
  ``torch.optim.swa_utils.update_bn`` does: a cumulative mean over batches.
- ``batch``: statistics of each evaluation batch, as in training; no buffer is updated, the batch size is part of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import InputError, unknown_choice
from landscape.numerics.parameters import Layout

POLICIES = ("frozen", "interpolated", "reestimated", "batch")


def batch_norm_layers(module: nn.Module) -> dict[str, _BatchNorm]:
    """Every BatchNorm of the module (1-d, 2-d, 3-d, synchronised) by its name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)}


def applicable_policy(policy: str, module: nn.Module) -> str:
    """The policy that a module can be under: ``batch`` whatever was asked, where its BatchNorms keep no running statistics.

    Raises:
        InputError: for a policy that does not exist, or one other than ``batch`` where only
            some of the BatchNorms keep statistics.
    """
    if policy not in POLICIES:
        raise unknown_choice("batch_norm", policy, POLICIES)
    layers = batch_norm_layers(module) if isinstance(module, nn.Module) else {}
    without = [name for name, layer in layers.items() if layer.running_mean is None]
    if without and policy != "batch" and len(without) < len(layers):
        raise InputError(
            f"module: {without[0]} keeps no running statistics (track_running_stats=False) where other BatchNorm layers do, "
            f"so that they cannot all be {policy}. Choose batch_norm='batch'."
        )
    return "batch" if without else policy


def use_batch_statistics(module: nn.Module) -> None:
    """Make every BatchNorm of a private copy normalise by its batch, in evaluation mode too, and own no statistics."""
    for layer in batch_norm_layers(module).values():
        layer.track_running_stats = False
        layer.running_mean = None
        layer.running_var = None
        layer.num_batches_tracked = None


class RunningStatistics:
    """The running means and variances of a private copy's BatchNorms as views of one flat vector."""

    def __init__(self, module: nn.Module) -> None:
        self._layers = {n: m for n, m in batch_norm_layers(module).items() if m.running_mean is not None}
        owned = {f"{name}." if name else "": layer for name, layer in self._layers.items()}
        tensors = {
            f"{prefix}{key}": tensor
            for prefix, layer in owned.items()
            for key in ("running_mean", "running_var")
            if (tensor := getattr(layer, key)) is not None
        }
        self.layout = Layout.of(tensors)
        device = next((parameter.device for parameter in module.parameters()), None)
        self.vector = self.layout.pack(tensors) if tensors else torch.empty(0, device=device)
        views = self.layout.views(self.vector)
        for prefix, layer in owned.items():
            layer.running_mean = views[f"{prefix}running_mean"]
            layer.running_var = views[f"{prefix}running_var"]

    def variance_mask(self) -> Tensor:
        """Which entries of the vector are variances, as booleans ``(size,)``."""
        mask = torch.zeros(self.layout.size, dtype=torch.bool, device=self.vector.device)
        for name, view in self.layout.views(mask).items():
            view.fill_(name.endswith("running_var"))
        return mask

    @contextmanager
    def reestimation(self) -> Iterator[None]:
        """While open, forward passes accumulate a cumulative mean of batch statistics, starting from nothing.

        Mean and variance are averaged over batches with equal weights, the variance being the unbiased one: what
        ``torch.optim.swa_utils.update_bn`` computes.
        """
        momenta = {name: layer.momentum for name, layer in self._layers.items()}
        for layer in self._layers.values():
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
        try:
            yield
        finally:
            for name, layer in self._layers.items():
                layer.momentum = momenta[name]
                layer.eval()


def moved_statistics(start: Tensor, changes: Tensor, coefficients: Tensor, variances: Tensor) -> Tensor:
    """Running statistics at a point: s = s₀ + Σ cₖ Δₖ, with every variance kept within what the checkpoints have.

    ``start`` ``(n,)``, ``changes`` ``(K, n)``, ``coefficients`` ``(K,)``, ``variances`` a mask ``(n,)``. Between the checkpoints
    this is exactly linear. Beyond them a falling variance would turn negative; there it stays at the smallest
    variance that one of the checkpoints has in that channel.
    """
    moved = torch.addmv(start, changes.T, coefficients)
    floor = torch.minimum(start, (start + changes).amin(0))
    return torch.where(variances, torch.maximum(moved, floor), moved)
