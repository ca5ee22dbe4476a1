"""What a plane's topology says of it for each direction seed: how deep its basins are."""

from __future__ import annotations

import xarray as xr

from landscape.probes.comparable import DIRECTION_SEEDS, Kind, Measure, Options, Reading
from landscape.probes.plane.compared import FAMILY, PLANES, invariant_planes
from landscape.probes.topology.measure import plane_smad


def _read(plane: xr.Dataset, options: Options) -> list[Reading]:
    """The depth of basins; 0 where a plane has one alone, so that its scale is linear."""
    words, unit = "SMAD: mean difference of loss between saddles and minima", str(plane["loss"].attrs.get("units", "1"))
    measure = Measure("smad", words, unit, FAMILY, "linear", "lower", invariant_planes(plane))
    return [Reading(measure, dict(plane_smad(plane).items()), DIRECTION_SEEDS)]


ON_PLANES = Kind(FAMILY, PLANES.conditions, _read)
