"""What loss planes say for each direction seed: curvature, roughness and convexity (:mod:`landscape.probes.plane.smoothness`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import (
    DIRECTION_SEEDS,
    FILTERS,
    LAYERS,
    NOT_SAID,
    Kind,
    Measure,
    Options,
    Reading,
    sampled_conditions,
)
from landscape.probes.plane.scattered import fit_reach, scattered_smoothness
from landscape.probes.plane.smoothness import lattice_stride, plane_smoothness

FAMILY = "plane"
# name -> scale, which direction is the smoother one
_QUANTITIES: dict[str, tuple[Literal["linear", "log"], Literal["lower", "neither"]]] = {
    "curvature_mean": ("log", "lower"),
    "curvature_percentile": ("log", "lower"),
    "centre_laplacian": ("linear", "lower"),
    "centre_curvature_largest": ("linear", "lower"),
    "centre_curvature_smallest": ("linear", "neither"),
    "residual": ("log", "lower"),
    "roughness": ("log", "lower"),
    "convex_fraction": ("linear", "neither"),
    "known_fraction": ("linear", "neither"),
}


def _conditions(plane: xr.Dataset) -> Mapping[str, Any]:
    if set(plane["loss"].dims) != {"seed", "y", "x"}:
        raise InputError(f"a plane over (seed, y, x) is compared, this one has {plane['loss'].dims!r}.")
    attributes = plane.attrs
    if attributes.get("directions", "random") != "random":
        raise InputError(f"its directions are no random sample (directions: {attributes['directions']}).")
    return {
        **sampled_conditions(plane),
        "normalisation": attributes.get("normalization", NOT_SAID),
        "directions": "orthogonalised" if _is_orthogonalised(plane) else "as drawn",
        "direction seeds": ", ".join(map(str, plane["seed"].values)),
        "grid": "; ".join(_axis(plane[name].values, name) for name in ("x", "y")),
        "mesh": _mesh(plane),
        "clip": attributes.get("loss_max", "none"),
    }


def _read(plane: xr.Dataset, options: Options) -> list[Reading]:
    made = scattered_smoothness(plane) if _is_adaptive(plane) else plane_smoothness(plane)
    invariant = invariant_planes(plane)
    return [_reading(made, name, invariant) for name in _QUANTITIES if name in made]


def _is_orthogonalised(plane: xr.Dataset) -> bool:
    return "orthogonalized" in str(plane.attrs.get("direction_origins", ""))


def _is_adaptive(plane: xr.Dataset) -> bool:
    return "tolerance" in plane.attrs


def _mesh(plane: xr.Dataset) -> str:
    """On what derivatives are taken."""
    if _is_adaptive(plane):
        side = 2 * max(fit_reach(plane.sizes[name]) for name in ("x", "y")) + 1
        return f"adaptive, fits over {side} × {side} points"
    return f"every {stride} points" if (stride := lattice_stride(plane)) > 1 else "every point"


def invariant_planes(plane: xr.Dataset) -> frozenset[str]:
    """What leaves a plane as it is: its directions are rescaled as the filters, or the layers, are that they belong to.

    Rescaled unit by unit, a filter's weights change in proportion to each other, and a direction drawn anew does not. What is
    orthogonal does not stay so under any of them.
    """
    if _is_orthogonalised(plane):
        return frozenset()
    by_normalisation = {"filter": frozenset((FILTERS, LAYERS)), "layer": frozenset((LAYERS,))}
    return by_normalisation.get(str(plane.attrs.get("normalization")), frozenset())


def _reading(made: xr.Dataset, name: str, invariant: frozenset[str]) -> Reading:
    scale, smoother = _QUANTITIES[name]
    variable = made[name]
    measure = Measure(name, variable.attrs["long_name"], variable.attrs["units"], FAMILY, scale, smoother, invariant)
    values = zip(made["seed"].values.tolist(), variable.values.tolist(), strict=True)
    return Reading(measure, {int(seed): float(value) for seed, value in values}, DIRECTION_SEEDS)


def _axis(values: Any, name: str) -> str:
    return f"{name} {values.min():.6g}:{values.max():.6g}:{values.size}"


PLANES = Kind(FAMILY, _conditions, _read)
