"""How signal and gradient fare through VGG38 before it is trained: ``python docs/coursework/depth.py`` writes depth.csv and .png.

Of every convolution of six networks, over 200 training images of 12×12 pixels as one batch: how much of what leaves its activation
depends on the image, and the norm of the loss's gradient in its weights. In float64, as in float32 the signal is lost beside the
biases before the end.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import landscape as ls

HERE = Path(__file__).parent
NORMS = ("input", "batch")  # the course's plain network, and BatchNorm after every convolution
SEEDS = range(6)
IMAGES = 200


def profile(norm: str, seed: int, images: int = IMAGES) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signal and gradient norm of the 37 convolutions of VGG38, in the order of the network.

    The signal is the root mean square, over images and entries, of the output of a convolution's activation minus its mean
    over the images: what is left where the output does not depend on the image is 0. The gradient norm is ‖∂L/∂W‖₂ of the
    convolution's weights W and the mean cross-entropy L.
    """
    data = ls.load_data(f"{HERE}/small_images.py:fashion_mnist").train
    inputs, labels = data.batch(torch.arange(images))
    net = ls.build_model("vgg38", seed=seed, norm=norm, classes=10, channels=1).double().train()
    blocks = [module for module in net.modules() if hasattr(module, "conv")]
    signals: list[float] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = output.detach()
        signals.append(float((values - values.mean(0)).square().mean().sqrt()))

    handles = [block.register_forward_hook(keep) for block in blocks]
    nn.functional.cross_entropy(net(inputs.double()), labels).backward()
    for handle in handles:
        handle.remove()
    gradients = [float(block.conv.weight.grad.norm()) for block in blocks]
    return np.array(signals), np.array(gradients)


def rows() -> list[tuple[str, int, float, float]]:
    """Norm, number of the convolution, and the geometric means over seeds of signal and gradient norm."""
    found = []
    for norm in NORMS:
        signals, gradients = (
            np.exp(np.log(values).mean(0)) for values in zip(*(profile(norm, s) for s in SEEDS), strict=True)
        )
        found += [(norm, i + 1, float(s), float(g)) for i, (s, g) in enumerate(zip(signals, gradients, strict=True))]
    return found


def draw(table: list[tuple[str, int, float, float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for norm, label in zip(NORMS, ("plain (BN at the input)", "with BN"), strict=True):
        own = [row for row in table if row[0] == norm]
        for axis, column in zip(axes, (2, 3), strict=True):
            axis.semilogy([row[1] for row in own], [row[column] for row in own], label=label)
    for axis, title in zip(axes, ("signal: what depends on the image", "gradient norm ‖∂L/∂W‖₂"), strict=True):
        axis.set(title=title, xlabel="convolution, from the input to the head")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(HERE / "depth.png", dpi=150)


if __name__ == "__main__":
    made = rows()
    with (HERE / "depth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("norm", "convolution", "signal", "gradient_norm"))
        writer.writerows((norm, i, f"{signal:.6g}", f"{gradient:.6g}") for norm, i, signal, gradient in made)
    draw(made)
