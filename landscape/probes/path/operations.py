"""The operations of a ``torch.fx`` graph after which hidden units are still known: tables, and what their arguments must be."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
F = nn.functional
# act on each channel by itself
BY_CHANNEL: tuple[type[nn.Module], ...] = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softsign, nn.LogSigmoid, nn.Threshold, nn.Softshrink, nn.Hardshrink,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d,
    nn.ReplicationPad2d,
)  # fmt: skip
FUNCTIONS_BY_CHANNEL: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.relu, torch.relu_, torch.tanh, torch.sigmoid, torch.exp, torch.abs, torch.square, torch.sqrt, torch.clamp,
        torch.neg, torch.sin, torch.cos, operator.neg,
        F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus, F.hardswish, F.hardsigmoid,
        F.hardtanh, F.tanh, F.sigmoid, F.logsigmoid, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d,
        F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.max_pool1d, F.max_pool2d, F.max_pool3d,
        F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
        F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d, F.interpolate,
    }
)  # fmt: skip
METHODS_BY_CHANNEL = frozenset(
    (
        "relu", "relu_", "tanh", "sigmoid", "exp", "abs", "square", "sqrt", "clamp", "neg", "contiguous", "clone",
        "detach", "float", "double", "to", "type_as",
    )
)  # fmt: skip
# of two values with the same units, or of one and a number
ELEMENTWISE = frozenset(
    {operator.add, operator.iadd, torch.add, operator.sub, operator.isub, torch.sub, operator.mul, operator.imul, torch.mul,
     operator.truediv, torch.div, torch.maximum, torch.minimum, operator.pow, torch.pow}
)  # fmt: skip
ELEMENTWISE_METHODS = frozenset(["add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "pow"])
OVER_PLACES = frozenset(["mean", "sum", "amax", "amin", "std", "var", "norm", "logsumexp"])
SHAPES = frozenset(["view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"])
SIZES = frozenset(["size", "dim", "numel", "ndimension", "shape", "ndim"])


def keeps_channels(node: fx.Node, rank: int | None, axis: int, flat: bool) -> bool:
    """Whether a mean or the like is over places alone: neither over samples nor over units."""
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis"))
    axes = (over,) if isinstance(over, int) else over
    if not isinstance(axes, tuple | list) or not all(isinstance(one, int) for one in axes) or flat:
        return False
    if rank is None:
        return axis == 1 and all(one > 1 for one in axes)
    kept = {0, axis % rank}
    return axis == 1 and not kept & {one % rank for one in axes}


def all_channels(index: Any, axis: int, flat: bool) -> bool:
    """Whether an index takes every sample and every unit: slices of places alone."""
    parts = index if isinstance(index, tuple) else (index,)
    whole = slice(None, None, None)
    if axis != 1 or flat or not all(isinstance(part, slice | int) for part in parts):
        return False
    return all(bool(part == whole) for part in parts[:2])


def is_batch_size(node: fx.Node, of: Any) -> bool:
    """Whether a node is the first size of the tensor ``of``: ``x.size(0)`` or ``x.shape[0]``."""
    if node.op == "call_method" and node.target == "size":
        return node.args == (of, 0)
    if node.target is not operator.getitem or node.args[1] != 0 or not isinstance(node.args[0], fx.Node):
        return False
    shape = node.args[0]
    sizes = shape.target == "size" or (shape.target is getattr and shape.args[1] == "shape")
    return bool(sizes and shape.args[0] is of)
