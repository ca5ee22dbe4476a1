"""How curved and rough a plane is that was measured here and there: by quadratics fitted to what is known around each point.

An adaptive plane has no lattice of measured points to take differences on: its mesh may be uneven, it is denser where the loss is
rough, and of what lies above the clip no value is known. A fit needs no neighbour in particular.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.numerics.refinement import COARSE
from landscape.probes.plane.smoothness import PERCENTILE, QUANTITIES, SINGLE, known_lattice

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_TERMS = 6  # of a quadratic in two variables
_FEWEST = 9  # points of a fit, so that it leaves a residual
_MORE = {"known_fraction": ("fraction of the plane around which enough is known, below the clip", "1")}
# Of a second derivative over the half window, in that of a value: what three rows of three points have that span half of it.
_MOST_VARIANCE = 32.0


def fit_reach(n: int) -> int:
    """From the middle of a window to its end, in points of a grid of ``n``: three lines of the coarse mesh lie in any window."""
    return math.ceil((3 * math.ceil((n - 1) / COARSE) - 1) / 2)


def scattered_smoothness(plane: xr.Dataset) -> xr.Dataset:
    """The quantities of :func:`landscape.probes.plane.smoothness.plane_smoothness` from local fits, for each direction seed.

    At every point of the grid at or below the clip, a quadratic is fitted by least squares to the known points of a window around
    it, of :func:`fit_reach` points to each side: those that were measured over all samples, are finite and not above the clip. A
    fit counts if it has 9 points, and if no second derivative of it has more variance than those of three rows of three points
    that span half of the window, if all values err alike and independently. Quadratics are found exactly.

    - ``curvature_mean``, ``curvature_percentile``, ``centre_…``, ``convex_fraction``: of the fits' Hessians;
    - ``residual``: √(mean over the fits of RSS / (m − 6)), m being a fit's points; ``roughness``: over the known values' range;
    - ``known_fraction``: the fits that count, over the points of the grid. Planes of unequal ones are seen over unequal regions.

    All depend on the window. NaN where no fit counts.

    Raises:
        InputError: as :func:`landscape.probes.plane.smoothness.plane_smoothness`.
    """
    of = known_lattice(plane, stride=1)
    x, y = plane["x"].values, plane["y"].values
    column, row = int(np.abs(x).argmin()), int(np.abs(y).argmin())
    centred = abs(x[column]) < 1e-9 * of.x and abs(y[row]) < 1e-9 * of.y
    found = []
    for values, known in zip(of.values, of.known, strict=True):
        fits = _fits(values, known, values <= of.clip, (of.y, of.x))
        found.append(_quantities(fits, values[known], (row, column) if centred else None))
    unit = str(plane["loss"].attrs.get("units", "1"))
    return xr.Dataset(
        {
            name: (
                "seed",
                [one[name] for one in found],
                {"units": unit if scale == "loss" else "1", "long_name": words},
            )
            for name, (words, scale) in {**QUANTITIES, **_MORE}.items()
            if name in found[0]
        },
        coords={"seed": plane["seed"].values},
    )


@dataclass(frozen=True, eq=False)
class _Fits:
    """At every point of the grid, NaN where no fit counts.

    Attributes:
        largest, smallest: the eigenvalues of the fit's Hessian.
        square: the mean squared residual.
        rounding: of a second derivative, what single precision can make of it.
    """

    largest: Floats
    smallest: Floats
    square: Floats
    rounding: float


def _fits(values: Floats, known: Mask, wanted: Mask, spacing: tuple[float, float]) -> _Fits:
    reach = max(fit_reach(n) for n in values.shape)
    largest, smallest, square = (np.full(values.shape, np.nan) for _ in range(3))
    rows, columns = np.nonzero(known)
    for row, column in zip(*np.nonzero(wanted), strict=True):
        inside = (np.abs(rows - row) <= reach) & (np.abs(columns - column) <= reach)
        if inside.sum() < _FEWEST:
            continue
        v, u = (rows[inside] - row) / reach, (columns[inside] - column) / reach
        terms = np.stack([np.ones_like(u), u, v, u * u / 2, u * v, v * v / 2], axis=1)
        normal = terms.T @ terms
        if np.linalg.cond(normal) > 1e9 or np.diag(np.linalg.inv(normal))[3:].max() > _MOST_VARIANCE * (1 + 1e-9):
            continue
        here = values[rows[inside], columns[inside]]
        solved = np.linalg.lstsq(terms, here - here.mean(), rcond=None)[0]
        left = here - here.mean() - terms @ solved
        height, width = reach * spacing[0], reach * spacing[1]
        xx, xy, yy = solved[3] / width**2, solved[4] / (width * height), solved[5] / height**2
        middle, radius = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
        largest[row, column], smallest[row, column] = middle + radius, middle - radius
        square[row, column] = float(left @ left) / (len(here) - _TERMS)
    size = float(np.abs(values[known]).max()) if known.any() else 0.0
    return _Fits(largest, smallest, square, 4 * SINGLE * size / (reach * min(spacing)) ** 2)


def _quantities(fits: _Fits, values: Floats, centre: tuple[int, int] | None) -> dict[str, float]:
    counts = np.isfinite(fits.smallest)
    here = (math.nan, math.nan) if centre is None else (float(fits.largest[centre]), float(fits.smallest[centre]))
    quantities = {
        "centre_laplacian": here[0] + here[1],
        "centre_curvature_largest": here[0],
        "centre_curvature_smallest": here[1],
        "known_fraction": float(counts.mean()),
    }
    if not counts.any():
        names = ("curvature_mean", "curvature_percentile", "convex_fraction", "residual", "roughness")
        return quantities | dict.fromkeys(names, math.nan)
    size = np.maximum(np.abs(fits.largest), np.abs(fits.smallest))[counts]
    residual, extent = math.sqrt(float(fits.square[counts].mean())), float(np.ptp(values))
    return {
        **quantities,
        "curvature_mean": float(size.mean()),
        "curvature_percentile": float(np.percentile(size, PERCENTILE)),
        "convex_fraction": float((fits.smallest[counts] >= -fits.rounding).mean()),
        "residual": residual,
        "roughness": residual / extent if extent > 0 else math.nan,
    }
