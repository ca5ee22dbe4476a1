"""The plane in which a training moved: the principal components of its checkpoints."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.trajectory"

TRAJECTORY = Probe(
    "trajectory",
    f"{_HERE}.result:SCHEMA",
    question="In which plane did the training move, and what is the loss there?",
    cost="an evaluation a point, as for a plane, and one for each checkpoint",
    leads=True,
    spreads=True,
    settings=f"{_HERE}.config:TrajectorySettings",
    prepare=f"{_HERE}.probe:prepare_trajectory",
    steps=f"{_HERE}.probe:training_steps",
    title="training trajectory",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a trajectory",
            {"trajectory": f"{_HERE}.picture:trajectory_figure"},
            f"{_HERE}.page:trajectory_content",
            "loss",
            frozenset({"loss_max", "share", "points"}),
            grid=2,
        ),
    ),
    examples=("RUN", "RUN/last.pt --to RUN/epoch-*.pt --x auto:31 --y auto:31"),
)
