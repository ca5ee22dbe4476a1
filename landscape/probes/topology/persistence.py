"""Persistent homology of the sublevel sets of a function on a grid, by gudhi's cubical complexes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.errors import InputError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
DIMENSIONS = 2


@dataclass(frozen=True)
class Feature:
    """A class of homology: a basin (dimension 0) or a ring around a hill (dimension 1).

    ``birth`` and ``death`` are levels; a class that never dies has ``death`` infinite and no ``death_place``. Places are flat
    indices of points of the grid at these levels.
    """

    dimension: int
    birth: float
    death: float
    birth_place: int
    death_place: int | None

    @property
    def lifetime(self) -> float:
        return self.death - self.birth


def sublevel_features(values: Floats, known: Mask) -> list[Feature]:
    """The classes of {f ≤ c} that live for some while, the longest first; points that are not ``known`` are never filled in.

    The complex has a vertex at every known point of ``values`` ``(h, w)``, an edge between neighbours along the axes, and a square
    between four such points; edges and squares enter with the last of their corners. So sublevel sets are joined along the axes
    and not across a corner (4-neighbours).

    Raises:
        InputError: where gudhi is not installed, saying how to install it.
    """
    gudhi = _gudhi()
    filled = np.where(known, values, np.inf)
    flat = filled.ravel(order="F")  # gudhi's first axis varies fastest
    cells = gudhi.CubicalComplex(vertices=filled)
    cells.compute_persistence()
    finite, endless = cells.vertices_of_persistence_pairs()
    found = []
    for dimension, pairs in enumerate(finite[:DIMENSIONS]):
        for birth, death in pairs.tolist():
            found.append(_feature(dimension, birth, death, flat, filled.shape))
    for dimension, births in enumerate(endless[:DIMENSIONS]):
        found += [_feature(dimension, birth, None, flat, filled.shape) for birth in births.tolist()]
    lasting = [feature for feature in found if feature.birth < feature.death]
    return sorted(
        lasting, key=lambda feature: (feature.dimension, -feature.lifetime, feature.birth, feature.birth_place)
    )


def _feature(dimension: int, birth: int, death: int | None, flat: Floats, shape: tuple[int, ...]) -> Feature:
    dies = math.inf if death is None else float(flat[death])
    return Feature(
        dimension,
        float(flat[birth]),
        dies,
        _place(birth, shape),
        None if death is None or math.isinf(dies) else _place(death, shape),
    )


def _place(number: int, shape: tuple[int, ...]) -> int:
    """The flat index in C order of gudhi's vertex number."""
    return int(np.ravel_multi_index(np.unravel_index(number, shape, order="F"), shape))


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError:
        raise InputError(
            "topology: persistent homology is computed by gudhi, which is not installed. Install it with: "
            "pip install 'landscape-lab[topology]'."
        ) from None
    return gudhi
