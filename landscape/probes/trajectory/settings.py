"""What a user asks of the plane along a training."""

from __future__ import annotations

from typing import Literal

from landscape.probes.settings import RefinedSettings


class TrajectorySettings(RefinedSettings):
    """A run's principal components; the other fields are those of :func:`landscape.probes.trajectory.measure.trajectory`."""

    kind: Literal["trajectory"] = "trajectory"
    centred: bool = False
