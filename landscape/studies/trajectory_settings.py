"""What a user asks of the plane along a training."""

from __future__ import annotations

from typing import Literal

from landscape.studies.sampled_settings import RefinedSettings


class TrajectorySettings(RefinedSettings):
    """The plane of a run's principal components; the other fields are those of :func:`landscape.probes.trajectory.trajectory`."""

    kind: Literal["trajectory"] = "trajectory"
    centred: bool = False
