"""Colour bars: thin strips that lie, their label before them, with as many of their numbers as stand beside each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize

from landscape.pictures.style import INK, PaperFigure, points
from landscape.pictures.words import line_height, text_width

STRIP, PAD = 0.08, 0.03  # inches: of the strip, and between it and what it belongs to
TICK, NUMBER = 1.5, 1.0  # points of a tick, and from it to its number
BEFORE = 0.45  # of the figure's width, up to which a label stands before its strip, and not over it


@dataclass(frozen=True)
class Bar:
    """A colour bar to be placed.

    Attributes:
        label: what the colours are.
        ticks, words: its numbers.
        places: of the numbers, from 0 to 1 along the strip.
        arrow: whether an arrow stands at its low end, beside the label.
    """

    axes: Axes
    label: str
    ticks: tuple[float, ...]
    words: tuple[str, ...]
    places: tuple[float, ...]
    arrow: bool = False

    @property
    def figure(self) -> PaperFigure:
        return cast(PaperFigure, self.axes.figure)

    @property
    def height(self) -> float:
        """Inches with its numbers, without its label."""
        return PAD + STRIP + self._numbers

    @property
    def _numbers(self) -> float:
        return line_height("tick") + (TICK + NUMBER) / 72

    def fit(self, inches: float, room: float = 0.0) -> None:
        """Write as many numbers, each or every second or third, as cover no other in a strip with so much room beyond its ends."""
        kept: list[int] = []
        halves = [text_width(self.figure, word, points("tick")) / 2 for word in self.words]
        fitting = [
            k for k, half in enumerate(halves) if -room <= self.places[k] * inches - half <= inches + room - 2 * half
        ]
        zero = next((k for k, tick in enumerate(self.ticks) if tick == 0.0), 0)
        for every in range(1, len(fitting) + 1):  # evenly, and 0 among them
            kept = [k for k in fitting if (k - zero) % every == 0]
            pairs = itertools.pairwise(kept)
            if all((self.places[b] - self.places[a]) * inches >= halves[a] + halves[b] + 0.05 for a, b in pairs):
                break
        self.axes.set_xticks([self.ticks[k] for k in kept], [self.words[k] for k in kept])

    def over(self, left: float, bottom: float, inches: float) -> None:
        """Lie over a panel, whose upper edge is at ``bottom`` inches, the numbers over it."""
        self._set(left, bottom + PAD, inches)
        self.axes.xaxis.set_ticks_position("top")
        self.fit(inches)

    def label_lines(self, width: float) -> int:
        """1 where the label does not stand before the strip, in a figure of this width, but over it; else 0."""
        return int(text_width(self.figure, self.label, points("text")) > BEFORE * width)

    def under(self, left: float, bottom: float, right: float, start: float) -> None:
        """Lie under all panels between two edges in inches, the label from ``start`` on; ``bottom`` is that of its numbers."""
        width = float(self.figure.get_size_inches()[0])
        label = self.axes.xaxis.label
        low = bottom + self._numbers
        if self.words:  # the last number may stand at the very end
            right = min(right, width - text_width(self.figure, self.words[-1], points("tick")) / 2 - 0.02)
        if self.label_lines(width):
            place, at = (0.0, 1.0 + PAD / STRIP), "bottom"
        else:
            left = max(
                left,
                start + text_width(self.figure, self.label, points("text")) + 0.08 + 0.03 * (right - left) * self.arrow,
            )
            place, at = ((start - left) / (right - left), 0.5), "center"
        self._set(left, low, right - left)
        self.axes.set_xlabel(self.label, fontsize=points("text"), parse_math=False)
        self.axes.xaxis.set_label_coords(*place)
        label.set(ha="left", va=at)
        self.fit(right - left, room=width - right - 0.01)

    def _set(self, left: float, bottom: float, inches: float) -> None:
        width, height = self.figure.get_size_inches()
        self.axes.set_position((left / width, bottom / height, inches / width, STRIP / height))


def bar_of(
    figure: PaperFigure,
    colours: ScalarMappable,
    label: str,
    ticks: Sequence[float],
    words: Sequence[str],
    extend: str = "neither",
) -> Bar:
    """A colour bar whose arrows say which of its ends values lie beyond."""
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.02))
    options: dict[str, Any] = {"orientation": "horizontal", "extend": extend, "extendfrac": 0.03}
    drawn = figure.colorbar(colours, cax=axes, ticks=list(ticks), **options)
    axes.minorticks_off()
    axes.tick_params(length=TICK, pad=NUMBER)
    drawn.outline.set_linewidth(0.5)
    norm: Any = colours.norm
    places = [float(place) for place in np.ma.filled(norm(np.asarray(ticks, dtype=float)), 0.0)] if len(ticks) else []
    numbers = tuple(float(tick) for tick in ticks)
    return Bar(axes, label, numbers, tuple(words), tuple(places), extend in ("min", "both"))


def strip_of(figure: PaperFigure, colours: Sequence[str], label: str, words: Sequence[str]) -> Bar:
    """One field for each of some colours in order, and a word under each that has room for it."""
    count = len(colours)
    mappable = ScalarMappable(Normalize(-0.5, count - 0.5), ListedColormap(list(colours)))
    made = bar_of(figure, mappable, label, list(range(count)), words)
    made.axes.tick_params(length=0, colors=INK)
    return made
