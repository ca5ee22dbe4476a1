"""What files of the edge of stability hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    step(step) sharpness(step) ratio(step) residual(step) converged(step) loss(step) threshold(step)?
    products(step)? epoch(step)? learning_rate(step)?
""",
    together=("@limit @rule |",),
)
