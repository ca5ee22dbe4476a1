"""What a user asks of the curvature of a checkpoint's loss."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.settings import SampledSettings

_CURVATURE = CurvatureConfig()


class CurvatureSettings(SampledSettings):
    """The spectrum; the other fields are those of :class:`landscape.probes.curvature.config.CurvatureConfig`.

    The matrix is taken over the ``parameters``.
    """

    kind: Literal["curvature"] = "curvature"
    operator: str = _CURVATURE.operator
    per_layer: bool = _CURVATURE.per_layer
    top: int = _CURVATURE.top
    bottom: int = _CURVATURE.bottom
    curvature_tolerance: float = _CURVATURE.tolerance
    criterion: str = _CURVATURE.criterion
    max_products: int = _CURVATURE.max_products
    trace_probes: int = _CURVATURE.trace_probes
    trace_method: str = _CURVATURE.trace_method
    density_probes: int = _CURVATURE.density_probes
    density_steps: int = _CURVATURE.density_steps
    draw_seed: int = _CURVATURE.draw_seed

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.config()
        return self

    def config(self) -> CurvatureConfig:
        """Which matrix, and which of its quantities."""
        return CurvatureConfig(
            operator=self.operator,
            per_layer=self.per_layer,
            top=self.top,
            bottom=self.bottom,
            tolerance=self.curvature_tolerance,
            criterion=self.criterion,
            max_products=self.max_products,
            trace_probes=self.trace_probes,
            trace_method=self.trace_method,
            density_probes=self.density_probes,
            density_steps=self.density_steps,
            draw_seed=self.draw_seed,
        )
