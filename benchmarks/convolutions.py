"""The ceiling: how fast this machine does nothing but a network's convolutions, each at its own size."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from benchmarks.case import wait

BATCHES = (8, 16, 32, 64, 128)
GPU_BATCHES = (128, 1000)


@dataclass(frozen=True)
class Convolution:
    """One layer: its input's size without the batch, its weight, and its padding."""

    input_size: tuple[int, ...]
    weight: Tensor
    padding: tuple[int, int]


def convolutions_of(module: nn.Module, image: Tensor) -> list[Convolution]:
    """Every convolution that ``module`` makes of ``image`` ``(1, C, H, W)``, in order."""
    found: list[Convolution] = []

    def look(layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d) and layer.stride == (1, 1) and isinstance(layer.padding, tuple)
        found.append(Convolution(tuple(given[0].shape[1:]), layer.weight.detach(), layer.padding))  # type: ignore[arg-type]

    handles = [m.register_forward_hook(look) for m in module.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        module(image)
    for handle in handles:
        handle.remove()
    return found


class Ceiling:
    """All convolutions with a bias, channels-last, without activation, norm or pooling.

    Layers of one size share their input, which is therefore as warm in the cache as it can be.
    """

    def __init__(self, layers: list[Convolution], batch: int, dtype: torch.dtype) -> None:
        sizes = {layer.input_size for layer in layers}
        # Small values: outputs are thrown away, and what overflowed would be slower or faster than real work.
        device = layers[0].weight.device
        inputs = {size: _placed(torch.rand(batch, *size, device=device) - 0.5, dtype) for size in sizes}
        self.batch = batch
        self._calls = [
            (
                inputs[layer.input_size],
                _placed(layer.weight, dtype),
                torch.zeros(len(layer.weight), dtype=dtype, device=device),
                layer.padding,
            )
            for layer in layers
        ]

    def seconds(self, images: int) -> float:
        """For ``images`` images, from as many whole batches as cover them."""
        passes = -(-images // self.batch)
        with torch.no_grad():
            wait()
            start = time.perf_counter()
            for _ in range(passes):
                for inputs, weight, bias, padding in self._calls:
                    conv2d(inputs, weight, bias, padding=padding)
            wait()
            return (time.perf_counter() - start) * images / (passes * self.batch)


def _placed(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).contiguous(memory_format=torch.channels_last)
