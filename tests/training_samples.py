"""A small data set and small networks that the training tests share."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.data import DataSet, ImageData
from landscape.numerics.seeds import generator
from landscape.training import EpochReport, Observer, StepReport, TrainingConfig, TrainingResult, fit

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
CLASSES = 3


def images(n: int, split: str) -> ImageData:
    """Noise of 8×8 pixels whose brightness tells the class, with crop and flip."""
    draws = generator(0, f"training {split}")
    labels = torch.randint(CLASSES, (n,), generator=draws)
    noise = torch.randint(0, 150, (n, 3, 8, 8), generator=draws)
    return ImageData(
        (noise + 50 * labels[:, None, None, None]).to(torch.uint8),
        labels,
        (0.5,),
        (0.25,),
        CLASSES,
        split,
        crop_padding=1,
    )


def data_set(train: int = 50, validation: int = 21, test: int = 11) -> DataSet:
    return DataSet(
        "noise", images(train, "train"), images(validation, "validation"), images(test, "test"), CLASSES, 3, 8
    )


def network(seed: int = 0, *, dropout: float = 0.2) -> nn.Module:
    """Convolutions with BatchNorm and dropout: parameters, buffers and draws at every step."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.LeakyReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(6, 5, 1),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(20, CLASSES),
        )


class Keeper(Observer):
    """Keeps the state of every epoch, and optionally ends training after one."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.states: list[dict[str, Any]] = []
        self.result: TrainingResult | None = None

    def on_epoch(self, report: EpochReport) -> None:
        self.states.append(report.state())
        if report.epoch == self.stop_after:
            raise KeyboardInterrupt

    def on_end(self, result: TrainingResult) -> None:
        self.result = result


class Steps(Observer):
    """Keeps what every step shows, copied."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_step(self, report: StepReport) -> None:
        gradients = [p.grad.clone() for p in report.module.parameters() if p.grad is not None]
        self.seen.append(
            {
                "epoch": report.epoch,
                "step": report.step,
                "size": report.batch_size,
                "rate": report.learning_rate,
                "inputs": report.inputs.clone(),
                "targets": report.targets.clone(),
                "losses": report.losses.clone(),
                "parameters": [p.detach().clone() for p in report.module.parameters()],
                "gradients": gradients,
            }
        )


def train(config: TrainingConfig, *, module: nn.Module | None = None, **options: Any) -> dict[str, Any]:
    """Train a fresh network and give the state after the last epoch, with the result under ``result``."""
    keeper = Keeper()
    observers = (*options.pop("observers", ()), keeper)
    options.setdefault("device", "cpu")
    result = fit(module or network(), options.pop("data", data_set()), config, observers=observers, **options)
    return {**keeper.states[-1], "result": result}


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, in nested containers of tensors and plain values; NaN equals NaN."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(_bits(a), _bits(b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (a != a and b != b)


def without_result(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "result"}


def copied(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
