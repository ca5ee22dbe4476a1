"""What files of paths hold, and what is said of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import count, dead, nonfinite, unit_of, with_error

SCHEMA = Schema(
    variables="""
    loss(path t) status(path t) barrier(path) barrier_standard_error(path) barrier_at(path) length(path)
    path(path):text t(t) loss_standard_error(path t) accuracy(path t)? accuracy_standard_error(path t)?
    end_distance(path)? moved_units()? alignment(alignment):text? similarity(alignment)?
""",
    together=("accuracy | accuracy_standard_error",),
)


def words(dataset: xr.Dataset) -> list[str]:
    """Where the paths lead and the ends' losses, each path's barrier and length, and what alignment did."""
    measured = dataset["status"] == 1
    return [
        *_ends(dataset),
        *(_path(dataset.sel(path=kind), str(kind)) for kind in dataset["path"].values),
        *_moved(dataset),
        *nonfinite(int((measured & ~np.isfinite(dataset["loss"].values)).sum())),
        *dead(dataset),
    ]


def _ends(dataset: xr.Dataset) -> list[str]:
    made, first = dataset.attrs, dataset.isel(path=0)
    unit = unit_of(dataset["loss"])
    start, end = (with_error(first["loss"][k], first["loss_standard_error"][k]) + unit for k in (0, -1))
    names = made.get("checkpoint", "the first checkpoint"), made.get("to", "the second")
    images = f", over {made['n_samples']} images" if "n_samples" in made else ""
    points = count(dataset.sizes["t"], "point")
    return [f"from {names[0]} to {names[1]}: {points} a path; loss {start} and {end} at the ends{images}"]


def _path(one: xr.Dataset, kind: str) -> str:
    barrier = with_error(one["barrier"], one["barrier_standard_error"]) + unit_of(one["loss"])
    place = f"t = {float(one['barrier_at']):.3g}"
    at = no_barrier(place, barrier) if ends_highest(one) else f"barrier {barrier} at {place}"
    if not np.isfinite(one["barrier_at"]):
        at = "barrier not known yet"
    apart = f", ends {float(one['end_distance']):.4g} apart" if "end_distance" in one else ""
    return f"{kind}: {at}; length {float(one['length']):.4g}{apart}"


def _moved(dataset: xr.Dataset) -> list[str]:
    if "moved_units" not in dataset:
        return []
    said, similarity = f"aligned: {count(dataset['moved_units'], 'hidden unit')} moved", dataset.get("similarity")
    if similarity is not None and similarity.size == 2:
        before, after = similarity.values
        said += f"; inner product of the weights {before:.4g} → {after:.4g}"
    return [said]


def ends_highest(path: xr.Dataset) -> bool:
    """Whether the largest loss of one path is at an end, over which no barrier stands."""
    ends = (float(path["t"][0]), float(path["t"][-1]))
    return bool(np.isfinite(path["barrier"])) and float(path["barrier_at"]) in ends


def no_barrier(at: str, height: str) -> str:
    """What is said then of the value that is stored as the barrier."""
    return f"no barrier: the largest loss is at an end ({at}), {height} above the ends' mean"
