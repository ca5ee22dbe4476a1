"""The few lines that say what was found along a training."""

from __future__ import annotations

import xarray as xr

from landscape.probes.plane.words import plane_words
from landscape.results.words import completeness, over_seeds


def statistics_words(policy: str) -> tuple[str, str]:
    """Which BN statistics the loss of a checkpoint itself was taken with, and which its weights' on the plane; empty without BN."""
    return {
        "frozen": (", with its own running statistics", ", with the last checkpoint's running statistics"),
        "reestimated": (", with re-estimated statistics",) * 2,
        "batch": (", with each batch's own statistics",) * 2,
    }.get(policy, ("", ""))


def words(dataset: xr.Dataset) -> list[str]:
    """How much of the path its plane holds, and what that does to the loss."""
    explained, residuals = dataset["explained_variance"].values, dataset["path_residual"].values
    names = [str(name) for name in dataset["checkpoint"].values]
    distances, weights = dataset["path_distance"].values, dataset["path_weights_loss"].values
    off = dataset["path_plane_loss"].values - weights
    far, worst = int(residuals.argmax()), int(abs(off).argmax())
    lines = [
        f"path through {len(names)} checkpoints; the plane explains {100 * float(explained[:2].sum()):.4g} % of their squared "
        f"distances to the last ({100 * float(explained[0]):.4g} % and {100 * float(explained[1]):.4g} %)",
        f"farthest off the plane: {names[far]}, {residuals[far]:.3g} of its {distances[far]:.3g} to the last",
        f"on the plane the loss differs from that of the weights by at most {float(off[worst]):+.3g} ({names[worst]})",
    ]
    if float(abs(dataset["path_loss"].values - weights).max()) > 1e-6:
        lines.append(
            f"BN policy {dataset.attrs['bn_policy']}: the weights' loss under it is not that of the checkpoints themselves, "
            "which have running statistics of their own; both are in the result."
        )
    return lines


def _path(dataset: xr.Dataset) -> list[str]:
    """How many checkpoints a trajectory goes through, and how well its plane holds them."""
    explained, residuals = dataset["explained_variance"].values, dataset["path_residual"].values
    return [
        f"path: {residuals.size} checkpoints, {int(dataset['path_measured'].sum())} of them measured; two components explain "
        f"{100 * float(explained[:2].sum()):.4g} %; farthest off the plane {residuals.max():.3g}"
    ]


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of a trajectory holds."""
    plane = over_seeds(dataset)
    if "status" not in plane:
        return []
    return [f"loss surface, {completeness(plane)}", *plane_words(plane), *_path(plane)]
