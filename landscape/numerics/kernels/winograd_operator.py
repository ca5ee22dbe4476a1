"""The convolution of :mod:`landscape.numerics.kernels.winograd` as an operator that ``torch.compile`` takes into its graph whole.

What surrounds it, normalisations and activations, is then fused by the compiler. It can be differentiated once, in reverse, as a
training step does; a compiled graph knows neither forward derivatives nor second ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from landscape.numerics.kernels import winograd


@torch.library.custom_op(
    "landscape::filtered_convolution",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? bias, float slope, bool turned, bool wide) -> Tensor",
)
def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float, turned: bool, wide: bool) -> Tensor:
    return winograd.convolve([x], [weight], bias, slope=slope, turned=turned, wide=wide)


@torch.library.custom_op(
    "landscape::filtered_weight_gradient", mutates_args=(), schema="(Tensor x, Tensor dy) -> Tensor"
)
def _weight_gradient(x: Tensor, dy: Tensor) -> Tensor:
    return winograd.weight_gradient(x, dy)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def suits_half() -> bool:
    """:func:`landscape.numerics.kernels.winograd.suits_half`, which stays what it is."""
    return winograd.suits_half()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def pytorch_multiplies_half() -> bool:
    """:func:`landscape.numerics.kernels.winograd.pytorch_multiplies_half`, which stays what it is."""
    return winograd.pytorch_multiplies_half()


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *, slope: float = 1.0, wide: bool = False) -> Tensor:
    """:func:`landscape.numerics.kernels.winograd.convolution` for code that is being compiled; the same arguments and errors."""
    return _convolution(x, weight, bias, slope, False, wide)  # type: ignore[no-any-return]


@_convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float, turned: bool, wide: bool) -> Tensor:
    n, _, height, width = x.shape
    return _channels_last(x, (n, weight.shape[1 if turned else 0], height, width), x.dtype)


@_weight_gradient.register_fake
def _(x: Tensor, dy: Tensor) -> Tensor:
    return _channels_last(x, (dy.shape[1], x.shape[1], 3, 3), torch.float32)


def _channels_last(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=torch.channels_last)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, ctx.slope, ctx.turned, ctx.wide = inputs
    ctx.save_for_backward(x, weight, *([] if ctx.slope == 1 else [output]))


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, *y = ctx.saved_tensors
    dy = winograd.gated(dy, y, ctx.slope)
    to_x, to_weight, to_bias, *_ = ctx.needs_input_grad
    factors = (dy, x) if ctx.turned else (x, dy)
    return (
        _convolution(dy, weight, None, 1.0, not ctx.turned, ctx.wide) if to_x else None,
        _weight_gradient(*factors) if to_weight else None,
        dy.sum((0, 2, 3), dtype=torch.float32) if to_bias else None,
        None,
        None,
        None,
    )


_convolution.register_autograd(_backward, setup_context=_keep)
