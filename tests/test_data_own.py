"""A user's own data: tensors, arrays, anything indexable, and functions by reference."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from landscape.data import IndexedData, TensorData, as_data, load_data
from landscape.errors import InputError


def test_tensor_fingerprint_tells_names_shapes_and_types_apart() -> None:
    a, b, targets = torch.arange(6.0), torch.ones(6), torch.zeros(6)
    inputs: list[Any] = [{"a": a, "b": b}, {"b": a, "a": b}, (a, b), a, a.view(6, 1), a.to(torch.bfloat16)]
    assert len({TensorData(value, targets).fingerprint() for value in inputs}) == len(inputs)
    assert TensorData((a.clone(), b), targets).fingerprint() == TensorData((a, b), targets).fingerprint()


def test_nested_inputs_give_the_rows_asked_for() -> None:
    x, y, targets = torch.arange(12.0).view(6, 2), torch.arange(6), torch.arange(6) * 10
    data = TensorData({"x": x, "rest": (y, [y + 1])}, targets)
    inputs, chosen = data.batch(torch.tensor([5, 2]))
    assert torch.equal(inputs["x"], x[[5, 2]])
    assert inputs["rest"][0].tolist() == [5, 2]
    assert inputs["rest"][1][0].tolist() == [6, 3]
    assert chosen.tolist() == [50, 20]
    assert torch.equal(data.training_batch(torch.tensor([5, 2]), torch.Generator())[0]["x"], inputs["x"])


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (torch.ones(3, 2), torch.ones(4)),
        (torch.ones(0, 2), torch.ones(0)),
        (torch.tensor(1.0), torch.ones(1)),
        ((), ()),
    ],
)
def test_tensors_of_unequal_or_no_length_are_refused(inputs: Any, targets: Any) -> None:
    with pytest.raises(InputError, match="inputs, targets: expected tensors with one row a sample"):
        TensorData(inputs, targets)


def test_what_is_no_tensor_is_refused_by_its_type() -> None:
    with pytest.raises(InputError, match="got str 'text'"):
        TensorData({"x": torch.ones(2), "y": "text"}, torch.ones(2))


class Counted:
    """Six pairs that count how often they are read and draw from torch's global generator."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], int]:
        self.reads += 1
        return {"x": torch.tensor([float(index), 1.0]), "noise": torch.rand(2)}, index % 3


def test_indexed_data_is_read_once_and_only_when_used() -> None:
    source = Counted()
    data = as_data(source)
    assert (data.name, len(data), source.reads) == ("Counted", 6, 0)
    inputs, targets = data.batch(torch.tensor([4, 1]))
    assert inputs["x"].tolist() == [[4.0, 1.0], [1.0, 1.0]]
    assert targets.tolist() == [1, 1]
    assert data.classes == 3
    assert torch.equal(data.to("cpu").batch(torch.tensor([4, 1]))[0]["noise"], inputs["noise"])
    assert source.reads == 7  # the first one twice


def test_random_transforms_of_indexed_data_are_frozen_and_leave_the_global_state() -> None:
    with torch.random.fork_rng(devices=[]):
        fingerprints = set()
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            fingerprints.add(as_data(Counted()).fingerprint())
            assert torch.equal(torch.get_rng_state(), before)
    assert len(fingerprints) == 1


class Drawn:
    """Samples under a random transform, of torch's or of NumPy's."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((2,), float(index)) + self.draw(), index % 2


@pytest.mark.parametrize("draw", [lambda: torch.rand(()), lambda: float(np.random.default_rng().random())])
@pytest.mark.parametrize("loaded", [False, True])
def test_samples_that_are_others_each_time_they_are_read_are_told(draw: Any, loaded: bool) -> None:
    source = DataLoader(Drawn(draw), batch_size=3) if loaded else Drawn(draw)
    with pytest.warns(UserWarning, match="another each time it is read .*one draw of each sample is measured"):
        as_data(source).batch(torch.arange(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        still = Drawn(lambda: 0.0)
        as_data(DataLoader(still, batch_size=3) if loaded else still).batch(torch.arange(6))


def test_samples_that_a_loader_drops_are_told() -> None:
    pairs = TensorDataset(torch.randn(10, 2), torch.arange(10))
    with pytest.warns(UserWarning, match="2 of 10 samples are not measured"):
        assert len(as_data(DataLoader(pairs, batch_size=4, drop_last=True))) == 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(as_data(DataLoader(pairs, batch_size=5, drop_last=True))) == 10


def test_indexed_data_counts_the_classes_its_source_lists() -> None:
    source = Counted()
    source.classes = ["a", "b", "c", "d"]  # type: ignore[attr-defined]
    assert as_data(source).classes == 4


def test_indexed_pairs_equal_the_tensors_they_came_from() -> None:
    x, y = torch.rand(5, 3), torch.tensor([0, 1, 2, 1, 0])
    assert as_data(TensorDataset(x, y)).fingerprint() == as_data((x, y)).fingerprint()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([(torch.ones(2), 0), (torch.ones(3), 1)], "cannot be stacked.*one shape"),
        ([(object(), 0)], "cannot be stacked"),
        ([{"image": 1, "label": 2}], "sample 0 of list is a mapping with 'image', 'label'.*targets='label'"),
        ([(1, 2, 3)], "expected a pair"),
        ([], "no samples"),
    ],
)
def test_indexed_data_that_makes_no_batches_is_refused(samples: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_data(samples).batch(torch.tensor([0]))


def test_a_sample_that_cannot_be_read_is_named_and_its_error_kept() -> None:
    class Broken(Counted):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index) if index < 2 else 1 / 0

    with pytest.raises(InputError, match="sample 2 of Broken raised ZeroDivisionError") as caught:
        as_data(Broken()).fingerprint()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_arrays_are_adapted_as_the_same_numbers() -> None:
    x, y = np.arange(8.0).reshape(4, 2)[:, ::-1], np.array([0, 1, 1, 0], dtype=">i4")
    data = as_data((x, y), "mine")
    inputs, targets = data.batch(torch.arange(4))
    assert np.array_equal(inputs.numpy(), x)
    assert (targets.dtype, data.name, data.classes) == (torch.int64, "mine", 2)


@pytest.mark.parametrize(
    "targets", [torch.rand(4), torch.tensor([0, 1, -100, 2]), torch.zeros(4, 2, dtype=torch.int64), torch.ones(4) > 0]
)
def test_targets_that_are_no_labels_have_no_classes(targets: Tensor) -> None:
    data = as_data((torch.rand(4, 2), targets))
    assert data.classes is None
    assert torch.equal(data.batch(torch.arange(4))[1], targets)


def test_anything_of_the_shape_of_data_is_used_as_it_is() -> None:
    class Own:
        name, classes = "own", None

        def __len__(self) -> int:
            return 1

        def batch(self, indices: Tensor) -> tuple[Any, Any]:
            return indices, indices

        def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Any, Any]:
            return indices, indices

        def fingerprint(self) -> str:
            return "own"

        def to(self, device: torch.device | str) -> Own:
            return self

    own = Own()
    assert as_data(own) is own
    indexed = IndexedData(source := Counted())
    assert as_data(indexed, "other name") is indexed
    assert source.reads == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.ones(3), "Its targets are missing"),
        (np.ones(3), "Its targets are missing"),
        (DataLoader(TensorDataset(torch.ones(3))), "batch 0 of DataLoader is a list of 1.*targets=-1"),
        ("cifar10", r"load_data\('cifar10'\)"),
        ({"x": 1}, "a mapping with 'x'.*targets='x'"),
        (7, "got int 7"),
        ((np.array([1.0]), np.array([None])), "arrays of numbers.*object"),
    ],
)
def test_what_is_no_data_is_refused_with_what_to_give_instead(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_data(given)


OWN_DATA = """
import torch
from landscape.data import DataSet, as_data

def split(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 8, 8, generator=generator), torch.arange(n) % 4

def three(n=12, seed=0):
    return split(n, seed), split(4, seed + 1), None

def one(n=12):
    return split(n, 0)

def indexed(n=12):
    x, y = split(n, 0)
    return [(a, int(b)) for a, b in zip(x, y)]

def whole(n=12):
    return DataSet("mine", as_data(split(n, 0)), classes=4)

def local(root, download=False, n=12):
    return split(n + len(str(root)) + download, 0)

def nothing():
    return None, split(4, 0), None

def wrong():
    return 3
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "own_data.py"
    file.write_text(OWN_DATA)
    return str(file)


def test_a_referenced_triple_becomes_named_splits_with_what_a_model_needs(own: str) -> None:
    made = load_data(f"{own}:three", n=20, seed=5)
    assert [len(made.train), len(made.split("validation"))] == [20, 4]
    assert made.test is None
    assert made.train.name == f"{own}:three/train"
    assert (made.classes, made.channels, made.image_size) == (4, 3, 8)
    again = load_data(made.spec["name"], **made.spec["options"])
    assert again.train.fingerprint() == made.train.fingerprint() != load_data(f"{own}:three", n=20).train.fingerprint()


def test_a_referenced_function_may_return_one_split_or_a_data_set(own: str) -> None:
    fingerprints = {load_data(f"{own}:{name}").train.fingerprint() for name in ("one", "indexed", "whole")}
    assert len(fingerprints) == 1
    whole = load_data(f"{own}:whole", n=5)
    assert (whole.name, whole.spec) == ("mine", {"name": f"{own}:whole", "options": {"n": 5}})


def test_root_and_download_reach_a_referenced_function_but_not_the_spec(own: str) -> None:
    made = load_data(f"{own}:local", root="abc", download=True, n=1)
    assert len(made.train) == 1 + 3 + 1
    assert made.spec["options"] == {"n": 1}


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("wrong", {}, "returned int; expected a DataSet"),
        ("nothing", {}, "returned None as its training data"),
        ("three", {"m": 1}, "unknown value 'm'.*Choose from: n, seed"),
        ("three", {"n": torch.ones(1)}, "option 'n': expected numbers"),
        ("three", {"n": float("nan")}, "option 'n': expected numbers"),
        ("local", {}, "expected the option root"),
        ("three", {"n": "many"}, "raised TypeError"),
        ("thre", {}, "Did you mean 'three'"),
    ],
)
def test_a_reference_that_gives_no_data_set_is_refused(
    own: str, function: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_data(f"{own}:{function}", **options)
