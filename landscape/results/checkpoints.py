"""Checkpoint files: our own, other people's state dicts, and safetensors. Nothing that a file says is ever run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.errors import CheckpointError, InputError
from landscape.results.atomic import atomic_write
from landscape.results.digest import check_archive, sealed_archive
from landscape.results.foreign import (
    PLAIN_KEYS,
    RESAVE,
    Weights,
    checked_tensors,
    choose_weights,
    holdings,
    looks_like_weights,
    plain_names,
    refused,
)
from landscape.results.looks import said_of_archive, said_of_file, said_of_folder
from landscape.results.pickles import AsksToRun, PickleError
from landscape.results.shards import INDEX, read_shards, weights_of_folder
from landscape.results.torch_files import read_torch_file

FORMAT = "landscape-checkpoint"
VERSION = 1
_OWN_KEYS = (None, "model", "state.model")


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
        key: under which keys of a foreign file the weights were, with dots between; empty where it holds nothing else.
        note: what the user should know about which weights were taken, and how their names are read; None where that is plain.
    """

    path: Path
    state_dict: Mapping[str, Tensor] = field(repr=False)  # too long to print
    model: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    loss: str | None = None
    state: Mapping[str, Any] | None = field(default=None, repr=False)
    epoch: int | None = None
    foreign: bool = True
    key: str = ""
    note: str | None = None

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
            # Of one entry, a tensor counts as contiguous with any stride, and then has no bytes to look at.
            flat = tensor.contiguous().as_strided((tensor.numel(),), (1,))
            digest.update(flat.view(torch.uint8).numpy().tobytes())
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
    """Write a checkpoint at once. The file can also be read by ``torch.load(weights_only=True)``.

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

    Example:
        >>> ls.save_checkpoint("net.pt", state={"model": net.state_dict(), "epoch": 3}, loss="cross_entropy")
        >>> ls.load_checkpoint("net.pt").epoch
        3
    """
    if not looks_like_weights(state.get("model")):
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


def load_checkpoint(path: str | os.PathLike[str], key: str | None = None) -> Checkpoint:
    """Read a checkpoint: landscape's own, a foreign state dict, safetensors, or a folder of Hugging Face.

    Foreign files may be a bare state dict or wrap it under one of ``foreign.PLAIN_KEYS``, beside whatever else:
    objects of other classes are not made, and nothing is run for them. What wrappers put into names is taken off
    (``_orig_mod.``, ``_fsdp_wrapped_module.``, ``_checkpoint_wrapped_module.`` anywhere, ``module.`` where all names have it).
    Other prefixes are found when the weights meet their module (:func:`~landscape.results.load_into`).

    Args:
        path: a ``.pt``, ``.pth``, ``.bin`` or ``.safetensors`` file, the ``*.index.json`` of several, or their folder.
        key: which weights, in a file that holds several, such as ``"state_dict_ema"`` or ``"ema.shadow"``; also a prefix of their
            names, such as ``"teacher"``. By default the plain weights are taken, and ``note`` says what else there is.

    Raises:
        CheckpointError: where the file is missing, empty, cut short, not a checkpoint, holds no tensors or several weights that
            could be meant, or nothing under ``key``; where its weights could only be had by running code.

    Example:
        >>> torch.save({"state_dict": net.state_dict(), "epoch": 7}, "theirs.pt")
        >>> checkpoint = ls.load_checkpoint("theirs.pt")
        >>> sorted(checkpoint.state_dict), checkpoint.foreign
        (['0.bias', '0.weight', '2.bias', '2.weight'], True)
    """
    file = Path(path)
    content = _read(file)
    if _is_own(content):
        if key not in _OWN_KEYS:
            raise CheckpointError(
                f"{file}: is a landscape checkpoint, with one set of weights, not {key!r}. Leave the key out."
            )
        return _own(file, content)
    return _foreign(file, content, key)


def inspect_checkpoint(path: str | os.PathLike[str]) -> tuple[Checkpoint | None, list[Weights]]:
    """A checkpoint, and all the weights in a foreign file; instead of the first None where it is not clear which are meant.

    Raises:
        CheckpointError: as :func:`load_checkpoint`, but for a file with several weights.
    """
    file = Path(path)
    content = _read(file)
    if _is_own(content):
        return _own(file, content), []
    held = list(holdings(content))
    try:
        return _foreign(file, content, None), held
    except CheckpointError:
        if len(held) < 2:
            raise
        return None, held


def _foreign(file: Path, content: Any, key: str | None) -> Checkpoint:
    choice = choose_weights(file, content, key)
    weights = plain_names(checked_tensors(file, choice.weights.state_dict))
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    epoch = epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None
    return Checkpoint(file, weights, epoch=epoch, key=choice.weights.key, note=choice.note)


def _read(file: Path) -> Any:
    """A file's content; of several files, their tensors."""
    if file.is_dir():
        inside = weights_of_folder(file)
        if inside is None:
            raise _no_weights_in(file)
        file = inside
    _check_readable(file)
    if file.name.endswith(INDEX):
        return read_shards(file, _read_one)
    return _read_one(file)


def _read_one(file: Path) -> Any:
    _check_readable(file)
    return _read_safetensors(file) if _is_safetensors(file) else _read_torch(file)


def _is_own(content: object) -> bool:
    return isinstance(content, Mapping) and content.get("format") == FORMAT


def _own(file: Path, content: Mapping[str, Any]) -> Checkpoint:
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{file}: has version {content.get('version')!r} of the checkpoint format, and this landscape reads {VERSION}. "
            "Use the landscape that wrote it, or a newer one."
        )
    state = content.get("state")
    if not isinstance(state, Mapping) or not looks_like_weights(state.get("model")):
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


def _check_readable(file: Path) -> None:
    if not file.exists():
        raise CheckpointError(f"{file}: no such checkpoint. Give a .pt, .pth or .safetensors file.")
    if not file.is_file():
        raise CheckpointError(f"{file}: is no file. Give a .pt, .pth or .safetensors file.")
    try:
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}. Check its permissions.") from error
    if empty:
        raise CheckpointError(f"{file}: is empty. Use another checkpoint of the same run.")


def _no_weights_in(folder: Path) -> CheckpointError:
    said = said_of_folder(folder)
    if said is not None:
        return CheckpointError(f"{folder}: {said}")
    inside = sorted(p.name for p in folder.iterdir() if p.suffix in (".pt", ".pth", ".bin", ".safetensors"))
    hint = f"It holds {', '.join(inside[:5])}." if inside else "It holds no .pt, .pth or .safetensors file."
    return CheckpointError(f"{folder}: is a folder, not a checkpoint. {hint}")


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


def _has_its_end(archive: Path) -> bool:
    try:
        return zipfile.is_zipfile(archive)
    except (OSError, zipfile.BadZipFile):  # there is one, and it makes no sense
        return True


def _read_torch(file: Path) -> Any:
    """The file's content, built of tensors and plain Python only, with stand-ins for whatever else a foreign one holds."""
    with file.open("rb") as stream:
        is_archive = stream.read(4) == b"PK\x03\x04"
    if is_archive and not _has_its_end(file):
        raise CheckpointError(
            f"{file}: is cut short ({file.stat().st_size} bytes, and the end of the archive is missing). "
            "Copy it again, or use another checkpoint of the same run."
        )
    if is_archive and (said := said_of_archive(file)) is not None:
        raise CheckpointError(f"{file}: {said}")
    if is_archive:
        check_archive(file)
    try:
        content, unmade = read_torch_file(file)
    except AsksToRun as asked:
        raise refused(file, asked.name) from asked
    except PickleError as damage:
        said = said_of_file(file)
        if said is None and is_archive:
            said = f"is an archive that is damaged, or not one of tensors that can be read safely. {RESAVE}"
        expected = f"Expected tensors by name, or a mapping with them under one of {', '.join(PLAIN_KEYS)}."
        raise CheckpointError(f"{file}: {said or f'is not a checkpoint, or is cut short. {expected}'}") from damage
    if unmade and _is_own(content):
        raise CheckpointError(
            f"{file}: is a landscape checkpoint that asks for {unmade[0]}, and landscape writes no such thing. Nothing was run. "
            "Use another checkpoint of the same run."
        )
    return content
