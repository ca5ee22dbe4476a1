"""The curvature of every block as the labelled data set that is stored and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import xarray as xr

from landscape.probes.curvature.quadrature import MOMENTS, density, moments
from landscape.probes.curvature.result import MEASURED, MISSING, NOT_CONVERGED
from landscape.probes.curvature.traces import Estimate, Traces
from landscape.probes.curvature.values import (
    EIGENVALUES,
    CurvatureTable,
    array_dims,
    quantities,
    ranks_of,
    space_variables,
)
from landscape.results.attributes import flags, labels

UNSYMMETRIC = 0.05  # more than the rounding of deep networks in single precision
ROUNDING = 10  # relative error of a product, in units of the precision's epsilon
_STATUSES = {MISSING: "missing", MEASURED: "measured", NOT_CONVERGED: "not_converged"}
# array -> what it is, and whether it is in units of the loss
_WORDS = {
    "eigenvalues": ("eigenvalue λ, a Rayleigh quotient", True),
    "residuals": ("residual ‖H y − λ y‖ of a unit eigenvector y; an eigenvalue lies no further than this from λ", True),
    "error_bounds": ("error bound of λ: the residual, or its square over the gap to the other Ritz values", True),
    "converged": ("whether the criterion is met to the tolerance", False),
    "products": ("products of the matrix that the eigenvalues took", False),
    "trace_samples": ("of each random vector g, deflated: gᵀ H g and ‖H g‖²", False),
    "known_traces": ("share of the deflated subspace in the trace and in the squared Frobenius norm", False),
    "asymmetry": (
        "‖G − Gᵀ‖ / ‖G‖ of the products G = V H Vᵀ: rounding, unless a second derivative is not a true one",
        False,
    ),
    "nodes": ("nodes of each probe's Gauss quadrature", True),
    "weights": ("weights of each probe's Gauss quadrature", False),
}
_ESTIMATES = {"trace": "trace, the sum of the eigenvalues", "frobenius_norm": "Frobenius norm, √Σ λ²"}
_ENDS = {
    "standard_error": "standard error over random vectors of the {}",
    "low": "lower end of the 95 % interval of the {}",
    "high": "upper end of the 95 % interval of the {}",
}


def curvature_dataset(table: CurvatureTable, unit: str) -> xr.Dataset:
    """All that is known, where the loss is in ``unit``; without the dimension ``block`` where the matrix is one block."""
    dataset = xr.Dataset(
        _stored(table, unit) | _traces(table, unit) | _densities(table, unit), coords=_coordinates(table)
    )
    dataset["status"] = (
        ("block", "quantity"),
        table.status.copy(),
        {**labels("how the quantity came to be"), **flags(_STATUSES)},
    )
    sizes = np.array([table.layout.part(names).size for names in table.blocks.values()], dtype=np.int64)
    dataset["parameters"] = (("block",), sizes, labels("number of parameters of the block"))
    if not table.config.per_layer:
        dataset = dataset.isel(block=0, drop=True)
    vectors = labels("unit eigenvector of each eigenvalue, entries in θ's order")
    dataset["eigenvectors"] = (("rank", "parameter"), table.eigenvectors.copy(), vectors)
    return dataset.assign(space_variables(table.space)).assign_attrs(notes="; ".join(_notes(table)))


def _stored(table: CurvatureTable, unit: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, dims in array_dims().items():
        words, in_loss = _WORDS[name]
        values = table.arrays[name].copy()
        made[name] = (
            dims,
            values.astype(np.int8) if name == "converged" else values,
            labels(words, unit if in_loss else "1"),
        )
    return made


def _coordinates(table: CurvatureTable) -> dict[str, Any]:
    names = {"block": [*table.blocks], "quantity": [*quantities(table.config)]}
    words = {"block": "layer, the diagonal block of its parameters", "quantity": "what is measured of a block"}
    text = {name: ((name,), np.array(values, dtype=object), labels(words[name])) for name, values in names.items()}
    ranks = "1, 2, … from the largest eigenvalue down, −1, −2, … from the smallest up"
    powers = labels("power of the eigenvalues")
    return {
        **text,
        "rank": (("rank",), ranks_of(table.config), labels(ranks)),
        "power": (("power",), np.arange(MOMENTS), powers),
    }


def _traces(table: CurvatureTable, unit: str) -> dict[str, Any]:
    """Trace and Frobenius norm from the vectors so far."""
    if not table.config.trace_probes:
        return {}
    rounding = ROUNDING * torch.finfo(torch.from_numpy(table.eigenvectors[:0]).dtype).eps
    nothing = Estimate(math.nan, math.nan, math.nan, math.nan)
    found = []
    for block in range(len(table.blocks)):
        samples, known = table.traces_of(block), table.arrays["known_traces"][block]
        found.append(Traces.of(samples, (known[0], known[1]), rounding) if len(samples) else Traces(nothing, nothing))
    made: dict[str, Any] = {}
    for name, words in _ESTIMATES.items():
        own = [getattr(one, name.removesuffix("_norm")) for one in found]
        made[name] = (("block",), np.array([one.value for one in own]), labels(words, unit))
        for end, told in _ENDS.items():
            values = np.array([getattr(one, end) for one in own])
            made[f"{name}_{end}"] = (("block",), values, labels(told.format(words.partition(",")[0].lower()), unit))
    return made


def _densities(table: CurvatureTable, unit: str) -> dict[str, Any]:
    """Smoothed densities and moments from the quadratures so far; blocks have points of their own, padded with NaN."""
    if not table.config.density_probes:
        return {}
    count, nodes, weights = len(table.blocks), table.arrays["nodes"], table.arrays["weights"]
    known = [np.isfinite(nodes[block]).any(axis=1) for block in range(count)]
    found = [density(nodes[b][known[b]], weights[b][known[b]]) if known[b].any() else None for b in range(count)]
    longest = max((len(one.points) for one in found if one is not None), default=0)
    curves = np.full((3, count, longest), np.nan)
    variance, estimates = np.full(count, np.nan), np.full((4, count, MOMENTS), np.nan)
    for block, one in enumerate(found):
        if one is None:
            continue
        curves[:, block, : len(one.points)] = one.points, one.mean, one.spread
        variance[block] = one.variance
        each = moments(nodes[block][known[block]], weights[block][known[block]])
        of_power = [Estimate.of(each[:, power]) for power in range(MOMENTS)]
        estimates[:, block] = np.array([(e.value, e.standard_error, e.low, e.high) for e in of_power]).T
    along, by_power = ("block", "point"), ("block", "power")
    smooth = "density of eigenvalues per unit of λ, its integral 1, smoothed by Gaussians of density_variance"
    return {
        "density_at": (along, curves[0], labels("eigenvalue λ at which the density is given", unit)),
        "density": (along, curves[1], labels(smooth)),
        "density_spread": (along, curves[2], labels("standard deviation of the density over the random vectors")),
        "density_variance": (("block",), variance, labels("variance of the density's Gaussians")),
        "moments": (by_power, estimates[0], labels("mean over all eigenvalues of λ to the power, unsmoothed")),
        **{
            f"moments_{end}": (by_power, estimates[place], labels(told.format("moments")))
            for place, (end, told) in enumerate(_ENDS.items(), 1)
        },
    }


def _notes(table: CurvatureTable) -> Iterator[str]:
    for block, name in enumerate(table.blocks):
        of = f" of {name}" if table.config.per_layer else ""
        if table.is_missing(block, EIGENVALUES):
            continue
        known = np.isfinite(table.arrays["eigenvalues"][block])
        left = int((known & (table.arrays["converged"][block] == 0)).sum())
        if left:
            yield (
                f"{left} of {int(known.sum())} eigenvalues{of} did not converge within {table.arrays['products'][block]} "
                "products; their residuals say how far they are known, and more products would tell more"
            )
        if table.arrays["asymmetry"][block] > UNSYMMETRIC:
            yield (
                f"the matrix{of} is unsymmetric by {100 * table.arrays['asymmetry'][block]:.2g} %: an operation has a second "
                "derivative that is not the derivative of its first, or the precision is too low"
            )
        if not table.arrays["eigenvalues"][block][known].any():
            yield (
                f"every eigenvalue{of} that was looked for is exactly zero: the loss is linear in these parameters, piecewise "
                "at least, or does not depend on them"
            )
