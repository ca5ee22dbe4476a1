"""What the spectrum at a checkpoint says (:mod:`landscape.probes.curvature.measure`): λ_max, the trace and the Frobenius norm.

All change with the scale of the weights, whichever of the ways of :data:`landscape.probes.comparable.RESCALINGS` they take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import NOT_SAID, Kind, Measure, Options, Reading
from landscape.probes.conditions import sampled_conditions

_FAMILY = "curvature"
# Variable, what it is, and its scale: a Hessian's trace may be negative.
_SUMS = (("trace", "trace of the {}", "linear"), ("frobenius_norm", "Frobenius norm of the {}", "log"))


def _conditions(found: xr.Dataset) -> Mapping[str, Any]:
    if "block" in found.dims:
        raise InputError("its spectra are those of single layers. Measure it without --per-layer.")
    return {
        **sampled_conditions(found),
        "operator": found.attrs.get("operator", NOT_SAID),
        "parameters": ", ".join(found.attrs.get("parameter_names", [NOT_SAID])),
        "curvature tolerance": found.attrs.get("curvature_tolerance", NOT_SAID),
    }


def _read(found: xr.Dataset, options: Options) -> list[Reading]:
    matrix = {"hessian": "Hessian", "gauss-newton": "Gauss–Newton matrix"}.get(
        str(found.attrs.get("operator")), "matrix"
    )
    readings = []
    if "eigenvalues" in found and 1 in found["rank"].values:
        first = found.sel(rank=1)
        units = str(found["eigenvalues"].attrs.get("units", "1"))
        largest = Measure("largest_eigenvalue", f"λ_max of the {matrix}", units, _FAMILY, "log", "lower")
        # What did not converge is a lower bound, and no value to compare.
        readings.append(Reading(largest, {"run": float(first["eigenvalues"]) if first["converged"] else np.nan}))
    for name, words, scale in _SUMS:
        if name in found:
            units = str(found[name].attrs.get("units", "1"))
            measure = Measure(name, words.format(matrix), units, _FAMILY, scale)  # type: ignore[arg-type]
            readings.append(Reading(measure, {"run": float(found[name])}))
    return readings


CURVATURE = Kind(_FAMILY, _conditions, _read)
