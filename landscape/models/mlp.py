"""A multi-layer perceptron: the small network for quick experiments and for inputs that are no images."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from landscape.checking import check_counts
from landscape.errors import InputError, unknown_choice

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
MLP_NORMS: dict[str, str] = {"none": "no BatchNorm", "batch": "BatchNorm after every hidden linear layer"}
DEFAULT_DEPTH = 2


def mlp(
    *,
    classes: int = 100,
    channels: int = 3,
    image_size: int = 32,
    inputs: int | None = None,
    hidden: int | Sequence[int] = 256,
    depth: int | None = None,
    norm: str = "none",
    activation: str = "relu",
) -> nn.Sequential:
    """Inputs ``(B, …)``, flattened, to ``(B, classes)`` through hidden layers: linear, BatchNorm if asked for, activation.

    Args:
        classes: outputs.
        channels, image_size: a flattened image has channels · image_size² numbers.
        inputs: the numbers in one flattened input, where it is no square image.
        hidden: the width of every hidden layer, or the list of their widths.
        depth: how many hidden layers of one width ``hidden`` there are, 0 for a linear model; 2 by default.
        norm: ``none`` or ``batch``.
        activation: one of :data:`ACTIVATIONS`.

    Raises:
        InputError: for a choice that does not exist, a size below 1, or a ``depth`` beside a list of widths.
    """
    if norm not in MLP_NORMS:
        raise unknown_choice("norm", norm, MLP_NORMS)
    if activation not in ACTIVATIONS:
        raise unknown_choice("activation", activation, ACTIVATIONS)
    if inputs is None:
        check_counts(channels=channels, image_size=image_size)
        inputs = channels * image_size**2
    check_counts(inputs=inputs, classes=classes)
    widths = [inputs, *_hidden_widths(hidden, depth)]
    layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
    for index, (into, out) in enumerate(itertools.pairwise(widths), 1):
        layers[f"hidden{index}"] = _hidden_layer(into, out, norm, activation)
    layers["head"] = nn.Linear(widths[-1], classes)
    return nn.Sequential(layers)


def _hidden_layer(into: int, out: int, norm: str, activation: str) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module](linear=nn.Linear(into, out))
    if norm == "batch":
        layers["norm"] = nn.BatchNorm1d(out)
    layers["activation"] = ACTIVATIONS[activation]()
    return nn.Sequential(layers)


def _hidden_widths(hidden: int | Sequence[int], depth: int | None) -> list[int]:
    if isinstance(hidden, int):
        layers = DEFAULT_DEPTH if depth is None else depth
        if isinstance(layers, bool) or not isinstance(layers, int) or layers < 0:
            raise InputError(f"depth: expected a number of hidden layers, 0 or more, got {depth!r}.")
        widths = [hidden] * layers
    elif isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise InputError(f"hidden: expected a width or a list of widths, got {hidden!r}.")
    elif depth is not None:
        raise InputError(
            f"depth: the list hidden={list(hidden)!r} already says how many layers there are; leave depth out."
        )
    else:
        widths = list(hidden)
    for width in widths:
        check_counts(hidden=width)
    return widths
