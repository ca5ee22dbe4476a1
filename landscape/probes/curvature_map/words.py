"""What is said of the curvature over a plane."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.probes.plane.schema import MEASURED
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
