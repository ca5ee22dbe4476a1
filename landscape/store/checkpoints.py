"""Checkpoint files: our own, other people's state dicts, and safetensors. Nothing that a file says is ever run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from landscape.errors import CheckpointError, InputError
from landscape.store.atomic import atomic_write
from landscape.store.digest import check_archive, sealed_archive

FORMAT = "landscape-checkpoint"
VERSION = 1
WRAPPED_IN = ("state_dict", "model_state_dict", "model", "network", "net")
_TENSOR_PARTS = re.compile(r"collections\.OrderedDict|torch\._utils\.\w+|torch\.\w+")  # what state dicts are made of
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")  # a text file read as a pickle asks for things that are no names
_RESAVE = (
    "If you trust where it comes from, load it there and save only its weights: "
    "torch.save(model.state_dict(), 'weights.pt'), or a .safetensors file."
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds, on the CPU.

    Attributes:
        path: the file it was read from.
        state_dict: the weights and buffers by name; for foreign files without the prefixes of wrappers.
        model: ``{"name", "options"}`` of the model it belongs to; None where the file does not say.
        data: ``{"name", "options"}`` of its training data; None likewise.
        training: the settings it was trained with; None likewise.
        loss: the name of its loss; None likewise.
        state: the whole training state that a run resumes from (with the key ``model``); None for foreign files.
        epoch: after how many epochs it was saved; None where the file does not say.
        foreign: whether something other than landscape wrote it.
    """

    path: Path
    state_dict: Mapping[str, Tensor]
    model: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    loss: str | None = None
    state: Mapping[str, Any] | None = None
    epoch: int | None = None
    foreign: bool = True

    def weights_hash(self) -> str:
        """Sixteen hexadecimal digits of the SHA-256 over every tensor's name, type, shape and bytes, names sorted.

        Equal weights have equal hashes, whichever file, prefix or memory format they were stored in.
        """
        digest = hashlib.sha256()
        for name, entry in sorted(self.state_dict.items()):
            if not isinstance(entry, Tensor):  # a module's extra state
                continue
            tensor = entry.detach()
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    state: Mapping[str, Any],
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    loss: str = "cross_entropy",
) -> None:
    """Write a checkpoint at once. The file is read back with ``torch.load(weights_only=True)``.

    Args:
        path: the file to replace.
        state: a mapping whose key ``model`` is the state dict; further keys (optimiser, epoch, history, …) are what a
            resumed run needs.
        model, data: ``{"name", "options"}``, with which the model is built and the data loaded again.
        training: the settings of the run.
        loss: the loss's name.

    Raises:
        InputError: if there is no ``state["model"]`` of tensors, or a value is of a type that only a full pickle
            could hold.
        ResultFileError: if the file cannot be written.
    """
    if not _is_state_dict(state.get("model")):
        raise InputError(
            f"state: expected a mapping whose key 'model' holds a state dict, got the keys {list(state)!r}."
        )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": None if model is None else dict(model),
        "data": None if data is None else dict(data),
        "training": None if training is None else dict(training),
        "loss": loss,
        "state": dict(state),
    }
    atomic_write(path, sealed_archive(_serialize(content)))


def _serialize(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
        buffer.seek(0)
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(f"checkpoint: expected tensors and plain Python values: {error}") from error
    if unsafe:
        raise InputError(
            f"checkpoint: expected tensors, numbers, text, lists and mappings, got values of {', '.join(sorted(unsafe))}. "
            "Convert them first; a file that needs them could not be loaded safely."
        )
    return buffer.getvalue()


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint: landscape's own, a foreign state dict, or safetensors.

    Foreign files may be a bare state dict or wrap it under one of :data:`WRAPPED_IN`. The prefixes ``module.`` (where all
    names have it) and ``_orig_mod.`` (anywhere) are taken off.

    Raises:
        CheckpointError: where the file is missing, a folder, empty, cut short, not a checkpoint, holds no tensors, or is a
            pickle that would run code, which is refused and not run.
    """
    file = Path(path)
    _check_readable(file)
    content = _read_safetensors(file) if _is_safetensors(file) else _read_torch(file)
    if isinstance(content, Mapping) and content.get("format") == FORMAT:
        return _own(file, content)
    weights = plain_names(_find_state_dict(file, content))
    epoch = content.get("epoch")
    return Checkpoint(file, weights, epoch=epoch if isinstance(epoch, int) else None)


def plain_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under their names without what ``torch.compile``, ``DataParallel`` and their like put before them."""
    names = [re.sub(r"(^|\.)_orig_mod\.", r"\1", name) for name in state_dict]
    while names and all(name.startswith("module.") for name in names):
        names = [name.removeprefix("module.") for name in names]
    return dict(zip(names, state_dict.values(), strict=True))


def _own(file: Path, content: Mapping[str, Any]) -> Checkpoint:
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{file}: has version {content.get('version')!r} of the checkpoint format, and this landscape reads {VERSION}. "
            "Use the landscape that wrote it, or a newer one."
        )
    state = content.get("state")
    if not isinstance(state, Mapping) or not _is_state_dict(state.get("model")):
        raise CheckpointError(f"{file}: is a landscape checkpoint without weights. Use another one of the same run.")
    epoch = state.get("epoch")
    return Checkpoint(
        path=file,
        state_dict=dict(state["model"]),
        model=content.get("model"),
        data=content.get("data"),
        training=content.get("training"),
        loss=content.get("loss"),
        state=state,
        epoch=epoch if isinstance(epoch, int) else None,
        foreign=False,
    )


def _find_state_dict(file: Path, content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{file}: holds no state dict but a {type(content).__name__}. {_expected()}")
    if _is_state_dict(content):
        return dict(content)
    for key in WRAPPED_IN:
        if isinstance(content.get(key), Mapping):
            return _find_state_dict(file, content[key])
    shown = ", ".join(repr(key) for key in list(content)[:8]) or "none"
    raise CheckpointError(f"{file}: holds no state dict; its keys are: {shown}. {_expected()}")


def _expected() -> str:
    return f"Expected tensors by name, or a mapping with them under one of {', '.join(WRAPPED_IN)}."


def _is_state_dict(value: object) -> bool:
    """Tensors by name, at least one; a module's extra state may be something else."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    kinds = {isinstance(entry, Tensor) for name, entry in value.items() if not name.endswith("_extra_state")}
    return kinds == {True}


def _check_readable(file: Path) -> None:
    if not file.exists():
        raise CheckpointError(f"{file}: no such checkpoint. Give a .pt, .pth or .safetensors file.")
    if file.is_dir():
        inside = sorted(p.name for p in file.iterdir() if p.suffix in (".pt", ".pth", ".safetensors"))
        hint = f"It holds {', '.join(inside[:5])}." if inside else "It holds no .pt, .pth or .safetensors file."
        raise CheckpointError(f"{file}: is a folder, not a checkpoint. {hint}")
    try:
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}. Check its permissions.") from error
    if empty:
        raise CheckpointError(f"{file}: is empty. Use another checkpoint of the same run.")


def _is_safetensors(file: Path) -> bool:
    """By suffix, or by content: the length of a header in eight bytes, then the header, which is JSON."""
    with file.open("rb") as stream:
        start = stream.read(9)
    header = int.from_bytes(start[:8], "little")
    return file.suffix == ".safetensors" or (start[8:] == b"{" and header < file.stat().st_size)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file, device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: is not a whole safetensors file ({error}). Copy it again.") from error


def _read_torch(file: Path) -> Any:
    """The file's content, built of tensors and plain Python only."""
    with file.open("rb") as stream:
        is_archive = stream.read(4) == b"PK\x03\x04"
    if is_archive and not zipfile.is_zipfile(file):
        raise CheckpointError(
            f"{file}: is cut short ({file.stat().st_size} bytes, and the end of the archive is missing). "
            "Copy it again, or use another checkpoint of the same run."
        )
    if is_archive:
        check_archive(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the loader warns of what it then refuses, and the refusal says it better
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader has no base class for its many ways to say no
        raise _refusal(file, error) from error


def _refusal(file: Path, error: Exception) -> CheckpointError:
    wanted = _unsafe_global(file, error)
    if wanted is not None:
        return CheckpointError(
            f"{file}: refused: it is a pickle that asks for {wanted}, and loading it could run code. Nothing in it was run. "
            f"Whole models saved with torch.save(model) look like this. {_RESAVE}"
        )
    if zipfile.is_zipfile(file):
        return CheckpointError(
            f"{file}: is an archive that is damaged, or not one of tensors that can be read safely. {_RESAVE}"
        )
    return CheckpointError(f"{file}: is not a checkpoint, or is cut short. {_expected()}")


def _unsafe_global(file: Path, error: Exception) -> str | None:
    """The function or class that a refused pickle asks for, if that is why it was refused."""
    named = re.search(r"GLOBAL (\S+)(?: was not an allowed| whose module)", str(error))
    if named:
        return named[1] if _NAME.fullmatch(named[1]) else None
    # Newer pickle protocols are refused before they name anything; reading the opcodes shows the name and runs nothing.
    try:
        with _pickle_stream(file) as stream:
            names = (name for name in _globals(stream) if _NAME.fullmatch(name))
            return next((name for name in names if not _TENSOR_PARTS.fullmatch(name)), None)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def _pickle_stream(file: Path) -> BinaryIO:
    if not zipfile.is_zipfile(file):
        return file.open("rb")
    with zipfile.ZipFile(file) as archive:
        name = next((name for name in archive.namelist() if name.endswith("data.pkl")), "data.pkl")
        return io.BytesIO(archive.read(name))


def _globals(stream: BinaryIO) -> Iterator[str]:
    """Every ``module.name`` that the pickles in a stream look up, as far as their opcodes can be read."""
    try:
        while True:
            yield from _globals_of_one(stream)
    except (ValueError, MemoryError):  # the bytes stop being a pickle here
        return


def _globals_of_one(stream: BinaryIO) -> Iterator[str]:
    texts: list[str] = ["", ""]
    memo: dict[int, str] = {}  # entries that are no texts are wrong here, but no name is made of them
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)
        elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
            memo[len(memo) if argument is None else argument] = texts[-1]
        elif "GET" in opcode.name and isinstance(argument, int):
            texts.append(memo.get(argument, ""))
