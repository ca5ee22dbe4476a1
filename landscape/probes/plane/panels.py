"""What pairs of axes over planes have in common: whose values they show, on which scale, with which words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable

from landscape.pictures import markers
from landscape.pictures.arrays import Floats
from landscape.pictures.bars import Bar, bar_of
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale, symmetric_scale
from landscape.pictures.style import SIGNED, PaperFigure, colour_map, number
from landscape.probes.plane import marks
from landscape.probes.plane.reading import AxisData, Field, PlaneData, is_linear

# how axes are written: a pattern of what a file says, and what a panel has room for
_SHORT = (
    (r"^(?:distance along )?random (direction \d+)(?: \(|, in )([^)]*)\)?$", r"\1, \2"),
    (r"^gradient of the loss \((?:norms of the weights)(.*)\)$", r"gradient, weight norms\1"),
    (r"^next update of (\S+) \(norms of the weights(.*)\)$", r"update of \1, weight norms\2"),
    (r"^(eigenvector \d*) of the Hessian \(norms of the weights(.*)\)$", r"\1, weight norms\2"),
    (r"^(.*) \(norms of the weights(.*)\)$", r"\1, weight norms\2"),
    (r"^principal (component \d+) \((.*) explained\)$", r"\1, \2"),
)
Window = tuple[tuple[float, float], tuple[float, float]]
WIDEST = 4.0  # times the range of a panel, from which it keeps its own
LONGEST = 3.0  # a ratio of sides up to which both axes are drawn to the same scale
NAMES = {"curvature_ratio": "λ_min/λ_max"}  # of quantities, where a colour bar has little room
SPREAD_DECADES = 4.0  # the spread is 0 at the checkpoint, where all seeds meet: its log scale has to end somewhere


@dataclass(frozen=True)
class Panel:
    """One pair of axes: whose values, of what."""

    plane: PlaneData
    field: Field
    quantity: str
    title: str
    window: Window | None = None

    @property
    def limits(self) -> Window:
        """From where to where x and y go: those of the plane, or of all planes of the figure."""
        assert self.plane.y is not None
        return self.window or (limits(self.plane.x), limits(self.plane.y))

    @property
    def equal(self) -> bool:
        """Whether both axes are drawn to one scale: they have the same unit, and neither is many times longer, or a point."""
        plane, (width, height) = self.plane, (end - start for start, end in self.limits)
        spans = plane.y is not None and min(plane.x.values.size, plane.y.values.size) > 1
        return spans and not plane.between_checkpoints and width <= LONGEST * height <= LONGEST**2 * width

    @property
    def ratio(self) -> float:
        """Height over width: that of the data where both axes are drawn to one scale, else 1."""
        width, height = (end - start for start, end in self.limits)
        return height / width if self.equal else 1.0


def panels_of(planes: Sequence[PlaneData], options: Options) -> tuple[list[Panel], list[Panel]]:
    """A panel of values for each plane, and a panel of spread for each if any of them is a mean over seeds."""
    fields = [plane.field(options.seed) for plane in planes]
    windows = _windows(planes) if options.share else [None for _ in planes]
    values = [Panel(p, f, p.quantity, p.label, w) for p, f, w in zip(planes, fields, windows, strict=True)]
    spreads = [
        replace(
            panel,
            field=replace(panel.field, values=panel.field.spread, standard_error=None, spread=None),
            quantity="spread",
            # Of several panels the bar alone says it: titles are short.
            title=panel.title if len(planes) > 1 else f"{panel.title}: spread over seeds",
        )
        for panel in values
        if panel.field.spread is not None
    ]
    return values, spreads


def _windows(planes: Sequence[PlaneData]) -> list[Window | None]:
    """One window for all living planes of the same directions, the widest; each its own where one would be small in it."""
    living = [plane for plane in planes if not plane.dead and plane.y is not None and not plane.between_checkpoints]
    if len(living) < 2 or len({(axis_words(p.x), axis_words(p.y)) for p in living if p.y is not None}) > 1:
        return [None for _ in planes]
    ends = np.array([(limits(plane.x), limits(plane.y)) for plane in living if plane.y is not None])
    low, high = ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)
    if (np.ptp(ends, axis=-1) * WIDEST <= high - low).any():
        return [None for _ in planes]
    window = ((float(low[0]), float(high[0])), (float(low[1]), float(high[1])))
    return [window if any(plane is one for one in living) else None for plane in planes]


def flat_note(panels: Sequence[Panel]) -> str:
    """What the scale spans where no panel has a range of its own."""
    flat = bool(panels) and all(panel.plane.dead or panel.field.flat for panel in panels)
    return "The scale spans 10 % of the value to either side, as a flat surface has no range of its own" if flat else ""


def window_note(panels: Sequence[Panel]) -> str:
    """Whether panels have one range though they were measured over several, or ranges of their own."""
    if any(panel.window not in (None, replace(panel, window=None).limits) for panel in panels):
        return "All panels have the widest range, and nothing is drawn where one was not measured"
    words = {(axis_words(p.plane.x), axis_words(p.plane.y)) for p in panels if p.plane.y is not None}
    return "Each panel has a range of its own" if len(words) == 1 and len({p.limits for p in panels}) > 1 else ""


def scales_of(values: list[Panel], spreads: list[Panel], options: Options) -> dict[int, Scale | None]:
    """The scale of each panel, by its identity: one for all values and one for all spreads, or each its own.

    That of spreads ends where the means are clipped: beyond, where losses explode, seeds differ by more than all else.
    """
    means = {id(panel.plane): panel.field.values for panel in values}
    chosen: dict[int, Scale | None] = {}
    for group, kind, decades in ((values, options.scale, None), (spreads, "auto", SPREAD_DECADES)):
        for members in [group] if options.share else [[panel] for panel in group]:
            maximum = options.loss_max if group is values else _largest_spread(members, means, options.loss_max)
            quantity = members[0].quantity if members else ""
            kind = "linear" if is_linear(quantity) and kind == "auto" else kind
            still = all(panel.plane.dead or panel.field.flat for panel in members)
            arrays = [panel.field.values for panel in members]
            one = (
                symmetric_scale(arrays, scale=kind)
                if quantity in SIGNED
                else choose_scale(arrays, scale=kind, maximum=maximum, still=still, decades=decades)
            )
            chosen.update({id(panel): one for panel in members})
    return chosen


def within_clip(values: Sequence[Panel], spreads: Sequence[Panel], clip: float | None) -> list[Panel]:
    """Spreads that lie beyond their scale wherever the mean lies beyond its own.

    What an adaptive plane holds there is only known to lie above the clip, so the spread of it means nothing.
    """
    means = {id(panel.plane): panel.field.values for panel in values}
    most = _largest_spread(spreads, means, clip)
    if clip is None or most is None:
        return list(spreads)
    beyond = []
    for panel in spreads:
        own = panel.field.values
        hidden = np.where(means[id(panel.plane)] > clip, np.maximum(own, 2 * most), own)
        beyond.append(replace(panel, field=replace(panel.field, values=hidden)))
    return beyond


def _largest_spread(spreads: Sequence[Panel], means: Mapping[int, Floats], clip: float | None) -> float | None:
    """The largest spread where the mean is drawn unclipped; None where nothing is clipped, or there is no spread."""
    if clip is None:
        return None
    drawn = [panel.field.values[means[id(panel.plane)] <= clip] for panel in spreads]
    finite = [float(value) for values in drawn for value in values[np.isfinite(values)]]
    lowest = min((float(np.nanmin(p.field.values)) for p in spreads if np.isfinite(p.field.values).any()), default=0.0)
    most = max(finite, default=0.0)
    return most if most > lowest else None


def limits(axis: AxisData) -> tuple[float, float]:
    edges = cell_edges(axis.values)
    return (edges[0], edges[-1]) if axis.values.size == 1 else (float(axis.values[0]), float(axis.values[-1]))


def cell_edges(values: Floats) -> Floats:
    """The borders of a cell around each coordinate; a single one gets a cell of width 1."""
    if values.size == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[values[0]], middle, [values[-1]]])


def inside(axis: AxisData, value: float) -> bool:
    low, high = limits(axis)
    return low <= value <= high


def best_of(panel: Panel) -> tuple[tuple[float, float], markers.Named, dict[str, Any]] | None:
    """Where the lowest loss, or the highest accuracy, was measured, the legend's words for it, and its mark."""
    words = {"loss": "lowest", "accuracy": "highest"}.get(panel.quantity)
    index = None if words is None else (marks.highest if words == "highest" else marks.lowest)(panel.field)
    if index is None or words is None or panel.plane.y is None:
        return None
    at = (float(panel.plane.x.values[index[1]]), float(panel.plane.y.values[index[0]]))
    measured = bool(panel.field.measured[index]) and not panel.plane.mesh_note
    entry = marks.extreme_entry(float(panel.field.values[index]), at, words, measured=measured)
    return at, entry, markers.LOWEST if measured else markers.LOWEST_DRAWN


def flat_tag(plane: PlaneData, field: Field) -> str:
    """A word for a surface that only looks smooth, or that has no number; empty for all others."""
    if not np.isfinite(field.values).any():
        return "no finite value"
    return "dead" if plane.dead else "flat" if field.flat else ""


def flat_words(plane: PlaneData, field: Field) -> str:
    """What must be said of a surface that only looks smooth."""
    finite = field.values[np.isfinite(field.values)]
    if finite.size == 0:
        return "no finite value on this plane"
    if plane.dead:
        reason = plane.attrs.get("dead_reason")
        return "dead network, not a smooth one" + (f": {reason}" if reason else "")
    return (
        f"flat: all values within {number(float(np.ptp(finite)), 2)} of {number(float(finite[0]), 5)}"
        if field.flat
        else ""
    )


def axis_words(axis: AxisData) -> str:
    """What an axis is, as short as a narrow panel needs it; the caption says it in full."""
    words = axis.label
    for pattern, short in _SHORT:
        words = re.sub(pattern, short, words)
    return words


def axes_sentence(planes: Sequence[PlaneData], *, every: bool = False) -> str:
    """What x and y are in full, where a panel's own words are shorter, or where it has none (``every``)."""
    found = []
    for plane in planes:
        known = [(name, axis) for name, axis in (("x", plane.x), ("y", plane.y)) if axis is not None]
        if every or any(axis_words(axis) != axis.label for _, axis in known):
            found.append("; ".join(f"{name}: {axis.label}" for name, axis in known))
    return " / ".join(dict.fromkeys(found))


def value_words(panel: Panel) -> str:
    unit = f" ({panel.plane.unit})" if panel.plane.unit else ""
    if panel.quantity == "spread":
        return f"SD over {len(panel.field.seeds)} seeds{unit}"
    return f"{NAMES.get(panel.quantity, panel.plane.words)}{unit}"


def colour_bar(figure: PaperFigure, scale: Scale, quantity: str, label: str) -> Bar:
    """A colour bar whose ticks are the round levels of the scale, and whose arrows say that values lie beyond."""
    mappable = ScalarMappable(norm=scale.norm(), cmap=colour_map(quantity))
    ticks = scale.lines()
    return bar_of(figure, mappable, label, ticks, scale.labels(ticks), scale.extend)
