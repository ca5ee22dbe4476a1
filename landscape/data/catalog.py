"""The data sets that have names, and a user's own by reference."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.data.adapters import as_data, as_whole
from landscape.data.files import bundled_fashion_mnist, cifar, fashion_mnist
from landscape.data.images import ImageData
from landscape.data.splits import SPLITS, Data, DataSet, three_way_indices, train_validation_indices
from landscape.errors import InputError, unknown_choice
from landscape.references import call_reference, is_reference, json_options

DATA_SETS: dict[str, str] = {
    "fashion-mnist-10k": "10,000 images of clothing, 10 classes, bundled; 8,500/500/1,000",
    "fashion-mnist": "70,000 images of clothing, 10 classes; 57,000/3,000/10,000",
    "cifar10": "60,000 photographs, 10 classes; 47,500/2,500/10,000",
    "cifar100": "60,000 photographs, 100 classes; 47,500/2,500/10,000",
}

_CLASSES = {"fashion-mnist-10k": 10, "fashion-mnist": 10, "cifar10": 10, "cifar100": 100}

# What can be said of them without reading a file: the size of the training split, and what a model's builder takes.
TRAIN_IMAGES = {"fashion-mnist-10k": 8500, "fashion-mnist": 57000, "cifar10": 47500, "cifar100": 47500}
NAMED_FACTS = {name: {"classes": count, "channels": 3, "image_size": 32} for name, count in _CLASSES.items()}

# Mean and standard deviation per channel, where 255 is 1. CIFAR's are the coursework's, for both sets. Fashion-MNIST's are those of
# all pixels of the set's own training images, padded to 32×32, in float64; the three channels are equal.
_NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "fashion-mnist-10k": ((0.2189,), (0.3310,)),
    "fashion-mnist": ((0.2189,), (0.3318,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}


def load_data(
    name: str = "fashion-mnist-10k", *, root: str | Path | None = None, download: bool = False, **options: Any
) -> DataSet:
    """A data set by name, on the CPU.

    The built-in ones are :data:`DATA_SETS`; images are uint8, 3×32×32 (see :class:`landscape.data.ImageData`). A reference
    ``module:function`` or ``path/to/file.py:function`` is called with ``options`` and returns a :class:`DataSet`, a triple
    ``(train, validation, test)`` of which the last two may be None, or one split; :func:`landscape.data.as_data` says what
    a split may be.

    Args:
        name: one of :data:`DATA_SETS`, or a reference, which is imported and called: a name that a file holds belongs here only
            if its code may run.
        root: the folder with the files; by default the environment variable ``LANDSCAPE_DATA``, else
            ``~/.cache/landscape/data``. The bundled set needs none. A referenced function gets it if it is given.
        download: fetch files that are missing. A referenced function gets it if it is True.
        options: what a referenced function takes; values that JSON can carry. The built-in sets take none.

    Raises:
        InputError: for an unknown name or option, files that are missing or damaged, or a reference that fails.

    Example:
        >>> images = ls.load_data("fashion-mnist-10k")
        >>> len(images.train), images.classes
        (8500, 10)
    """
    return open_data(name, options, root=root, download=download)


def open_data(
    name: str, options: Mapping[str, Any], *, root: str | Path | None, download: bool, whole: bool = False
) -> DataSet:
    """As :func:`load_data`; ``whole``: what a reference returns is for a loss over model and batch, and stays as it is."""
    if is_reference(name):
        return _referenced(name, root, download, options, as_whole if whole else as_data)
    if name not in DATA_SETS:
        unknown = unknown_choice("data", name, DATA_SETS)
        raise InputError(f"{unknown} Or your own: module:function, path/to/file.py:function.")
    if options:
        raise InputError(f"data {name!r}: unknown option {next(iter(options))!r}; it takes none.")
    splits = _built_in(name, _root(root), download)
    train = splits["train"]
    _, channels, _, size = train.images.shape
    return DataSet(
        name, **splits, classes=train.classes, channels=channels, image_size=size, spec={"name": name, "options": {}}
    )


def _built_in(name: str, root: Path, download: bool) -> dict[str, ImageData]:
    if name == "fashion-mnist-10k":
        images, labels = bundled_fashion_mnist()
        parts = dict(zip(SPLITS, three_way_indices(len(images)), strict=True))
        return {split: _image_data(name, split, images, labels, part) for split, part in parts.items()}
    (images, labels), test = fashion_mnist(root, download) if name == "fashion-mnist" else cifar(name, root, download)
    train, validation = train_validation_indices(len(images))
    return {
        "train": _image_data(name, "train", images, labels, train),
        "validation": _image_data(name, "validation", images, labels, validation),
        "test": _image_data(name, "test", *test),
    }


def _image_data(
    name: str, split: str, images: Tensor, labels: Tensor, indices: NDArray[np.int64] | None = None
) -> ImageData:
    if indices is not None:
        chosen = torch.from_numpy(indices)
        images, labels = images[chosen], labels[chosen]
    mean, std = _NORMALISATION[name]
    # Grey images become three equal channels as a view: one byte a pixel in memory.
    return ImageData(images.expand(-1, 3, -1, -1), labels, mean, std, _CLASSES[name], name=f"{name}/{split}")


def _root(root: str | Path | None) -> Path:
    return Path(root or os.environ.get("LANDSCAPE_DATA") or "~/.cache/landscape/data").expanduser()


def _referenced(
    name: str,
    root: str | Path | None,
    download: bool,
    options: Mapping[str, Any],
    read: Callable[[Any, str], Data],
) -> DataSet:
    options = json_options(f"data {name!r}", options)
    # Where the files lie belongs to the machine, not to the data set, so it reaches the function but never the spec.
    local = ({} if root is None else {"root": root}) | ({"download": True} if download else {})
    made = call_reference("data", name, {**options, **local})
    spec = {"name": name, "options": options}
    if isinstance(made, DataSet):
        return replace(made, spec=spec)
    parts = made if isinstance(made, tuple) and len(made) == 3 else (made, None, None)
    try:
        splits = {s: read(part, f"{name}/{s}") for s, part in zip(SPLITS, parts, strict=True) if part is not None}
    except InputError as error:
        raise InputError(
            f"data: {name!r} returned {type(made).__name__}; expected a DataSet, (train, validation, test) or one split. {error}"
        ) from error
    if "train" not in splits:
        raise InputError(f"data: {name!r} returned None as its training data; expected at least that.")
    channels, size = _image_shape(splits["train"])
    return DataSet(name, **splits, classes=splits["train"].classes, channels=channels, image_size=size, spec=spec)


def _image_shape(data: Data) -> tuple[int | None, int | None]:
    """Channels and side of square images, from one sample; None where inputs are something else."""
    inputs, _ = data.batch(torch.zeros(1, dtype=torch.int64))
    if not isinstance(inputs, Tensor) or inputs.ndim != 4:
        return None, None
    return inputs.shape[1], inputs.shape[2] if inputs.shape[2] == inputs.shape[3] else None
