"""Which convolutions of a module run by Winograd's minimal filtering (:mod:`landscape.numerics.kernels.winograd`), and how the
others run in bf16 where the processor has no instructions for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import leaky_relu

from landscape.errors import first_line
from landscape.numerics.kernels import winograd
from landscape.objective.flat_module import has_hooks


class WideConv2d(nn.Conv2d):
    """A convolution whose bf16 numbers are multiplied in fp32, where PyTorch has for them only a loop that takes 20 times as long.

    The same values to the order of summation: PyTorch's, too, are products of rounded factors summed in fp32 and rounded.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name in nn.Conv2d
        if not _in_half() or self.weight.device.type != "cpu" or _multiplies_half():
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            bias = None if self.bias is None else self.bias.bfloat16().float()
            outputs: Tensor = self._conv_forward(input.bfloat16().float(), self.weight.bfloat16().float(), bias)
            return outputs.bfloat16()


class FilteredConv2d(WideConv2d):
    """A 3×3 convolution, stride 1 and padding 1, that takes the faster way where the image and the precision allow it.

    Attributes:
        slope: of the activation that follows for negative results, 1 for none.
        wide: whether bf16 numbers are multiplied in float32, for no more error than PyTorch's convolution has.
    """

    slope = 1.0
    wide = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name in nn.Conv2d
        half = _in_half()
        if not self._takes(input, half):
            outputs = super().forward(input)
            return outputs if self.slope == 1 else leaky_relu(outputs, self.slope, inplace=True)
        images = input.bfloat16() if half else input
        filtered: Tensor = _kernels().convolution(images, self.weight, self.bias, slope=self.slope, wide=self.wide)
        return filtered

    def _takes(self, images: Tensor, half: bool) -> bool:
        # A copy of the layer may be somewhere else, or in another precision; what does not fit is PyTorch's to refuse.
        if self.weight.device.type != "cpu" or self.weight.dtype != torch.float32 or images.dim() != 4:
            return False
        if images.device != self.weight.device or images.shape[1] != self.in_channels or _transformed():
            return False
        if torch.is_autocast_enabled("cpu") and not half:  # in float16, say
            return False
        suits = _kernels().suits_half() if half else images.dtype == torch.float32
        return suits and winograd.suits_image(*images.shape[2:])


class TrainedConv2d(FilteredConv2d):
    """What a convolution is while its weights are trained."""

    wide = True


def _kernels() -> ModuleType:
    """Convolutions and what the processor can do, as the compiler takes them where something is being compiled."""
    if not torch.compiler.is_compiling():
        return winograd
    from landscape.numerics.kernels import winograd_operator  # it needs the compiler, which takes seconds to import

    return winograd_operator


def _in_half() -> bool:
    """Whether operations run in bf16."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _multiplies_half() -> bool:
    """Whether bf16 numbers are multiplied by PyTorch, where it has convolutions for them that are worth their name."""
    return bool(_kernels().pytorch_multiplies_half())


def _transformed() -> bool:
    """Whether a transform of ``torch.func`` is at work, which the kernel has no rules for."""
    if torch.compiler.is_compiling():
        return False
    active = getattr(torch._C, "_are_functorch_transforms_active", None)
    return bool(active()) if active is not None else False


def filter_convolutions(module: nn.Module, agrees: Callable[[nn.Module], bool], *, half: bool = False) -> str:
    """Let the convolutions that suit it run faster, in place; the sentence that says how many or why none, or nothing.

    In a traced module the activation after such a convolution becomes part of it. ``agrees`` says whether the module's outputs
    are still the same; where they are not, nothing is changed. ``half``: what runs through the module is bf16.
    """
    note, chosen = _filter(module, agrees, FilteredConv2d, half)
    if half:
        widened = _widenable(module)
        _make(widened, WideConv2d)
        note = _with_widened(note, len(widened))
    if chosen and isinstance(module, fx.GraphModule):
        _take_in_activations(module)
    return note


@contextmanager
def filtered_convolutions(
    module: nn.Module, agrees: Callable[[nn.Module], bool], *, half: bool = False
) -> Iterator[str]:
    """:func:`filter_convolutions` while open, for a module of somebody else, which has its own layers again afterwards."""
    note, chosen = _filter(module, agrees, TrainedConv2d, half)
    try:
        with widened_convolutions(module, half=half) as widened:
            yield _with_widened(note, widened)
    finally:
        _make(chosen, nn.Conv2d)


@contextmanager
def widened_convolutions(module: object, *, half: bool) -> Iterator[int]:
    """What a module gives in bf16 (``half``) waits for no loop of PyTorch's while open; the number of convolutions that would."""
    layers = _widenable(module) if half and isinstance(module, nn.Module) else ()
    _make(layers, WideConv2d)
    try:
        yield len(layers)
    finally:
        _make(layers, nn.Conv2d)


def has_filterable(module: nn.Module, *, half: bool = False) -> bool:
    """Whether there are convolutions to run in another way: where there are none, there is nothing to try."""
    return any(_suits(layer) for layer in module.modules()) or (half and bool(_widenable(module)))


def unfilter_convolutions(module: nn.Module) -> None:
    """Let PyTorch make the convolutions again, in a copy of a module that is being trained."""
    _make([layer for layer in module.modules() if type(layer) in (TrainedConv2d, WideConv2d)], nn.Conv2d)


def restore_convolutions(module: nn.Module) -> None:
    """Give all convolutions their own class again, in a copy of which only the structure is read: no activation comes back."""
    _make([layer for layer in module.modules() if isinstance(layer, WideConv2d)], nn.Conv2d)


def _filter(
    module: nn.Module, agrees: Callable[[nn.Module], bool], kind: type[FilteredConv2d], half: bool
) -> tuple[str, Sequence[nn.Module]]:
    chosen = [layer for layer in module.modules() if _suits(layer)]
    if not chosen:
        return "", ()
    try:
        suits_half = winograd.suits_half()
    except winograd.Unavailable as reason:
        return f"convolutions are PyTorch's: {reason}", ()
    if half and not suits_half:
        return "convolutions are PyTorch's: in bf16 filtered ones are no faster on this processor", ()
    alike = False
    try:
        _make(chosen, kind)
        alike = agrees(module)
    except Exception as error:  # a module that calls .view() on features, say, which are channels-last here
        return f"convolutions are PyTorch's: the module does not take filtered ones ({first_line(error)})", ()
    finally:
        if not alike:
            _make(chosen, nn.Conv2d)
    if not alike:
        return "convolutions are PyTorch's: minimal filtering changes the outputs", ()
    multiplied = ", multiplied in fp32" if half and not winograd.has_half() else ""
    return f"{_convolutions(len(chosen))} by Winograd's minimal filtering{multiplied}", chosen


def _widenable(module: nn.Module) -> Sequence[nn.Module]:
    if _multiplies_half():
        return ()
    layers = [layer for layer in module.modules() if type(layer) is nn.Conv2d]
    return [layer for layer in layers if layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32]


def _with_widened(note: str, widened: int) -> str:
    return "; ".join(filter(None, (note, f"{_convolutions(widened)} multiplied in fp32" if widened else "")))


def _convolutions(count: int) -> str:
    return f"{count} convolution{'s' if count != 1 else ''}"


def _suits(layer: nn.Module) -> bool:
    # Exactly this type: a subclass, or a parametrised layer, may do more than its base.
    return (
        type(layer) is nn.Conv2d
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
        and winograd.suits(layer.weight.shape)
    )


def _make(layers: Sequence[nn.Module], kind: type[nn.Module]) -> None:
    """Give the layers another class: their tensors, names and hooks stay, and with them every view and tie."""
    for layer in layers:
        layer.__class__ = kind


def _take_in_activations(traced: fx.GraphModule) -> None:
    layers = dict(traced.named_modules())
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        activation = layers.get(str(node.target)) if node.op == "call_module" else None
        slope = None if has_hooks(activation) else _slope(activation)
        source = node.args[0] if node.args else None
        if slope is None or not isinstance(source, fx.Node) or len(source.users) != 1:
            continue
        layer = layers.get(str(source.target)) if source.op == "call_module" else None
        if isinstance(layer, FilteredConv2d) and calls[str(source.target)] == 1 and not has_hooks(layer):
            layer.slope = slope
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _slope(layer: nn.Module | None) -> float | None:
    """Of an activation that leaves positive numbers as they are and keeps the sign of the others."""
    if type(layer) is nn.ReLU:
        return 0.0
    return float(layer.negative_slope) if type(layer) is nn.LeakyReLU and layer.negative_slope >= 0 else None
