"""What files of curvature over a plane hold, what is said of them, and what is compared.

Compared is what curvature maps say: the checkpoint's λ_max, and λ_min/λ_max there and on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import DIRECTION_SEEDS, NOT_SAID, Kind, Measure, Options, Reading, sampled_conditions
from landscape.probes.plane.result import FRAME, MEASURED, plausible
from landscape.results.schema import Schema
from landscape.results.words import (
    at_checkpoint,
    count,
    dead,
    grid_words,
    measured_words,
    over_seeds,
    quantity,
    span,
    unit_of,
)

_MAP = """
    curvature_ratio(grid) status(grid) loss_status(grid) loss(grid)? loss_standard_error(grid)?
    accuracy(grid)? eigenvalue_largest(grid) eigenvalue_largest_residual(grid)
    eigenvalue_largest_error_bound(grid)? eigenvalue_largest_converged(grid) eigenvalue_smallest(grid)
    eigenvalue_smallest_residual(grid) eigenvalue_smallest_error_bound(grid)?
    eigenvalue_smallest_converged(grid) curvature_ratio_error_bound(grid)? products(grid)?
    checkpoint_eigenvalue_largest() checkpoint_eigenvalue_largest_residual()? checkpoint_eigenvalue_smallest()
    checkpoint_eigenvalue_smallest_residual()? checkpoint_curvature_ratio()?
"""

SCHEMA = Schema(
    variables=f"{_MAP} {FRAME}",
    together=("curvature_ratio | @eigenvalue_tolerance",),
    plausible=plausible,
    planar=True,
    over="curvature_ratio",
)
PLANE_CURVATURE = Schema(
    variables="""
    curvature_largest(grid)? curvature_smallest(grid)? mean_curvature(grid)? loss(grid)
""",
)


_ENDS = {"largest": "λ_max", "smallest": "λ_min"}


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's own curvature, what the ratio is over the plane, and how much was measured and how well."""
    plane = over_seeds(dataset)
    ends = ", ".join(f"{s} {quantity(plane, f'checkpoint_eigenvalue_{end}', 'residual')}" for end, s in _ENDS.items())
    here = (
        f"; λ_min/λ_max {float(plane['checkpoint_curvature_ratio']):.3g}"
        if "checkpoint_curvature_ratio" in plane
        else ""
    )
    return [
        *at_checkpoint(plane),
        f"at the checkpoint {ends} (± residual){here}",
        *_ratios(plane),
        grid_words(plane, "curvature_ratio"),
        measured_words(plane, plane["status"] == MEASURED),
        *_rough(plane),
        *dead(plane),
    ]


def plane_curvature_words(dataset: xr.Dataset) -> list[str]:
    """How far the curvatures within a measured plane reach."""
    signs = {"curvature_largest": "κ₁", "curvature_smallest": "κ₂"}
    if not {*signs} <= {*dataset}:
        return []
    smallest = dataset["curvature_smallest"].values
    known = smallest[np.isfinite(smallest)]
    said = "; ".join(f"{sign} {span(dataset[name])}{unit_of(dataset[name])}" for name, sign in signs.items())
    lines = [f"curvature within the plane: {said}", f"known at {known.size} of {count(smallest.size, 'point')}"]
    if known.size:
        lines.append(f"curved downward along some direction of the plane at {100 * (known < 0).mean():.3g} % of them")
    return [*lines, *dead(dataset)]


def _ratios(plane: xr.Dataset) -> list[str]:
    ratio = plane["curvature_ratio"].values
    if not np.isfinite(ratio).any():
        return []
    measured = plane["status"].values == 1
    cost = ""
    if "products" in plane and measured.any():
        cost = f"; {plane['products'].values[measured].mean():.0f} Hessian products a point"
    return [f"λ_min/λ_max over the plane: median {np.median(ratio[np.isfinite(ratio)]):.3g}, from {span(ratio)}{cost}"]


def _rough(plane: xr.Dataset) -> list[str]:
    """How many points have no ratio, or one that is not known to the tolerance."""
    ratio, measured = plane["curvature_ratio"].values, plane["status"].values == 1
    converged = np.all([plane[f"eigenvalue_{end}_converged"].values == 1 for end in _ENDS], axis=0)
    bad, rough = (int((measured & part).sum()) for part in (~np.isfinite(ratio), np.isfinite(ratio) & ~converged))
    within = f" in {plane.attrs['max_products']} products" if "max_products" in plane.attrs else ""
    lines = [f"{count(bad, 'point')} without a ratio: their loss or curvature is not finite, or zero."] if bad else []
    return lines + ([f"{count(rough, 'point')} did not converge{within}: --max-products allows more."] if rough else [])


_FAMILY = "curvature_map"


def _conditions(found: xr.Dataset) -> Mapping[str, Any]:
    if found.attrs.get("directions", "random") != "random":
        raise InputError(f"its directions are no random sample (directions: {found.attrs['directions']}).")
    return {
        **sampled_conditions(found),
        "normalisation": found.attrs.get("normalization", NOT_SAID),
        "direction seeds": ", ".join(map(str, found["seed"].values)),
        "grid": "; ".join(
            f"{n} {v.min():.6g}:{v.max():.6g}:{v.size}" for n in "xy" if (v := found[n].values) is not None
        ),
        "eigenvalue tolerance": found.attrs.get("eigenvalue_tolerance", NOT_SAID),
    }


def _read(found: xr.Dataset, options: Options) -> list[Reading]:
    units = str(found["eigenvalue_largest"].attrs.get("units", "1"))
    at = "λ_max of the Hessian at the checkpoint"
    largest = Measure("eigenvalue_largest", at, units, _FAMILY, "log", "lower")
    here, over = (
        "λ_min/λ_max of the Hessian at the checkpoint",
        "λ_min/λ_max of the Hessian from −1 to 1, mean over the plane",
    )
    ratio = Measure("checkpoint_curvature_ratio", here, "1", _FAMILY)
    mean = Measure("curvature_ratio_mean", over, "1", _FAMILY)
    shown = np.clip(found["curvature_ratio"].transpose("seed", "y", "x").values, -1, 1).mean(axis=(1, 2))
    parts = dict(zip(found["seed"].values.tolist(), shown.tolist(), strict=True))
    return [
        Reading(largest, {"run": float(found["checkpoint_eigenvalue_largest"])}),
        Reading(ratio, {"run": float(found["checkpoint_curvature_ratio"])}),
        Reading(mean, parts, DIRECTION_SEEDS),
    ]


CURVATURE_MAPS = Kind(_FAMILY, _conditions, _read)
