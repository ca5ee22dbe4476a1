"""What files of trajectories hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from landscape.probes.plane.schema import ADAPTIVE, FRAME, POINTS
from landscape.probes.plane.schema import plausible as plausible_plane
from landscape.results.schema import Schema

_PATH = """
    checkpoint(checkpoint):text? path_epoch(checkpoint) path_x(checkpoint) path_y(checkpoint)
    path_residual(checkpoint) path_distance(checkpoint) path_measured(checkpoint) path_loss(checkpoint)
    path_loss_standard_error(checkpoint) path_accuracy(checkpoint)? path_weights_loss(checkpoint)
    path_plane_loss(checkpoint) path_plane_loss_standard_error(checkpoint)? component(component)?
    explained_variance(component)
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
