"""What files of gradient flow hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    mean_abs_gradient(record tensor) gradient_norm(record tensor)? epoch(record) step(record)?
    tensor(tensor):text? depth(tensor) role(tensor):text
""",
)
