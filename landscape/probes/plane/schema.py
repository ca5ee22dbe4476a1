"""What files of planes and lines hold."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import xarray as xr

from landscape.results.schema import Schema


class Status(IntEnum):
    """How the value at a point of a plane came to be: the variables ``status`` and ``loss_status``."""

    MISSING = 0
    MEASURED = 1  # over all samples
    INTERPOLATED = 2
    ABOVE = 3  # over enough samples to tell that it lies above what an adaptive plane shows


MISSING, MEASURED, INTERPOLATED, ABOVE = Status
HEIGHT = "height"  # the attribute of variables that can be drawn in place of the loss
POINTS = "loss(grid) status(grid)? loss_standard_error(grid)? accuracy(grid)? predicted_loss(grid)? samples(grid)?"
# What belongs together where a plane was measured adaptively.
ADAPTIVE = ("@tolerance | @loss_max", "@picture_error | @tolerance @loss_max @measured_points")
# What every result over the directions of a plane has besides.
FRAME = """
    checkpoint_loss()? checkpoint_loss_standard_error()? checkpoint_accuracy()? parameter_norm()?
    gradient_norm()? direction_norm([seed] direction)? direction_cosine([seed])? direction(direction):text?
    index(sample)? seed([seed])?
"""


def plausible(dataset: xr.Dataset) -> Iterator[str]:
    """A status is missing, measured, interpolated or above the clip."""
    for name in ("status", "loss_status"):
        if name in dataset and not dataset[name].isin([*Status]).all():
            yield f"{name!r} holds values that stand for nothing"


SCHEMA = Schema(
    variables=f"{POINTS} {FRAME}",
    together=ADAPTIVE,
    plausible=plausible,
)
SMOOTHNESS = Schema(
    variables="""
    seed(seed) curvature_mean(seed)? roughness(seed)? convex_fraction(seed)? known_points(seed)? points(seed)?
""",
)
