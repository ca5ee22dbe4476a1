"""What files of gradient noise hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    noise_scale() noise_scale_standard_error() noise_trace() noise_trace_standard_error()?
    gradient_norm_squared() gradient_norm_squared_standard_error()? resolved() noise_scale_without(group)?
""",
)
