"""Minima, saddles, merge tree and persistence of measured planes."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.topology"

TOPOLOGY = Probe(
    "topology",
    f"{_HERE}.result:SCHEMA",
    title="topology of a loss plane",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a topology",
            {"topology": f"{_HERE}.picture:topology_figure"},
            f"{_HERE}.page:topology_content",
            uses=frozenset({"seed", "share"}),
        ),
    ),
    compared=f"{_HERE}.compared:ON_PLANES",
    compared_on="plane",
)
