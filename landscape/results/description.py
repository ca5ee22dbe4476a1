"""What is in a file, in a few lines: a checkpoint, a result, or a file of the original tool."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.errors import ResultFileError
from landscape.printable import printable
from landscape.registry import found, of_file
from landscape.results.hdf5 import SIGNATURE, read_contents
from landscape.results.reading import Contents
from landscape.results.words import completeness, metrics, recipe

if TYPE_CHECKING:
    import xarray as xr

    from landscape.results.checkpoints import Checkpoint
    from landscape.results.foreign import Weights

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def describe(path: str | os.PathLike[str]) -> str:
    """A few lines on what a file holds, the first one naming it; made printable, so that no text of a file does anything.

    Raises:
        CheckpointError, ResultFileError: where it cannot be read, or is neither a checkpoint nor a result.
    """
    file = Path(path)
    if not file.exists():
        raise ResultFileError(f"{path}: no such file. Give a checkpoint or a result.")
    if not _is_hdf5(file):
        return _joined(path, _checkpoint_lines(file))
    contents = read_contents(path)
    groups = [name for name in ("xdirection", "ydirection") if name in contents.groups]
    is_surface = "xcoordinates" in contents.items and not contents.is_result
    if groups and not is_surface:
        counts = (sum(name.startswith(f"{group}/") for name in contents.items) for group in groups)
        held = " and ".join(f"{group} of {count} tensors" for group, count in zip(groups, counts, strict=True))
        return _joined(path, ["directions in the original tool's layout", held])
    return _joined(path, _surface_file_lines(path, contents) if is_surface else _result_lines(path, contents))


def _joined(path: str | os.PathLike[str], lines: Iterable[str]) -> str:
    first, *rest = lines
    return "\n".join([printable(f"{path}: {first}"), *(f"  {printable(line)}" for line in rest)])


def _is_hdf5(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(SIGNATURE)) == SIGNATURE
    except OSError:  # a folder, or unreadable: the checkpoint's reader says so
        return False


def _surface_file_lines(path: str | os.PathLike[str], contents: Contents) -> list[str]:
    from landscape.results.legacy_surfaces import as_surface

    return [
        "surface in the original tool's layout (landscape convert makes a result of it)",
        *summary(as_surface(path, contents)),
    ]


def _result_lines(path: str | os.PathLike[str], contents: Contents) -> list[str]:
    from landscape.results.results import as_result

    dataset = as_result(path, contents)
    record = of_file(dataset.attrs["kind"])
    title = record.title if record is not None and record.title else f"result of kind {dataset.attrs['kind']!r}"
    return [", ".join(filter(None, (title, completeness(dataset)))), *summary(dataset), *_provenance(dataset)]


def summary(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of a result first, as its kind says it; else what there is in it."""
    record = of_file(dataset.attrs["kind"])
    said: list[str] = found(record.words)(dataset) if record is not None and record.words else []
    sizes = ", ".join(f"{name} {size}" for name, size in dataset.sizes.items())
    return said or [f"quantities: {', '.join(map(str, dataset))}", f"sizes: {sizes}"]


def _provenance(dataset: xr.Dataset) -> list[str]:
    get = dataset.attrs.get
    subject = [f"model {get('model')}" if get("model") else "", f"norm {get('norm')}" if get("norm") else ""]
    if get("checkpoint"):
        subject.append(f"checkpoint {get('checkpoint')} ({get('checkpoint_hash', 'no hash')})")
    samples = f", {get('n_samples')} samples (index hash {get('index_hash', 'unknown')})" if get("n_samples") else ""
    ways = [
        f"BatchNorm {get('bn_policy')}" if get("bn_policy") else "",
        f"precision {get('precision')}" if get("precision") else "",
    ]
    makers = [f"{name} {get(f'{name}_version')}" for name in ("landscape", "torch") if get(f"{name}_version")]
    lines = [
        ", ".join(filter(None, subject)),
        f"data {get('data')}{samples}" if get("data") else "",
        ", ".join(filter(None, ways)),
    ]
    lines += [str(get("range_note", "")), f"made by {', '.join(makers)}" if makers else ""]
    return [line for line in lines if line]


def _checkpoint_lines(file: Path) -> list[str]:
    from landscape.results.checkpoints import inspect_checkpoint

    checkpoint, held = inspect_checkpoint(file)
    if checkpoint is None:
        return ["checkpoint of another program, with several weights", *map(_choice, held)]
    others = [one for one in held if one.key != checkpoint.key]
    return [
        "checkpoint of another program" if checkpoint.foreign else "checkpoint",
        f"model: {_spec(checkpoint.model, 'not said; name it with --model')}",
        f"data: {_spec(checkpoint.data, 'not said; name it with --data')}",
        f"weights: {_weights(checkpoint.state_dict)}; hash {checkpoint.weights_hash()}",
        *([f"found under: {checkpoint.key}"] if checkpoint.key else []),
        *(f"also there: {_choice(one)}" for one in others),
        *_progress(checkpoint),
    ]


def _choice(weights: Weights) -> str:
    return f"{_weights(weights.state_dict)}; --checkpoint-key {weights.key}"


def _weights(state_dict: Mapping[str, Any]) -> str:
    """How many tensors and numbers, of which types, and what all their names begin with."""
    from landscape.results.foreign import common_prefix

    tensors = {name: tensor for name, tensor in state_dict.items() if hasattr(tensor, "numel")}
    statistics = [n for n in tensors if n.endswith(_STATISTICS)]
    entries = sum(tensor.numel() for name, tensor in tensors.items() if name not in statistics)
    kinds = sorted(
        {str(t.dtype).removeprefix("torch.") for n, t in tensors.items() if n not in statistics} - {"float32"}
    )
    prefix = common_prefix(list(tensors))
    parts = [
        f"{len(tensors) - len(statistics)} tensors of {entries:,} parameters",
        f" in {' and '.join(kinds)}" if kinds else "",
        f", and {len(statistics)} of running statistics" if statistics else "",
        f", all names with {prefix!r}" if prefix else "",
    ]
    return "".join(parts)


def _progress(checkpoint: Checkpoint) -> list[str]:
    lines = []
    training = checkpoint.training or {}
    if checkpoint.epoch is not None:
        of = f" of {training['epochs']}" if "epochs" in training else ""
        loss = f", loss {checkpoint.loss}" if checkpoint.loss else ""
        lines.append(f"trained: {checkpoint.epoch}{of} epochs{loss}")
    lines += recipe(training)
    history = (checkpoint.state or {}).get("history")
    if history:
        lines.append(f"last metrics: {metrics(history[-1])}")
    return lines


def _spec(spec: Mapping[str, Any] | None, absent: str) -> str:
    if not spec:
        return absent
    options = ", ".join(f"{key} {value}" for key, value in spec.get("options", {}).items())
    return f"{spec.get('name')} ({options})" if options else str(spec.get("name"))
