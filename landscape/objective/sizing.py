"""How many samples go through the module together, from what one of them needs: counted in bytes, not timed.

Timing two sizes would choose as well, but not the same one every time: equal runs, and a run that is resumed, would then
differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.objective.batches import tensor_bytes
from landscape.objective.runner import Runner

CPU_BYTES = 8 << 20  # a layer's input and output stay in the cache of a current CPU
CUDA_SHARE = 64  # a layer's input and output take at most one part in so many of the device's memory
# Every batch reads all weights (and on a CPU brings them into another order first). Where they outweigh what is computed,
# larger batches pay although they leave the cache: ResNet-18 on 3×32×32 images runs 1.2 times faster at 256 than at 64.
OUTPUTS_TO_WEIGHTS = 2
KEPT_CPU_BYTES = 128 << 20  # a backward pass keeps at most so much
KEPT_CUDA_SHARE = 8  # and on CUDA one part in so many of the memory; a Hessian product takes about three times that
LARGEST = 4096


@dataclass(frozen=True)
class Footprint:
    """Bytes that a forward pass of the module handles.

    Attributes:
        layer: a sample of the largest input and output of any innermost layer.
        outputs: a sample of the outputs of all innermost layers together.
        weights: all parameters.
    """

    layer: int
    outputs: int
    weights: int


def footprint(runner: Runner, inputs: Any, samples: int) -> tuple[Footprint, Any]:
    """From one forward pass of ``inputs``, which are ``samples`` samples; with what the module made of them."""
    sizes: list[tuple[int, int]] = []

    def look(layer: nn.Module, given: Any, made: Any) -> None:
        sizes.append((tensor_bytes(given), tensor_bytes(made)))

    assert isinstance(runner.module, nn.Module)
    innermost = [layer for layer in runner.module.modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(look) for layer in innermost]
    try:
        made = runner.tried(inputs)
    finally:
        for handle in handles:
            handle.remove()
    largest = max((given + of_layer for given, of_layer in sizes), default=0)
    outputs = sum(of_layer for _, of_layer in sizes)
    weights = tensor_bytes(list(runner.module.parameters()))
    return Footprint(max(largest // samples, 1), max(outputs // samples, 1), weights), made


def evaluation_batch(found: Footprint, device: torch.device) -> int:
    """The samples of a forward pass without gradients, a power of two.

    As many as let every layer fit the cache of a CPU, or a share of CUDA's memory; on a CPU, where the weights are large, so many
    that the outputs of all layers are :data:`OUTPUTS_TO_WEIGHTS` times their size.
    """
    fitting = _power_of_two(layer_budget(device) // found.layer)
    if device.type != "cpu":
        return fitting
    worthwhile = -(-OUTPUTS_TO_WEIGHTS * found.weights // found.outputs)
    return max(fitting, min(1 << (worthwhile - 1).bit_length(), LARGEST))


def derivative_batch(kept: int, device: torch.device) -> int:
    """The samples of a forward and backward pass, of which each keeps ``kept`` bytes in between; a power of two."""
    budget = KEPT_CPU_BYTES if device.type != "cuda" else _cuda_memory(device) // KEPT_CUDA_SHARE
    return _power_of_two(budget // max(kept, 1))


def kept_bytes(forward: Callable[[], Any]) -> int:
    """The memory of all tensors that ``forward`` keeps for its backward pass, each counted once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        try:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        except RuntimeError:  # inside a transform of torch.func a tensor points at no memory
            kept[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = forward()  # held until all is counted, because freed memory would be given out again
    del held
    return sum(kept.values())


def layer_budget(device: torch.device) -> int:
    """How many bytes a layer's input and output may take."""
    if device.type == "cuda":
        return _cuda_memory(device) // CUDA_SHARE
    return CPU_BYTES if device.type == "cpu" else 64 * CPU_BYTES


def _cuda_memory(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory)


def _power_of_two(most: int) -> int:
    """The largest power of two up to ``most``, from 1 to :data:`LARGEST`."""
    return min(1 << (max(most, 1).bit_length() - 1), LARGEST)
