"""What a user asks of the noise of a gradient."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from landscape.probes.noise_scale.measure import NoiseScaleConfig
from landscape.probes.settings import SampledSettings

_NOISE = NoiseScaleConfig()


class NoiseScaleSettings(SampledSettings):
    """The gradient noise scale; the other fields are those of :class:`landscape.probes.noise_scale.measure.NoiseScaleConfig`."""

    kind: Literal["noise_scale"] = "noise_scale"
    small_batch: int = _NOISE.small_batch
    groups: int = _NOISE.groups
    split_seed: int = _NOISE.split_seed

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.config()
        return self

    def config(self) -> NoiseScaleConfig:
        """How the samples are split."""
        return NoiseScaleConfig(self.small_batch, self.groups, self.split_seed)
