"""What files of topologies hold."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from landscape.results.schema import Schema


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
