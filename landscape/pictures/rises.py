"""Rises of the loss over the size of a step: a curve for each checkpoint, with bars of one standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from landscape.pictures import markers
from landscape.pictures.arrays import Floats, Mask, error_band
from landscape.pictures.colours import looks
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.value_axis import mark_at_edge

DASHES: Any = (0, (2, 1.2))  # of a dead network


@dataclass(frozen=True, kw_only=True)
class Rise:
    """The curve of one checkpoint, the one of number ``group``, by ascending size ``at``: arrays ``(size,)``."""

    label: str
    colour: str
    dashes: Any
    group: int
    dead: bool
    at: Floats
    rise: Floats
    errors: Floats

    @property
    def nonfinite(self) -> Mask:
        """Measured, and no number."""
        return np.asarray(~np.isfinite(self.rise))

    @property
    def spread(self) -> tuple[Floats, Floats]:
        """One standard error below and above; the value itself where no error is known."""
        return error_band(self.rise, self.errors)

    @property
    def look(self) -> dict[str, Any]:
        """Of its line; a dead network has dashes of its own."""
        line = {"color": self.colour, "linestyle": DASHES if self.dead else self.dashes, "linewidth": 1.0}
        return {**line, "marker": "o", "markersize": 3}


def rise_looks(datasets: Sequence[xr.Dataset], options: Options) -> list[dict[str, Any]]:
    """What the curve of each data set is called, in the colour of its setting: the first fields of :class:`Rise`."""
    shown = zip(datasets, labels_of(datasets, options.labels), looks(datasets, options), strict=True)
    return [
        {
            "label": marked(label, dataset),
            "colour": look.colour,
            "dashes": look.dashes,
            "group": number,
            "dead": bool(dataset.attrs.get("dead", 0)),
        }
        for number, (dataset, label, look) in enumerate(shown)
    ]


def sizes_of(curves: Sequence[Rise]) -> Floats:
    """Every size that some curve has, ascending."""
    return np.unique(np.concatenate([curve.at for curve in curves]))


def draw_rises(axes: Axes, curves: Sequence[Rise], low: float = -np.inf) -> None:
    """Lines with a bar of one standard error to either side, down to ``low``, over a logarithmic axis of sizes."""
    for curve in curves:
        known = ~curve.nonfinite & np.isfinite(curve.rise)
        axes.plot(curve.at, np.where(known, curve.rise, np.nan), **curve.look, zorder=3)
        below, above = (np.where(known, end, np.nan) for end in curve.spread)
        axes.vlines(curve.at, np.maximum(below, low), above, color=curve.colour, linewidth=0.9, zorder=2.5)
        look = {**markers.NONFINITE, "color": curve.colour, "markersize": 3.5}
        mark_at_edge(axes, curve.at, curve.nonfinite, look, top=True)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)


def rise_names(curves: Sequence[Rise]) -> list[markers.Entry]:
    """The checkpoints of several, each once, for a legend."""
    shown = {curve.group: curve for curve in curves}
    return [(Line2D([], [], **shown[k].look), shown[k].label) for k in sorted(shown)] if len(shown) > 1 else []


def nonfinite_entry(curve: Rise, said: str, *, several: bool) -> markers.Named:
    """What the crosses of a curve are."""
    handle = markers.handle({**markers.NONFINITE, "color": curve.colour}, 4)
    return markers.Named(handle, "not finite" + (f" [{curve.label}]" if several else ""), said)
