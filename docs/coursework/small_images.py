"""Fashion-MNIST at 12×12 grey pixels: small enough to train VGG38 on dozens of times on slow cores."""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate

import landscape as ls
from landscape.data import DataSet

SIDE = 12


def fashion_mnist() -> DataSet:
    """The bundled 10,000 images, each pixel the mean of those of the 28×28 that it touches; splits and labels are theirs."""
    whole = ls.load_data("fashion-mnist-10k")
    splits = {name: getattr(whole, name) for name in ("train", "validation", "test")}
    return DataSet(
        "fashion-mnist-12",
        **{
            name: ls.ImageData(
                _small(part.images), part.labels, (0.2902,), (0.3150,), 10, name=f"fashion-mnist-12/{name}"
            )
            for name, part in splits.items()
        },
        classes=10,
        channels=1,
        image_size=SIDE,
    )


def _small(images: torch.Tensor) -> torch.Tensor:
    """Of one of the three equal channels, without the border of 2 pixels that makes 28×28 pixels 32×32."""
    inner = images[:, :1, 2:30, 2:30].float()
    return interpolate(inner, size=SIDE, mode="area").round().to(torch.uint8)
