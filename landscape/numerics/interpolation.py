"""Values between the known points of a grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

Floats = NDArray[np.float64]


def interpolate(shape: tuple[int, int], values: Floats, known: NDArray[np.bool_]) -> Floats:
    """All values of a flat grid from the finite ``known`` ones, by the cubic radial basis that refinement uses."""
    places = grid_places(shape)
    usable = known & np.isfinite(values)
    if usable.sum() < 4:
        return np.where(known, values, np.nan)
    found = RBFInterpolator(places[usable], values[usable], kernel="cubic")(places)
    return np.where(known, values, found)


def grid_places(shape: tuple[int, int]) -> Floats:
    """Every grid point as (row, column) in the unit square, so that both axes weigh alike."""
    rows, columns = np.unravel_index(np.arange(math.prod(shape)), shape)
    return np.stack([rows / max(shape[0] - 1, 1), columns / max(shape[1] - 1, 1)], axis=-1)
