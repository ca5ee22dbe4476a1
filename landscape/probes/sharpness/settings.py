"""What a user asks of the sharpness of a checkpoint."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from landscape.errors import InputError
from landscape.probes.settings import SampledSettings
from landscape.probes.sharpness.config import SharpnessConfig

_SHARPNESS = SharpnessConfig()


class SharpnessSettings(SampledSettings):
    """Sharpness over a range of ρ; the other fields are those of :class:`landscape.probes.sharpness.config.SharpnessConfig`."""

    kind: Literal["sharpness"] = "sharpness"
    measures: tuple[str, ...] = _SHARPNESS.measures
    rho: tuple[float, ...] | None = None
    ascent_steps: int = _SHARPNESS.ascent_steps
    restarts: int = _SHARPNESS.restarts
    ascent_tolerance: float = _SHARPNESS.ascent_tolerance
    draws: int = _SHARPNESS.draws
    m: int | None = None
    draw_seed: int = _SHARPNESS.draw_seed

    @field_validator("measures", "rho", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """One name or number, or several as text with commas."""
        if isinstance(value, str):
            return [part.strip() for part in value.split(",")]
        return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.config()
        if self.batch_norm == "interpolated":
            raise InputError(
                "batch_norm: 'interpolated' moves the running statistics between checkpoints, and a perturbation leads to "
                "none. Choose frozen, batch or reestimated."
            )
        return self

    def config(self) -> SharpnessConfig:
        """Which measures, how far, and how hard they are tried."""
        return SharpnessConfig(
            measures=self.measures,
            rho=self.rho,
            ascent_steps=self.ascent_steps,
            restarts=self.restarts,
            ascent_tolerance=self.ascent_tolerance,
            draws=self.draws,
            m=self.m,
            draw_seed=self.draw_seed,
        )
