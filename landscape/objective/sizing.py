"""How many samples a forward pass takes, from what one of them needs: measured in bytes, so that it is the same every time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from landscape.objective.batches import tensor_bytes
from landscape.objective.runner import Runner

CPU_BYTES = 8 << 20  # a layer's input and output stay in the cache of a current CPU
CUDA_SHARE = 64  # a layer's input and output take at most one part in so many of the device's memory
LARGEST = 4096


def working_set(runner: Runner, inputs: Any, samples: int) -> int:
    """Bytes a sample of the largest input and output of any innermost layer, from one forward pass."""
    largest = 0

    def look(layer: nn.Module, given: Any, made: Any) -> None:
        nonlocal largest
        largest = max(largest, tensor_bytes(given) + tensor_bytes(made))

    assert isinstance(runner.module, nn.Module)
    innermost = [layer for layer in runner.module.modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(look) for layer in innermost]
    try:
        with torch.no_grad(), runner.own_randomness():
            runner.outputs(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return max(largest // samples, 1)


def batch_size_for(working_bytes: int, device: torch.device) -> int:
    """The largest power of two whose layers fit: into the cache on a CPU, into a share of the memory on CUDA."""
    if device.type == "cuda":
        budget = torch.cuda.get_device_properties(device).total_memory // CUDA_SHARE
    else:
        budget = CPU_BYTES if device.type == "cpu" else 64 * CPU_BYTES
    fitting = max(budget // working_bytes, 1)
    return min(1 << (fitting.bit_length() - 1), LARGEST)
