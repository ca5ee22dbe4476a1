"""Gradients and Hessian products of the mean loss over prepared batches, through whichever engine is in use.

A Hessian product is taken forward over reverse (the directional derivative of the gradient, in one pass of dual numbers): on
convolutional networks it costs about three gradients, reverse over reverse about four (see docs/performance.md). Where an
operation has no forward derivative it falls back to reverse over reverse.

A backward pass keeps what the forward pass made, layer by layer, where an evaluation keeps one layer. So batches are taken in
parts that are sized by what is kept, see :mod:`landscape.objective.sizing`. (A layer that draws in evaluation mode draws anew for
each part.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.numerics.parameters import Layout
from landscape.objective.batches import PreparedBatches, batch_rows, split_batch
from landscape.objective.engines import Engine
from landscape.objective.runner import Functional, Runner
from landscape.objective.sizing import derivative_batch, kept_bytes

FORWARD, REVERSE = "forward over reverse", "reverse over reverse"
Batch = tuple[Any, Any]
FEW, MORE = 2, 4  # samples whose difference tells what one sample keeps


class Derivatives:
    """Derivatives at a point, of Σ losses / N.

    Args:
        engine: gives the module, and its tensors as a differentiable function of θ.
        runner: the loss, the precision and the way of calling.
        layout: of θ.
        wide: the type that batches are summed in.
        whole: never take a batch in parts, because its size is part of the result or was asked for.
    """

    def __init__(self, engine: Engine, runner: Runner, layout: Layout, *, wide: torch.dtype, whole: bool) -> None:
        self._engine, self._runner, self._layout = engine, runner, layout
        self._function = Functional(runner, engine.flat.module)
        self._wide = wide
        self._whole = whole
        self._size: int | None = None
        self.mode = FORWARD

    def run_by(self, runner: Runner) -> Derivatives:
        """The same with another loss or precision."""
        return Derivatives(self._engine, runner, self._layout, wide=self._wide, whole=self._whole)

    def gradient(self, theta: Tensor, batches: PreparedBatches) -> tuple[Tensor, Tensor]:
        """The losses of all samples ``(N,)`` and the gradient ``(n,)`` at θ."""
        leaves = self._leaves(theta)
        total = torch.zeros(self._layout.size, dtype=self._wide, device=theta.device)
        losses = []
        with self._runner.own_randomness():
            for part in self._parts(leaves, batches):
                values = self._losses(leaves, part)
                self._add(total, _gradients(values.sum() / len(batches), leaves))
                losses.append(values.detach())
        return torch.cat(losses), total

    def hessian_product(self, theta: Tensor, vector: Tensor, batches: PreparedBatches) -> Tensor:
        """H(θ) v, shape ``(n,)``; :attr:`mode` says afterwards how it was taken."""
        leaves, along = self._leaves(theta), self._layout.views(vector)
        total = torch.zeros(self._layout.size, dtype=self._wide, device=theta.device)
        # The fused attention kernels have no second derivative; the plain one has.
        with sdpa_kernel(SDPBackend.MATH), self._runner.own_randomness():
            for part in self._parts(leaves, batches):
                self._add(total, self._product(leaves, along, part, len(batches)))
        return total

    def _parts(self, leaves: Mapping[str, Tensor], batches: PreparedBatches) -> Iterator[Batch]:
        for batch in batches:
            if self._whole or batch_rows(batch) <= MORE:
                yield batch
            else:
                yield from split_batch(batch, self._part_size(leaves, batch))

    def _part_size(self, leaves: Mapping[str, Tensor], batch: Batch) -> int:
        if self._size is None:
            with self._runner.own_randomness():
                few, more = (
                    kept_bytes(partial(self._losses, leaves, next(split_batch(batch, count)))) for count in (FEW, MORE)
                )
            self._size = derivative_batch((more - few) // (MORE - FEW), self._runner.device)
        return self._size

    def _product(
        self, leaves: Mapping[str, Tensor], along: Mapping[str, Tensor], part: Batch, samples: int
    ) -> list[Tensor]:
        if self.mode == FORWARD:
            try:
                return self._forward_over_reverse(leaves, along, part, samples)
            except (NotImplementedError, RuntimeError):
                # Not every operation has a forward derivative. If the cause was another, it comes up again below.
                self.mode = REVERSE
        return self._reverse_over_reverse(leaves, along, part, samples)

    def _forward_over_reverse(
        self, leaves: Mapping[str, Tensor], along: Mapping[str, Tensor], part: Batch, samples: int
    ) -> list[Tensor]:
        with forward_ad.dual_level():
            duals = {name: forward_ad.make_dual(leaf, along[name]) for name, leaf in leaves.items()}  # type: ignore[no-untyped-call]
            gradients = _gradients(self._losses(duals, part).sum() / samples, leaves)
            tangents = [forward_ad.unpack_dual(g).tangent for g in gradients]  # type: ignore[no-untyped-call]
        return [torch.zeros_like(g) if t is None else t for g, t in zip(gradients, tangents, strict=True)]

    def _reverse_over_reverse(
        self, leaves: Mapping[str, Tensor], along: Mapping[str, Tensor], part: Batch, samples: int
    ) -> list[Tensor]:
        first = _gradients(self._losses(leaves, part).sum() / samples, leaves, create_graph=True)
        slope = torch.stack([(g * along[name]).sum() for g, name in zip(first, leaves, strict=True)]).sum()
        if not slope.requires_grad:
            return [torch.zeros_like(g) for g in first]
        return _gradients(slope, leaves)

    def _leaves(self, theta: Tensor) -> dict[str, Tensor]:
        return {name: view.detach().requires_grad_() for name, view in self._layout.views(theta).items()}

    def _losses(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        return self._function.losses(self._engine.tensors(parameters), *batch)[0]

    def _add(self, total: Tensor, parts: Iterable[Tensor]) -> None:
        """Add in the type of ``total`` without a copy in that type."""
        for view, part in zip(self._layout.views(total).values(), parts, strict=True):
            view += part.detach()


def _gradients(value: Tensor, leaves: Mapping[str, Tensor], *, create_graph: bool = False) -> list[Tensor]:
    found = torch.autograd.grad(
        value, list(leaves.values()), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return list(found)
