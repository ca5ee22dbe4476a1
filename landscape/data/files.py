"""The built-in data sets as they lie on disk: CIFAR in torchvision's folders, Fashion-MNIST in IDX files."""

from __future__ import annotations

import gzip
import math
import zlib
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from landscape.errors import InputError

_GZIP = b"\x1f\x8b"
_IDX_UINT8 = b"\x00\x00\x08"


def cifar(name: str, root: Path, download: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The training and test images, uint8 ``(N, 3, 32, 32)``, of ``cifar10`` or ``cifar100``, each with its fine labels ``(N,)``.

    torchvision compares each file's MD5 with the published one before it reads it: the files are pickles, so
    others are never opened.

    Raises:
        InputError: for files that are missing, differ from the published ones, or cannot be downloaded.
    """
    from torchvision import datasets

    published = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    folder = root / published.base_folder
    if not download and not folder.is_dir():
        raise _missing(name, [folder])
    try:
        splits = [published(root, train=train, download=download) for train in (True, False)]
    except RuntimeError as error:
        if download:
            raise _download_failed(name, root, error) from error
        raise InputError(
            f"data {name!r}: files in {folder} are missing or are not the published ones (their MD5 differs). Remove that "
            "folder and load with --download (from Python download=True)."
        ) from error
    except OSError as error:
        raise _download_failed(name, root, error) from error
    train, test = ((_channels_first(split.data), torch.tensor(split.targets)) for split in splits)
    return train, test


def fashion_mnist(root: Path, download: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The 60,000 training and 10,000 test images, as :func:`fashion_images` gives them, each with its labels ``(N,)``.

    The four IDX files, gzipped or not, are looked for in ``root`` itself (where Debian's ``dataset-fashion-mnist`` has them)
    and in torchvision's ``root/FashionMNIST/raw``.

    Raises:
        InputError: for files that are missing, damaged, or cannot be downloaded.
    """
    folders = [root, root / "FashionMNIST" / "raw"]
    found = _idx_folder(folders)
    if found is None and download:
        from torchvision import datasets

        try:
            datasets.FashionMNIST(root, download=True)
        except (RuntimeError, OSError) as error:
            raise _download_failed("fashion-mnist", root, error) from error
        found = _idx_folder(folders)
    if found is None:
        raise _missing("fashion-mnist", folders)
    return fashion_images(found, "train"), fashion_images(found, "t10k")


def bundled_fashion_mnist() -> tuple[Tensor, Tensor]:
    """The 10,000 images that come with the package, as :func:`fashion_images` gives them."""
    return fashion_images(files("landscape.data").joinpath("fashion_mnist_10k"), "t10k")


def fashion_images(folder: Traversable, part: str) -> tuple[Tensor, Tensor]:
    """``part`` (``train`` or ``t10k``) of Fashion-MNIST: uint8 images ``(N, 1, 32, 32)``, and labels ``(N,)``.

    The 28×28 grey images are padded by two black pixels on each side.
    """
    images = read_idx(_idx_file(folder, f"{part}-images-idx3-ubyte"))
    labels = read_idx(_idx_file(folder, f"{part}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise InputError(
            f"data: expected images (N, 28, 28) and labels (N,) in {folder}, got {tuple(images.shape)} and {tuple(labels.shape)}."
        )
    return pad(images, (2, 2, 2, 2))[:, None], labels.to(torch.int64)


def read_idx(path: Traversable) -> Tensor:
    """The uint8 tensor in an IDX file, gzipped or not.

    The format: two zero bytes, the type (8 for uint8), the number of dimensions, each dimension as a big-endian 32-bit
    integer, then the values. torchvision's reader takes plain files only, and would need the bundled ones unpacked on disk.

    Raises:
        InputError: for another format, or a file that is cut short.
    """
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if raw.startswith(_GZIP) else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"data: {path} is damaged or cut short ({error}). Fetch it again.") from error
    if not raw.startswith(_IDX_UINT8) or len(raw) < 4 + 4 * raw[3]:
        raise InputError(f"data: {path} is no IDX file of bytes; it starts with {raw[:4]!r}, expected {_IDX_UINT8!r}.")
    shape = [int(n) for n in np.frombuffer(raw, ">u4", count=raw[3], offset=4)]
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != math.prod(shape):
        raise InputError(
            f"data: {path} holds {values.size} bytes, expected {math.prod(shape)} for {shape}. Fetch it again."
        )
    return torch.from_numpy(values.reshape(shape).copy())


def _idx_folder(folders: list[Path]) -> Path | None:
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    for folder in folders:
        if all(_idx_file(folder, name).is_file() for name in names):
            return folder
    return None


def _idx_file(folder: Any, name: str) -> Any:
    plain = folder.joinpath(name)
    return plain if plain.is_file() else folder.joinpath(f"{name}.gz")


def _channels_first(images: Any) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _missing(name: str, folders: list[Path]) -> InputError:
    return InputError(
        f"data {name!r}: no files in {' or '.join(str(folder) for folder in folders)}. Load with --download (from Python "
        "download=True) to fetch them, or name the folder that has them: root=..., or the environment variable LANDSCAPE_DATA."
    )


def _download_failed(name: str, root: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(
        f"data {name!r}: it could not be downloaded to or read from {root} ({type(error).__name__}: {reason}). Check the "
        "connection and that the folder can be written, or put the unpacked files there by other means."
    )
