"""Several points in one pass of ``torch.func.vmap``, for modules so small that calling them costs more than what they compute.

On one CPU thread a point of a 2-16-16-2 network takes 0.24 ms instead of 0.75 over 200 samples and 0.55 instead of 0.75 over
1,000. From about 128 KiB a layer on nothing is gained (20-32-32-4 over 1,000 samples: 0.77 and 0.77 ms), because vmap adds a
bias in a pass of its own, and convolutions, whose weights it turns into groups, take 1.6 to 4 times as long.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.modules.conv import _ConvNd

from landscape.errors import first_line
from landscape.objective.flat_module import FlatModule
from landscape.objective.runner import Functional, Runner
from landscape.objective.sizing import Footprint, layer_budget

POINTS = 16  # a round of an adaptive plane
CPU_BYTES = 2 << 20  # a layer of all samples at all points


class Stacked:
    """The module at up to :data:`POINTS` points at once, over one batch that holds all samples.

    Args:
        flat: the module that is run.
        runner: the loss, the precision and the way of calling.
        batch: the inputs and targets of all samples.
    """

    def __init__(self, flat: FlatModule, runner: Runner, batch: tuple[Any, Any]) -> None:
        self._layout, self._runner, self._batch = flat.layout, runner, batch
        self._function = Functional(runner, flat.module)

    def measure(self, vectors: Sequence[Tensor]) -> list[tuple[Tensor, Tensor | None]]:
        """Loss and metric of every sample ``(N,)`` at each of the flat vectors, float64 on the CPU, without gradients."""
        # Always as many, so that no value depends on how many others it came with.
        stack = torch.stack([*vectors, *[vectors[-1]] * (POINTS - len(vectors))])
        with torch.no_grad(), self._runner.own_randomness():
            found = [values.cpu().double() for values in vmap(self._one)(stack)]
        return [(found[0][k], found[1][k] if len(found) > 1 else None) for k in range(len(vectors))]

    def _one(self, vector: Tensor) -> tuple[Tensor, ...]:
        losses, metric = self._function.losses(self._layout.views(vector), *self._batch)
        return (losses,) if metric is None else (losses, metric)


def may_stack(flat: FlatModule, found: Footprint, samples: int, device: torch.device) -> bool:
    """Whether it can pay: no convolutions, and little to compute, as the largest layer of all samples at all points tells."""
    convolutions = any(isinstance(layer, _ConvNd) for layer in flat.module.modules())
    most = CPU_BYTES if device.type == "cpu" else layer_budget(device)
    return not convolutions and POINTS * samples * found.layer <= most


def try_stacked(
    flat: FlatModule, runner: Runner, batch: tuple[Any, Any], elsewhere: Tensor
) -> tuple[Stacked | None, str]:
    """The stacked module where vmap takes it and finds what the module does, here and ``elsewhere``; and what to say of it."""
    stacked, start = Stacked(flat, runner, batch), flat.vector.clone()
    points = [start, elsewhere]  # a module that keeps its weights in another place as well shows at the second
    try:
        with warnings.catch_warnings():
            # An operation that vmap knows no rule for it takes apart, with this warning; then nothing is gained.
            warnings.filterwarnings("error", message=".*batching rule")
            found = stacked.measure(points)
    except Exception as error:  # of any kind: it is the user's code that runs here
        reason = first_line(error)
        return None, f"one point at a time: torch.func.vmap cannot take the module ({reason:.120})"
    expected = []
    for point in points:
        flat.load(point)
        expected.append(runner.measure([batch]))
    flat.load(start)
    if all(_agree(ours[0], theirs[0], runner.precision) for ours, theirs in zip(found, expected, strict=True)):
        return stacked, f"{POINTS} points in one pass"
    return None, "one point at a time: torch.func.vmap gives other values"


def _agree(found: Tensor, expected: Tensor, precision: str) -> bool:
    """Whether losses are the same to 1e-5 of themselves or of their mean size (1e-12 in fp64)."""
    tolerance = 1e-12 if precision == "fp64" else 1e-5
    finite = expected[expected.isfinite()].abs()
    size = float(finite.mean()) if finite.numel() else 0.0
    alike = found.shape == expected.shape  # some of vmap's rules give another
    return alike and torch.allclose(found, expected, rtol=tolerance, atol=tolerance * size, equal_nan=True)
