"""What a user asks of the steps that follow a checkpoint."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from landscape.probes.settings import ProbeSettings
from landscape.probes.steps.measure import StepProbeConfig


class StepsSettings(ProbeSettings):
    """The step probe of a training that goes on from a checkpoint for ``steps`` steps, without changing its file.

    The other fields are those of :class:`landscape.probes.steps.measure.StepProbeConfig`.
    """

    kind: Literal["steps"] = "steps"
    steps: int = Field(default=100, ge=1)
    probe_every: int = 10
    probe_eta: str = "0.5:4:8"
    probe_spacing: str = "linear"

    @model_validator(mode="after")
    def _probe(self) -> Self:
        self.config()
        return self

    def config(self) -> StepProbeConfig:
        """When and where the probe looks."""
        return StepProbeConfig.parse(every=self.probe_every, eta=self.probe_eta, spacing=self.probe_spacing)
