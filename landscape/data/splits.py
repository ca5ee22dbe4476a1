"""What a split and a data set are, and how indices are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.seeds import generator

SPLITS = ("train", "validation", "test")


@runtime_checkable
class Data(Protocol):
    """One split, on one device. Anything of this shape can be trained on and probed."""

    @property
    def name(self) -> str:
        """What results call it, e.g. ``fashion-mnist-10k/train``."""

    @property
    def classes(self) -> int | None:
        """The number of classes; None where targets are not class labels."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Any, Any]:
        """Inputs and targets of the samples ``indices`` (shape ``(B,)``), without augmentation."""

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Any, Any]:
        """The same with augmentation, drawn from a CPU ``generator``; equal to :meth:`batch` where there is none."""

    def fingerprint(self) -> str:
        """A hash of the content (inputs, targets, normalisation): equal on every device and in every process."""

    def to(self, device: torch.device | str) -> Self:
        """The same split with its memory on ``device``."""


@dataclass(frozen=True)
class DataSet:
    """Up to three splits and what a model needs to know of them.

    ``channels`` and ``image_size`` are None where inputs are not square images. ``spec`` is ``{"name", "options"}``, JSON
    values only, with which :func:`landscape.data.load_data` gives the same set again.

    Example:
        >>> both = ls.DataSet("quadrants", ls.as_data(data), validation=ls.as_data(data), classes=2)
        >>> len(both.split("validation"))
        60
    """

    name: str
    train: Data
    validation: Data | None = None
    test: Data | None = None
    classes: int | None = None
    channels: int | None = None
    image_size: int | None = None
    spec: dict[str, Any] = field(default_factory=dict)

    def split(self, name: str) -> Data:
        """The split ``train``, ``validation`` or ``test``.

        Raises:
            InputError: for another name, or a split that this data set does not have.
        """
        if name not in SPLITS:
            raise unknown_choice("split", name, SPLITS)
        data: Data | None = getattr(self, name)
        if data is None:
            present = ", ".join(key for key in SPLITS if getattr(self, key) is not None)
            raise InputError(f"split: data set {self.name!r} has no {name!r} split; it has {present}.")
        return data

    def to(self, device: torch.device | str) -> DataSet:
        """The data set with every split on ``device``."""
        return replace(
            self,
            train=self.train.to(device),
            validation=None if self.validation is None else self.validation.to(device),
            test=None if self.test is None else self.test.to(device),
        )


def subset(data: Data, n: int | None, seed: int = 0) -> Tensor:
    """``n`` indices of ``data``, drawn without replacement by ``seed`` and sorted; all of them for None or n ≥ len(data).

    Returns:
        int64 tensor of shape ``(min(n, len(data)),)`` on the CPU.

    Raises:
        InputError: for ``n`` below 1 or not an integer.
    """
    if n is None:
        return torch.arange(len(data))
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"n: expected a number of samples, at least 1, or None for all, got {n!r}.")
    if n >= len(data):
        return torch.arange(len(data))
    drawn = torch.randperm(len(data), generator=generator(seed, "subset"))[: int(n)]
    return drawn.sort().values


def train_validation_indices(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The 95 % / 5 % split of ``n`` training images, as the coursework draws it for CIFAR's 50,000.

    ``numpy.random.RandomState(0).choice(n, round(0.95 n), replace=False)`` is train, in the order drawn; the sorted rest is
    validation. For n = 50,000 train starts 11841, 19602, 45519 and validation 52, 55, 63, 81, 93.
    """
    # The legacy generator is part of the definition: its stream is frozen across numpy versions.
    train = np.random.RandomState(0).choice(n, round(0.95 * n), replace=False)
    return train, np.setdiff1d(np.arange(n), train)


def three_way_indices(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The 85 % / 5 % / 10 % split of ``n`` images of which no separate test images exist.

    Consecutive parts of ``numpy.random.RandomState(0).permutation(n)``, in the order drawn. For n = 10,000 these are 8,500 train
    (starting 9394, 898, 2398), 500 validation and 1,000 test images.
    """
    order = np.random.RandomState(0).permutation(n)
    train, validation, test = np.split(order, [round(0.85 * n), round(0.9 * n)])
    return train, validation, test
