"""The edge of stability: the largest eigenvalue of the Hessian against what the optimiser allows."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.stability"

STABILITY = Probe(
    "stability",
    f"{_HERE}.result:SCHEMA",
    title="edge of stability",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "an edge of stability",
            {"stability": f"{_HERE}.picture:stability_figure"},
            f"{_HERE}.page:stability_content",
            uses=frozenset({"loss_max", "share"}),
        ),
    ),
    observer=f"{_HERE}.measure:StabilityProbe",
    run_file="stability.h5",
    run_hint="Train with --stability-every, such as --stability-every 10.",
)
