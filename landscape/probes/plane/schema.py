"""What files of planes and lines hold."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from landscape.results.schema import Schema

POINTS = "loss(grid) status(grid)? loss_standard_error(grid)? accuracy(grid)? predicted_loss(grid)? samples(grid)?"
# What every result over the directions of a plane has besides.
FRAME = """
    checkpoint_loss()? checkpoint_loss_standard_error()? checkpoint_accuracy()? parameter_norm()?
    gradient_norm()? direction_norm([seed] direction)? direction_cosine([seed])? direction(direction):text?
    index(sample)? seed([seed])?
"""


def plausible(dataset: xr.Dataset) -> Iterator[str]:
    """A status is missing, measured, interpolated or above the clip."""
    for name in ("status", "loss_status"):
        if name in dataset and not dataset[name].isin((0, 1, 2, 3)).all():
            yield f"{name!r} holds values that stand for nothing"


SCHEMA = Schema(
    variables=f"{POINTS} {FRAME}",
    together=("@tolerance | @loss_max", "@picture_error | @tolerance @loss_max @measured_points"),
    plausible=plausible,
)
SMOOTHNESS = Schema(
    variables="""
    seed(seed) curvature_mean(seed)? roughness(seed)? convex_fraction(seed)? known_points(seed)? points(seed)?
""",
)
