"""The few lines that say what the sublevel sets of a plane are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape.results.words import unit_of


def words(dataset: xr.Dataset) -> list[str]:
    """SMAD and counts of each direction seed, their mean, and what the complex is made of."""
    lines = []
    for seed in dataset["seed"].values:
        one = dataset.sel(seed=seed)
        basins, rings = (_lives(one.sel(dimension=d)) for d in (0, 1))
        lines.append(
            f"seed {seed}: SMAD {float(one['smad']):.4g}; {_count(one['minima'], 'minimum', 'minima')}, "
            f"{_count(one['saddles'], 'saddle', 'saddles')}; basins: {basins}; rings around hills: {rings}"
        )
        if int(one["components"]) > 1:
            lines.append(f"seed {seed}: the points fall into {int(one['components'])} parts that no path joins")
    if "smad_mean" in dataset:
        lines.append(
            f"SMAD over {dataset.sizes['seed']} seeds: {float(dataset['smad_mean']):.4g}, standard deviation "
            f"{float(dataset['smad_spread']):.2g}"
        )
    return [*lines, *_made_of(dataset)]


def _made_of(dataset: xr.Dataset) -> list[str]:
    points, interpolated, holes = (int(dataset[name].sum()) for name in ("points", "interpolated_points", "holes"))
    lines = [f"{points} points, {interpolated} of them interpolated"] if interpolated else [f"{points} measured points"]
    lines[0] += f" over {dataset.sizes['seed']} seeds" if dataset.sizes["seed"] > 1 else ""
    if holes:
        above = f", or above {dataset.attrs['loss_max']:g}" if "loss_max" in dataset.attrs else ""
        lines[0] += f"; {holes} left out: not measured, not finite{above}"
    error = float(dataset["loss_standard_error"].max())
    if np.isfinite(error):
        lines.append(f"standard error of the loss {error:.2g}: features that live shorter may be sampling noise")
    if dataset.attrs.get("dead"):
        lines.append(f"Dead network: {dataset.attrs['dead_reason']}. Its flat surface says nothing about smoothness.")
    return lines


def _lives(one: Any) -> str:
    """How many features, and how long the longest of those lives that ends."""
    count = int(one["features"])
    lives = (one["death"] - one["birth"]).values
    finite = lives[np.isfinite(lives)]
    return f"{count}, longest finite life {finite.max():.4g}" if finite.size else f"{count}"


def _count(value: Any, single: str, several: str) -> str:
    return f"{int(value)} {single if int(value) == 1 else several}"


def _basins(dataset: xr.Dataset) -> list[str]:
    """SMAD and counts of each direction seed, and what the complex is made of."""
    lines = []
    for seed in dataset["seed"].values:
        one = dataset.sel(seed=seed)
        lines.append(
            f"seed {seed}: SMAD {float(one['smad']):.5g}{unit_of(dataset['smad'])}; minima {int(one['minima'])}, "
            f"saddles {int(one['saddles'])}, rings around hills {int(one['features'].sel(dimension=1))}"
        )
    points, interpolated, holes = (int(dataset[name].sum()) for name in ("points", "interpolated_points", "holes"))
    above = f", clip {dataset.attrs['loss_max']:g}" if "loss_max" in dataset.attrs else ""
    return [*lines, f"points: {points}, of them interpolated {interpolated}; left out {holes}{above}"]


def described(dataset: xr.Dataset) -> list[str]:
    """What a file of a topology holds."""
    return ["topology of a loss plane", *_basins(dataset)]
