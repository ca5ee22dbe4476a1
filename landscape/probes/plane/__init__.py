"""The loss along a line, or over a plane, through a checkpoint."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.plane"

PLANE = Probe(
    "plane",
    f"{_HERE}.result:SCHEMA",
    question="What does the loss look like around the checkpoint, or between three?",
    cost="an evaluation a point; adaptive, about a sixth of them and some fifty to audit it",
    leads=True,
    spreads=True,
    settings=f"{_HERE}.config:PlaneSettings",
    prepare=f"{_HERE}.probe:prepare_plane",
    steps=f"{_HERE}.probe:plane_steps",
    title="loss surface",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a 1-D plane",
            {"line": f"{_HERE}.line:line_figure"},
            f"{_HERE}.line_page:lines_content",
            "loss",
            frozenset({"seed", "loss_max", "share"}),
            grid=1,
        ),
        Drawn(
            "a 2-D plane",
            {"contour": f"{_HERE}.contour:contour_figure", "surface": f"{_HERE}.surface:surface_figure"},
            f"{_HERE}.page:planes_content",
            "loss",
            frozenset({"seed", "loss_max", "share", "points", "view"}),
            grid=2,
        ),
    ),
    compared=f"{_HERE}.compared:PLANES",
    examples=("--checkpoint RUN/last.pt --seeds 0,1,2", "--checkpoint A.pt --to B.pt --to C.pt"),
)

LINE = Probe(
    "line",
    f"{_HERE}.result:SCHEMA",
    kind="plane",
    question="What does the loss look like along one direction, or from one checkpoint to another?",
    cost="an evaluation a point",
    leads=True,
    spreads=True,
    settings=f"{_HERE}.config:LineSettings",
    prepare=f"{_HERE}.probe:prepare_plane",
    steps=f"{_HERE}.probe:plane_steps",
    title="loss surface",
    words=f"{_HERE}.result:words",
    examples=("--checkpoint RUN/last.pt --x=-1:1:101", "--checkpoint A.pt --to B.pt"),
)

SMOOTHNESS = Probe(
    "plane_smoothness",
    f"{_HERE}.result:SMOOTHNESS",
    title="smoothness of a loss plane",
    words=f"{_HERE}.result:smoothness_words",
)
