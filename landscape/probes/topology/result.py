"""What files of topologies hold, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import count, dead, unit_of


def plausible(dataset: xr.Dataset) -> Iterator[str]:
    """The nodes of every merge tree come first, and have parents among themselves."""
    if dataset["dimension"].values.tolist() != [0, 1]:
        yield f"'dimension' is {dataset['dimension'].values.tolist()}; expected [0, 1]"
    for kinds, parents in zip(dataset["node_kind"].values, dataset["node_parent"].values, strict=True):
        count = int((kinds > 0).sum())
        known = parents[:count]
        if not count or (kinds[:count] <= 0).any() or not ((known >= 0) & (known < count)).all():
            yield "'node_kind' and 'node_parent' make no tree"


SCHEMA = Schema(
    variables="""
    smad(seed) minima(seed) saddles(seed) components(seed) points(seed) interpolated_points(seed) holes(seed)
    loss_standard_error(seed) birth(seed dimension feature) death(seed dimension feature) features(seed
    dimension) node_value(seed node) node_x(seed node) node_y(seed node) node_parent(seed node) node_kind(seed
    node) seed(seed) dimension(dimension) smad_mean()? smad_spread()?
""",
    plausible=plausible,
)


def words(dataset: xr.Dataset) -> list[str]:
    """SMAD and counts of each direction seed, their mean, and what the complex is made of."""
    lines, unit = [], unit_of(dataset["smad"])
    for seed in dataset["seed"].values:
        one = dataset.sel(seed=seed)
        basins, rings = (_lives(one.sel(dimension=d)) for d in (0, 1))
        lines.append(
            f"seed {seed}: SMAD {float(one['smad']):.4g}{unit}; {count(one['minima'], 'minimum', 'minima')}, "
            f"{count(one['saddles'], 'saddle')}; basins: {basins}; rings around hills: {rings}"
        )
        if int(one["components"]) > 1:
            lines.append(f"seed {seed}: the points fall into {int(one['components'])} parts that no path joins")
    if {"smad_mean", "smad_spread"} <= {*dataset}:
        lines.append(
            f"SMAD over {dataset.sizes['seed']} seeds: {float(dataset['smad_mean']):.4g}, standard deviation "
            f"{float(dataset['smad_spread']):.2g}{unit}"
        )
    return [*lines, *_made_of(dataset, unit), *dead(dataset)]


def _made_of(dataset: xr.Dataset, unit: str) -> list[str]:
    points, interpolated, holes = (int(dataset[name].sum()) for name in ("points", "interpolated_points", "holes"))
    lines = [f"{points} points, {interpolated} of them interpolated"] if interpolated else [f"{points} measured points"]
    lines[0] += f" over {dataset.sizes['seed']} seeds" if dataset.sizes["seed"] > 1 else ""
    if holes:
        above = f", or above {dataset.attrs['loss_max']:g}" if "loss_max" in dataset.attrs else ""
        lines[0] += f"; {holes} left out: not measured, not finite{above}"
    error = float(dataset["loss_standard_error"].max())
    if np.isfinite(error):
        lines.append(f"standard error of the loss {error:.2g}{unit}: features that live shorter may be sampling noise")
    return lines


def _lives(one: xr.Dataset) -> str:
    """How many features, and how long the longest of those lives that ends."""
    lives = (one["death"] - one["birth"]).values
    finite = lives[np.isfinite(lives)]
    found = f"{int(one['features'])}"
    return f"{found}, longest finite life {finite.max():.4g}" if finite.size else found
