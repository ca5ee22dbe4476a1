"""What a user asks of the plane along a training."""

from __future__ import annotations

from typing import Annotated, Literal

from landscape.checking import OWN, Option
from landscape.probes.settings import RefinedSettings


class TrajectorySettings(RefinedSettings):
    """A run's principal components; the other fields are those of :func:`landscape.probes.trajectory.measure.trajectory`."""

    kind: Literal["trajectory"] = "trajectory"
    centred: Annotated[bool, Option("Take the mean off, as the original tool does.", OWN)] = False
