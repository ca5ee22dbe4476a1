"""A module, a loss and a metric run over prepared batches: one value a sample, in index order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape.numerics.seeds import derive_seed
from landscape.objective.losses import PerSampleLoss

PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.float32}
Forward = Callable[[Any, Any], Any]


def call(module: nn.Module, inputs: Any) -> Any:
    """``module(inputs)``; ``module(*inputs)`` for tuples and lists, ``module(**inputs)`` for mappings."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    if isinstance(inputs, tuple | list):
        return module(*inputs)
    return module(inputs)


@dataclass(frozen=True)
class Runner:
    """How a module is run. ``precision`` bf16 is autocast: weights stay fp32, losses are taken in fp32."""

    module: nn.Module | Callable[..., Any]
    loss: PerSampleLoss
    metric: Callable[[Any, Any], Tensor | None]
    forward: Forward
    precision: str
    device: torch.device

    def of(self, module: nn.Module | Callable[..., Any]) -> Runner:
        """The same for another module."""
        return replace(self, module=module)

    def outputs(self, inputs: Any) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.forward(self.module, inputs)

    def losses(self, inputs: Any, targets: Any) -> tuple[Tensor, Tensor | None]:
        """The loss and the metric of every sample of a batch, each ``(B,)``."""
        outputs = self.outputs(inputs)
        if self.precision == "bf16" and isinstance(outputs, Tensor):
            outputs = outputs.float()
        return self.loss(outputs, targets), self.metric(outputs, targets)

    def measure(self, batches: Iterable[tuple[Any, Any]]) -> tuple[Tensor, Tensor | None]:
        """Loss and metric of every sample, float64, without gradients; nothing waits for the device before the end."""
        losses, metrics = [], []
        with torch.no_grad(), self.own_randomness():
            for inputs, targets in batches:
                values, metric = self.losses(inputs, targets)
                losses.append(values.double())
                if metric is not None:
                    metrics.append(metric.double())
        return torch.cat(losses), torch.cat(metrics) if metrics else None

    @contextlib.contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Layers that draw in evaluation mode draw the same at every point, and leave the global state alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed(0, "evaluation"))
            yield
