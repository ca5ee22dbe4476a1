"""The upright axis of lines and curves, and what is marked at its ends: points without a number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.scale import Scale, tick_labels
from landscape.pictures.style import points
from landscape.pictures.words import text_width

APART = 1.3  # heights of a number, from one to the next
HEADROOM = 0.05  # of the axis, free above and below the values
RATIO = 0.62  # height over width of a panel
INWARDS = 2.5  # points from an end of the axis to the middle of a marker at it
_GIVEN: WeakKeyDictionary[Axes, tuple[Sequence[float], Sequence[str]]] = (
    WeakKeyDictionary()
)  # ticks of an axis of values


def set_value_axis(axes: Axes, scale: Scale | None) -> float:
    """Scale, limits and ticks; returns the lowest value on the axis. A clipped end is the axis's end."""
    if scale is None:
        axes.set_yticks([])
        return 0.0
    low, high = padded(scale)
    axes.set_yscale("log" if scale.log else "linear")
    axes.set_ylim(low, high)
    ticks = replace(scale, low=low, high=high).lines()
    words = scale.labels(ticks)
    axes.set_yticks(ticks, words)
    _GIVEN[axes] = ticks, words
    axes.yaxis.set_minor_locator(NullLocator())
    return low


def fewer_values(axes: Axes, inches: float) -> None:
    """Of the numbers that :func:`set_value_axis` gave, every second, third or so, where they would cover each other."""
    ticks, words = _GIVEN.get(axes, ((), ()))
    if not ticks:
        return
    low, high = (float(axes.transScale.transform((1.0, end))[1]) for end in axes.get_ylim())
    at = [float(axes.transScale.transform((1.0, tick))[1]) for tick in ticks]
    apart = min((b - a for a, b in itertools.pairwise(at)), default=high - low) / (high - low) * inches
    every = max(1, -(-APART * points("tick") / 72 // max(apart, 1e-3)))
    axes.set_yticks(ticks[:: int(every)], words[:: int(every)])


def few_ticks(axis: Axis, inches: float) -> None:
    """Round numbers on a linear axis: so many as fit into its length, no two written alike."""
    low, high = sorted(axis.get_view_interval())
    along = getattr(axis, "axis_name", "x")
    count = int(np.clip(inches / (0.5 if along == "x" else 0.28), 2, 6))
    ticks = [float(v) for v in MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    room = 1e-9 * (high - low)
    kept = [tick for tick in ticks if low - room <= tick <= high + room]
    axis.set_ticks(kept, tick_labels(kept))


def count_ticks(axis: Axis, inches: float) -> None:
    """Round whole numbers, such as epochs or steps, so many as fit into the axis."""
    low, high = sorted(axis.get_view_interval())
    digits = len(f"{max(abs(low), abs(high)):.0f}")
    count = int(np.clip(inches / (0.22 + 0.07 * digits), 1, 6))
    ticks = [float(v) for v in MaxNLocator(count, integer=True, min_n_ticks=1).tick_values(low, high)]
    kept = [tick for tick in ticks if low <= tick <= high and tick == round(tick)]
    axis.set_ticks(kept, [f"{tick:.0f}".replace("-", "−") for tick in kept])


def given_ticks(axes: Axes, places: Floats, words: Sequence[str], inches: float) -> None:
    """Numbers at given places of the lower axis, as many as stand beside each other in its length."""
    figure: Any = axes.figure
    low, high = axes.get_xlim()
    at = np.log10(places) if axes.get_xscale() == "log" else np.asarray(places)
    ends = np.log10([low, high]) if axes.get_xscale() == "log" else np.array([low, high])
    where = (at - ends[0]) / (ends[1] - ends[0]) * inches
    kept: list[int] = []
    free = -np.inf
    for place, text in enumerate(words):
        half = text_width(figure, text, points("tick")) / 2
        if where[place] - half >= free:
            kept.append(place)
            free = where[place] + half + 0.06
    axes.set_xticks([float(places[k]) for k in kept], [words[k] for k in kept])


def padded(scale: Scale) -> tuple[float, float]:
    """Ends of an axis with room beyond the values; a clipped end has none."""
    ends = np.array([scale.low, scale.high])
    low, high = np.log10(ends) if scale.log else ends
    pad = HEADROOM * (high - low)
    padded = np.array([low - pad, high + (0 if scale.over else pad)])
    low, high = 10.0**padded if scale.log else padded
    return float(low), float(high)


def mark_at_edge(axes: Axes, x: Floats, mask: Mask, look: dict[str, object], *, top: bool) -> None:
    """Markers at the upper or lower end of the axis, for points that have no value to be drawn at; within it, below the title."""
    if mask.any():
        edge = np.full(int(mask.sum()), 1.0 if top else 0.0)
        inwards = ScaledTranslation(0, (-INWARDS if top else INWARDS) / 72, axes.figure.dpi_scale_trans)
        place = axes.get_xaxis_transform() + inwards
        axes.plot(x[mask], edge, transform=place, clip_on=False, zorder=6, **look)  # type: ignore[arg-type]
