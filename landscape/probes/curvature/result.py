"""What files of spectra hold, what is said of them, and what is compared.

Compared is what the spectrum at a checkpoint says (:mod:`landscape.probes.curvature.measure`):
λ_max, the trace and the Frobenius norm.

All change with the scale of the weights, whichever of the ways of :data:`landscape.probes.comparable.RESCALINGS` they take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.probes.comparable import NOT_SAID, Kind, Measure, Options, Reading, sampled_conditions
from landscape.results.schema import Schema
from landscape.results.words import at_checkpoint, count, dead, notes, quantity, span, unit_of


class Status(IntEnum):
    """How a quantity came to be."""

    MISSING = 0
    MEASURED = 1
    NOT_CONVERGED = 2


MISSING, MEASURED, NOT_CONVERGED = Status


def plausible(dataset: xr.Dataset) -> Iterator[str]:
    """A spectrum's points rise, its densities are none below 0, and its Gaussians have a width."""
    if (dataset["parameters"] < 1).any():
        yield "'parameters' holds numbers below 1"
    if "density_at" in dataset:
        if (np.diff(dataset["density_at"].values, axis=-1) <= 0).any():
            yield "'density_at' does not rise"
        if (dataset[["density", "density_spread"]].to_array() < 0).any():
            yield "'density' or 'density_spread' holds numbers below 0"
        if not (dataset["density_variance"].where(dataset["density_at"].notnull().any("point"), 1) > 0).all():
            yield "'density_variance' holds numbers that are not above 0"


SCHEMA = Schema(
    variables="""
    eigenvalues([block] rank) residuals([block] rank) converged([block] rank) rank(rank) parameters([block])
    status([block] quantity) quantity(quantity):text block(block):text? trace([block])?
    trace_standard_error([block])? frobenius_norm([block])? frobenius_norm_standard_error([block])?
    density_at([block] point)? density([block] point)? density_spread([block] point)?
    density_variance([block])? products([block])? checkpoint_loss() checkpoint_loss_standard_error()?
    checkpoint_accuracy()? parameter_norm() gradient_norm() eigenvectors(rank parameter)? index(sample)?
""",
    together=(
        "trace trace_standard_error frobenius_norm frobenius_norm_standard_error |",
        "density density_at density_spread density_variance |",
    ),
    plausible=plausible,
)


_NAMES = {"hessian": "Hessian", "gauss-newton": "Gauss–Newton matrix"}
_TRACES = {"trace": "trace", "frobenius_norm": "Frobenius norm"}
_SHOWN = 3  # eigenvalues at either end
_BLOCKS = 6  # layers, those of the largest eigenvalues
_NOTE, _NOTES = r"\d+ of |the matrix|every eigenvalue", 3


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss and norms, then the extremes, trace and norm of the matrix or of its layers' blocks."""
    blocked = "block" in dataset.dims
    said = notes(dataset, _NOTE)
    return [
        *at_checkpoint(dataset),
        _matrix(dataset),
        *(_blocks(dataset) if blocked else [*_spectrum(dataset), *_density(dataset)]),
        *said[:_NOTES],
        *([f"{count(len(said) - _NOTES, 'more note')} in the file"] if len(said) > _NOTES else []),
        *dead(dataset),
    ]


def _matrix(dataset: xr.Dataset) -> str:
    """Which matrix, and how many of its eigenvalues are known."""
    name = _NAMES.get(str(dataset.attrs.get("operator")), "matrix")
    blocks = f", diagonal blocks of {count(dataset.sizes['block'], 'layer')}" if "block" in dataset.dims else ""
    found = int(np.isfinite(dataset["eigenvalues"]).sum())
    known = (
        f"{int(dataset['converged'].sum())} of {count(found, 'eigenvalue')} converged" if found else "no eigenvalue yet"
    )
    products = f" in {count(dataset['products'].sum(), 'product')}" if "products" in dataset else ""
    return f"{name} of {count(dataset['parameters'].sum(), 'parameter')}{blocks}: {known}{products}"


def _blocks(dataset: xr.Dataset) -> list[str]:
    """The layers with the largest eigenvalues."""
    values = dataset["eigenvalues"].values
    top = np.where(np.isfinite(values), values, -np.inf).max(axis=-1, initial=-np.inf)
    shown = np.argsort(-top, kind="stable")[:_BLOCKS]
    names = dataset["block"].values if "block" in dataset.coords else np.arange(len(top))
    lines = [f"{names[k]}: {'; '.join(_spectrum(dataset.isel(block=k)))}" for k in shown]
    left = len(top) - len(shown)
    return [*lines, *([f"{count(left, 'layer')} of smaller eigenvalues in the file"] if left else [])]


def _spectrum(block: xr.Dataset) -> list[str]:
    ends = "; ".join(_ends(block))
    traces = (f"{words} {quantity(block, name)}" for name, words in _TRACES.items())
    return [*([ends] if ends else []), *([", ".join(traces)] if "trace" in block else [])]


def _density(dataset: xr.Dataset) -> list[str]:
    if "density_at" not in dataset or not np.isfinite(dataset["density_at"]).any():
        return []
    return [f"density of all eigenvalues from {span(dataset['density_at'])}{unit_of(dataset['density_at'])}"]


def _ends(block: xr.Dataset) -> list[str]:
    """The first eigenvalues at either end."""
    ranks, values = block["rank"].values, block["eigenvalues"].values
    parts = []
    for end, mask in (("largest", ranks > 0), ("smallest", ranks < 0)):
        known = values[mask][np.isfinite(values[mask])]
        more = ", …" if known.size > _SHOWN else ""
        if known.size:
            shown = ", ".join(f"{value:.5g}" for value in known[:_SHOWN])
            parts.append(f"{end} {shown}{more}{unit_of(block['eigenvalues'])}")
    return parts


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
