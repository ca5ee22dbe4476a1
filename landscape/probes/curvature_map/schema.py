"""What files of curvature over a plane hold."""

from __future__ import annotations

from landscape.probes.plane.schema import FRAME, plausible
from landscape.results.schema import Schema

_MAP = """
    curvature_ratio(grid) status(grid) loss_status(grid) loss(grid)? loss_standard_error(grid)?
    accuracy(grid)? eigenvalue_largest(grid) eigenvalue_largest_residual(grid)
    eigenvalue_largest_error_bound(grid)? eigenvalue_largest_converged(grid) eigenvalue_smallest(grid)
    eigenvalue_smallest_residual(grid) eigenvalue_smallest_error_bound(grid)?
    eigenvalue_smallest_converged(grid) curvature_ratio_error_bound(grid)? products(grid)?
    checkpoint_eigenvalue_largest() checkpoint_eigenvalue_largest_residual()? checkpoint_eigenvalue_smallest()
    checkpoint_eigenvalue_smallest_residual()? checkpoint_curvature_ratio()?
"""

SCHEMA = Schema(
    variables=f"{_MAP} {FRAME}",
    together=("curvature_ratio | @eigenvalue_tolerance",),
    plausible=plausible,
    planar=True,
    over="curvature_ratio",
)
PLANE_CURVATURE = Schema(
    variables="""
    curvature_largest(grid)? curvature_smallest(grid)? mean_curvature(grid)? loss(grid)
""",
)
