"""A smooth sheet through the values of a plane, cut at a height, and the light on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import distance_transform_edt

from landscape.pictures.arrays import Floats

FINE = 90  # points an axis that make a sheet look smooth
STEEP = 60  # points that a rise over the whole height has
LIGHT = np.array([-0.45, -0.35, 0.82])  # where it comes from
AMBIENT = 0.72  # of a colour, that no shade takes


@dataclass(frozen=True)
class Mesh:
    """Heights ``z`` over coordinates ``x`` and ``y``; NaN next to a grid point without a number."""

    x: Floats
    y: Floats
    z: Floats

    def at(self, x: float, y: float) -> float:
        """The height at the mesh's nearest point."""
        return float(self.z[int(np.abs(self.y - y).argmin()), int(np.abs(self.x - x).argmin())])


def mesh_of(x: Floats, y: Floats, heights: Floats, top: float = np.inf) -> Mesh:
    """Heights ``(y, x)`` between the grid's points, by monotone cubics along each axis in turn (Fritsch and Carlson 1980).

    The sheet goes through every value and never beyond its neighbours', so that it has no minimum that was not measured. Cells
    with a corner that has no number stay empty. Its points are closer together where it rises steeply below ``top``.
    """
    known = np.isfinite(heights)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = heights[tuple(nearest)]
    seen = np.minimum(filled, top)
    span = float(np.ptp(seen)) or 1.0
    fine_x, fine_y = _finer(x, np.diff(seen, axis=1) / span), _finer(y, np.diff(seen, axis=0).T / span)
    across = PchipInterpolator(x, filled, axis=1)(fine_x)
    z = PchipInterpolator(y, across, axis=0)(fine_y)
    column = np.clip(np.searchsorted(x, fine_x, side="right") - 1, 0, len(x) - 2)
    row = np.clip(np.searchsorted(y, fine_y, side="right") - 1, 0, len(y) - 2)
    whole = known[1:, 1:] & known[:-1, 1:] & known[1:, :-1] & known[:-1, :-1]
    holes = np.zeros(z.shape, dtype=bool)
    inner = ~whole[np.ix_(row, column)]
    holes |= inner & ~_on_grid(x, y, fine_x, fine_y, known)
    return Mesh(fine_x, fine_y, np.where(holes, np.nan, z))


def _on_grid(x: Floats, y: Floats, fine_x: Floats, fine_y: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Points of the mesh that are points of the grid with a number."""
    columns, rows = np.searchsorted(fine_x, x), np.searchsorted(fine_y, y)
    found = np.zeros((fine_y.size, fine_x.size), dtype=bool)
    found[np.ix_(rows, columns)] = known
    return found


def _finer(values: Floats, rises: Floats) -> Floats:
    """The same coordinates with so many between each two that there are at least :data:`FINE`, and more where it is steep.

    ``rises`` are those of the heights from each to the next, as parts of all heights, ``(other axis, values − 1)``.
    """
    least = max(1, -(-FINE // (values.size - 1)))
    parts = np.maximum(least, np.ceil(STEEP * np.abs(rises).max(axis=0))).astype(int)
    between = [a + (b - a) * np.arange(n) / n for a, b, n in zip(values[:-1], values[1:], parts, strict=True)]
    return np.append(np.concatenate(between), values[-1])


def sheet(mesh: Mesh, top: float) -> tuple[list[Floats], Floats]:
    """The sheet's polygons ``(corner, 3)`` up to the height ``top``, and the segments ``(segment, 2, 3)`` where it is cut."""
    x, y = np.meshgrid(mesh.x, mesh.y)
    points = np.stack([x, y, mesh.z], axis=-1)
    quads = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2).reshape(-1, 4, 3)
    quads = quads[np.isfinite(quads[..., 2]).all(axis=1)]
    below = quads[..., 2] <= top
    polygons = list(quads[below.all(axis=1)])
    rim = []
    for quad in quads[below.any(axis=1) & ~below.all(axis=1)]:
        polygon, ends = _cut(quad, top)
        polygons.append(polygon)
        rim += [ends] if len(ends) == 2 else []
    return polygons, np.array(rim).reshape(-1, 2, 3)


def _cut(polygon: Floats, top: float) -> tuple[Floats, Floats]:
    """What of a polygon lies below a height (Sutherland and Hodgman 1974), and the points where its border crosses it."""
    kept, crossings = [], []
    for one, two in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if one[2] <= top:
            kept.append(one)
        if (one[2] <= top) != (two[2] <= top):
            crossing = one + (top - one[2]) / (two[2] - one[2]) * (two - one)
            kept.append(crossing)
            crossings.append(crossing)
    return np.array(kept), np.array(crossings)


def shade(polygons: Sequence[Floats], colours: Floats, spans: tuple[float, float, float]) -> Floats:
    """Colours ``(polygon, rgb)`` under a light: a part of each, by the angle at which it meets its polygon.

    ``spans`` are the lengths of the axes, in which the sheet's slopes are seen.
    """
    corners = np.array([polygon[:3] for polygon in polygons]) / np.array(spans)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facing = (normals / np.where(length > 0, length, 1.0)) @ (LIGHT / np.linalg.norm(LIGHT))
    lit = AMBIENT + (1 - AMBIENT) * np.clip(facing, 0.0, 1.0) / max(float(LIGHT[2] / np.linalg.norm(LIGHT)), 1e-9)
    return np.asarray(np.clip(colours * np.clip(lit, 0.0, 1.06)[:, None], 0.0, 1.0))
