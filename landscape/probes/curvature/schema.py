"""What files of spectra hold."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import xarray as xr

from landscape.results.schema import Schema


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
