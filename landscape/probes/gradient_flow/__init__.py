"""How gradients flow through the layers of a network while it trains."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.gradient_flow"

GRADIENT_FLOW = Probe(
    "gradient_flow",
    f"{_HERE}.result:SCHEMA",
    title="gradient flow",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a gradient flow",
            {"flow": f"{_HERE}.picture:flow_figure"},
            f"{_HERE}.page:flow_content",
            "mean_abs_gradient",
            frozenset({"share"}),
        ),
    ),
    observer=f"{_HERE}.measure:GradientFlow",
    run_file="gradient_flow.h5",
    run_hint="Every training keeps one, and ls.watch where it is asked for gradient_flow.",
)
