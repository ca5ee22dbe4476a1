"""The few lines that say what lies between two checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape.results.words import completeness, dead, unit_of, with_error


def path_lines(dataset: xr.Dataset) -> list[str]:
    """The ends' losses, each path's barrier and length, and what alignment did."""
    made, first = dataset.attrs, dataset.isel(path=0)
    ends = [_with_error(first["loss"][k], first["loss_standard_error"][k]) for k in (0, -1)]
    lines = [f"loss {ends[0]} at {made['checkpoint']}, {ends[1]} at {made['to']}, over {made['n_samples']} images"]
    for kind in dataset["path"].values:
        one = dataset.sel(path=kind)
        height, at = _with_error(one["barrier"], one["barrier_standard_error"]), f"t = {float(one['barrier_at']):.3g}"
        barrier = no_barrier(at, height) if ends_highest(one) else f"barrier {height} at {at}"
        lines.append(
            f"{kind}: {barrier}; length {float(one['length']):.4g}, ends {float(one['end_distance']):.4g} apart"
        )
    if "moved_units" in dataset:
        before, after = (float(value) for value in dataset["similarity"])
        lines.append(
            f"aligned: {int(dataset['moved_units'])} hidden units moved; inner product of the weights {before:.4g} → {after:.4g}"
        )
    bad = int((~np.isfinite(dataset["loss"]) & (dataset["status"] == 1)).sum())
    if bad:
        lines.append(f"{bad} points are NaN or infinite; they are kept as they are.")
    return lines


def ends_highest(path: xr.Dataset) -> bool:
    """Whether the largest loss of one path is at an end, over which no barrier stands."""
    ends = (float(path["t"][0]), float(path["t"][-1]))
    return bool(np.isfinite(path["barrier"])) and float(path["barrier_at"]) in ends


def no_barrier(at: str, height: str) -> str:
    """What is said then of the value that is stored as the barrier."""
    return f"no barrier: the largest loss is at an end ({at}), {height} above the ends' mean"


def _with_error(value: Any, error: Any) -> str:
    return f"{float(value):.4g} ± {float(error):.2g}"


def _barriers(dataset: xr.Dataset) -> list[str]:
    """Where paths lead, and the barrier and length of each."""
    made = dataset.attrs
    lines = [
        f"from {made.get('checkpoint', 'the first checkpoint')} to {made.get('to')}: {dataset.sizes['t']} points a path"
    ]
    for kind in dataset["path"].values:
        one = dataset.sel(path=kind)
        barrier = with_error(one["barrier"], one["barrier_standard_error"]) + unit_of(dataset["loss"])
        at = f"t = {float(one['barrier_at']):.3g}" if np.isfinite(one["barrier_at"]) else ""
        said = no_barrier(at, barrier) if ends_highest(one) else f"barrier {barrier}{at and f' at {at}'}"
        lines.append(f"{kind}: {said}, length {float(one['length']):.4g}")
    moved = [f"alignment moved {int(dataset['moved_units'])} hidden units"] if "moved_units" in dataset else []
    dead = [f"warning: dead network: {made.get('dead_reason', '')}"] if made.get("dead") else []
    return [*lines, *moved, *dead]


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of paths first."""
    return [*path_lines(dataset), *dead(dataset)]


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of paths holds."""
    return [f"paths between two checkpoints, {completeness(dataset)}", *_barriers(dataset)]
