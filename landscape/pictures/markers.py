"""What is marked on a plane or line: the checkpoint, the lowest measured value, points that are no numbers."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.lines import Line2D

from landscape.pictures.style import INK

ORIGIN: dict[str, Any] = {"marker": "+", "color": "white", "markersize": 8, "markeredgewidth": 1.3, "linestyle": "none"}
ORIGIN_RIM: dict[str, Any] = {**ORIGIN, "color": INK, "markersize": 9.4, "markeredgewidth": 2.6}
OTHER: dict[str, Any] = {
    "marker": "D",
    "color": "white",
    "markeredgecolor": INK,
    "markersize": 4,
    "markeredgewidth": 0.8,
    "linestyle": "none",
}
LOWEST: dict[str, Any] = {
    "marker": "*",
    "color": "#D55E00",
    "markeredgecolor": "white",
    "markersize": 7,
    "markeredgewidth": 0.5,
    "linestyle": "none",
}
# of a value that is drawn, but not measured there
LOWEST_DRAWN: dict[str, Any] = {
    **LOWEST,
    "color": "white",
    "markeredgecolor": "#D55E00",
    "markersize": 6.5,
    "markeredgewidth": 0.9,
}
NONFINITE: dict[str, Any] = {"marker": "x", "color": INK, "linestyle": "none", "markeredgewidth": 0.6}
MISSING: dict[str, Any] = {
    "marker": "o",
    "color": "none",
    "markeredgecolor": "#777777",
    "linestyle": "none",
    "markeredgewidth": 0.5,
}
MEASURED: dict[str, Any] = {"marker": ".", "color": INK, "markersize": 2.6, "alpha": 0.7, "linestyle": "none"}
ABOVE_CLIP: dict[str, Any] = {
    "marker": "^",
    "color": "none",
    "markeredgecolor": "#7a4a00",
    "markeredgewidth": 0.4,
    "linestyle": "none",
}


class Named(NamedTuple):
    """An entry of a legend: what is drawn, what it is, and what is said of it in its own panel."""

    handle: Any
    words: str
    detail: str = ""

    @property
    def text(self) -> str:
        """All of its words."""
        return f"{isolated(self.words)}: {self.detail}" if self.detail else self.words


def isolated(words: str) -> str:
    """Words in a line of others: from right to left they would turn the numbers beside them round, 1200 ± 120 to 120 ± 1200."""
    turns = any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in words)
    return f"\N{FIRST STRONG ISOLATE}{words}\N{POP DIRECTIONAL ISOLATE}" if turns else words


def merged_gaps(entries: Sequence[Named]) -> list[Named]:
    """What the crosses of several runs are: each its own entry, or one for all, as their colours tell them apart."""
    most = 2
    return list(entries) if len(entries) <= most else [Named(handle(NONFINITE, 4), "not finite")]


Entry = Named | tuple[Any, str]


def entry_of(entry: Entry) -> Named:
    """A pair of handle and words as an entry."""
    return entry if isinstance(entry, Named) else Named(*entry)


def handle(look: dict[str, Any], size: float | None = None) -> Line2D:
    """A legend's sample of a marker."""
    return Line2D([], [], **(look if size is None else {**look, "markersize": size}))
