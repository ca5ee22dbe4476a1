"""What every case works on: VGG38 with BatchNorm, real images, two random directions, and a few points of their plane."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from landscape.data import ImageData, load_data, subset
from landscape.errors import InputError
from landscape.models import build_model
from landscape.numerics.directions import random_direction
from landscape.numerics.parameters import Layout, ParameterVector
from landscape.numerics.seeds import generator
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace
from landscape.results import load_checkpoint, load_into

PLAIN_BATCH = 128
POINTS: NDArray[np.float64] = np.array([[0.1, -0.2], [-0.3, 0.25]])


@dataclass(frozen=True)
class Workload:
    """The network in evaluation mode, contiguous and in fp32, and the images it is measured on.

    Without a checkpoint the weights are PyTorch's initialisation, and the BatchNorm statistics those of the images: with
    the initial statistics a VGG38 fades to subnormal numbers, which cost a CPU many times what others do.
    """

    images: int
    checkpoint: Path | None = None
    device: str = "cpu"

    @cached_property
    def data(self) -> ImageData:
        """The chosen images of the bundled Fashion-MNIST's training split."""
        whole = load_data("fashion-mnist-10k").train
        assert isinstance(whole, ImageData)
        chosen = subset(whole, self.images)
        if len(chosen) < self.images:
            raise InputError(f"images: expected at most {len(whole)}, got {self.images!r}.")
        return ImageData(
            whole.images[chosen], whole.labels[chosen], whole.mean, whole.std, whole.classes, name=whole.name
        )

    @cached_property
    def _module(self) -> nn.Module:
        module = build_model("vgg38", seed=0, norm="batch", classes=self.data.classes, channels=3).to(self.device)
        if self.checkpoint is not None:
            load_into(module, load_checkpoint(self.checkpoint))
        else:
            update_bn((inputs for inputs, _ in self.batches(PLAIN_BATCH)), module)
        return module.eval()

    def module(self) -> nn.Module:
        """A network of the caller's own."""
        return copy.deepcopy(self._module)

    def batches(self, size: int, dtype: torch.dtype = torch.float32) -> list[tuple[Tensor, Tensor]]:
        """All images as normalised, contiguous tensors with their labels, on the device."""
        batches = [self.data.batch(indices) for indices in torch.split(torch.arange(len(self.data)), size)]
        return [(inputs.to(self.device, dtype), targets.to(self.device)) for inputs, targets in batches]

    def objective(self, **options: object) -> Objective:
        """The library's view of the same network and images."""
        return Objective(self.module(), "cross_entropy", self.data, device=self.device, **options)  # type: ignore[arg-type]

    @cached_property
    def origin(self) -> dict[str, Tensor]:
        """θ tensor by tensor."""
        return {name: parameter.detach().clone() for name, parameter in self._module.named_parameters()}

    @cached_property
    def directions(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The two filter-normalised random directions of the plane, tensor by tensor."""
        layout = Layout.of(self.origin)
        theta = ParameterVector(layout.pack(self.origin), layout)
        first, second = (random_direction(theta, seed=0, axis=axis) for axis in (0, 1))
        return layout.views(first.vector), layout.views(second.vector)

    def subspace(self, objective: Objective) -> Subspace:
        """The plane of :attr:`directions` in the layout of ``objective``."""
        theta = objective.theta
        return Subspace(theta, [random_direction(theta, seed=0, axis=axis) for axis in (0, 1)])

    @cached_property
    def vector(self) -> dict[str, Tensor]:
        """What the Hessian is multiplied with, tensor by tensor: Gaussian, of unit length."""
        draws = generator(0, "benchmark")
        drawn = {name: torch.randn(tensor.shape, generator=draws) for name, tensor in self.origin.items()}
        length = math.sqrt(sum(float(tensor.square().sum()) for tensor in drawn.values()))
        return {name: (tensor / length).to(self.device) for name, tensor in drawn.items()}


def flat(tensors: dict[str, Tensor]) -> Tensor:
    """All entries in the order of names and of contiguous memory, float64, on the CPU."""
    return torch.cat([tensor.contiguous().double().flatten() for tensor in tensors.values()]).cpu()
