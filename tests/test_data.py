"""Splits of images in memory with their augmentation, the bundled data set, and data sets by name."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.transforms import functional

import landscape.data
from landscape.data import (
    DATA_SETS,
    Data,
    DataSet,
    ImageData,
    IndexedData,
    TensorData,
    as_data,
    load_data,
    subset,
)
from landscape.data.splits import three_way_indices
from landscape.errors import InputError

BUNDLED = Path(landscape.data.__file__).parent / "fashion_mnist_10k"
MEAN, STD = (0.3, 0.5, 0.7), (0.2, 0.25, 0.4)


@pytest.fixture(scope="module")
def fashion() -> DataSet:
    return load_data()


def random_images(n: int = 20, channels: int = 3, size: int = 7, **options: Any) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)
    return ImageData(images, torch.arange(n) % 5, MEAN[:channels], STD[:channels], 5, **options)


def torchvision_views(image: Tensor, padding: int) -> dict[tuple[int, int, bool], Tensor]:
    """Every crop and flip that torchvision's transforms can make of one image, normalised, by (top, left, flipped)."""
    size = image.shape[-1]
    padded = functional.pad(image, [padding])
    views = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            for flipped in (False, True):
                view = functional.crop(padded, top, left, size, size)
                view = functional.hflip(view) if flipped else view
                scaled = functional.convert_image_dtype(view, torch.float32)
                views[top, left, flipped] = functional.normalize(scaled, list(MEAN), list(STD))
    return views


def test_default_data_set_is_the_bundled_one_with_its_three_splits(fashion: DataSet) -> None:
    assert fashion.name == "fashion-mnist-10k"
    assert [len(fashion.split(split)) for split in ("train", "validation", "test")] == [8500, 500, 1000]
    assert (fashion.classes, fashion.channels, fashion.image_size) == (10, 3, 32)
    assert fashion.train.name == "fashion-mnist-10k/train"


def test_bundled_images_equal_torchvisions_reading_padded_and_repeated(fashion: DataSet, tmp_path: Path) -> None:
    for file in BUNDLED.glob("*.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    images = read_image_file(str(tmp_path / "t10k-images-idx3-ubyte"))
    labels = read_label_file(str(tmp_path / "t10k-labels-idx1-ubyte"))
    order = torch.from_numpy(np.random.RandomState(0).permutation(10_000))
    for split, part in (("train", order[:8500]), ("validation", order[8500:9000]), ("test", order[9000:])):
        data = fashion.split(split)
        assert isinstance(data, ImageData)
        expected = functional.pad(images[part], [2]).unsqueeze(1).repeat(1, 3, 1, 1)
        assert torch.equal(data.images, expected)
        assert torch.equal(data.labels, labels[part])


def test_grey_images_take_one_byte_a_pixel_in_memory(fashion: DataSet) -> None:
    assert isinstance(fashion.train, ImageData)
    assert fashion.train.images.untyped_storage().nbytes() == 8500 * 32 * 32


def test_three_way_split_uses_every_index_once_and_starts_as_documented() -> None:
    parts = three_way_indices(10_000)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(10_000))
    assert parts[0][:3].tolist() == [9394, 898, 2398]


def test_bundled_normalisation_is_that_of_its_training_pixels(fashion: DataSet) -> None:
    assert isinstance(fashion.train, ImageData)
    pixels = fashion.train.images.numpy().astype(np.float64) / 255
    assert fashion.train.mean == pytest.approx(pixels.mean((0, 2, 3)), abs=5e-5)
    assert fashion.train.std == pytest.approx(pixels.std((0, 2, 3)), abs=5e-5)


def test_spec_is_json_and_loads_the_same_data_again(fashion: DataSet) -> None:
    spec = json.loads(json.dumps(fashion.spec))
    again = load_data(spec["name"], **spec["options"])
    for split in ("train", "validation", "test"):
        assert again.split(split).fingerprint() == fashion.split(split).fingerprint()


def test_evaluation_batch_is_torchvisions_normalisation_of_the_chosen_images() -> None:
    data = random_images()
    indices = torch.tensor([7, 0, 7, 19])
    inputs, labels = data.batch(indices)
    expected = functional.normalize(data.images[indices].float() / 255, list(MEAN), list(STD))
    assert torch.equal(inputs, expected)
    assert labels.tolist() == [2, 0, 2, 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_batch_has_the_same_bits_on_a_gpu(fashion: DataSet) -> None:
    some = torch.arange(50)
    assert torch.equal(fashion.train.to("cuda").batch(some.cuda())[0].cpu(), fashion.train.batch(some)[0])


def test_every_training_image_is_a_crop_and_flip_that_torchvision_makes() -> None:
    padding = 2
    data = random_images(n=6, crop_padding=padding)
    indices = torch.arange(6).repeat(500)
    inputs, labels = data.training_batch(indices, torch.Generator().manual_seed(1))
    assert torch.equal(labels, data.labels[indices])
    counts = dict.fromkeys(torchvision_views(data.images[0], padding), 0)
    for image in range(6):
        views = torchvision_views(data.images[image], padding)
        table = torch.stack(list(views.values())).flatten(1)
        equal = (inputs[indices == image].flatten(1)[:, None] == table).all(-1)
        assert (equal.sum(1) == 1).all()
        for key, count in zip(views, equal.sum(0).tolist(), strict=True):
            counts[key] += count
    expected = 3000 / len(counts)
    assert max(abs(count - expected) for count in counts.values()) < 5 * expected**0.5
    mirrored = sum(count for (_, _, flipped), count in counts.items() if flipped)
    assert abs(mirrored - 1500) < 5 * (3000 / 4) ** 0.5


def test_augmentation_is_a_function_of_the_generator_alone() -> None:
    data, indices = random_images(), torch.arange(20)
    before = torch.get_rng_state()
    first, _ = data.training_batch(indices, torch.Generator().manual_seed(3))
    again, _ = data.training_batch(indices, torch.Generator().manual_seed(3))
    other, _ = data.training_batch(indices, torch.Generator().manual_seed(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_crop_and_flip_a_training_batch_is_the_evaluation_batch() -> None:
    data, indices = random_images(crop_padding=0, flip=False), torch.arange(20)
    assert torch.equal(data.training_batch(indices, torch.Generator())[0], data.batch(indices)[0])


def test_one_mean_serves_all_channels() -> None:
    images, labels = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    one = ImageData(images, labels, (0.4,), (0.3,), 2)
    three = ImageData(images, labels, (0.4,) * 3, (0.3,) * 3, 2)
    assert torch.equal(one.batch(torch.arange(4))[0], three.batch(torch.arange(4))[0])
    assert one.fingerprint() == three.fingerprint()


@pytest.mark.parametrize("label", [-1, 5])
def test_label_outside_the_classes_is_named_with_the_range(label: int) -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    labels[13] = label
    images = random_images().images
    with pytest.raises(InputError, match=rf"0 to 4 for 5 classes, got {label} at sample 13"):
        ImageData(images, labels, MEAN, STD, 5)
    with pytest.raises(InputError, match=rf"0 to 4 for 5 classes, got {label} at sample 13"):
        TensorData(images, labels, classes=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(20, 3, 7, 7)}, "images: expected a uint8 tensor.*float32"),
        ({"images": torch.zeros(20, 7, 7, dtype=torch.uint8)}, r"images: .*\(20, 7, 7\)"),
        ({"images": torch.zeros(0, 3, 7, 7, dtype=torch.uint8)}, "N at least 1"),
        ({"labels": torch.zeros(19, dtype=torch.int64)}, r"labels: .*\(20,\).*\(19,\)"),
        ({"labels": torch.zeros(20)}, "labels: expected an integer tensor"),
        ({"labels": [0] * 20}, "labels: expected an integer tensor"),
        ({"mean": (0.1, 0.2)}, "mean: expected one value or 3"),
        ({"std": (0.1, 0.0, 0.1)}, "std: expected values above 0"),
        ({"classes": 0}, "classes: expected a number of classes"),
        ({"crop_padding": -1}, "crop_padding: "),
    ],
)
def test_unusable_images_are_refused_by_argument(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"images": random_images().images, "labels": random_images().labels}
    with pytest.raises(InputError, match=message):
        ImageData(**(given | {"mean": MEAN, "std": STD, "classes": 5} | change))


def test_fingerprint_changes_with_content_and_with_nothing_else() -> None:
    data = random_images()
    images, labels = data.images.clone(), data.labels.clone()
    same = ImageData(
        images.clone().permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3), labels, MEAN, STD, 5, name="b"
    )
    assert same.fingerprint() == data.fingerprint() == data.to("cpu").fingerprint()
    images[3, 1, 2, 2] += 1
    labels[0] = 4
    others = [
        ImageData(images, data.labels, MEAN, STD, 5),
        ImageData(data.images, labels, MEAN, STD, 5),
        ImageData(data.images, data.labels, STD, STD, 5),
        ImageData(data.images, data.labels, MEAN, STD, 6),
    ]
    assert len({data.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_a_whole_data_set_is_refused_where_one_split_is_meant(fashion: DataSet) -> None:
    with pytest.raises(InputError, match=r"\.split\('train'\)"):
        as_data(fashion)


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(fashion: DataSet) -> None:
    with pytest.raises(InputError, match="Did you mean 'train'"):
        fashion.split("trian")
    with pytest.raises(InputError, match="has no 'test' split; it has train, validation"):
        DataSet("d", fashion.train, fashion.validation).split("test")


def test_subset_is_sorted_distinct_and_a_function_of_its_seed() -> None:
    data = random_images()
    chosen = subset(data, 8, seed=1)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == 8
    assert torch.equal(chosen, subset(data, 8, seed=1))
    assert len({tuple(subset(data, 8, seed).tolist()) for seed in range(20)}) > 10
    assert subset(data, None).tolist() == subset(data, 20).tolist() == subset(data, 99).tolist() == list(range(20))


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_subset_of_no_size_is_refused(n: Any) -> None:
    with pytest.raises(InputError, match="n: expected a number of samples"):
        subset(random_images(), n)


def test_an_unknown_data_set_lists_all_and_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'cifar100'") as caught:
        load_data("cifar-100")
    assert all(name in str(caught.value) for name in DATA_SETS)


def test_built_in_data_sets_refuse_options() -> None:
    with pytest.raises(InputError, match="unknown option 'size'"):
        load_data(size=3)


def test_every_kind_of_split_has_the_shape_of_data() -> None:
    images = random_images()
    pairs = [(image, int(label)) for image, label in zip(images.images, images.labels, strict=True)]
    assert all(
        isinstance(kind, Data) for kind in (images, TensorData(images.images, images.labels), IndexedData(pairs))
    )


def test_importing_data_and_models_leaves_torchvision_unloaded() -> None:
    code = "import sys, landscape.data, landscape.models; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
