"""The topology of a measured loss plane, for each of its direction seeds: minima, saddles, merge tree and persistence.

Only what a picture of the plane shows as known counts: measured points, and interpolated ones of an adaptive plane. Points that
were not measured, are NaN or infinite or lie above the clip are holes of the complex.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError
from landscape.probes.plane.result import INTERPOLATED, MEASURED
from landscape.probes.topology.merge_tree import SADDLE, MergeTree, merge_tree
from landscape.probes.topology.persistence import DIMENSIONS, Feature, sublevel_features
from landscape.results.attributes import a_dataset, inherited, labels

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The flags of landscape.probes.plane.dataset, which needs torch.
COMPLEX = (
    "vertices: points; edges: neighbours along the axes; squares: four such points; each enters at its highest corner"
)


def topology(plane: xr.Dataset, *, loss_max: float | None = None) -> xr.Dataset:
    """Minima, saddles, merge tree and persistence of the sublevel sets {f ≤ c} of a loss plane over ``(seed, y, x)``.

    The complex is that of :func:`landscape.probes.topology.persistence.sublevel_features`: points are vertices, joined along the
    axes. So a valley narrower than a step of the grid that runs across it diagonally falls into several minima, and every value
    depends on the grid: compare planes of one grid. Sampling noise of the losses makes short-lived features;
    ``loss_standard_error`` is a measure of it (an upper one, as all points share their samples).

    Args:
        plane: a finished result of kind ``plane`` or ``trajectory``.
        loss_max: the clip: points above it are holes. None: the plane's own clip if it has one (it knows nothing above), else
            none.

    Returns:
        A data set of kind ``topology``. By ``seed``: ``smad`` = mean |f(saddle) − f(minimum)| over the saddle–minimum edges of the
        merge tree (0 with a single minimum), ``minima``, ``saddles`` (nodes of the tree where basins meet), ``components``,
        ``points`` in the complex, how many of them are ``interpolated_points``, ``holes``, ``loss_standard_error`` (median);
        with several seeds also ``smad_mean`` and ``smad_spread`` (standard deviation, N − 1) over them. By
        ``(seed, dimension)`` ``features`` and ``total_persistence`` (sum of finite lifetimes); by ``(seed, dimension, feature)``,
        the longest first and NaN where there are fewer, ``birth`` and ``death`` (levels; infinite for a feature that never
        dies) with their places ``birth_x``, ``birth_y``, ``death_x``, ``death_y``. By ``(seed, node)`` the tree: ``node_value``,
        ``node_x``, ``node_y``, ``node_kind`` (1 minimum, 2 saddle, 3 top of a component, 0 none), ``node_parent``.

    Raises:
        InputError: for another kind of result, a plane that is not finished, one without a known point, and where gudhi is not
            installed, saying how to install it.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 7), y=(-1, 1, 7))
        >>> found = ls.topology(plane)  # needs gudhi: pip install 'landscape-lab[topology]'
        >>> int(found["minima"].sel(seed=0)) >= 1
        True
    """
    planes = _planes(plane, loss_max)
    found = [_Found.of(one) for one in planes]
    unit = str(plane["loss"].attrs.get("units", "1"))
    variables = {**_numbers(planes, found, unit), **_features(plane, found, unit), **_nodes(plane, found, unit)}
    clip = planes[0].clip
    attributes = {
        "kind": "topology",
        "title": "topology of a loss plane",
        **inherited(plane.attrs, "loss_max"),
        "complex": COMPLEX,
        **({"loss_max": clip} if math.isfinite(clip) else {}),
    }
    coordinates = {
        "seed": ("seed", plane["seed"].values, labels("direction seed")),
        "dimension": (
            "dimension",
            np.arange(DIMENSIONS),
            labels("dimension of homology: 0 basins, 1 rings around hills"),
        ),
    }
    return xr.Dataset(variables, coordinates, attributes)


def plane_smad(plane: xr.Dataset, *, loss_max: float | None = None) -> dict[int, float]:
    """SMAD by direction seed, as in :func:`topology`; needs no gudhi.

    Raises:
        InputError: as :func:`topology` does for the plane.
    """
    trees = [merge_tree(one.values, one.known) for one in _planes(plane, loss_max)]
    return {int(seed): tree.smad() for seed, tree in zip(plane["seed"].values, trees, strict=True)}


@dataclass(frozen=True, eq=False)
class _Plane:
    """One direction seed's values ``(y, x)``, what is known of them, and how much of that was interpolated."""

    values: Floats
    known: Mask
    interpolated: int
    error: float
    clip: float


@dataclass(frozen=True, eq=False)
class _Found:
    tree: MergeTree
    features: list[Feature]

    @classmethod
    def of(cls, plane: _Plane) -> _Found:
        return cls(merge_tree(plane.values, plane.known), sublevel_features(plane.values, plane.known))


def _planes(plane: xr.Dataset, loss_max: float | None) -> list[_Plane]:
    a_dataset(plane, "plane")
    dims = plane["loss"].dims if "loss" in plane else ()
    if set(dims) != {"seed", "y", "x"}:
        raise InputError(
            f"plane: expected a loss over (seed, y, x), got a result of kind {plane.attrs.get('kind')!r} over {dims!r}."
        )
    loss = plane["loss"].transpose("seed", "y", "x").values.astype(np.float64)
    status = plane["status"].transpose("seed", "y", "x").values if "status" in plane else np.full(loss.shape, MEASURED)
    if plane.attrs.get("complete", 1) != 1:
        missing = int((status == 0).sum())
        raise InputError(
            f"plane: its measurement is not finished ({missing} of {status.size} points are missing), and points without their "
            "neighbours have no topology. Finish it first, by the command that made it."
        )
    clip = float(plane.attrs.get("loss_max", math.inf)) if loss_max is None else loss_max
    known = np.isin(status, (MEASURED, INTERPOLATED)) & np.isfinite(loss) & (loss <= clip)
    if not known.any(axis=(1, 2)).all():
        raise InputError(f"plane: no point of some direction seed is a finite number of at most {clip:g}.")
    errors = np.full(loss.shape, math.nan)
    if "loss_standard_error" in plane:
        errors = plane["loss_standard_error"].transpose("seed", "y", "x").values.astype(np.float64)
    return [
        _Plane(f, k, int((k & (s == INTERPOLATED)).sum()), _median(e[k]), clip)
        for f, k, s, e in zip(loss, known, status, errors, strict=True)
    ]


def _median(errors: Floats) -> float:
    finite = errors[np.isfinite(errors)]
    return float(np.median(finite)) if finite.size else math.nan


def _numbers(planes: Sequence[_Plane], found: Sequence[_Found], unit: str) -> dict[str, Any]:
    """What is one number a seed."""
    smad = np.array([one.tree.smad() for one in found])
    made: dict[str, Any] = {
        "smad": (smad, unit, "SMAD: mean difference of loss over the saddle-minimum edges of the merge tree"),
        "minima": ([int(one.tree.minima.size) for one in found], "1", "minima"),
        "saddles": ([int((one.tree.kinds == SADDLE).sum()) for one in found], "1", "saddles where basins meet"),
        "components": ([int(one.tree.roots.size) for one in found], "1", "connected components of the complex"),
        "points": ([int(one.known.sum()) for one in planes], "1", "points of the complex"),
        "interpolated_points": (
            [one.interpolated for one in planes],
            "1",
            "points of the complex that were interpolated",
        ),
        "holes": (
            [int((~one.known).sum()) for one in planes],
            "1",
            "points not in the complex: not measured, not finite, or above the clip",
        ),
        "loss_standard_error": (
            [one.error for one in planes],
            unit,
            "median standard error of the loss at the points of the complex",
        ),
    }
    variables: dict[str, Any] = {
        name: ("seed", values, labels(words, units)) for name, (values, units, words) in made.items()
    }
    if len(found) > 1:
        variables["smad_mean"] = ((), smad.mean(), labels("SMAD: mean over direction seeds", unit))
        variables["smad_spread"] = (
            (),
            smad.std(ddof=1),
            labels("SMAD: standard deviation over direction seeds", unit),
        )
    return variables


def _features(plane: xr.Dataset, found: Sequence[_Found], unit: str) -> dict[str, Any]:
    """Births and deaths, ``(seed, dimension, feature)``, with their places."""
    by_dimension = [[[f for f in one.features if f.dimension == d] for d in range(DIMENSIONS)] for one in found]
    counts = np.array([[len(features) for features in of_seed] for of_seed in by_dimension])
    shape = (*counts.shape, max(int(counts.max()), 1))
    names = ("birth", "death", "birth_x", "birth_y", "death_x", "death_y")
    arrays = {name: np.full(shape, math.nan) for name in names}
    totals = np.zeros(counts.shape)
    for seed, of_seed in enumerate(by_dimension):
        for dimension, features in enumerate(of_seed):
            totals[seed, dimension] = sum(f.lifetime for f in features if math.isfinite(f.lifetime))
            for number, feature in enumerate(features):
                here = (seed, dimension, number)
                arrays["birth"][here], arrays["death"][here] = feature.birth, feature.death
                arrays["birth_x"][here], arrays["birth_y"][here] = _at(plane, feature.birth_place)
                if feature.death_place is not None:
                    arrays["death_x"][here], arrays["death_y"][here] = _at(plane, feature.death_place)
    words = {"birth": "level at which a feature appears", "death": "level at which it is gone; infinite if it never is"}
    made: dict[str, Any] = {
        name: (
            ("seed", "dimension", "feature"),
            array,
            labels(words[name], unit) if name in words else labels(f"{name[-1]} of a feature's {name[:-2]}"),
        )
        for name, array in arrays.items()
    }
    made["features"] = (("seed", "dimension"), counts, labels("features that live for some while"))
    made["total_persistence"] = (("seed", "dimension"), totals, labels("sum of the finite lifetimes", unit))
    return made


def _nodes(plane: xr.Dataset, found: Sequence[_Found], unit: str) -> dict[str, Any]:
    """The merge trees, ``(seed, node)``."""
    shape = (len(found), max(one.tree.values.size for one in found))
    arrays = {name: np.full(shape, math.nan) for name in ("node_value", "node_x", "node_y", "node_parent")}
    kinds = np.zeros(shape, dtype=np.int8)
    for seed, one in enumerate(found):
        count = one.tree.values.size
        arrays["node_value"][seed, :count] = one.tree.values
        arrays["node_parent"][seed, :count] = one.tree.parents
        kinds[seed, :count] = one.tree.kinds
        for number, place in enumerate(one.tree.places.tolist()):
            arrays["node_x"][seed, number], arrays["node_y"][seed, number] = _at(plane, place)
    words: Mapping[str, tuple[str, str]] = {
        "node_value": ("loss at a node of the merge tree", unit),
        "node_x": ("x of the node", "1"),
        "node_y": ("y of the node", "1"),
        "node_parent": ("number of the node above it; a root's is its own", "1"),
    }
    made: dict[str, Any] = {name: (("seed", "node"), array, labels(*words[name])) for name, array in arrays.items()}
    made["node_kind"] = (("seed", "node"), kinds, labels("1 minimum, 2 saddle, 3 top of a component, 0 no node"))
    return made


def _at(plane: xr.Dataset, place: int) -> tuple[float, float]:
    """x and y of a point by its flat index."""
    row, column = divmod(place, plane.sizes["x"])
    return float(plane["x"].values[column]), float(plane["y"].values[row])
