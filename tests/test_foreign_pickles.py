"""Whatever stands beside the weights is left alone: nothing is made of it, and nothing is run."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import pickle
import struct
import time
import types
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import equal, network, stored, weights
from torch import nn

from landscape.errors import CheckpointError
from landscape.results import load_checkpoint, load_into


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Settings:
    rate: float = 0.1


class Easy(dict[str, Any]):
    pass


BESIDE: dict[str, Any] = {
    "numpy number": np.float64(0.9),
    "numpy array": np.arange(6).reshape(2, 3),
    "array of objects": np.array([1, "a"], dtype=object),
    "namespace": argparse.Namespace(lr=0.1, out=Path("/x")),
    "time": datetime.datetime(2024, 1, 1),
    "enum": Colour.RED,
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "simple namespace": types.SimpleNamespace(a=1),
    "dataclass": Settings(),
    "mapping of a class of its own": Easy(a=1),
    "shape, type, device": (torch.Size([1]), torch.float32, torch.device("cpu")),
    "function": np.mean,
    "class": Settings,
    "random state": np.random.RandomState(0),
    "decimal": Decimal("1.5"),
    "module": nn.Linear(1, 1),
    "optimizer": torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1),
    "very long number": 10**3000,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_whatever_stands_beside_the_weights_is_left_alone(tmp_path: Path, zipped: bool, protocol: int) -> None:
    for value in BESIDE.values():
        content = {"hyper_parameters": value, "epoch": np.int64(3), "state_dict": network().state_dict()}
        path = stored(tmp_path, content, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        read = load_checkpoint(path)
        assert equal(read.state_dict, weights())
        assert list(read.state_dict) == list(weights())
        assert read.epoch == 3


def test_nothing_is_made_of_a_class_that_is_beside_the_weights(tmp_path: Path) -> None:
    path = stored(tmp_path, {"model": weights(), "x": Counted()})
    Counted.made = 0
    load_checkpoint(path)
    assert Counted.made == 0
    pickle.loads(pickle.dumps(Counted()))
    assert Counted.made > 0, "made by the reader of pickles, it counts"


class Counted:
    made = 0

    def __new__(cls) -> Counted:
        cls.made += 1
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        Counted.made += 1


def test_weights_that_would_have_to_be_run_are_refused_by_name(tmp_path: Path) -> None:
    for content in ({**weights(), "x": Settings()}, {"state_dict": {**weights(), "x": Settings()}, "ema": weights()}):
        with pytest.raises(CheckpointError, match=r"'x' is something else .*Settings.*, which would have to be run"):
            load_checkpoint(stored(tmp_path, content))
    with pytest.raises(CheckpointError, match=r"refused: .*asks for .*Net.*Nothing in it was run"):
        load_checkpoint(stored(tmp_path, {"model": network(), "epoch": 3}))


def test_numbers_of_every_type_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    kinds = [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
    ]
    kinds += [torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.uint16]
    base = torch.arange(24.0)
    content = {str(kind): base.to(kind).reshape(2, 3, 4)[:, 1:, ::2] for kind in kinds}
    content["transposed"] = base.reshape(4, 6).T
    content["scalar"], content["empty"] = torch.tensor(2.5), torch.ones(0, 3)
    for zipped in (True, False):
        kept = {k: v for k, v in content.items() if zipped or ("float8" not in k and "uint16" not in k)}
        read = load_checkpoint(stored(tmp_path, kept, _use_new_zipfile_serialization=zipped)).state_dict
        for name, tensor in kept.items():
            assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(
                read[name].double() if "complex" not in name else read[name],
                tensor.double() if "complex" not in name else tensor,
            )


def test_numbers_in_another_order_of_bytes_are_turned(tmp_path: Path) -> None:
    value = torch.tensor([1.5, -2.0, 1e-30])
    path = stored(tmp_path, {"a": value})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            content = b"big" if name.endswith("byteorder") else content
            new.writestr(name, value.numpy().astype(">f4").tobytes() if name.endswith("data/0") else content)
    assert torch.equal(load_checkpoint(tmp_path / "big.pt").state_dict["a"], value)


def test_arrays_by_name_are_weights(tmp_path: Path) -> None:
    arrays = {name: tensor.numpy() for name, tensor in weights().items()}
    arrays["conv.bias"] = arrays["conv.bias"].astype(">f4")
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}))
    target = network(9)
    load_into(target, load_checkpoint(tmp_path / "zoo.pkl"))
    assert equal(target.state_dict(), weights())


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def halves(count: int) -> bytes:
    """A tuple of two of a tuple of two of …, each written once, as the entry ``count`` of the memo."""
    return b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(count))


CALLS: dict[str, Callable[[str], bytes]] = {
    "system": lambda m: b"cos\nsystem\n(S'touch " + m.encode() + b"'\ntR.",
    "instance": lambda m: b"(S'touch " + m.encode() + b"'\nios\nsystem\n.",
    "object": lambda m: b"(cos\nsystem\nS'touch " + m.encode() + b"'\no.",
    "eval": lambda m: b"\x80\x02c__builtin__\neval\n" + text(f"open({m!r}, 'w')") + b"\x85R.",
    "stack": lambda m: b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + text(f"touch {m}") + b"\x85R.",
    "getattr": lambda m: (
        b"\x80\x02cbuiltins\ngetattr\ncbuiltins\n__import__\n" + text("os") + b"\x85R" + text("system") + b"\x86R"
        + text(f"touch {m}") + b"\x85R."
    ),
    "new object": lambda m: b"\x80\x02csubprocess\nPopen\n" + text(f"touch {m}") + b"\x85\x81.",
    "code": lambda m: b"\x80\x02ctypes\nFunctionType\n)R.",
    "torch": lambda m: b"\x80\x02ctorch\nload\n" + text(m) + b"\x85R.",
    "copyreg": lambda m: b"\x80\x02ccopyreg\n_reconstructor\ncos\nsystem\ncbuiltins\nobject\nN\x87R.",
    "path of attributes": lambda m: b"\x80\x04" + text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93)R.",
    "state of a function": lambda m: (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}" + text("__code__") + b"K\x01s}" + text("__defaults__") + b"K\x01s\x86b."
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_no_pickle_runs_anything(tmp_path: Path, case: str) -> None:
    before = torch._utils._rebuild_tensor_v2.__defaults__
    marker = tmp_path / "marker"
    content = CALLS[case](str(marker))
    for path in (archive(tmp_path, content), plain(tmp_path, content)):
        with pytest.raises(CheckpointError, match="refused") as caught:
            load_checkpoint(path)
        assert "Nothing in it was run" in str(caught.value)
    assert not marker.exists()
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


COPY = b"c_codecs\nencode\nh\x01" + text("latin1") + b"\x86R"
STORED = b"\x80\x02(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
BOMBS: dict[str, bytes] = {
    "value of halves": b"\x80\x02" + halves(60) + b"h\x3c.",
    "key of halves": b"\x80\x02}" + halves(60) + b"h\x3cK\x01s.",
    "set of halves": b"\x80\x04" + halves(60) + b"\x8f(h\x3c\x90.",
    "frozenset of halves": b"\x80\x04" + halves(60) + b"(h\x3c\x91.",
    "deep list": b"\x80\x02" + b"]" * 20000 + b"a" * 19999 + b".",
    "deep tuple": b"\x80\x02)" + b"\x85" * 20000 + b".",
    "mapping in itself": b"\x80\x02}q\x00" + text("a") + b"h\x00s.",
    "long number": b"L" + b"9" * 100000 + b"L\n.",
    "number without digits": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1.",
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "many copies as bytes": b"\x80\x02" + text("a" * 100000) + b"q\x010](" + COPY * 3000 + b"e.",
    "many copies of a list": (
        b"\x80\x02]q\x01(" + b"K\x01K\x01\x86" * 1000 + b"e0](" + b"ccollections\nOrderedDict\nh\x01\x85R" * 2000 + b"e."
    ),
    "bytes by number": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R.",
    "storage without end": STORED + b"\x8a\x08" + b"\xff" * 7 + b"\x7ftQ.",
    "nothing": b".",
    "unknown opcode": b"\x80\x02\xff",
    "empty stack": b"0.",
    "strange id": b"\x80\x02K\x01Q.",
    "extension": b"\x80\x02\x82\x01.",
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_a_small_file_takes_neither_long_nor_much_memory(tmp_path: Path, case: str) -> None:
    started = time.process_time()
    for path in (archive(tmp_path, BOMBS[case]), plain(tmp_path, BOMBS[case])):
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
    assert time.process_time() - started < 5


def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="repeat a few numbers"):
        load_checkpoint(stored(tmp_path, {"a": torch.ones(1).expand(10**6, 10**6)}))
    assert load_checkpoint(stored(tmp_path, {"a": torch.ones(1).expand(3, 4)})).state_dict["a"].shape == (3, 4)


def archive(folder: Path, content: bytes) -> Path:
    with zipfile.ZipFile(folder / "archive.pt", "w") as made:
        made.writestr("archive/data.pkl", content)
    return folder / "archive.pt"


def plain(folder: Path, content: bytes) -> Path:
    (folder / "plain.pt").write_bytes(content)
    return folder / "plain.pt"


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_archive_gives_its_weights_or_is_refused(tmp_path: Path, seed: int) -> None:
    whole = bytearray(stored(tmp_path, {"state_dict": weights(), "args": argparse.Namespace(a=1)}).read_bytes())
    draw = np.random.default_rng(seed)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in draw.integers(len(whole), size=draw.integers(1, 4)):
            damaged[place] ^= 1 << draw.integers(8)
        try:
            read = load_checkpoint(plain(tmp_path, bytes(damaged)))
        except CheckpointError:
            continue
        assert equal(read.state_dict, weights())


def test_an_archive_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = stored(tmp_path, {"state_dict": weights(), "args": argparse.Namespace(a=1)})
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(path) as written:
        assert not any(record.CRC for record in written.infolist() if "data/" in record.filename)
    assert equal(load_checkpoint(path).state_dict, weights())


def test_an_archive_with_two_records_of_one_name_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, weights())
    with zipfile.ZipFile(path, "a") as again, pytest.warns(UserWarning, match="Duplicate name"):
        again.writestr("c/data/0", again.read("c/data/0"))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
