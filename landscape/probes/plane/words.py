"""What is said of a line or a plane."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.words import axis_words, completeness, dead, over_seeds, picture_known, unit_of, with_error


def plane_words(dataset: xr.Dataset) -> list[str]:
    # 1: over all samples; 3: over enough of them to tell that the loss lies above the clip
    loss, measured = dataset["loss"], dataset["status"].isin([1, 3])
    names = [str(name) for name in reversed(loss.dims) if name != "seed"]
    grid = ", ".join(axis_words(name, dataset[name].values) for name in names)
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
    known = picture_known(made)
    return [f"adaptive, for losses up to {made['loss_max']:g}: {passes}{known} (asked: {100 * made['tolerance']:g} %)"]


def _deviation(dataset: xr.Dataset) -> list[str]:
    """How far values in bf16, or by compiled code, are from fp32."""
    made = dataset.attrs
    if "precision_deviation_max" not in made:
        return [f"precision: {made['precision_deviation_note']}"] if "precision_deviation_note" in made else []
    largest, typical = 100 * made["precision_deviation_max"], 100 * made["precision_deviation_rms"]
    return [f"precision: at most {largest:.2g} %, root mean square {typical:.2g} %: {made['precision_deviation_note']}"]


def _losses(dataset: xr.Dataset, finite: xr.DataArray, names: list[str]) -> str:
    loss = dataset["loss"].where(finite)
    lowest = dataset["loss"].isel(loss.argmin(...))
    unit = unit_of(dataset["loss"])
    where = ", ".join(f"{name} = {float(lowest[name]):g}" for name in names)
    seed = f", seed {int(lowest['seed'])}" if dataset.sizes["seed"] > 1 else ""
    return f"loss: {float(loss.min()):.5g} (at {where}{seed}) to {float(loss.max()):.5g}{unit}"


def _origin(dataset: xr.Dataset, names: list[str]) -> list[str]:
    """The loss at the origin, where the grid has that point, beside the checkpoint's own."""
    lines = []
    if all((dataset[name] == 0).any() for name in names):
        here = dataset.sel(dict.fromkeys(names, 0.0)).isel(seed=0)
        if int(here["status"]) == 1:
            value = with_error(here.get("loss"), here.get("loss_standard_error"))
            lines.append(f"loss at the origin: {value}{unit_of(dataset['loss'])}")
    if "checkpoint_loss" in dataset:
        value = with_error(dataset["checkpoint_loss"], dataset.get("checkpoint_loss_standard_error"))
        accuracy = f", accuracy {float(dataset['checkpoint_accuracy']):.4f}" if "checkpoint_accuracy" in dataset else ""
        lines.append(f"loss of the checkpoint itself: {value}{unit_of(dataset['checkpoint_loss'])}{accuracy}")
    return lines


def _directions(dataset: xr.Dataset) -> list[str]:
    made = dataset.attrs.get("directions", "unknown")
    words = f"directions: {made}, normalisation {dataset.attrs.get('normalization', 'unknown')}"
    if "direction_cosine" in dataset:
        cosines = (f"{float(c):.4f} (seed {int(c['seed'])})" for c in dataset["direction_cosine"])
        words += f"; cosine of x and y: {', '.join(cosines)}"
    return [words]


def _plane_lines(dataset: xr.Dataset) -> list[str]:
    made = dataset.attrs
    lines = []
    if "picture_error" in made:
        lines.append(
            f"{made['measured_points']} of {dataset['status'].size} points measured ({made['image_passes']:.0f} passes over "
            f"the images), the rest interpolated: {picture_known(made)}. --full measures every point."
        )
    loss, error = float(dataset["checkpoint_loss"]), float(dataset["checkpoint_loss_standard_error"])
    lines.append(
        f"loss at the checkpoint {loss:.5g} ± {error:.2g} over {made['n_samples']} images; "
        f"on the grid {float(dataset['loss'].min()):.5g} to {float(dataset['loss'].max()):.5g}"
    )
    bad = int((~np.isfinite(dataset["loss"]) & (dataset["status"] == 1)).sum())
    if bad:
        lines.append(f"{bad} points are NaN or infinite; they are kept as they are.")
    lines += dead(dataset)
    if dataset.sizes["seed"] == 1 and made["directions"] == "random":
        lines.append(
            "One random plane is one sample: --seeds 0,1,2 shows the spread; --images and --full ask for more."
        )
    return lines


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of a line or a plane first."""
    return _plane_lines(dataset)


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of one holds."""
    plane = over_seeds(dataset)
    if not {"loss", "status"} <= {*plane}:
        return []
    return [f"loss surface, {completeness(plane)}", *plane_words(plane)]
