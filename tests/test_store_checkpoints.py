"""Checkpoints come back as they were saved, foreign ones are understood, and no file can run code or half-fill a model."""

from __future__ import annotations

import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from landscape.errors import CheckpointError, InputError
from landscape.results import check_fits, load_checkpoint, load_into, save_checkpoint


def network(width: int = 4) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(width)
        module = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2))
        module(torch.randn(5, 3, 3, 3))
        return module


def equal(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def full_state(module: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.Adam(module.parameters())
    torch.autograd.backward([p.sum() for p in module.parameters()])
    optimizer.step()
    return {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "history": [{"train_loss": float("nan"), "epoch": 3}],
    }


def test_a_checkpoint_comes_back_with_everything_that_was_saved(tmp_path: Path) -> None:
    state = full_state(network())
    model = {"name": "vgg08", "options": {"norm": "batch", "shape": (3, 32)}}
    data = {"name": "cifar10", "options": {}}
    path = tmp_path / "new" / "last.pt"
    save_checkpoint(path, state=state, model=model, data=data, training={"epochs": 5}, loss="mse")
    read = load_checkpoint(path)
    assert (read.path, read.model, read.data, read.training) == (path, model, data, {"epochs": 5})
    assert (read.loss, read.epoch, read.foreign) == ("mse", 3, False)
    assert equal(read.state_dict, state["model"])
    assert read.state is not None
    moments, saved = read.state["optimizer"]["state"][0], state["optimizer"]["state"][0]
    assert torch.equal(moments["exp_avg_sq"], saved["exp_avg_sq"])
    assert np.isnan(read.state["history"][0]["train_loss"])


def test_saving_the_same_state_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        save_checkpoint(tmp_path / name, state={"model": network().state_dict()})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.mark.parametrize("value", [np.float64(1.0), Path("x"), lambda: 0], ids=["numpy", "path", "function"])
def test_what_could_not_be_loaded_safely_is_not_saved(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match="checkpoint: expected tensors"):
        save_checkpoint(tmp_path / "a.pt", state={"model": network().state_dict(), "extra": value})
    assert list(tmp_path.iterdir()) == []


def test_a_state_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="key 'model'"):
        save_checkpoint(tmp_path / "a.pt", state={"weights": network().state_dict()})


FOREIGN: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 7, "arch": "vgg"},
    "model": lambda s: {"model": s},
    "network": lambda s: {"network": s},
    "model_state_dict": lambda s: {"model_state_dict": s, "epoch": 7},
    "net": lambda s: {"net": s, "acc": 91.0},
    "nested": lambda s: {"model": {"state_dict": s}},
    "module.": lambda s: {f"module.{k}": v for k, v in s.items()},
    "_orig_mod.": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "both": lambda s: {"state_dict": {f"_orig_mod.module.{k}": v for k, v in s.items()}},
    "both, other way": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
    "twice": lambda s: {f"module.module.{k}": v for k, v in s.items()},
    "inside": lambda s: {k.replace(".", "._orig_mod."): v for k, v in s.items()},
    "parameters": lambda s: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("layout", FOREIGN)
@pytest.mark.parametrize("zipped", [True, False])
def test_foreign_layouts_give_the_same_weights_and_hash(tmp_path: Path, layout: str, zipped: bool) -> None:
    weights = network().state_dict()
    path = tmp_path / "foreign.pth"
    torch.save(FOREIGN[layout](dict(weights)), path, _use_new_zipfile_serialization=zipped)
    save_checkpoint(tmp_path / "own.pt", state={"model": weights})
    read = load_checkpoint(path)
    assert equal(read.state_dict, weights)
    assert read.weights_hash() == load_checkpoint(tmp_path / "own.pt").weights_hash()
    assert read.foreign
    assert (read.model, read.data, read.loss, read.state) == (None, None, None, None)
    assert read.epoch == (7 if layout in ("state_dict", "model_state_dict") else None)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_newer_pickles_give_the_same_weights(tmp_path: Path, protocol: int, zipped: bool) -> None:
    weights = network().state_dict()
    path = tmp_path / "a.pt"
    torch.save({"model": weights}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert equal(load_checkpoint(path).state_dict, weights)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
def test_safetensors_are_known_by_name_or_content(tmp_path: Path, name: str) -> None:
    weights = network().state_dict()
    save_file({f"module.{k}": v for k, v in weights.items()}, tmp_path / name)
    read = load_checkpoint(tmp_path / name)
    assert read.state_dict.keys() == weights.keys()
    assert all(torch.equal(read.state_dict[k], weights[k]) for k in weights)


def test_a_child_called_module_keeps_its_name(tmp_path: Path) -> None:
    weights = {"module.weight": torch.ones(2), "head.weight": torch.zeros(3)}
    torch.save(weights, tmp_path / "a.pt")
    assert equal(load_checkpoint(tmp_path / "a.pt").state_dict, weights)


def test_the_hash_changes_with_any_name_type_shape_or_value_and_with_nothing_else(tmp_path: Path) -> None:
    def hash_of(weights: dict[str, Tensor]) -> str:
        torch.save(weights, tmp_path / "a.pt")
        return load_checkpoint(tmp_path / "a.pt").weights_hash()

    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    base = {"a": image, "b": torch.tensor(1)}
    changed = [
        {"c": image, "b": torch.tensor(1)},
        {"a": image.double(), "b": torch.tensor(1)},
        {"a": image.reshape(1, 2, 4, 3), "b": torch.tensor(1)},
        {"a": image.clone().index_fill_(3, torch.tensor([1]), 5.5), "b": torch.tensor(1)},
        {"a": image, "b": torch.tensor(2)},
        {"a": image.bfloat16(), "b": torch.tensor(1)},
    ]
    same = [
        {"b": torch.tensor(1), "a": image},
        {"a": image.to(memory_format=torch.channels_last), "b": torch.tensor(1)},
    ]
    assert len({hash_of(weights) for weights in [base, *changed]}) == 1 + len(changed)
    assert {hash_of(weights) for weights in same} == {hash_of(base)}


def bad_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    torch.save(network().state_dict(), folder / "whole.pt")
    torch.save(network().state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(network().state_dict(), folder / "whole.safetensors")
    torch.save({"epoch": 3, "lr": 0.1}, folder / "numbers.pt")
    torch.save([torch.ones(2)], folder / "list.pt")
    torch.save({"state_dict": {}}, folder / "none.pt")
    with zipfile.ZipFile(folder / "notes.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    whole, old = (folder / "whole.pt").read_bytes(), (folder / "old.pt").read_bytes()
    return {
        "empty": (b"", "is empty"),
        "text": (b"epoch,loss\n1,0.5\n", "not a checkpoint"),
        "table": (b"columns: epoch, loss\n1, 0.5\n", "not a checkpoint"),  # "c" is the pickle opcode for a global
        "random": (np.random.default_rng(0).bytes(5000), "not a checkpoint"),
        "cut": (whole[: len(whole) // 2], "is cut short"),
        "cut by a byte": (whole[:-1], "is cut short"),
        "old format cut": (old[: len(old) // 2], "cut short"),
        "zip": ((folder / "notes.zip").read_bytes(), "is an archive that is damaged, or not one of tensors"),
        "safetensors cut": ((folder / "whole.safetensors").read_bytes()[:-8], "not a whole safetensors file"),
        "no tensors": ((folder / "numbers.pt").read_bytes(), "holds no state dict; its keys are: 'epoch', 'lr'"),
        "a list": ((folder / "list.pt").read_bytes(), "holds no state dict but a list"),
        "no entries": ((folder / "none.pt").read_bytes(), "holds no state dict; its keys are: 'state_dict'"),
    }


BAD = (
    "empty", "text", "table", "random", "cut", "cut by a byte", "old format cut", "zip", "safetensors cut",
    "no tensors", "a list", "no entries",
)  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_checkpoint_is_said_in_one_message_that_names_the_file(tmp_path: Path, case: str) -> None:
    content, words = bad_files(tmp_path)[case]
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_missing_files_and_folders_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"It holds last\.pt"):
        load_checkpoint(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": "landscape-checkpoint", "version": 2, "state": {"model": {}}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="has version 2"):
        load_checkpoint(tmp_path / "a.pt")


class Payload:
    """Unpickled, it calls ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


PAYLOADS: dict[str, Callable[[Path], Payload]] = {
    "system": lambda marker: Payload(os.system, f"\"{sys.executable}\" -c \"open(r'{marker}', 'w')\""),
    "exec": lambda marker: Payload(exec, f"open({str(marker)!r}, 'w').close()"),
    "mkdir": lambda marker: Payload(os.mkdir, str(marker)),
}


def write_archive(path: Path, payload: Payload) -> None:
    torch.save({"state_dict": network().state_dict(), "extra": payload}, path)


def write_new_protocol(path: Path, payload: Payload) -> None:
    torch.save({"state_dict": network().state_dict(), "extra": payload}, path, pickle_protocol=4)


def write_old_format(path: Path, payload: Payload) -> None:
    torch.save({"extra": payload}, path, _use_new_zipfile_serialization=False)


def write_plain_pickle(path: Path, payload: Payload) -> None:
    path.write_bytes(pickle.dumps(payload))


def write_oldest_pickle(path: Path, payload: Payload) -> None:
    path.write_bytes(pickle.dumps(payload, protocol=0))


@pytest.mark.parametrize(
    "write", [write_archive, write_new_protocol, write_old_format, write_plain_pickle, write_oldest_pickle]
)
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, name: str, write: Callable[[Path, Payload], None]
) -> None:
    path, marker = tmp_path / "evil.pt", tmp_path / "marker"
    payload = PAYLOADS[name](marker)
    write(path, payload)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert not marker.exists()
    message = str(caught.value)
    assert payload.call[0].__name__ in message
    assert "refused" in message
    assert "Nothing in it was run" in message
    assert "torch.save(model.state_dict()" in message
    pickle.loads(pickle.dumps(payload))
    assert marker.exists(), "the payload is a real one: unpickled, it leaves its mark"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_whole_pickled_model_is_refused_with_advice(tmp_path: Path, zipped: bool, protocol: int) -> None:
    path = tmp_path / "model.pt"
    torch.save(network(), path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.container\.Sequential.*model\.state_dict\(\)"):
        load_checkpoint(path)


def saved(path: Path, weights: Any) -> Any:
    torch.save(weights, path)
    return load_checkpoint(path)


def test_weights_that_fit_are_all_loaded(tmp_path: Path) -> None:
    source, target = network(), network(4)
    for tensor in target.state_dict().values():
        tensor.zero_()
    load_into(target, saved(tmp_path / "a.pt", source.state_dict()))
    assert equal(target.state_dict(), source.state_dict())


def test_wrapped_models_take_plain_weights_and_plain_models_wrapped_ones(tmp_path: Path) -> None:
    source = network()
    wrapped = nn.ModuleDict({"module": network()})
    for tensor in wrapped.state_dict().values():
        tensor.zero_()
    load_into(wrapped, saved(tmp_path / "a.pt", source.state_dict()))
    assert equal(wrapped["module"].state_dict(), source.state_dict())
    save_checkpoint(tmp_path / "b.pt", state={"model": wrapped.state_dict()})
    plain = network()
    load_into(plain, load_checkpoint(tmp_path / "b.pt"))
    assert equal(plain.state_dict(), source.state_dict())


def test_checkpoints_from_before_num_batches_tracked_still_fit(tmp_path: Path) -> None:
    source, target = network(), network()
    old = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    for parameter in target.parameters():
        nn.init.zeros_(parameter)
    load_into(target, saved(tmp_path / "a.pt", old))
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in old.items())


def test_a_misfit_names_what_is_missing_unexpected_and_of_another_shape_and_changes_nothing(tmp_path: Path) -> None:
    weights = dict(network(6).state_dict())
    del weights["3.bias"]
    weights["4.weight"] = torch.ones(1)
    target = network(4)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    checkpoint = saved(tmp_path / "a.pt", weights)
    for refuse in (check_fits, load_into):
        with pytest.raises(CheckpointError) as caught:
            refuse(target, checkpoint)
        message = str(caught.value)
        assert "1 missing from the file: 3.bias" in message
        assert "1 not in the model: 4.weight" in message
        assert "0.weight ((6, 3, 3, 3) in the file, (4, 3, 3, 3) in the model)" in message
        assert re.search(r"7 of another shape: .* and 2 more", message)
    assert equal(target.state_dict(), before)


def test_a_module_that_objects_while_loading_is_put_back(tmp_path: Path) -> None:
    class Objecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
            self.second.register_load_state_dict_pre_hook(self.object)  # type: ignore[no-untyped-call]

        def object(self, module: nn.Module, state: dict[str, Tensor], *_: Any) -> None:
            if float(state["second.bias"].sum()) == 0:
                raise RuntimeError("biases of zero are not for me")

    target = Objecting()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    checkpoint = saved(tmp_path / "a.pt", {name: torch.zeros_like(t) for name, t in before.items()})
    with pytest.raises(CheckpointError, match="biases of zero"):
        load_into(target, checkpoint)
    assert equal(target.state_dict(), before)


def test_a_modules_extra_state_is_kept(tmp_path: Path) -> None:
    class Counting(nn.Linear):
        count = 0

        def get_extra_state(self) -> dict[str, int]:
            return {"count": self.count}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.count = state["count"]

    source, target = Counting(2, 2), Counting(2, 2)
    source.count = 5
    save_checkpoint(tmp_path / "a.pt", state={"model": source.state_dict()})
    load_into(target, load_checkpoint(tmp_path / "a.pt"))
    assert target.count == 5
