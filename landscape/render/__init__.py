"""Floor 3: labelled results in, pictures out. Nothing here measures anything, and nothing here writes a file."""

from landscape.render.figure import plot
from landscape.render.page import interactive

__all__ = ["interactive", "plot"]
