"""What the values of a result cannot be, where a picture or a sentence would be made of them without another look."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr


def implausible(kind: str, dataset: xr.Dataset) -> Iterator[str]:
    """What is wrong with the values of a result that has all that its kind has."""
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(dataset)


def _plane(dataset: xr.Dataset) -> Iterator[str]:
    """A status is missing, measured, interpolated or above the clip."""
    for name in ("status", "loss_status"):
        if name in dataset and not dataset[name].isin((0, 1, 2, 3)).all():
            yield f"{name!r} holds values that stand for nothing"


def _trajectory(dataset: xr.Dataset) -> Iterator[str]:
    """Where the checkpoints lie, and how far from the plane."""
    yield from _plane(dataset)
    for name in ("path_x", "path_y", "path_residual", "path_distance"):
        if not np.isfinite(dataset[name].values).all():
            yield f"{name!r} holds values that are no finite numbers"
    if (dataset["path_residual"] < 0).any():
        yield "'path_residual' holds numbers below 0"


def _curvature(dataset: xr.Dataset) -> Iterator[str]:
    """A spectrum's points rise, its densities are none below 0, and its Gaussians have a width."""
    if (dataset["parameters"] < 1).any():
        yield "'parameters' holds numbers below 1"
    if "density_at" in dataset:
        if (np.diff(dataset["density_at"].values, axis=-1) <= 0).any():
            yield "'density_at' does not rise"
        if (dataset[["density", "density_spread"]].to_array() < 0).any():
            yield "'density' or 'density_spread' holds numbers below 0"
        if not (dataset["density_variance"].where(dataset["density_at"].notnull().any("point"), 1) > 0).all():
            yield "'density_variance' holds numbers that are not above 0"


def _topology(dataset: xr.Dataset) -> Iterator[str]:
    """The nodes of every merge tree come first, and have parents among themselves."""
    if dataset["dimension"].values.tolist() != [0, 1]:
        yield f"'dimension' is {dataset['dimension'].values.tolist()}; expected [0, 1]"
    for kinds, parents in zip(dataset["node_kind"].values, dataset["node_parent"].values, strict=True):
        count = int((kinds > 0).sum())
        known = parents[:count]
        if not count or (kinds[:count] <= 0).any() or not ((known >= 0) & (known < count)).all():
            yield "'node_kind' and 'node_parent' make no tree"


_CHECKS: dict[str, Callable[[xr.Dataset], Iterator[str]]] = {
    "plane": _plane,
    "curvature_map": _plane,
    "trajectory": _trajectory,
    "curvature": _curvature,
    "topology": _topology,
}
