"""The few lines that say how curved the loss is over a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape.results.words import axis_words, completeness, dead, over_seeds, picture_known, unit_of


def curvature_map_lines(dataset: xr.Dataset) -> list[str]:
    """How much was measured and how well, the checkpoint's own curvature, and what the ratio is over the plane."""
    made = dataset.attrs
    ratio, measured = dataset["curvature_ratio"].values, dataset["status"].values == 1
    lines = []
    if "picture_error" in made:
        lines.append(
            f"{made['measured_points']} of {measured.size} points measured, the rest interpolated: {picture_known(made)}. "
            "--full measures every point."
        )
    lines.append(
        f"at the checkpoint λ_max {_value(dataset, 'largest')}, λ_min {_value(dataset, 'smallest')} (± residual)"
    )
    finite = ratio[np.isfinite(ratio)]
    if finite.size:
        here, products = float(dataset["checkpoint_curvature_ratio"]), dataset["products"].values[measured].mean()
        lines.append(
            f"λ_min/λ_max over the plane: median {np.median(finite):.3g}, from {finite.min():.3g} to {finite.max():.3g}; "
            f"at the checkpoint {here:.3g}; {products:.0f} Hessian products a point"
        )
    bad = int((measured & ~np.isfinite(ratio)).sum())
    if bad:
        lines.append(f"{bad} points have no ratio: their loss or curvature is not finite, or zero.")
    ends = [dataset[f"eigenvalue_{end}_converged"].values == 1 for end in ("largest", "smallest")]
    rough = int((measured & np.isfinite(ratio) & ~(ends[0] & ends[1])).sum())
    if rough:
        lines.append(f"{rough} points did not converge in {made['max_products']} products: --max-products allows more.")
    return lines


def _value(dataset: Any, end: str) -> str:
    value, residual = (float(dataset[f"checkpoint_eigenvalue_{end}{part}"]) for part in ("", "_residual"))
    return f"{value:.4g} ± {residual:.2g}"


def _curvature_map(dataset: xr.Dataset) -> list[str]:
    """Over which grid, how the ratio of the extreme eigenvalues varies, and both of them at the checkpoint."""
    made, ratio, measured = dataset.attrs, dataset["curvature_ratio"], dataset["status"] == 1
    grid = ", ".join(axis_words(name, dataset[name].values) for name in ("x", "y"))
    both = dataset["eigenvalue_largest_converged"].astype(bool) & dataset["eigenvalue_smallest_converged"].astype(bool)
    known = ratio.values[np.isfinite(ratio.values)]
    between = f", from {known.min():.3g} to {known.max():.3g}" if known.size else ""
    largest, smallest = (float(dataset[f"checkpoint_eigenvalue_{end}"]) for end in ("largest", "smallest"))
    lines = [
        f"grid: {grid}; direction seeds: {', '.join(map(str, dataset['seed'].values))}",
        f"λ_min/λ_max: {int(measured.sum())} of {measured.size} points measured, {int((both & measured).sum())} converged{between}",
        f"checkpoint: λ_max {largest:.5g}, λ_min {smallest:.5g}{unit_of(dataset['eigenvalue_largest'])}",
    ]
    return [*lines, *([f"warning: dead network: {made.get('dead_reason', '')}"] if made.get("dead") else [])]


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of the curvature over a plane first."""
    return [*curvature_map_lines(dataset), *dead(dataset)]


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of it holds."""
    seen = over_seeds(dataset)
    return [f"curvature map, {completeness(seen)}", *_curvature_map(seen)]
