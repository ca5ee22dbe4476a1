"""What files of trajectories hold, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from landscape.probes.plane.result import ADAPTIVE, FRAME, POINTS
from landscape.probes.plane.result import plausible as plausible_plane
from landscape.probes.plane.result import words as plane_words
from landscape.results.schema import Schema
from landscape.results.words import count, unit_of

_PATH = """
    checkpoint(checkpoint):text? path_epoch(checkpoint) path_x(checkpoint) path_y(checkpoint)
    path_residual(checkpoint) path_distance(checkpoint) path_measured(checkpoint) path_loss(checkpoint)
    path_loss_standard_error(checkpoint) path_accuracy(checkpoint)? path_weights_loss(checkpoint)
    path_plane_loss(checkpoint) path_plane_loss_standard_error(checkpoint)? component(component)?
    explained_variance(component) stress()?
"""


def plausible(dataset: xr.Dataset) -> Iterator[str]:
    """Where the checkpoints lie, and how far from the plane."""
    yield from plausible_plane(dataset)
    for name in ("path_x", "path_y", "path_residual", "path_distance"):
        if not np.isfinite(dataset[name].values).all():
            yield f"{name!r} holds values that are no finite numbers"
    if (dataset["path_residual"] < 0).any():
        yield "'path_residual' holds numbers below 0"


SCHEMA = Schema(
    variables=f"{POINTS} {FRAME} {_PATH}",
    together=ADAPTIVE,
    plausible=plausible,
    planar=True,
)


SAME = 1e-6  # of losses: rounding


def statistics_words(policy: str) -> tuple[str, str]:
    """Which BN statistics the loss of a checkpoint itself was taken with, and which its weights' on the plane; empty without BN."""
    return {
        "frozen": (", with its own running statistics", ", with the last checkpoint's running statistics"),
        "reestimated": (", with re-estimated statistics",) * 2,
        "batch": (", with each batch's own statistics",) * 2,
    }.get(policy, ("", ""))


def is_path(dataset: xr.Dataset) -> bool:
    """Whether the checkpoints follow one another, rather than being models in no order."""
    return not np.array_equal(dataset.attrs.get("ordered", 1), 0)


def explained_words(dataset: xr.Dataset) -> str:
    """What the components explain a part of."""
    return (
        "their variance"
        if np.array_equal(dataset.attrs.get("centred", 0), 1)
        else "their squared distances to the last"
    )


def words(dataset: xr.Dataset) -> list[str]:
    """How much of the path its plane holds, and what that does to the loss; then the plane itself."""
    if "status" not in dataset:
        return []
    explained, residuals = dataset["explained_variance"].values, dataset["path_residual"].values
    names = _names(dataset)
    far, measured = int(residuals.argmax()), int(dataset["path_measured"].sum())
    missing = f", {measured} of them measured" if measured < len(names) else ""
    parts = " and ".join(f"{100 * share:.4g} %" for share in explained[:2])
    what = "path through " if is_path(dataset) else "models in no order: "
    kept = (
        f"; distances between them are kept to a stress of {float(dataset['stress']):.3g}"
        if "stress" in dataset
        else ""
    )
    lines = [
        f"{what}{count(len(names), 'checkpoint')}{missing}; the plane explains {100 * float(explained[:2].sum()):.4g} % of "
        f"{explained_words(dataset)} ({parts}){kept}",
        f"farthest off the plane: {names[far]}, {residuals[far]:.3g} of its {dataset['path_distance'].values[far]:.3g} to the last",
    ]
    return [*lines, *_differences(dataset, names), *plane_words(dataset)]


def _names(dataset: xr.Dataset) -> list[str]:
    if "checkpoint" in dataset:
        return [str(name) for name in dataset["checkpoint"].values]
    return [f"checkpoint {number + 1}" for number in range(dataset.sizes["checkpoint"])]


def _differences(dataset: xr.Dataset, names: list[str]) -> list[str]:
    """What being on the plane, and under one checkpoint's statistics, makes of the checkpoints' losses."""
    weights = dataset["path_weights_loss"].values
    off = dataset["path_plane_loss"].values - weights
    lines = []
    if np.isfinite(off).any():
        worst = int(np.nanargmax(np.where(np.isfinite(off), abs(off), np.nan)))
        unit = unit_of(dataset["path_plane_loss"])
        lines.append(
            f"on the plane the loss differs from that of the weights by at most {off[worst]:+.3g}{unit} ({names[worst]})"
        )
    if (abs(dataset["path_loss"].values - weights) > SAME).any():
        lines.append(
            f"BN policy {dataset.attrs.get('bn_policy', 'unknown')}: the weights' loss under it is not that of the checkpoints "
            "themselves, which have running statistics of their own; both are in the result."
        )
    return lines
