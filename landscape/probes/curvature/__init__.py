"""The spectrum of the Hessian or the Gauss–Newton matrix at a checkpoint."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.curvature"

CURVATURE = Probe(
    "curvature",
    f"{_HERE}.result:SCHEMA",
    question="What are the eigenvalues, the trace and the density of the Hessian?",
    cost="a few hundred Hessian products",
    spreads=True,
    settings=f"{_HERE}.config:CurvatureSettings",
    prepare=f"{_HERE}.probe:prepare_curvature",
    steps=f"{_HERE}.probe:training_steps",
    title="curvature",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a curvature",
            {"spectrum": f"{_HERE}.picture:curvature_figure"},
            f"{_HERE}.page:curvature_content",
            uses=frozenset({"share"}),
        ),
    ),
    compared=f"{_HERE}.result:CURVATURE",
    examples=("--checkpoint RUN/last.pt --top 20", "--checkpoint RUN/last.pt --operator gauss-newton --per-layer"),
)
