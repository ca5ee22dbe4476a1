"""What files of sharpness hold."""

from __future__ import annotations

from enum import IntEnum

from landscape.results.schema import Schema


class Status(IntEnum):
    """How a value came to be."""

    MISSING = 0
    MEASURED = 1
    NOT_CONVERGED = 2
    ZERO_GRADIENT = 3
    NOT_FINITE = 4


MISSING, MEASURED, NOT_CONVERGED, ZERO_GRADIENT, NOT_FINITE = Status

SCHEMA = Schema(
    variables="""
    sharpness(measure radius) status(measure radius) lower_bound(measure) measure(measure):text rho(measure
    radius) measure_name(measure):text measure_units(measure):text rho_name(measure):text
    error_over(measure):text standard_error(measure radius) gap(measure radius)? checkpoint_loss()
    checkpoint_loss_standard_error()? checkpoint_accuracy()? parameter_norm() gradient_norm() index(sample)?
""",
)
