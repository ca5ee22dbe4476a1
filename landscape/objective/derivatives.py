"""Gradients and Hessian products of the mean loss over prepared batches, through whichever engine is in use.

A Hessian product is taken forward over reverse (the directional derivative of the gradient, in one pass of dual numbers): on
convolutional networks it costs about three gradients, reverse over reverse about four (see docs/performance.md). Where an
operation has no forward derivative it falls back to reverse over reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.numerics.parameters import Layout
from landscape.objective.engines import Engine
from landscape.objective.runner import Forward, Runner

FORWARD, REVERSE = "forward over reverse", "reverse over reverse"
Batches = Iterable[tuple[Any, Any]]


class Derivatives:
    """Derivatives at a point, of Σ losses / n.

    Args:
        engine: gives the module, and its tensors as a differentiable function of θ.
        runner: the loss, the precision and the way of calling.
        layout: of θ.
        n_samples: n.
        wide: the type that batches are summed in.
    """

    def __init__(self, engine: Engine, runner: Runner, layout: Layout, n_samples: int, wide: torch.dtype) -> None:
        self._engine, self._runner, self._layout = engine, runner, layout
        self._called = _Called(engine.module, runner.forward)
        self._n, self._wide = n_samples, wide
        self.mode = FORWARD

    def gradient(self, theta: Tensor, batches: Batches) -> tuple[Tensor, Tensor]:
        """The losses of all samples ``(N,)`` and the gradient ``(n,)`` at θ."""
        leaves = self._leaves(theta)
        total = torch.zeros(self._layout.size, dtype=self._wide, device=theta.device)
        losses = []
        with self._runner.own_randomness():
            for inputs, targets in batches:
                values = self._losses(leaves, inputs, targets)
                total += self._packed(_gradients(values.sum() / self._n, leaves))
                losses.append(values.detach())
        return torch.cat(losses), total

    def hessian_product(self, theta: Tensor, vector: Tensor, batches: Batches) -> Tensor:
        """H(θ) v, shape ``(n,)``; :attr:`mode` says afterwards how it was taken."""
        leaves, along = self._leaves(theta), self._layout.views(vector)
        total = torch.zeros(self._layout.size, dtype=self._wide, device=theta.device)
        # The fused attention kernels have no second derivative; the plain one has.
        with sdpa_kernel(SDPBackend.MATH), self._runner.own_randomness():
            for inputs, targets in batches:
                total += self._packed(self._product(leaves, along, inputs, targets))
        return total

    def _product(
        self, leaves: Mapping[str, Tensor], along: Mapping[str, Tensor], inputs: Any, targets: Any
    ) -> list[Tensor]:
        if self.mode == FORWARD:
            try:
                return self._forward_over_reverse(leaves, along, inputs, targets)
            except (NotImplementedError, RuntimeError):
                # Not every operation has a forward derivative. If the cause was another, it comes up again below.
                self.mode = REVERSE
        return self._reverse_over_reverse(leaves, along, inputs, targets)

    def _forward_over_reverse(
        self, leaves: Mapping[str, Tensor], along: Mapping[str, Tensor], inputs: Any, targets: Any
    ) -> list[Tensor]:
        with forward_ad.dual_level():
            duals = {name: forward_ad.make_dual(leaf, along[name]) for name, leaf in leaves.items()}  # type: ignore[no-untyped-call]
            gradients = _gradients(self._losses(duals, inputs, targets).sum() / self._n, leaves)
            tangents = [forward_ad.unpack_dual(g).tangent for g in gradients]  # type: ignore[no-untyped-call]
        return [torch.zeros_like(g) if t is None else t for g, t in zip(gradients, tangents, strict=True)]

    def _reverse_over_reverse(
        self, leaves: Mapping[str, Tensor], along: Mapping[str, Tensor], inputs: Any, targets: Any
    ) -> list[Tensor]:
        first = _gradients(self._losses(leaves, inputs, targets).sum() / self._n, leaves, create_graph=True)
        slope = torch.stack([(g * along[name]).sum() for g, name in zip(first, leaves, strict=True)]).sum()
        if not slope.requires_grad:
            return [torch.zeros_like(g) for g in first]
        return _gradients(slope, leaves)

    def _leaves(self, theta: Tensor) -> dict[str, Tensor]:
        return {name: view.detach().requires_grad_() for name, view in self._layout.views(theta).items()}

    def _losses(self, parameters: Mapping[str, Tensor], inputs: Any, targets: Any) -> Tensor:
        tensors = {f"inner.{name}": tensor for name, tensor in self._engine.tensors(parameters).items()}

        def forward(_: Any, inputs: Any) -> Any:
            return functional_call(self._called, tensors, (inputs,))

        return replace(self._runner, forward=forward).losses(inputs, targets)[0]

    def _packed(self, parts: Iterable[Tensor]) -> Tensor:
        return self._layout.pack(dict(zip(self._layout.names, parts, strict=True)), dtype=self._wide)


class _Called(nn.Module):
    """A module called in the user's way, so that :func:`torch.func.functional_call` can call it too."""

    def __init__(self, inner: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.inner = inner
        self._call: Callable[[Any, Any], Any] = forward

    def forward(self, inputs: Any) -> Any:
        return self._call(self.inner, inputs)


def _gradients(value: Tensor, leaves: Mapping[str, Tensor], *, create_graph: bool = False) -> list[Tensor]:
    found = torch.autograd.grad(
        value, list(leaves.values()), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return list(found)
