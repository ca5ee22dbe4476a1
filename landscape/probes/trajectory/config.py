"""What a user asks of the plane along a training."""

from __future__ import annotations

from typing import Annotated, Literal

from landscape.checking import OWN, Option
from landscape.probes.settings import HeightSettings


class TrajectorySettings(HeightSettings):
    """A run's principal components; the other fields are those of :func:`landscape.probes.trajectory.measure.trajectory`."""

    kind: Literal["trajectory"] = "trajectory"
    ordered: Annotated[
        bool,
        Option(
            "Whether the checkpoints are a path, or models in no order.",
            OWN,
            "a path",
            "--ordered/--unordered",
            later=True,
        ),
    ] = True
    centred: Annotated[bool, Option("Take the mean off, as the original tool does.", OWN)] = False
