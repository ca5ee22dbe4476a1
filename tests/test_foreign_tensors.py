"""Tensors that are no ordinary ones, that are missing or too many, or whose copying would change them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import equal, loaded, network, stored, weights
from torch import Tensor, nn

from landscape.errors import CheckpointError
from landscape.results import fitted, load_checkpoint, load_into, save_checkpoint


def quantised() -> Tensor:
    return torch.quantize_per_tensor(torch.ones(4, 4, 1, 1), 0.1, 0, torch.qint8)


STRANGE: dict[str, tuple[Callable[[], Tensor], str]] = {
    "quantised": (quantised, "quantised"),
    "sparse": (lambda: torch.ones(4, 4, 1, 1).to_sparse(), "sparse"),
    "meta": (lambda: torch.ones(4, 4, 1, 1, device="meta"), "a meta tensor"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", STRANGE)
def test_tensors_without_ordinary_numbers_are_refused_by_name(tmp_path: Path, case: str) -> None:
    make, words = STRANGE[case]
    with pytest.raises(CheckpointError, match=f"'body.1.weight' is {words}"):
        load_checkpoint(stored(tmp_path, {**weights(), "body.1.weight": make()}))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("into", [torch.float32, torch.bfloat16])
def test_other_floating_point_numbers_are_cast_as_the_modules_own_loading_does(
    tmp_path: Path, kind: torch.dtype, into: torch.dtype
) -> None:
    given = {name: t.to(kind) if t.is_floating_point() else t for name, t in weights().items()}
    expected = network(9).to(into)
    expected.load_state_dict(given)
    assert equal(loaded(given, tmp_path, network(9).to(into)).state_dict(), expected.state_dict())


def test_whole_numbers_for_weights_and_fractions_for_counts_are_refused(tmp_path: Path) -> None:
    before = network(9)
    for name, entry in (
        ("head.weight", torch.ones(2, 4, dtype=torch.int8)),
        ("body.0.num_batches_tracked", torch.tensor(0.5)),
    ):
        with pytest.raises(CheckpointError, match=f"1 of another kind: {name}"):
            loaded({**weights(), name: entry}, tmp_path, before)
    with pytest.raises(CheckpointError, match=r"1 of another kind: head\.bias"):
        loaded({**weights(), "head.bias": torch.tensor([1j, 2.0])}, tmp_path, before)
    assert equal(before.state_dict(), network(9).state_dict())
    tracked = {**weights(), "body.0.num_batches_tracked": torch.tensor(5.0)}
    assert int(loaded(tracked, tmp_path).state_dict()["body.0.num_batches_tracked"]) == 5


class Tied(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.randn(5, 3, generator=generator))
        self.head.weight = self.embedding.weight


@pytest.mark.parametrize("left_out", ["embedding.weight", "head.weight"])
def test_a_tied_tensor_may_be_left_out_and_may_not_differ(tmp_path: Path, left_out: str) -> None:
    full = dict(Tied(3).state_dict())
    given = {name: tensor for name, tensor in full.items() if name != left_out}
    assert equal(loaded(given, tmp_path, Tied()).state_dict(), full)
    read = fitted(Tied(), load_checkpoint(stored(tmp_path, given)))
    assert read.weights_hash() == load_checkpoint(stored(tmp_path, full)).weights_hash()
    with pytest.raises(
        CheckpointError, match=r"one tensor in the model and two in the file: embedding\.weight and head\.weight"
    ):
        loaded({**full, left_out: full[left_out] + 1}, tmp_path, Tied())


class Unsaved(nn.Module):
    def __init__(self, scale: float = 2.0) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("scale", torch.full((2,), scale), persistent=False)
        self.register_buffer("position_ids", torch.arange(4).expand(1, -1), persistent=False)


def test_a_buffer_that_the_module_makes_itself_may_be_there_if_it_is_the_same(tmp_path: Path) -> None:
    given = {**Unsaved().state_dict(), "scale": torch.full((2,), 2.0), "position_ids": torch.arange(4)[None]}
    read = fitted(Unsaved(), load_checkpoint(stored(tmp_path, given)))
    assert list(read.state_dict) == ["linear.weight", "linear.bias"]
    assert read.note == "Left out, as the model makes them itself: scale, position_ids."
    with pytest.raises(CheckpointError, match="1 not in the model: scale"):
        fitted(Unsaved(scale=3.0), load_checkpoint(stored(tmp_path, given)))
    assert fitted(network(), load_checkpoint(stored(tmp_path, {**weights(), "position_ids": torch.arange(3)}))).note
    with pytest.raises(CheckpointError, match="1 not in the model: position_ids"):
        loaded({**weights(), "position_ids": torch.tensor([0, 2])}, tmp_path)


class Migrating(nn.Linear):
    """Since version 2 its weight is stored halved."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, versions: Any, *rest: Any) -> None:
        if versions.get("version", 1) < 2:
            state[f"{prefix}weight"] = state[f"{prefix}weight"] / 2
        super()._load_from_state_dict(state, prefix, versions, *rest)


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel], ids=["plain", "parallel"])
def test_the_versions_of_modules_reach_them(tmp_path: Path, wrap: Any) -> None:
    source = nn.Sequential(nn.ReLU(), Migrating(2, 2))
    target = nn.Sequential(nn.ReLU(), Migrating(2, 2))
    loaded({"model": wrap(source).state_dict()}, tmp_path, target)
    assert equal(target.state_dict(), source.state_dict())
    loaded(dict(source.state_dict()), tmp_path, target)
    assert torch.equal(target[1].weight, source[1].weight / 2), "without versions, as its own loading would"
    read = fitted(target, load_checkpoint(stored(tmp_path, dict(source.state_dict()))))
    assert torch.equal(read.state_dict["1.weight"], source[1].weight / 2), "also where it is the end of a line"
    assert read.note == "The model itself reads an older layout: 1.weight."
    save_checkpoint(tmp_path / "own.pt", state={"model": dict(source.state_dict())})
    load_into(target, load_checkpoint(tmp_path / "own.pt"))
    assert equal(target.state_dict(), source.state_dict())


def weight_normed(norm: Any) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(norm(nn.Linear(3, 2)), nn.BatchNorm1d(2))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("prefix", ["", "model."])
def test_names_that_the_module_itself_reads_as_others_are_read_by_it(tmp_path: Path, prefix: str) -> None:
    old, new = weight_normed(nn.utils.weight_norm), weight_normed(nn.utils.parametrizations.weight_norm)
    with torch.no_grad():
        old[0].weight_g.mul_(3)
    loaded({f"{prefix}{name}": tensor for name, tensor in old.state_dict().items()}, tmp_path, new)
    inputs = torch.randn(4, 3)
    assert torch.allclose(new.eval()(inputs), old.eval()(inputs))
    with pytest.raises(CheckpointError, match=r"not in the model: .*weight_g"):
        loaded({**old.state_dict(), "0.bias": torch.ones(5)}, tmp_path, new)


class Forgiving(nn.Linear):
    def _load_from_state_dict(self, state: Any, prefix: str, versions: Any, strict: bool, *lists: Any) -> None:
        super()._load_from_state_dict(state, prefix, versions, strict, *lists)
        lists[0].clear()


def test_a_weight_that_the_module_forgives_to_be_missing_is_not_left_at_random(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="1 missing from the file: bias"):
        loaded({"weight": torch.ones(2, 3)}, tmp_path, Forgiving(3, 2))


def test_lazy_layers_are_told_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lazy layers.*Call it on one batch first"):
        loaded({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, tmp_path, nn.LazyLinear(2))
