"""The checkpoints that people have: wrappers, averages, frameworks' layouts, shards; and files that are none, or mean harm."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import json
import os
import pickle
import re
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
from safetensors.torch import save_file
from torch import Tensor, nn

from landscape.errors import CheckpointError
from landscape.store import check_fits, describe, fitted, load_checkpoint, load_into, save_checkpoint

Names = dict[str, Tensor]


class Net(nn.Module):
    """Small, with a BatchNorm, and with a part inside a part."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.body = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False))
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.conv(x)).mean((2, 3)))


def network(seed: int = 0, classes: int = 2) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(classes)


def equal(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def weights(seed: int = 0) -> Names:
    return dict(network(seed).state_dict())


def prefixed(prefix: str, tensors: Names | None = None) -> Names:
    return {f"{prefix}{name}": tensor for name, tensor in (tensors or weights()).items()}


def stored(folder: Path, content: Any, **options: Any) -> Path:
    torch.save(content, folder / "c.pt", **options)
    return folder / "c.pt"


def loaded(content: Any, folder: Path, module: nn.Module | None = None, key: str | None = None) -> nn.Module:
    module = module or network(seed=9)
    load_into(module, load_checkpoint(stored(folder, content), key))
    return module


# Names that wrappers made


def averaged() -> Names:
    return dict(torch.optim.swa_utils.AveragedModel(network()).state_dict())


def parallel_inside() -> Names:
    module = network()
    module.body = nn.DataParallel(module.body)  # type: ignore[assignment]
    return dict(module.state_dict())


class Lightning(nn.Module):
    def __init__(self, attribute: str) -> None:
        super().__init__()
        self.add_module(attribute, network())


def renamed(pattern: str, to: str) -> Names:
    return {re.sub(pattern, to, name): tensor for name, tensor in weights().items()}


WRAPPED: dict[str, Callable[[], Any]] = {
    "AveragedModel": averaged,
    "AveragedModel of a compiled one": lambda: torch.optim.swa_utils.AveragedModel(
        torch.compile(network())
    ).state_dict(),
    "compiled AveragedModel": lambda: {f"_orig_mod.{name}": entry for name, entry in averaged().items()},
    "torch.compile": lambda: prefixed("_orig_mod."),
    "torch.compile of a part": lambda: renamed(r"^(body)\.", r"\1._orig_mod."),
    "DataParallel of a part": parallel_inside,
    "DataParallel of DataParallel": lambda: nn.DataParallel(nn.DataParallel(network())).state_dict(),
    "Lightning, model": lambda: {"state_dict": Lightning("model").state_dict(), "pytorch-lightning_version": "2.4"},
    "Lightning, net": lambda: {"state_dict": Lightning("net").state_dict()},
    "Lightning, a name of its own": lambda: {"state_dict": Lightning("classifier").state_dict()},
    "Lightning of a compiled one": lambda: prefixed("model._orig_mod."),
    "two attributes": lambda: prefixed("learner.backbone."),
    "FSDP": lambda: prefixed("_fsdp_wrapped_module."),
    "FSDP of parts": lambda: renamed(r"^(body)\.", r"\1._fsdp_wrapped_module."),
    "activation checkpoints": lambda: renamed(r"^(body|head)\.", r"\1._checkpoint_wrapped_module."),
    "FSDP of activation checkpoints": lambda: {
        f"_fsdp_wrapped_module.{name}": tensor
        for name, tensor in renamed(
            r"^(body)\.", r"\1._fsdp_wrapped_module._checkpoint_wrapped_module._orig_mod."
        ).items()
    },
    "all of them": lambda: prefixed("module.model._orig_mod.net.module._fsdp_wrapped_module."),
    "an average's counts": lambda: {**prefixed("ema_model."), "initted": torch.tensor(True), "step": torch.tensor(3)},
    "an average's rate": lambda: {**prefixed("shadow."), "decay": torch.tensor(0.9), "num_updates": torch.tensor(7)},
}


@pytest.mark.parametrize("layout", WRAPPED)
def test_names_that_wrappers_made_are_read_as_the_modules_own(tmp_path: Path, layout: str) -> None:
    path = stored(tmp_path, WRAPPED[layout]())
    read = fitted(network(), load_checkpoint(path))
    assert equal(read.state_dict, weights())
    assert read.weights_hash() == load_checkpoint(stored(tmp_path, weights())).weights_hash()


@pytest.mark.slow
def test_torch_compile_makes_the_names_that_are_tried_here() -> None:
    part = network()
    part.body = torch.compile(part.body)  # type: ignore[assignment]
    assert torch.compile(network()).state_dict().keys() == WRAPPED["torch.compile"]().keys()
    assert part.state_dict().keys() == WRAPPED["torch.compile of a part"]().keys()


@pytest.mark.parametrize("attribute", ["model", "module", "backbone"])
def test_a_wrapped_module_takes_plain_weights_and_those_under_another_attribute(tmp_path: Path, attribute: str) -> None:
    target = nn.ModuleDict({attribute: network(seed=9)})
    for given in (weights(), prefixed("net."), prefixed("module.")):
        for tensor in target.state_dict().values():
            tensor.zero_()
        loaded(given, tmp_path, target)
        assert equal(target[attribute].state_dict(), weights())


def test_what_is_taken_off_is_noted_and_what_every_wrapper_adds_is_not(tmp_path: Path) -> None:
    module = network()
    assert fitted(module, load_checkpoint(stored(tmp_path, prefixed("encoder.")))).note == (
        "Their names are read without 'encoder.'."
    )
    for layout in ("AveragedModel", "torch.compile of a part", "FSDP"):
        assert fitted(module, load_checkpoint(stored(tmp_path, WRAPPED[layout]()))).note is None


def test_a_number_called_as_an_average_counts_is_a_weight_where_the_module_has_one(tmp_path: Path) -> None:
    class Decaying(nn.Module):
        def __init__(self, decay: float) -> None:
            super().__init__()
            self.net = nn.Linear(2, 2)
            self.decay = nn.Parameter(torch.tensor(decay))

    target = Decaying(0.1)
    loaded(Decaying(0.75).state_dict(), tmp_path, target)
    assert float(target.state_dict()["decay"]) == 0.75
    with pytest.raises(CheckpointError, match="1 not in the model: decay"):
        loaded({**weights(), "decay": torch.tensor(0.9)}, tmp_path)


@pytest.mark.parametrize("pair", [("student", "teacher"), ("model", "ema_model"), ("a.generator", "b.generator")])
def test_two_networks_in_one_state_dict_are_refused_by_name_and_chosen_by_key(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    content = {**prefixed(f"{pair[0]}."), **prefixed(f"{pair[1]}.", weights(seed=5))}
    with pytest.raises(CheckpointError) as caught:
        loaded(content, tmp_path)
    message = str(caught.value)
    assert all(repr(f"{name}.") in message for name in pair)
    assert f"--checkpoint-key {pair[0]}" in message
    for seed, name in zip((0, 5), pair, strict=True):
        assert equal(loaded(content, tmp_path, key=name).state_dict(), weights(seed))
        assert equal(loaded({"state_dict": content}, tmp_path, key=f"state_dict.{name}").state_dict(), weights(seed))
        assert equal(loaded({"state_dict": content}, tmp_path, key=name).state_dict(), weights(seed))


def test_other_tensors_beside_the_prefixed_ones_are_named_and_left_out_only_when_asked(tmp_path: Path) -> None:
    content = {**prefixed("model."), "criterion.weight": torch.ones(2)}
    with pytest.raises(
        CheckpointError, match=r"under 'model\.', beside 1 others: criterion\.weight.*--checkpoint-key model"
    ):
        loaded(content, tmp_path)
    assert equal(loaded(content, tmp_path, key="model").state_dict(), weights())


def test_a_misfit_is_told_in_the_names_that_fit_best(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        loaded(prefixed("model.", dict(network(classes=7).state_dict())), tmp_path)
    message = str(caught.value)
    assert "2 of another shape: head.weight ((7, 4) in the file, (2, 4) in the model)" in message
    assert "Its names fit best without 'model.'" in message
    assert "missing" not in message


# Which of a file's weights


def test_the_plain_weights_are_taken_and_the_note_says_what_else_there_is(tmp_path: Path) -> None:
    content = {"state_dict": weights(), "state_dict_ema": weights(5), "optimizer": {"state": {0: {"m": torch.ones(1)}}}}
    read = load_checkpoint(stored(tmp_path, content))
    assert equal(read.state_dict, weights())
    assert read.key == "state_dict"
    assert read.note is not None
    assert "'state_dict'" in read.note
    assert "'state_dict_ema' (10 tensors, an average); --checkpoint-key state_dict_ema" in read.note
    assert "optimizer" not in read.note
    other = load_checkpoint(stored(tmp_path, content), key="state_dict_ema")
    assert equal(other.state_dict, weights(5))
    assert (other.key, other.note) == ("state_dict_ema", None)


KEYED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "ema": (lambda s: {"model": weights(), "ema": s}, "ema"),
    "model_ema": (lambda s: {"model": weights(), "model_ema": s}, "model_ema"),
    "params_ema": (lambda s: {"params": weights(), "params_ema": s}, "params_ema"),
    "ema_state_dict": (lambda s: {"state": weights(), "ema_state_dict": s}, "ema_state_dict"),
    "one inside": (lambda s: {"weights": weights(), "ema": {"decay": 0.9, "shadow": s}}, "ema.shadow"),
    "the one inside": (lambda s: {"weights": weights(), "ema": {"decay": 0.9, "state_dict": s}}, "ema"),
    "callback": (lambda s: {"state_dict": weights(), "callbacks": {"EMA": {"state": s}}}, "callbacks.EMA.state"),
    "dots in a key": (
        lambda s: {"state_dict": weights(), "callbacks": {"a.b{'c': 0.9}": s}},
        "callbacks.a.b{'c': 0.9}",
    ),
    "a list": (lambda s: {"models": [weights(), s]}, "models.1"),
    "wrapped": (lambda s: {"model": weights(), "ema": {f"module.{k}": v for k, v in s.items()}}, "ema"),
    "one letter": (lambda s: {"G": s, "D": weights()}, "G"),
}


@pytest.mark.parametrize("case", KEYED)
def test_a_key_chooses_the_weights(tmp_path: Path, case: str) -> None:
    layout, key = KEYED[case]
    assert equal(loaded(layout(weights(5)), tmp_path, key=key).state_dict(), weights(5))


def test_a_key_that_leads_nowhere_is_answered_with_what_the_file_holds(tmp_path: Path) -> None:
    path = stored(tmp_path, {"model": prefixed("net."), "ema": weights(5), "epoch": 3})
    for key in ("emma", "epoch", "model.conv", "ema.head.weight", ""):
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path, key=key)
        assert "'model' (10 tensors), 'ema' (10 tensors, an average)" in str(caught.value)


AMBIGUOUS: dict[str, Callable[[], Any]] = {
    "generator": lambda: {"generator": weights(), "discriminator": weights(5)},
    "student": lambda: {"student": weights(), "teacher": weights(5), "epoch": 1},
    "two plain ones": lambda: {"state_dict": weights(), "model": weights(5)},
    "parts": lambda: {"model": {"encoder": weights(), "decoder": weights(5)}},
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_several_weights_of_which_none_is_plainly_meant_are_refused_naming_them(tmp_path: Path, case: str) -> None:
    path = stored(tmp_path, AMBIGUOUS[case]())
    with pytest.raises(CheckpointError, match=r"holds several weights.*Choose with --checkpoint-key"):
        load_checkpoint(path)
    text = describe(path)
    assert text.count("--checkpoint-key") == 2
    assert text.count("parameters") == 2


def test_the_same_weights_twice_are_no_question_and_the_only_ones_are_noted(tmp_path: Path) -> None:
    assert load_checkpoint(stored(tmp_path, {"state_dict": weights(), "model": weights()})).key == "state_dict"
    read = load_checkpoint(stored(tmp_path, {"ema": weights(5), "epoch": 3}))
    assert equal(read.state_dict, weights(5))
    assert read.note == "The weights are those under 'ema' (10 tensors, an average); there are no others."


def test_our_own_checkpoints_have_one_set_of_weights(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "own.pt", state={"model": weights(), "ema": weights(5)})
    assert equal(load_checkpoint(tmp_path / "own.pt", key="model").state_dict, weights())
    with pytest.raises(CheckpointError, match="Leave the key out"):
        load_checkpoint(tmp_path / "own.pt", key="ema")


def test_info_says_keys_types_and_the_prefix(tmp_path: Path) -> None:
    half = {name: t.half() if t.is_floating_point() else t for name, t in prefixed("model.").items()}
    text = describe(stored(tmp_path, {"state_dict": half, "ema": weights(5)}))
    assert "in float16" in text
    assert "all names with 'model.'" in text
    assert "found under: state_dict" in text
    assert re.search(r"also there: .* --checkpoint-key ema", text)


# What stands beside the weights


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


# Files that mean harm


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


def test_an_archive_with_two_records_of_one_name_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, weights())
    with zipfile.ZipFile(path, "a") as again, pytest.warns(UserWarning, match="Duplicate name"):
        again.writestr("c/data/0", again.read("c/data/0"))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


# Tensors that are no ordinary ones, or whose copying would change them


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
    save_checkpoint(tmp_path / "own.pt", state={"model": dict(source.state_dict())})
    load_into(target, load_checkpoint(tmp_path / "own.pt"))
    assert equal(target.state_dict(), source.state_dict())


# Several files, and files that are none


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
