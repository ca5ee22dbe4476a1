"""The extreme eigenvalues of the Hessian over a plane."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.curvature_map"

CURVATURE_MAP = Probe(
    "curvature_map",
    f"{_HERE}.result:SCHEMA",
    question="Where around the checkpoint does the loss curve downward?",
    cost="some fifty Hessian products a point",
    leads=True,
    spreads=True,
    settings=f"{_HERE}.config:CurvatureMapSettings",
    prepare=f"{_HERE}.probe:prepare_curvature_map",
    steps=f"{_HERE}.probe:training_steps",
    title="curvature map",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a curvature map",
            {"curvature-map": f"{_HERE}.picture:curvature_map_figure"},
            f"{_HERE}.page:curvature_map_content",
            "curvature_ratio",
            frozenset({"seed", "share", "points"}),
            grid=2,
        ),
    ),
    compared=f"{_HERE}.result:CURVATURE_MAPS",
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --x=-0.5:0.5:11 --y=-0.5:0.5:11"),
)

PLANE_CURVATURE = Probe(
    "plane_curvature",
    f"{_HERE}.result:PLANE_CURVATURE",
    title="curvature within a loss plane",
    words=f"{_HERE}.result:plane_curvature_words",
)
