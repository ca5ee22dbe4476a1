"""What differs between runs, as it is drawn; it is made in :mod:`landscape.comparison`."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.comparison"

COMPARISON = Probe(
    "comparison",
    f"{_HERE}.result:SCHEMA",
    title="comparison",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a comparison",
            {"comparison": f"{_HERE}.picture:comparison_figure"},
            f"{_HERE}.page:comparison_content",
        ),
    ),
)
