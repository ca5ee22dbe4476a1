"""PyTorch's operations replaced where a module calls them: fused ones by what they are made of, and narrow numbers by wide ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_NARROW = {torch.float32: torch.float64, torch.bfloat16: torch.float64, torch.float16: torch.float64}
_NARROW |= {torch.complex64: torch.complex128}


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: A002 - its name in torch.nn.functional
    return functional.relu6(input + 3) / 6


# Fused operations whose second derivative PyTorch has not, or has wrong, and the same from operations that it has them of.
_PARTS: Mapping[Any, Callable[..., Tensor]] = {torch._weight_norm: _weight_norm, functional.hardsigmoid: _hardsigmoid}


class _TakenApart(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _PARTS.get(function, function)(*args, **(kwargs or {}))


def taken_apart(wanted: bool = True) -> AbstractContextManager[Any]:
    """While open, fused operations without a right second derivative are made of others: the same values to rounding."""
    return _TakenApart() if wanted else nullcontext()


# what a tensor's own methods name
_NARROWING = {Tensor.float, Tensor.half, Tensor.bfloat16}


class InDouble(TorchFunctionMode):
    """While open, operations take and make double precision, whatever types the code around them names or holds.

    A tensor that is written into keeps its type.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        written = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
        if written or name == "__get__":  # a property, of which there are many
            return function(*args, **kwargs)
        wide = Tensor.double if function in _NARROWING else function
        return _widened(wide(*_widened(args), **_widened(kwargs)))


def _widened(value: Any) -> Any:
    """Tensors of a narrow type in a wide one, and the type's name; the rest as it is."""
    if isinstance(value, Tensor):
        return value.to(_NARROW[value.dtype]) if value.dtype in _NARROW else value
    if type(value) in (tuple, list):
        return type(value)(_widened(item) for item in value)
    if type(value) is dict:
        return {key: _widened(item) for key, item in value.items()}
    return _NARROW.get(value, value) if isinstance(value, torch.dtype) else value
