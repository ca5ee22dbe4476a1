"""The convolutional network of the University of Edinburgh's MLP coursework, VGG08 to VGG38."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from landscape.checking import check_counts
from landscape.errors import InputError, unknown_choice

STAGES = 3
DEPTHS = tuple(8 + 6 * blocks for blocks in range(6))
NEGATIVE_SLOPE = 0.01

NORMS: dict[str, str] = {
    "none": "no BatchNorm at all",
    "input": "BatchNorm after the first convolution only, the coursework's plain network",
    "blocks": "BatchNorm in the input block and the convolution blocks",
    "batch": "BatchNorm after every convolution",
}
_NORMALISED_PLACES: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "input": frozenset({"input"}),
    "blocks": frozenset({"input", "block"}),
    "batch": frozenset({"input", "block", "reduction"}),
}


def vgg(depth: int, *, norm: str = "batch", classes: int = 100, channels: int = 3, filters: int = 32) -> nn.Sequential:
    """The coursework's network: ``(B, channels, H, W)`` images to ``(B, classes)`` logits.

    An input block (convolution without bias), then three stages of k = (depth − 8) / 6 convolution blocks (two convolutions
    without bias) and one reduction block (convolution, average pool by 2, convolution; both with bias), then the mean over what
    is left of the image and a linear layer. Every convolution is 3×3 with padding 1 and ``filters`` outputs, followed by BatchNorm
    where ``norm`` says so, and by LeakyReLU of slope 0.01. Weights are PyTorch's default initialisation. ``depth`` counts the
    7 + 6k convolutions and the linear layer. Images need at least 8×8 pixels.

    Args:
        depth: 8, 14, 20, 26, 32 or 38.
        norm: where BatchNorm sits; one of :data:`NORMS`.
        classes: outputs.
        channels: of the images.
        filters: of every convolution.

    Raises:
        InputError: for a depth or norm that does not exist, or a size below 1.

    Example:
        >>> ls.vgg(8, norm="none", classes=10)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    if isinstance(depth, bool) or depth not in DEPTHS:
        raise InputError(f"depth: expected one of {', '.join(map(str, DEPTHS))} (8 + 6k), got {depth!r}.")
    if norm not in NORMS:
        raise unknown_choice("norm", norm, NORMS)
    check_counts(classes=classes, channels=channels, filters=filters)
    places = _NORMALISED_PLACES[norm]
    layers = OrderedDict[str, nn.Module](input=_convolution(channels, filters, bias=False, norm="input" in places))
    for stage in range(1, STAGES + 1):
        layers[f"stage{stage}"] = _stage((depth - 8) // 6, filters, places)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(filters, classes)
    return nn.Sequential(layers)


def _stage(blocks: int, filters: int, places: frozenset[str]) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module]()
    for block in range(1, blocks + 1):
        layers[f"block{block}"] = nn.Sequential(
            *(_convolution(filters, filters, bias=False, norm="block" in places) for _ in range(2))
        )
    layers["reduction"] = nn.Sequential(
        _convolution(filters, filters, bias=True, norm="reduction" in places),
        nn.AvgPool2d(2),
        _convolution(filters, filters, bias=True, norm="reduction" in places),
    )
    return nn.Sequential(layers)


def _convolution(channels: int, filters: int, *, bias: bool, norm: bool) -> nn.Sequential:
    """A 3×3 convolution that keeps the image's size, BatchNorm if ``norm``, LeakyReLU."""
    layers = OrderedDict[str, nn.Module](conv=nn.Conv2d(channels, filters, 3, padding=1, bias=bias))
    if norm:
        layers["norm"] = nn.BatchNorm2d(filters)
    layers["activation"] = nn.LeakyReLU(NEGATIVE_SLOPE)
    return nn.Sequential(layers)
