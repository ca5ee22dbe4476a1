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
            {
                "forest": f"{_HERE}.forest_picture:forest_figure",
                "comparison": f"{_HERE}.picture:comparison_figure",
                "trend": f"{_HERE}.forest_picture:trend_figure",
            },
            f"{_HERE}.page:comparison_content",
        ),
    ),
)
