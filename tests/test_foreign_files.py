"""Weights in several files, and files that hold them in another way."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import equal, network, stored, weights
from safetensors.torch import save_file
from torch import nn

from landscape.errors import CheckpointError
from landscape.results import check_fits, load_checkpoint


def shards(folder: Path, kind: str = "safetensors", **places: str) -> Path:
    names = list(weights())
    stem = "model" if kind == "safetensors" else "pytorch_model"
    files = {f"{stem}-00001-of-00002.{kind}": names[:4], f"{stem}-00002-of-00002.{kind}": names[4:]}
    for file, part in files.items():
        tensors = {name: weights()[name] for name in part}
        save_file(tensors, folder / file) if kind == "safetensors" else torch.save(tensors, folder / file)
    where = {name: file for file, part in files.items() for name in part} | places
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_read_by_their_index_or_their_folder(tmp_path: Path, kind: str) -> None:
    index = shards(tmp_path, kind)
    for path in (index, tmp_path):
        read = load_checkpoint(path)
        assert equal(read.state_dict, weights())
        assert list(read.state_dict) == list(weights())


def test_a_folder_of_hugging_face_gives_safetensors_before_pickles_also_through_links(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots"
    blobs.mkdir()
    snapshot.mkdir()
    torch.save(weights(5), blobs / "b")
    (snapshot / "pytorch_model.bin").symlink_to(blobs / "b")
    assert equal(load_checkpoint(snapshot).state_dict, weights(5))
    save_file(weights(), blobs / "a")
    (snapshot / "model.safetensors").symlink_to(blobs / "a")
    (snapshot / "config.json").write_text("{}")
    assert equal(load_checkpoint(snapshot).state_dict, weights())


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "a\\b.safetensors", "..", ""]
)
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(weights(), tmp_path / "secret.safetensors")
    with pytest.raises(CheckpointError, match=r"its own folder|are missing"):
        load_checkpoint(shards(folder, **{"conv.bias": place}))


def test_missing_shards_and_shards_of_another_index_are_named(tmp_path: Path) -> None:
    index = shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"missing: model-00002-of-00002\.safetensors"):
        load_checkpoint(index)
    shards(tmp_path)
    save_file(weights(), tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(
        CheckpointError, match=r"holds '.*', which the index says is in model-00001-of-00002\.safetensors"
    ):
        load_checkpoint(index)
    shards(tmp_path)
    save_file({"conv.bias": weights()["conv.bias"]}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks 'body\.0\.bias'"):
        load_checkpoint(index)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 100000]
)
def test_what_is_no_index_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(CheckpointError, match=r"not an index|is empty"):
        load_checkpoint(index)


def script(path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(path))


def exported(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:  # the records of torch.export.save that matter here
        made.writestr("m/archive_format", "pt2")
        made.writestr("m/data/weights/model_weights_config.json", "{}")


def touch(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"x")

    return make


def start(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content + bytes(64))


OTHERS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "TorchScript": ("m.pt", script, r"TorchScript.*torch\.jit\.load\(PATH\)\.state_dict"),
    "torch.export": ("m.pt2", exported, r"exported program.*torch\.export\.load\(PATH\)\.state_dict"),
    "numpy arrays": ("m.npz", lambda path: np.savez(path, a=np.ones(2)), "numpy arrays.*torch.from_numpy"),
    "numpy array": ("m.npy", lambda path: np.save(path, np.ones(2)), "one numpy array"),
    "Keras": ("m.h5", start(b"\x89HDF\r\n\x1a\n"), "HDF5.*torch.save"),
    "ONNX": ("m.onnx", start(b"\x08\x07\x12\x07pytorch"), "ONNX"),
    "ONNX by content": ("m.bin", start(b"\x08\x07\x12\x07pytorch"), "ONNX"),
    "GGUF": ("m.gguf", start(b"GGUF\x03"), "GGUF"),
    "pointer": ("m.safetensors.pt", start(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "web page": ("m.pth", start(b"<!DOCTYPE html><html>"), "web page"),
    "compressed": ("m.pt.gz", start(b"\x1f\x8b\x08"), "compressed"),
    "settings": ("config.json", start(b'{"a": 1}'), "JSON"),
    "log": ("events.out.tfevents.1.host", start(b"\x18\x00"), "TensorBoard"),
    "distributed": ("d", touch(".metadata", "__0_0.distcp"), "dcp_to_torch"),
    "DeepSpeed": ("d", touch("zero_to_fp32.py", "latest"), r"zero_to_fp32\.py"),
    "adapter": ("d", touch("adapter_model.safetensors", "adapter_config.json"), "adapter.*merge_and_unload"),
    "TensorFlow": ("d", touch("saved_model.pb"), "TensorFlow"),
    "a cache": ("models--a--b", touch("blobs", "snapshots"), "folders in its snapshots"),
    "a pipe": ("p", os.mkfifo, "is no file"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", OTHERS)
def test_what_holds_weights_in_another_way_is_told_what_to_do(tmp_path: Path, case: str) -> None:
    name, make, words = OTHERS[case]
    make(tmp_path / name)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_parts_of_sharded_training_are_told_so(tmp_path: Path) -> None:
    for content in ({name: torch.ones(0) for name in weights()}, {"_flat_param": torch.ones(3)}):
        with pytest.raises(CheckpointError, match="save the full state dict"):
            check_fits(network(), load_checkpoint(stored(tmp_path, content)))
