"""The built-in data sets on disk: tiny ones written here in the published formats, and the split that they share."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision import datasets

from landscape.data import DataSet, ImageData, load_data
from landscape.data.files import read_idx
from landscape.data.splits import train_validation_indices
from landscape.errors import InputError

N_TRAIN, N_TEST = 200, 40
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def test_cifar_split_has_the_published_check_numbers() -> None:
    train, validation = train_validation_indices(50_000)
    assert (len(train), len(validation)) == (47_500, 2_500)
    assert train[:3].tolist() == [11841, 19602, 45519]
    assert validation[:5].tolist() == [52, 55, 63, 81, 93]
    assert int(validation.sum()) == 62_248_100
    assert np.array_equal(validation, np.sort(validation))


@pytest.mark.parametrize("n", [200, 50_000, 60_000])
def test_split_uses_every_index_once_and_keeps_a_twentieth_for_validation(n: int) -> None:
    train, validation = train_validation_indices(n)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(n))
    assert len(validation) * 20 == n


def random_arrays(n: int, classes: int, seed: int, shape: tuple[int, ...]) -> Arrays:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, classes, n)


def pickled(path: Path, entries: dict[str, Any]) -> list[str]:
    """Write a CIFAR file, a pickle of protocol 2 as Python 2 wrote it; return what torchvision's file list says of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(entries, protocol=2))
    return [path.name, hashlib.md5(path.read_bytes()).hexdigest()]


def write_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Arrays, Arrays]:
    """A tiny ``cifar-100-python``, published as the real one for the length of a test."""
    folder, lists, made = root / "cifar-100-python", [], []
    for seed, (name, n) in enumerate((("train", N_TRAIN), ("test", N_TEST))):
        images, labels = random_arrays(n, 100, seed, (3, 32, 32))
        entries = {
            "data": images.reshape(n, 3072),
            "fine_labels": labels.tolist(),
            "coarse_labels": [0] * n,
            "filenames": [f"{i}.png" for i in range(n)],
            "batch_label": name,
        }
        lists.append([pickled(folder / name, entries)])
        made.append((images, labels))
    meta = {"fine_label_names": [str(i) for i in range(100)], "coarse_label_names": [str(i) for i in range(20)]}
    name, md5 = pickled(folder / "meta", meta)
    monkeypatch.setattr(datasets.CIFAR100, "train_list", lists[0])
    monkeypatch.setattr(datasets.CIFAR100, "test_list", lists[1])
    monkeypatch.setattr(datasets.CIFAR100, "meta", {"filename": name, "key": "fine_label_names", "md5": md5})
    return made[0], made[1]


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Arrays, Arrays]:
    """The same for ``cifar-10-batches-py``, whose training images come in five files."""
    folder = root / "cifar-10-batches-py"
    train = random_arrays(N_TRAIN, 10, 0, (3, 32, 32))
    test = random_arrays(N_TEST, 10, 1, (3, 32, 32))
    files = [(f"data_batch_{i + 1}", slice(40 * i, 40 * (i + 1)), train) for i in range(5)]
    files.append(("test_batch", slice(None), test))
    lists = []
    for name, rows, (images, labels) in files:
        part = {"data": images[rows].reshape(-1, 3072), "labels": labels[rows].tolist(), "batch_label": name}
        lists.append(pickled(folder / name, part))
    name, md5 = pickled(folder / "batches.meta", {"label_names": [str(i) for i in range(10)]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", lists[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", lists[5:])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return train, test


def assert_splits_hold(made: DataSet, train: Arrays, test: Arrays) -> None:
    chosen, rest = train_validation_indices(N_TRAIN)
    parts = {"train": (train, chosen), "validation": (train, rest), "test": (test, np.arange(N_TEST))}
    for split, ((images, labels), indices) in parts.items():
        data = made.split(split)
        assert isinstance(data, ImageData)
        assert np.array_equal(data.images.numpy(), images[indices])
        assert np.array_equal(data.labels.numpy(), labels[indices])


@pytest.mark.parametrize(("name", "write"), [("cifar100", write_cifar100), ("cifar10", write_cifar10)])
def test_cifar_is_read_in_its_own_format_and_split_as_defined(
    name: str, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = write(tmp_path, monkeypatch)
    made = load_data(name, root=tmp_path)
    assert_splits_hold(made, train, test)
    assert (made.classes, made.channels, made.image_size) == (100 if name == "cifar100" else 10, 3, 32)
    assert made.spec == {"name": name, "options": {}}


def test_cifar_is_normalised_with_the_coursework_constants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (images, _) = write_cifar100(tmp_path, monkeypatch)
    batch, _ = load_data("cifar100", root=tmp_path).split("test").batch(torch.tensor([3]))
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
    expected = (images[3] / 255 - mean[:, None, None]) / std[:, None, None]
    assert batch[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_root_defaults_to_the_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = write_cifar100(tmp_path, monkeypatch)
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    assert_splits_hold(load_data("cifar100"), train, test)


@pytest.mark.parametrize(("name", "folder"), [("cifar100", "cifar-100-python"), ("fashion-mnist", "FashionMNIST")])
def test_missing_files_say_where_they_were_looked_for_and_how_to_get_them(
    name: str, folder: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--download") as caught:
        load_data(name, root=tmp_path)
    assert str(tmp_path / folder) in str(caught.value)
    assert "download=True" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class RunsCode:
    """A pickle of this creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_cifar_files_other_than_the_published_are_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar100(tmp_path, monkeypatch)
    trace = tmp_path / "ran"
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps(RunsCode(trace)))
    with pytest.raises(InputError, match="not the published ones"):
        load_data("cifar100", root=tmp_path)
    assert not trace.exists()


def test_a_download_that_fails_is_one_message_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **options: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", unreachable)
    for name in ("cifar100", "fashion-mnist"):
        with pytest.raises(InputError, match=r"no route to host.*Check the connection"):
            load_data(name, root=tmp_path, download=True)


def test_a_download_is_made_once_and_then_read_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = write_cifar100(tmp_path / "elsewhere", monkeypatch)
    downloads = []

    def fetch(url: str, root: str | Path, **options: Any) -> None:
        downloads.append(url)
        (tmp_path / "elsewhere" / "cifar-100-python").rename(Path(root) / "cifar-100-python")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fetch)
    for _ in range(2):
        assert_splits_hold(load_data("cifar100", root=tmp_path, download=True), train, test)
    assert downloads == [datasets.CIFAR100.url]


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_fashion(folder: Path, *, zipped: bool) -> tuple[Arrays, Arrays]:
    """Tiny Fashion-MNIST in its four IDX files; the images as they should be read, padded to 32×32."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for seed, (part, n) in enumerate((("train", N_TRAIN), ("t10k", N_TEST))):
        images, labels = random_arrays(n, 10, seed, (28, 28))
        contents = {"images-idx3": images, "labels-idx1": labels.astype(np.uint8)}
        for kind, values in contents.items():
            raw = idx_bytes(values)
            path = folder / f"{part}-{kind}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(raw) if zipped else raw)
        padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
        made.append((np.repeat(padded[:, None], 3, axis=1), labels))
    return made[0], made[1]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw"])
def test_fashion_mnist_is_found_in_the_folder_itself_or_torchvisions(folder: str, zipped: bool, tmp_path: Path) -> None:
    train, test = write_fashion(tmp_path / folder, zipped=zipped)
    made = load_data("fashion-mnist", root=tmp_path)
    assert_splits_hold(made, train, test)
    assert (made.classes, made.channels, made.image_size) == (10, 3, 32)


def test_fashion_mnist_equals_torchvisions_reading(tmp_path: Path) -> None:
    write_fashion(tmp_path / "FashionMNIST" / "raw", zipped=False)
    test = load_data("fashion-mnist", root=tmp_path).split("test")
    theirs = datasets.FashionMNIST(tmp_path, train=False)
    assert isinstance(test, ImageData)
    assert torch.equal(test.images[:, 1, 2:-2, 2:-2], theirs.data)
    assert torch.equal(test.labels, theirs.targets)


def test_fashion_mnist_is_downloaded_only_where_files_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = []

    def fetch(self: datasets.FashionMNIST) -> None:
        downloads.append(self.raw_folder)
        write_fashion(Path(self.raw_folder), zipped=False)

    monkeypatch.setattr(datasets.FashionMNIST, "download", fetch)
    for _ in range(2):
        load_data("fashion-mnist", root=tmp_path, download=True)
    assert downloads == [str(tmp_path / "FashionMNIST" / "raw")]


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4)])
def test_an_idx_file_gives_back_the_array_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "file").write_bytes(idx_bytes(values))
    assert np.array_equal(read_idx(tmp_path / "file").numpy(), values)


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (GOOD[:-1], "holds 23 bytes, expected 24"),
        (GOOD + b"x", "holds 25 bytes, expected 24"),
        (GOOD[:9], "no IDX file"),
        (b"", "no IDX file"),
        (b"\x89PNG and more", "no IDX file of bytes; it starts with b'.x89PNG'"),
        (gzip.compress(GOOD)[:-9], "damaged or cut short"),
        (gzip.compress(GOOD)[:10] + b"\xff" * 12, "damaged or cut short"),
    ],
    # Not from the bytes: those of gzip hold the time, at which two workers do not collect alike.
    ids=["short", "long", "header", "empty", "another", "cut gzip", "damaged gzip"],
)
def test_a_damaged_idx_file_is_named_with_what_is_wrong(raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "broken-idx").write_bytes(raw)
    with pytest.raises(InputError, match=message) as caught:
        read_idx(tmp_path / "broken-idx")
    assert "broken-idx" in str(caught.value)


def test_images_and_labels_of_different_number_are_refused(tmp_path: Path) -> None:
    write_fashion(tmp_path, zipped=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, dtype=np.uint8)))
    with pytest.raises(InputError, match=r"\(200, 28, 28\) and \(3,\)"):
        load_data("fashion-mnist", root=tmp_path)
