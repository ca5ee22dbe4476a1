"""The few lines that say what lies between two checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np


def path_lines(dataset: Any) -> list[str]:
    """The ends' losses, each path's barrier and length, and what alignment did."""
    made, first = dataset.attrs, dataset.isel(path=0)
    ends = [_with_error(first["loss"][k], first["loss_standard_error"][k]) for k in (0, -1)]
    lines = [f"loss {ends[0]} at {made['checkpoint']}, {ends[1]} at {made['to']}, over {made['n_samples']} images"]
    for kind in dataset["path"].values:
        one = dataset.sel(path=kind)
        barrier = _with_error(one["barrier"], one["barrier_standard_error"])
        lines.append(
            f"{kind}: barrier {barrier} at t = {float(one['barrier_at']):.3g}; length {float(one['length']):.4g}, "
            f"ends {float(one['end_distance']):.4g} apart"
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


def _with_error(value: Any, error: Any) -> str:
    return f"{float(value):.4g} ± {float(error):.2g}"
