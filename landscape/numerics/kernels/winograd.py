"""3×3 convolutions on a CPU by Winograd's minimal filtering: a quarter of the products, the same values to rounding.

A 4×4 tile of a convolution (stride 1, padding 1) needs 144 products for each pair of channels; in the form

.. math:: y = A^T [ (G w G^T) \\odot (B^T x B) ] A

it needs 36, and sums before and after that are shared by all channels. No maintained library offers it on this hardware: oneDNN,
which PyTorch runs convolutions with, has none for x86, and NNPACK's is slower there than the direct convolution. So there is a
small kernel in C (``winograd.c``, ``winograd_transforms.h``), compiled by the machine's own compiler when first asked for, and kept
(:mod:`landscape.numerics.kernels.compiled`). Without one, convolutions are PyTorch's. In single precision the error of a
convolution is about twice that of a direct one (6e-7 against 3e-7 of its size), with bf16 products four times (1.2e-2 against
3.5e-3).

Source: Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks; the interpolation points 0, ±3/4, ±3/2, ∞ are
ours, near the best of a search over 0, ±a, ±b, ∞.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import torch
from torch import Tensor

from landscape.numerics.kernels import compiled

CHANNELS = 16
"""Channels in and out must be multiples of it."""

LARGEST = 128 * 128
"""Beyond this product of channels in and out the transformed weights, of which each thread has its own, leave its cache."""

SOURCES = ("winograd.c", "winograd_transforms.h")
FLAGS = ("-O2", "-march=native", "-fopenmp", "-shared", "-fPIC")
_WASTE = 1.6  # computed pixels for one wanted: tiles stand over the edges of small images


class Unavailable(Exception):
    """Why there is no kernel on this machine, in words."""


def suits(weight: Sequence[int]) -> bool:
    """Whether a weight of this shape ``(K, C, 3, 3)`` gains from it, by channels."""
    outputs, inputs, *size = weight
    return size == [3, 3] and outputs % CHANNELS == 0 == inputs % CHANNELS and outputs * inputs <= LARGEST


def suits_image(height: int, width: int) -> bool:
    """Whether an image of this size gains from it: few enough pixels of its tiles lie outside."""
    return (-height // 4) * (-width // 4) * 16 <= _WASTE * height * width


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *, slope: float = 1.0, wide: bool = False) -> Tensor:
    """The convolution of ``x`` ``(N, C, H, W)`` with ``weight`` ``(K, C, 3, 3)``, stride 1 and padding 1.

    A ``bias`` ``(K,)`` is added where there is one.

    All in float32 on the CPU, or with ``x`` and the result in bfloat16: products are then of numbers rounded to bf16
    (``wide``, or a processor without these products: of float32), sums and derivatives in the weight in float32. The result
    ``(N, K, H, W)`` is channels-last. It can be differentiated in forward and in reverse, any number of times.

    Args:
        slope: what negative results are multiplied by: 1 for none, 0 for a ReLU, otherwise a LeakyReLU.
        wide: multiply in float32 where ``x`` is bfloat16: no more error than a direct bf16 convolution has, at two
            thirds of the speed of bf16 products.

    Raises:
        Unavailable: where the kernel cannot be built.
    """
    return _Convolution.apply(bias, slope, False, wide, x, weight)  # type: ignore[no-any-return]


def suits_half() -> bool:
    """Whether bf16 images gain from it on this processor: not where matrix tiles make the direct convolution the faster one.

    Raises:
        Unavailable: where the kernel cannot be built.
    """
    return _kernel().stored


def has_half() -> bool:
    """Whether this processor multiplies bf16 numbers; where it does not, they are multiplied in float32.

    Raises:
        Unavailable: where the kernel cannot be built.
    """
    return _kernel().half


def pytorch_multiplies_half() -> bool:
    """Whether PyTorch has convolutions of bf16 numbers for this processor, not only a loop over them."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return platform.machine() not in ("x86_64", "AMD64") or supported is None or bool(supported())


@dataclass(frozen=True)
class _Kernel:
    library: ctypes.CDLL
    stored: bool
    half: bool


def _kernel() -> _Kernel:
    built = _built()
    if isinstance(built, str):
        raise Unavailable(built)
    return built


def missing() -> str:
    """Why there is no kernel on this machine; empty where there is one."""
    built = _built()
    return built if isinstance(built, str) else ""


@functools.cache
def _built() -> _Kernel | str:
    """The kernel, or why there is none: asked once a process, so that all its convolutions are made in one way."""
    folder = resources.files(__package__)
    sources = {name: (folder / name).read_bytes() for name in SOURCES}
    try:
        library = compiled.library("winograd", sources, FLAGS)
    except compiled.Unbuildable as reason:
        return str(reason)
    _declare(library)
    return _Kernel(library, bool(library.winograd_stored()), bool(library.winograd_half()))


class _Term(ctypes.Structure):
    """One convolution of a sum: its images, and its weight with the strides along outputs, inputs, rows and columns."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("by_output", ctypes.c_long),
        ("by_input", ctypes.c_long),
        ("by_row", ctypes.c_long),
        ("by_column", ctypes.c_long),
    )


def _declare(library: ctypes.CDLL) -> None:
    pointer, size, count = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
    shape_and_memory: list[Any] = [size, size, size, size, size, pointer, count]
    library.winograd_memory.argtypes, library.winograd_memory.restype = [size, size], size
    library.winograd_stored.restype = library.winograd_half.restype = count
    terms: list[Any] = [ctypes.POINTER(_Term), size]
    library.winograd_convolution.argtypes = [*terms, pointer, ctypes.c_float, pointer, *shape_and_memory, count, count]
    library.winograd_weight_gradient.argtypes = [pointer, pointer, pointer, *shape_and_memory, count]
    library.winograd_convolution.restype = library.winograd_weight_gradient.restype = None


class _Memory(threading.local):
    """What the kernel works in, kept from call to call: fresh pages cost as much as a small convolution."""

    def __init__(self) -> None:
        self.floats = torch.empty(0, dtype=torch.float32, device="cpu")

    def of(self, size: int) -> int:
        if self.floats.numel() < size:
            self.floats = torch.empty(size, dtype=torch.float32, device="cpu")
        return self.floats.data_ptr()


_memory = _Memory()


def convolve(
    images: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: Tensor | None,
    *,
    slope: float,
    turned: bool,
    wide: bool,
) -> Tensor:
    """The sum of convolutions; with ``turned`` their transposes, of weights turned round with inputs and outputs changed over."""
    kernel, threads = _kernel(), torch.get_num_threads()
    library = kernel.library
    images = [x.contiguous(memory_format=torch.channels_last) for x in images]
    terms = (_Term * len(images))(*(_term(x, weight, turned) for x, weight in zip(images, weights, strict=True)))
    n, inputs, height, width = images[0].shape
    outputs = weights[0].shape[1 if turned else 0]
    shift = weights[0].new_zeros(outputs) if bias is None else bias.contiguous()
    dtype = images[0].dtype
    half = dtype == torch.bfloat16
    y = torch.empty((n, outputs, height, width), dtype=dtype, device="cpu", memory_format=torch.channels_last)
    memory = _memory.of(threads * library.winograd_memory(len(terms) * inputs, outputs))
    library.winograd_convolution(
        *(terms, len(terms), shift.data_ptr(), slope, y.data_ptr()),
        *(n, height, width, inputs, outputs, memory, threads, half, half and kernel.half and not wide),
    )
    return y


def _term(x: Tensor, weight: Tensor, turned: bool) -> _Term:
    start, (by_output, by_input, by_row, by_column) = weight.data_ptr(), weight.stride()
    if turned:
        start += 4 * (2 * by_row + 2 * by_column)
        by_output, by_input, by_row, by_column = by_input, by_output, -by_row, -by_column
    return _Term(x.data_ptr(), start, by_output, by_input, by_row, by_column)


def weight_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """The derivative of Σ y dy in the weight, channels-last."""
    library, threads = _kernel().library, torch.get_num_threads()
    half = x.dtype == dy.dtype == torch.bfloat16
    x, dy = ((t if half else t.float()).contiguous(memory_format=torch.channels_last) for t in (x, dy))
    n, inputs, height, width = x.shape
    outputs = dy.shape[1]
    dw = torch.empty((outputs, inputs, 3, 3), dtype=torch.float32, device="cpu", memory_format=torch.channels_last)
    memory = _memory.of(threads * library.winograd_memory(inputs, outputs))
    shape = n, height, width, inputs, outputs
    library.winograd_weight_gradient(x.data_ptr(), dy.data_ptr(), dw.data_ptr(), *shape, memory, threads, half)
    return dw


class _Convolution(torch.autograd.Function):
    """y = Σ wᵢ * xᵢ + b with the activation, and with ``turned`` the transposes of w; ``operands`` are x₁, w₁, x₂, w₂, …"""

    @staticmethod
    def forward(ctx: Any, bias: Tensor | None, slope: float, turned: bool, wide: bool, *operands: Tensor) -> Tensor:
        y = convolve(operands[::2], operands[1::2], bias, slope=slope, turned=turned, wide=wide)
        ctx.set_materialize_grads(False)
        kept = operands if slope == 1 else (*operands, y)
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)
        ctx.count, ctx.slope, ctx.turned, ctx.wide = len(operands), slope, turned, wide
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None) -> tuple[Tensor | None, ...]:
        if dy is None:
            return tuple([None] * (4 + ctx.count))
        operands, y = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        dy = gated(dy, y, ctx.slope)
        needed = ctx.needs_input_grad
        found: list[Tensor | None] = []
        for at, (x, weight) in enumerate(_pairs(operands)):
            factors = (dy, x) if ctx.turned else (x, dy)
            found += [
                _Convolution.apply(None, 1.0, not ctx.turned, ctx.wide, dy, weight) if needed[4 + 2 * at] else None,
                _WeightGradient.apply(*factors) if needed[5 + 2 * at] else None,
            ]
        shift = dy.sum((0, 2, 3), dtype=torch.float32) if needed[0] else None
        return (shift, None, None, None, *found)

    @staticmethod
    def jvp(
        ctx: Any, bias: Tensor | None, _slope: None, _turned: None, _wide: None, *changes: Tensor | None
    ) -> Tensor | None:
        operands, y = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        terms: list[Tensor] = []
        for (x, weight), (to_x, to_weight) in zip(_pairs(operands), _pairs(changes), strict=True):
            terms += [] if to_x is None else [to_x, weight]
            terms += [] if to_weight is None else [x, to_weight]
        if terms:  # one sum, which no tensor is made for beside its terms
            return gated(_Convolution.apply(bias, 1.0, ctx.turned, ctx.wide, *terms), y, ctx.slope)
        if bias is None:
            return None
        n, _, height, width = operands[0].shape
        return gated(bias.to(operands[0].dtype)[:, None, None].expand(n, -1, height, width), y, ctx.slope)


def _pairs(operands: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(operands[::2], operands[1::2], strict=True)


def gated(change: Tensor, y: Sequence[Tensor], slope: float) -> Tensor:
    """What is left of a change behind the activation, whose results say on which side they were."""
    return torch.ops.aten.leaky_relu_backward(change, y[0].detach(), slope, True) if y else change


class _WeightGradient(torch.autograd.Function):
    """The derivative of Σ y dy in w, which is linear in x and in dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, dy)
        ctx.save_for_forward(x, dy)
        return weight_gradient(x, dy)

    @staticmethod
    def backward(ctx: Any, dw: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if dw is None:
            return None, None
        x, dy = ctx.saved_tensors
        to_x, to_dy = ctx.needs_input_grad
        return (
            _Convolution.apply(None, 1.0, True, True, dy, dw) if to_x else None,
            _Convolution.apply(None, 1.0, False, True, x, dw) if to_dy else None,
        )

    @staticmethod
    def jvp(ctx: Any, x: Tensor | None, dy: Tensor | None) -> Tensor | None:
        at_x, at_dy = ctx.saved_tensors
        changes = [
            None if x is None else _WeightGradient.apply(x, at_dy),
            None if dy is None else _WeightGradient.apply(at_x, dy),
        ]
        there = [change for change in changes if change is not None]
        return functools.reduce(torch.add, there) if there else None
