"""What a training came to, epoch by epoch."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.history"

HISTORY = Probe(
    "history",
    f"{_HERE}.result:SCHEMA",
    title="training history",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a training history",
            {"curves": f"{_HERE}.picture:curves_figure"},
            f"{_HERE}.page:curves_content",
            "loss",
            frozenset({"loss_max", "share"}),
        ),
    ),
    compared=f"{_HERE}.result:TRAINING",
    run_file="history.h5",
)
