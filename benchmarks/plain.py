"""The plain PyTorch loops that everything is compared with: what the original tool, and most scripts, do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.workload import PLAIN_BATCH
from landscape.data import ImageData


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images that become PIL images and then tensors one by one, as torchvision's CIFAR10 does it."""

    def __init__(self, data: ImageData, transform: transforms.Compose) -> None:
        self._pixels = data.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = data.labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


def evaluation_loader(data: ImageData) -> DataLoader[Any]:
    """Batches of 128 in order, no workers."""
    steps = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    return DataLoader(PilImages(data, transforms.Compose(steps)), batch_size=PLAIN_BATCH, shuffle=False)


def training_loader(data: ImageData, batch_size: int) -> DataLoader[Any]:
    """Shuffled, cropped, flipped minibatches, no workers."""
    augmentation = [transforms.RandomCrop(data.images.shape[-1], padding=4), transforms.RandomHorizontalFlip()]
    steps = [*augmentation, transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    return DataLoader(PilImages(data, transforms.Compose(steps)), batch_size=batch_size, shuffle=True)


def set_weights(
    module: nn.Module,
    origin: Mapping[str, Tensor],
    directions: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    x: float,
    y: float,
) -> None:
    """θ + x d₁ + y d₂, tensor by tensor."""
    for name, parameter in module.named_parameters():
        parameter.data = origin[name] + (directions[0][name] * x + directions[1][name] * y)


def evaluate(module: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The mean loss over the loader's images; the accuracy is counted too, as the original tool does."""
    module.eval()
    criterion = nn.CrossEntropyLoss()
    total, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for batch in loader:
            inputs, targets = _placed(module, batch)
            outputs = module(inputs)
            total += criterion(outputs, targets).item() * len(targets)
            correct += int((outputs.argmax(1) == targets).sum().item())
            seen += len(targets)
    return total / seen


def train(module: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], optimizer: torch.optim.Optimizer) -> list[float]:
    """One epoch; the moments at which each step's gradient was ready, in seconds."""
    module.train()
    criterion = nn.CrossEntropyLoss()
    moments, running = [], 0.0
    for batch in loader:
        inputs, targets = _placed(module, batch)
        optimizer.zero_grad()
        loss = criterion(module(inputs), targets)
        loss.backward()
        running += loss.item()
        moments.append(time.perf_counter())
        optimizer.step()
    return moments


def _placed(module: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    device = next(module.parameters()).device
    return batch[0].to(device), batch[1].to(device)


def gradient(module: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The gradient of the mean loss over all images, accumulated batch by batch in ``.grad``."""
    module.zero_grad()
    count = sum(len(targets) for _, targets in batches)
    for inputs, targets in batches:
        loss = nn.functional.cross_entropy(module(inputs), targets, reduction="sum") / count
        loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def hessian_product(
    module: nn.Module, batches: list[tuple[Tensor, Tensor]], vector: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """H v of the mean loss, reverse over reverse: the gradient of ⟨∇L, v⟩, batch by batch."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    count = sum(len(targets) for _, targets in batches)
    total = [torch.zeros_like(p) for p in parameters]
    for inputs, targets in batches:
        loss = nn.functional.cross_entropy(module(inputs), targets, reduction="sum") / count
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        slope = torch.stack([(g * vector[n]).sum() for g, n in zip(first, names, strict=True)]).sum()
        for sum_so_far, part in zip(total, torch.autograd.grad(slope, parameters), strict=True):
            sum_so_far += part
    return dict(zip(names, total, strict=True))
