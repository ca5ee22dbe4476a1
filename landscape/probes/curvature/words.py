"""The few lines that say how a checkpoint's loss is curved."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape.results.words import completeness, dead, unit_of, with_error

_NAMES = {"hessian": "Hessian", "gauss-newton": "Gauss–Newton matrix"}
SHOWN = 3  # eigenvalues at either end


def curvature_lines(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss and norms, then the extremes, trace and norm of the matrix or of each layer's block."""
    made = dataset.attrs
    loss, error = float(dataset["checkpoint_loss"]), float(dataset["checkpoint_loss_standard_error"])
    lines = [
        f"loss at the checkpoint {loss:.5g} ± {error:.2g} over {made['n_samples']} images; "
        f"‖θ‖ {float(dataset['parameter_norm']):.4g}, ‖∇L‖ {float(dataset['gradient_norm']):.4g}"
    ]
    if "block" in dataset.dims:
        lines += [f"{name}: {_spectrum(dataset.sel(block=name))}" for name in dataset["block"].values]
    else:
        products = int(dataset["products"])
        lines.append(
            f"{_NAMES[made['operator']]}, BatchNorm {made['bn_policy']}, {products} products: {_spectrum(dataset)}"
        )
        if "moments" in dataset:
            low, high = float(dataset["density_at"].min()), float(dataset["density_at"].max())
            lines.append(f"density of all {int(dataset['parameters']):,} eigenvalues from {low:.3g} to {high:.3g}")
    return lines + [f"{note}." for note in made["notes"].split("; ") if note]


def _spectrum(block: Any) -> str:
    ranks, values = block["rank"].values, block["eigenvalues"].values
    parts = []
    for end, mask in (("largest", ranks > 0), ("smallest", ranks < 0)):
        known = values[mask][np.isfinite(values[mask])]
        if known.size:
            more = ", …" if known.size > SHOWN else ""
            parts.append(f"{end} {', '.join(f'{value:.5g}' for value in known[:SHOWN])}{more}")
    if "trace" in block:
        parts += [
            f"{words} {_with_error(block, name)}" for name, words in (("trace", "trace"), ("frobenius_norm", "‖·‖_F"))
        ]
    return "; ".join(parts)


def _with_error(block: Any, name: str) -> str:
    return f"{float(block[name]):.5g} ± {float(block[f'{name}_standard_error']):.2g}"


def _curvature(dataset: xr.Dataset) -> list[str]:
    """Of which matrix, how many eigenvalues, and between which ends."""
    made, values = dataset.attrs, dataset["eigenvalues"].values
    blocks = f"diagonal blocks of {dataset.sizes['block']} layers" if "block" in dataset.dims else "one block"
    known = values[np.isfinite(values)]
    spectrum = f", from {known.min():.5g} to {known.max():.5g}" if known.size else ""
    unit = unit_of(dataset["eigenvalues"])
    lines = [
        f"matrix: {made.get('operator')}, {blocks}, {int(dataset['parameters'].sum()):,} parameters",
        f"eigenvalues: {known.size} of {values.size}, {int(dataset['converged'].sum())} converged{spectrum}{unit}",
    ]
    if "trace" in dataset and "block" not in dataset.dims:
        lines += [
            f"{words}: {with_error(dataset[name], dataset[f'{name}_standard_error'])}{unit}"
            for name, words in (("trace", "trace"), ("frobenius_norm", "Frobenius norm"))
        ]
    dead = [f"warning: dead network: {made.get('dead_reason', '')}"] if made.get("dead") else []
    return [*lines, *([f"notes: {made['notes']}"] if made.get("notes") else []), *dead]


def words(dataset: xr.Dataset) -> list[str]:
    """What a person wants to know of a spectrum first."""
    return [*curvature_lines(dataset), *dead(dataset)]


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of a spectrum holds."""
    if "status" not in dataset:
        return []
    return [f"curvature, {completeness(dataset, 'quantities')}", *_curvature(dataset)]
