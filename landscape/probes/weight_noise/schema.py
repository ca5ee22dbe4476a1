"""What files of weight noise hold."""

from __future__ import annotations

from enum import IntEnum

from landscape.results.schema import Schema


class Status(IntEnum):
    """How a value came to be."""

    MISSING = 0
    MEASURED = 1
    NOT_FINITE = 2


SCHEMA = Schema(
    variables="""
    rise(noise level) standard_error(noise level) sample_standard_error(noise level) draw_rise(noise level draw)
    status(noise level) noise(noise):text noise_name(noise):text sigma(noise level) checkpoint_loss()
    checkpoint_loss_standard_error() parameter_norm() index(sample)
""",
)
