"""Which kinds of results are compared, and how, as their rooms say."""

from __future__ import annotations

from functools import cache

import xarray as xr

from landscape.probes.comparable import Kind, Options, Reading
from landscape.registry import found, probes


@cache
def compared_kinds() -> dict[str, Kind]:
    """Kind of file -> how such results are compared: by what their own room reads, then by what others read of them."""
    own: dict[str, Kind] = {p.of_file: found(p.compared) for p in probes().values() if p.compared and not p.compared_on}
    for probe in probes().values():
        if probe.compared_on:
            own[probe.compared_on] = _both(own[probe.compared_on], found(probe.compared))
    return own


@cache
def pictures_only() -> frozenset[str]:
    """Of the kinds that belong to a run, those that hold nothing that is one number of it."""
    return frozenset(p.of_file for p in probes().values() if p.run_file and not p.compared)


def _both(one: Kind, other: Kind) -> Kind:
    def read(dataset: xr.Dataset, options: Options) -> list[Reading]:
        return [*one.read(dataset, options), *other.read(dataset, options)]

    return Kind(one.family, one.conditions, read)
