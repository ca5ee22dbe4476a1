"""Weights in several files with an index, and the folders that Hugging Face's libraries save."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from landscape.errors import CheckpointError

INDEX = ".index.json"
_NAMES = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
)
_LARGEST = 1 << 28  # bytes of an index; those of the largest networks have a hundredth of that

Read = Callable[[Path], Mapping[str, Tensor]]


def weights_of_folder(folder: Path) -> Path | None:
    """The file of weights or the index in a folder of Hugging Face; safetensors before pickles, which may ask for code."""
    files = (folder / name for base in _NAMES for name in (base, f"{base}{INDEX}"))
    return next((file for file in files if file.is_file()), None)


def read_shards(index: Path, read: Read) -> OrderedDict[str, Tensor]:
    """All tensors that an index names, each from the file that it names.

    Args:
        index: a ``*.index.json``, whose ``weight_map`` gives every tensor's file, in the same folder.
        read: gives one file's tensors.

    Raises:
        CheckpointError: where the index is none, names a file elsewhere or one that is missing, or a file holds other tensors than
            the index says.
    """
    places = _weight_map(index)
    by_file: dict[str, list[str]] = {}
    for name, file in places.items():
        by_file.setdefault(file, []).append(name)
    missing = sorted(file for file in by_file if not (index.parent / file).is_file())
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise CheckpointError(
            f"{index}: names files that are missing: {', '.join(missing[:5])}{more}. Download them too."
        )
    tensors: dict[str, Tensor] = {}
    for file, names in by_file.items():
        part = read(index.parent / file)
        absent, strange = set(names) - set(part), set(part) - set(names)
        if absent or strange:
            what = (
                f"lacks {min(absent)!r}, which the index says is there"
                if absent
                else f"holds {min(strange)!r}, which the index "
            )
            where = (
                "" if absent else f"says is in {places[min(strange)]}" if min(strange) in places else "does not name"
            )
            raise CheckpointError(
                f"{index.parent / file}: {what}{where}. Download the files and the index again, as one."
            )
        tensors.update(part)
    return OrderedDict((name, tensors[name]) for name in places)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        if index.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        content = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{index}: is not an index of weights ({error}). Download it again.") from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise CheckpointError(
            f"{index}: is not an index of weights: expected a mapping 'weight_map' from every tensor's name to its file's. "
            "Give the *.index.json that lies beside the files."
        )
    outside = next((file for file in places.values() if Path(file).name != file or "\\" in file or "\0" in file), None)
    if outside is not None:
        raise CheckpointError(
            f"{index}: names the file {outside!r}; expected names of files in its own folder. Nothing was read."
        )
    return places
