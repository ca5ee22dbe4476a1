"""What a user asks of the steps that follow a checkpoint."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from landscape.checking import OWN, Option
from landscape.probes.settings import ProbeSettings
from landscape.probes.steps.measure import ALONG_HELP, DEFAULT_ALONG, Along, StepProbeConfig


class StepsSettings(ProbeSettings):
    """The step probe of a training that goes on from a checkpoint for ``steps`` steps, without changing its file.

    The other fields are those of :class:`landscape.probes.steps.measure.StepProbeConfig`.
    """

    kind: Literal["steps"] = "steps"
    steps: Annotated[int, Option("Go on training for so many.", OWN)] = Field(default=100, ge=1)
    probe_every: Annotated[int, Option("Look along every so many.", OWN)] = 10
    probe_eta: Annotated[str, Option("low:high:count, in multiples of the learning rate.", OWN)] = "0.5:4:8"
    probe_spacing: Annotated[str, Option("linear or log.", OWN)] = "linear"
    probe_along: Annotated[Along, Option(ALONG_HELP, OWN)] = DEFAULT_ALONG

    @model_validator(mode="after")
    def _probe(self) -> Self:
        self.config()
        return self

    def identity(self) -> dict[str, Any]:
        """As in :meth:`ProbeSettings.identity`; the default directions go without saying, as in files from before others."""
        usual = {"probe_along"} if self.probe_along == DEFAULT_ALONG else set()
        return {name: value for name, value in super().identity().items() if name not in usual}

    def config(self) -> StepProbeConfig:
        """When and where the probe looks."""
        return StepProbeConfig.parse(self.probe_every, self.probe_eta, self.probe_spacing, self.probe_along)
