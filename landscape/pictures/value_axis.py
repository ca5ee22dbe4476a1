"""The upright axis of lines and curves, and what is marked at its ends: points without a number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.scale import Scale

HEADROOM = 0.05  # of the axis, free above and below the values
RATIO = 0.62  # height over width of a panel


def set_value_axis(axes: Axes, scale: Scale | None) -> float:
    """Scale, limits and ticks; returns the lowest value on the axis. A clipped end is the axis's end."""
    if scale is None:
        axes.set_yticks([])
        return 0.0
    low, high = padded(scale)
    axes.set_yscale("log" if scale.log else "linear")
    axes.set_ylim(low, high)
    ticks = replace(scale, low=low, high=high).lines()
    axes.set_yticks(ticks, scale.labels(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    return low


def padded(scale: Scale) -> tuple[float, float]:
    """Ends of an axis with room beyond the values; a clipped end has none."""
    ends = np.array([scale.low, scale.high])
    low, high = np.log10(ends) if scale.log else ends
    pad = HEADROOM * (high - low)
    padded = np.array([low - pad, high + (0 if scale.over else pad)])
    low, high = 10.0**padded if scale.log else padded
    return float(low), float(high)


def mark_at_edge(axes: Axes, x: Floats, mask: Mask, look: dict[str, object], *, top: bool) -> None:
    """Markers at the upper or lower end of the axis, for points that have no value to be drawn at."""
    if mask.any():
        edge = np.full(int(mask.sum()), 1.0 if top else 0.0)
        axes.plot(x[mask], edge, transform=axes.get_xaxis_transform(), clip_on=False, zorder=6, **look)  # type: ignore[arg-type]
