"""A small network, and files with its weights as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.results import load_checkpoint, load_into

Names = dict[str, Tensor]


class Net(nn.Module):
    """Small, with a BatchNorm, and with a part inside a part."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.body = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False))
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.conv(x)).mean((2, 3)))


def network(seed: int = 0, classes: int = 2) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(classes)


def equal(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def weights(seed: int = 0) -> Names:
    return dict(network(seed).state_dict())


def prefixed(prefix: str, tensors: Names | None = None) -> Names:
    return {f"{prefix}{name}": tensor for name, tensor in (tensors or weights()).items()}


def stored(folder: Path, content: Any, **options: Any) -> Path:
    torch.save(content, folder / "c.pt", **options)
    return folder / "c.pt"


def loaded(content: Any, folder: Path, module: nn.Module | None = None, key: str | None = None) -> nn.Module:
    module = module or network(seed=9)
    load_into(module, load_checkpoint(stored(folder, content), key))
    return module


def averaged() -> Names:
    return dict(torch.optim.swa_utils.AveragedModel(network()).state_dict())
