"""What is in a file, in a few lines: a checkpoint, a result, or a file of the original tool."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.errors import ResultFileError
from landscape.printable import printable
from landscape.store.hdf5 import SIGNATURE, read_contents
from landscape.store.reading import Contents

if TYPE_CHECKING:
    import xarray as xr

    from landscape.store.checkpoints import Checkpoint
    from landscape.store.foreign import Weights

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
    from landscape.store.legacy_surfaces import as_surface

    return [
        "surface in the original tool's layout (landscape convert makes a result of it)",
        *_plane(as_surface(path, contents)),
    ]


def _result_lines(path: str | os.PathLike[str], contents: Contents) -> list[str]:
    from landscape.store.results import as_result

    dataset = _over_seeds(as_result(path, contents))
    kind = dataset.attrs["kind"]
    if kind in ("plane", "trajectory") and "loss" in dataset and "status" in dataset:
        along = _path(dataset) if kind == "trajectory" else []
        return [f"loss surface, {_completeness(dataset)}", *_plane(dataset), *along, *_provenance(dataset)]
    if kind == "history" and dataset.sizes.get("epoch"):
        return [
            f"training history, {dataset.attrs.get('status', 'of unknown status')}",
            *_history(dataset),
            *_provenance(dataset),
        ]
    if kind == "curvature" and "status" in dataset:
        return [f"curvature, {_completeness(dataset, 'quantities')}", *_curvature(dataset), *_provenance(dataset)]
    if kind == "curvature_map":
        return [f"curvature map, {_completeness(dataset)}", *_curvature_map(dataset), *_provenance(dataset)]
    if kind == "path":
        return [f"paths between two checkpoints, {_completeness(dataset)}", *_barriers(dataset), *_provenance(dataset)]
    if kind == "topology":
        return ["topology of a loss plane", *_basins(dataset), *_provenance(dataset)]
    sizes = ", ".join(f"{name} {size}" for name, size in dataset.sizes.items())
    return [
        f"result of kind {kind!r}",
        f"quantities: {', '.join(map(str, dataset))}",
        f"sizes: {sizes}",
        *_provenance(dataset),
    ]


def _over_seeds(dataset: xr.Dataset) -> xr.Dataset:
    """One seed's plane, which somebody chose from several, as those are."""
    if "seed" in dataset.dims or dataset.attrs["kind"] not in ("plane", "trajectory", "curvature_map"):
        return dataset
    seed = [int(dataset["seed"]) if "seed" in dataset.coords else 0]
    without = dataset.drop_vars("seed", errors="ignore")
    grid = set(dataset["loss"].dims) if "loss" in dataset else {"x", "y"}
    of_seed = [name for name, one in without.data_vars.items() if grid <= {*one.dims} or name == "direction_cosine"]
    return without.assign({name: without[name].expand_dims(seed=seed) for name in of_seed})


def _completeness(dataset: xr.Dataset, what: str = "points") -> str:
    missing = int((dataset["status"] == 0).sum())
    return f"incomplete ({missing} {what} missing)" if missing else "complete"


def _curvature(dataset: xr.Dataset) -> list[str]:
    """Of which matrix, how many eigenvalues, and between which ends."""
    made, values = dataset.attrs, dataset["eigenvalues"].values
    blocks = f"diagonal blocks of {dataset.sizes['block']} layers" if "block" in dataset.dims else "one block"
    known = values[np.isfinite(values)]
    spectrum = f", from {known.min():.5g} to {known.max():.5g}" if known.size else ""
    unit = _unit(dataset["eigenvalues"])
    lines = [
        f"matrix: {made.get('operator')}, {blocks}, {int(dataset['parameters'].sum()):,} parameters",
        f"eigenvalues: {known.size} of {values.size}, {int(dataset['converged'].sum())} converged{spectrum}{unit}",
    ]
    if "trace" in dataset and "block" not in dataset.dims:
        lines += [
            f"{words}: {_with_error(dataset[name], dataset[f'{name}_standard_error'])}{unit}"
            for name, words in (("trace", "trace"), ("frobenius_norm", "Frobenius norm"))
        ]
    dead = [f"warning: dead network: {made.get('dead_reason', '')}"] if made.get("dead") else []
    return [*lines, *([f"notes: {made['notes']}"] if made.get("notes") else []), *dead]


def _curvature_map(dataset: xr.Dataset) -> list[str]:
    """Over which grid, how the ratio of the extreme eigenvalues varies, and both of them at the checkpoint."""
    made, ratio, measured = dataset.attrs, dataset["curvature_ratio"], dataset["status"] == 1
    grid = ", ".join(_axis(name, dataset[name].values) for name in ("x", "y"))
    both = dataset["eigenvalue_largest_converged"].astype(bool) & dataset["eigenvalue_smallest_converged"].astype(bool)
    known = ratio.values[np.isfinite(ratio.values)]
    between = f", from {known.min():.3g} to {known.max():.3g}" if known.size else ""
    largest, smallest = (float(dataset[f"checkpoint_eigenvalue_{end}"]) for end in ("largest", "smallest"))
    lines = [
        f"grid: {grid}; direction seeds: {', '.join(map(str, dataset['seed'].values))}",
        f"λ_min/λ_max: {int(measured.sum())} of {measured.size} points measured, {int((both & measured).sum())} converged{between}",
        f"checkpoint: λ_max {largest:.5g}, λ_min {smallest:.5g}{_unit(dataset['eigenvalue_largest'])}",
    ]
    return [*lines, *([f"warning: dead network: {made.get('dead_reason', '')}"] if made.get("dead") else [])]


def _plane(dataset: xr.Dataset) -> list[str]:
    # 1: over all samples; 3: over enough of them to tell that the loss lies above the clip
    loss, measured = dataset["loss"], dataset["status"].isin([1, 3])
    names = [str(name) for name in reversed(loss.dims) if name != "seed"]
    grid = ", ".join(_axis(name, dataset[name].values) for name in names)
    finite = measured & np.isfinite(loss.values)
    broken = int(measured.sum()) - int(finite.sum())
    return [
        f"grid: {grid}; direction seeds: {', '.join(map(str, dataset['seed'].values))}",
        f"measured: {int(measured.sum())} of {measured.size} points",
        *_refined(dataset),
        *_deviation(dataset),
        *([_losses(dataset, finite, names)] if finite.any() else []),
        *_origin(dataset, names),
        *_directions(dataset),
        *([f"warning: the loss is NaN or infinite at {broken} measured points"] if broken else []),
        *([f"warning: dead network: {dataset.attrs.get('dead_reason', '')}"] if dataset.attrs.get("dead") else []),
    ]


def _refined(dataset: xr.Dataset) -> list[str]:
    """How well an adaptive plane knows what it did not measure."""
    if "picture_error" not in dataset.attrs:
        return []
    made = dataset.attrs
    passes = f"{made['image_passes']:.0f} passes over the samples; " if "image_passes" in made else ""
    known = f"95 % of the picture is known to {100 * made['picture_error']:.2g} % of its range"
    if not np.isfinite(made["picture_error"]):
        known = "stopped before its error was known"
    return [f"adaptive, for losses up to {made['loss_max']:g}: {passes}{known} (asked: {100 * made['tolerance']:g} %)"]


def _deviation(dataset: xr.Dataset) -> list[str]:
    """How far values in bf16, or by compiled code, are from fp32."""
    made = dataset.attrs
    if "precision_deviation_max" not in made:
        return [f"precision: {made['precision_deviation_note']}"] if "precision_deviation_note" in made else []
    largest, typical = 100 * made["precision_deviation_max"], 100 * made["precision_deviation_rms"]
    return [f"precision: at most {largest:.2g} %, root mean square {typical:.2g} %: {made['precision_deviation_note']}"]


def _path(dataset: xr.Dataset) -> list[str]:
    """How many checkpoints a trajectory goes through, and how well its plane holds them."""
    explained, residuals = dataset["explained_variance"].values, dataset["path_residual"].values
    return [
        f"path: {residuals.size} checkpoints, {int(dataset['path_measured'].sum())} of them measured; two components explain "
        f"{100 * float(explained[:2].sum()):.4g} %; farthest off the plane {residuals.max():.3g}"
    ]


def _barriers(dataset: xr.Dataset) -> list[str]:
    """Where paths lead, and the barrier and length of each."""
    made = dataset.attrs
    lines = [
        f"from {made.get('checkpoint', 'the first checkpoint')} to {made.get('to')}: {dataset.sizes['t']} points a path"
    ]
    for kind in dataset["path"].values:
        one = dataset.sel(path=kind)
        barrier = _with_error(one["barrier"], one["barrier_standard_error"]) + _unit(dataset["loss"])
        at = f" at t = {float(one['barrier_at']):.3g}" if np.isfinite(one["barrier_at"]) else ""
        lines.append(f"{kind}: barrier {barrier}{at}, length {float(one['length']):.4g}")
    moved = [f"alignment moved {int(dataset['moved_units'])} hidden units"] if "moved_units" in dataset else []
    dead = [f"warning: dead network: {made.get('dead_reason', '')}"] if made.get("dead") else []
    return [*lines, *moved, *dead]


def _basins(dataset: xr.Dataset) -> list[str]:
    """SMAD and counts of each direction seed, and what the complex is made of."""
    lines = []
    for seed in dataset["seed"].values:
        one = dataset.sel(seed=seed)
        lines.append(
            f"seed {seed}: SMAD {float(one['smad']):.5g}{_unit(dataset['smad'])}; minima {int(one['minima'])}, "
            f"saddles {int(one['saddles'])}, rings around hills {int(one['features'].sel(dimension=1))}"
        )
    points, interpolated, holes = (int(dataset[name].sum()) for name in ("points", "interpolated_points", "holes"))
    above = f", clip {dataset.attrs['loss_max']:g}" if "loss_max" in dataset.attrs else ""
    return [*lines, f"points: {points}, of them interpolated {interpolated}; left out {holes}{above}"]


def _axis(name: str, values: np.ndarray) -> str:
    return f"{name} {values.min():g} … {values.max():g} in {values.size}"


def _losses(dataset: xr.Dataset, finite: xr.DataArray, names: list[str]) -> str:
    loss = dataset["loss"].where(finite)
    lowest = dataset["loss"].isel(loss.argmin(...))
    unit = _unit(dataset["loss"])
    where = ", ".join(f"{name} = {float(lowest[name]):g}" for name in names)
    seed = f", seed {int(lowest['seed'])}" if dataset.sizes["seed"] > 1 else ""
    return f"loss: {float(loss.min()):.5g} (at {where}{seed}) to {float(loss.max()):.5g}{unit}"


def _origin(dataset: xr.Dataset, names: list[str]) -> list[str]:
    """The loss at the origin, where the grid has that point, beside the checkpoint's own."""
    lines = []
    if all((dataset[name] == 0).any() for name in names):
        here = dataset.sel(dict.fromkeys(names, 0.0)).isel(seed=0)
        if int(here["status"]) == 1:
            value = _with_error(here.get("loss"), here.get("loss_standard_error"))
            lines.append(f"loss at the origin: {value}{_unit(dataset['loss'])}")
    if "checkpoint_loss" in dataset:
        value = _with_error(dataset["checkpoint_loss"], dataset.get("checkpoint_loss_standard_error"))
        accuracy = f", accuracy {float(dataset['checkpoint_accuracy']):.4f}" if "checkpoint_accuracy" in dataset else ""
        lines.append(f"loss of the checkpoint itself: {value}{_unit(dataset['checkpoint_loss'])}{accuracy}")
    return lines


def _directions(dataset: xr.Dataset) -> list[str]:
    made = dataset.attrs.get("directions", "unknown")
    words = f"directions: {made}, normalisation {dataset.attrs.get('normalization', 'unknown')}"
    if "direction_cosine" in dataset:
        cosines = (f"{float(c):.4f} (seed {int(c['seed'])})" for c in dataset["direction_cosine"])
        words += f"; cosine of x and y: {', '.join(cosines)}"
    return [words]


def _history(dataset: xr.Dataset) -> list[str]:
    last = dataset.isel(epoch=-1)
    lines = [
        f"epochs: {dataset.sizes['epoch']}; at the last: {_metrics({n: float(v) for n, v in last.items() if v.ndim == 0})}"
    ]
    if "validation_accuracy" in dataset and dataset["validation_accuracy"].notnull().any():
        best = dataset["validation_accuracy"].isel(epoch=dataset["validation_accuracy"].argmax("epoch"))
        lines.append(f"best validation accuracy: {float(best):.4f} at epoch {int(best['epoch'])}")
    return lines


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
    from landscape.store.checkpoints import inspect_checkpoint

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
    from landscape.store.foreign import common_prefix

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
    recipe = [
        f"{key.replace('_', ' ')} {training[key]}"
        for key in ("optimizer", "learning_rate", "batch_size", "seed")
        if key in training
    ]
    if recipe:
        lines.append(f"recipe: {', '.join(recipe)}")
    history = (checkpoint.state or {}).get("history")
    if history:
        lines.append(f"last metrics: {_metrics(history[-1])}")
    return lines


def _spec(spec: Mapping[str, Any] | None, absent: str) -> str:
    if not spec:
        return absent
    options = ", ".join(f"{key} {value}" for key, value in spec.get("options", {}).items())
    return f"{spec.get('name')} ({options})" if options else str(spec.get("name"))


def _metrics(record: Mapping[Any, Any]) -> str:
    return ", ".join(
        f"{str(name).replace('_', ' ')} {value:.5g}" for name, value in record.items() if isinstance(value, float)
    )


def _with_error(value: Any, error: Any) -> str:
    known = error is not None and np.isfinite(float(error))
    return f"{float(value):.5g} ± {float(error):.2g}" if known else f"{float(value):.5g}"


def _unit(variable: xr.DataArray) -> str:
    unit = variable.attrs.get("units", "1")
    return "" if unit == "1" else f" {unit}"
