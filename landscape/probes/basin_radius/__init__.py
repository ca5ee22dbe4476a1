"""How far the weights may move, in random directions and in the worst, until a metric has fallen by a stated share."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.basin_radius"

BASIN_RADIUS = Probe(
    "basin_radius",
    f"{_HERE}.result:SCHEMA",
    question="How far can the weights move until loss or accuracy is worse by a stated share?",
    cost="about ten evaluations a direction, and some thirty Hessian products for the worst",
    settings=f"{_HERE}.config:BasinRadiusSettings",
    prepare=f"{_HERE}.probe:prepare_basin_radius",
    steps=f"{_HERE}.probe:training_steps",
    title="basin radius",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a basin radius",
            {"basin-radius": f"{_HERE}.picture:basin_radius_figure"},
            f"{_HERE}.page:basin_radius_content",
        ),
    ),
    compared=f"{_HERE}.result:COMPARED",
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --metric accuracy --share 0.05 --draws 30"),
)
