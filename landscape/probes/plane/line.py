"""Lines through the loss: every direction seed, their mean and spread, and the standard error over the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape.pictures import layout, markers
from landscape.pictures.arrays import Mask
from landscape.pictures.caption import scale_note
from landscape.pictures.colours import looks
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, PAGE, PaperFigure, width_of
from landscape.pictures.value_axis import RATIO, few_ticks, mark_at_edge, set_value_axis
from landscape.pictures.words import state
from landscape.probes.plane import marks
from landscape.probes.plane.caption import plane_caption
from landscape.probes.plane.panels import axis_words, flat_tag
from landscape.probes.plane.reading import Field, PlaneData, is_linear, read_planes

SEED: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.55}
SPREAD_ALPHA, ERROR_ALPHA = 0.16, 0.38
CHECKPOINT: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "linestyle": "none"}
GREY = "#666666"


@dataclass(frozen=True)
class Member:
    """One data set's line in its colour."""

    line: PlaneData
    field: Field
    colour: str
    dashes: Any = "-"


def line_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Lines over each other where their axes mean the same, else in panels; see :func:`landscape.probes.plot.plot`."""
    lines = read_planes(datasets, options.quantity, options.labels)
    members = members_of(lines, options)
    together = options.share and len({line.x.label for line in lines}) == 1
    groups = [members] if together else [[member] for member in members]
    figure = layout.new_figure(width_of(options.width, COLUMN if len(groups) == 1 else PAGE))
    shared = _scale(members, options)
    cells = [
        _cell(figure.add_subplot(), group, shared if options.share else _scale(group, options)) for group in groups
    ]
    if options.share:
        for cell in cells:
            cell.y_axis = "shared"
    names = _names(members) if together and len(members) > 1 else []
    note = scale_note(shared, "axis") if options.share else ""
    caption = plane_caption(lines, [member.field for member in members], note)
    return layout.finish(figure, cells, caption, options, names=names)


def members_of(lines: Sequence[PlaneData], options: Options) -> list[Member]:
    """Each line at the wanted seed, in the colour of its setting."""
    shown = looks([line.dataset for line in lines], options)
    return [
        Member(line, line.field(options.seed), look.colour, look.dashes)
        for line, look in zip(lines, shown, strict=True)
    ]


def _scale(members: Sequence[Member], options: Options) -> Scale | None:
    """One scale for every value that is drawn, of all seeds where a mean is, and for the bands around them."""
    linear = options.scale == "auto" and is_linear(members[0].line.quantity)
    values = [m.line.values if m.field.spread is not None else m.field.values for m in members]
    still = all(m.line.dead or m.field.flat for m in members)
    kind = "linear" if linear else options.scale
    found = choose_scale(values, scale=kind, maximum=options.loss_max, still=still)
    if found is None:
        return None
    halves = [
        (m.field.values, half) for m in members for half in (m.field.spread, m.field.standard_error) if half is not None
    ]
    below = [] if found.log else [middle - half for middle, half in halves]  # which may reach zero
    ends = [*values, *(middle + half for middle, half in halves), *below]
    return choose_scale(ends, scale="log" if found.log else "linear", maximum=options.loss_max, still=still)


def _cell(axes: Axes, members: Sequence[Member], scale: Scale | None) -> layout.Cell:
    first = members[0].line
    low = set_value_axis(axes, scale)
    entries: list[markers.Entry] = []
    for member in members:
        _draw(axes, member, low)
        entries += [_entry(member)] if len(members) == 1 else []
        entries += _mark_gaps(axes, member)
        if tag := flat_tag(member.line, member.field) if len(members) == 1 else "":
            state(axes, tag)
    entries += _common_entries(members)
    if np.ptp(first.x.values):
        low_x, high_x = (f([f(m.line.x.values) for m in members]) for f in (np.min, np.max))
        axes.set_xlim(float(low_x), float(high_x))
    for at in (0, 1) if first.between_checkpoints else (0,):
        axes.axvline(at, color="#bbbbbb", linewidth=0.6, zorder=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    unit = f" ({first.unit})" if first.unit else ""
    heading = first.label if len(members) == 1 else ""
    x, y = axis_words(first.x), first.words + unit
    reach = (x, axes.get_xlim())
    return layout.Cell(
        axes, RATIO, heading, x, y, entries, x_axis=reach, fit=lambda width: few_ticks(axes.xaxis, width)
    )


def _draw(axes: Axes, member: Member, low: float) -> None:
    """Each seed thin, their mean thick, both bands, and the checkpoint's own value."""
    line, field, colour = member.line, member.field, member.colour
    x = line.x.values
    shown = np.where(np.isfinite(field.values), field.values, np.nan)
    if field.spread is not None:
        for values in line.values:
            axes.plot(x, np.where(np.isfinite(values), values, np.nan), color=colour, **SEED, zorder=2)
        _band(axes, member, field.spread, SPREAD_ALPHA, low)
    if field.standard_error is not None:
        _band(axes, member, field.standard_error, ERROR_ALPHA, low)
    axes.plot(x, shown, color=colour, linestyle=member.dashes, zorder=3)
    known = np.isfinite(np.pad(shown, 1, constant_values=np.nan))
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    if alone.any():  # a point without neighbours draws no line
        axes.plot(x[alone], shown[alone], ".", color=colour, markersize=4, zorder=3)
    value = line.checkpoint_value
    if value is not None and np.isfinite(value) and x[0] <= 0 <= x[-1]:
        axes.plot([0], [value], color=colour, markeredgecolor=colour, **CHECKPOINT, zorder=5)


def _band(axes: Axes, member: Member, half: Any, alpha: float, low: float) -> None:
    """Plus and minus ``half`` around the values; what falls under a logarithmic axis ends at the axis."""
    values = member.field.values
    known = np.isfinite(values) & np.isfinite(half)
    with np.errstate(invalid="ignore"):
        lower, upper = np.maximum(values - half, low), values + half
    options: dict[str, Any] = {"color": member.colour, "alpha": alpha, "linewidth": 0, "zorder": 1}
    axes.fill_between(
        member.line.x.values, np.where(known, lower, np.nan), np.where(known, upper, np.nan), where=known, **options
    )


def gaps_of(member: Member) -> tuple[Mask, Mask]:
    """Where a seed that the line is made of is not finite, and where one has not been measured; both ``(x,)``."""
    seeds = [member.line.seeds.index(seed) for seed in member.field.seeds]
    values, missing = member.line.values[seeds], member.line.missing[seeds]
    return np.asarray((~np.isfinite(values) & ~missing).any(axis=0)), np.asarray(missing.any(axis=0))


def _mark_gaps(axes: Axes, member: Member) -> list[markers.Entry]:
    """Crosses at the top where a drawn seed is not finite, rings at the bottom where one has not been measured."""
    line, colour = member.line, member.colour
    nonfinite, missing = gaps_of(member)
    cross = {**markers.NONFINITE, "color": colour, "markersize": 3.5}
    ring = {**markers.MISSING, "markeredgecolor": colour, "markersize": 3}
    mark_at_edge(axes, line.x.values, nonfinite, cross, top=True)
    mark_at_edge(axes, line.x.values, missing, ring, top=False)
    seeds = [line.seeds.index(seed) for seed in member.field.seeds]
    every = Field(line.values[seeds], line.status[seeds], None, None, member.field.seeds)
    return marks.nonfinite_entries(every, colour)


def what_is_drawn(member: Member) -> str:
    """Whether a line is a mean, one seed, or the way between two checkpoints."""
    if member.line.between_checkpoints:
        return "the line between the checkpoints"
    seeds = member.field.seeds
    return f"mean of {len(seeds)} seeds" if member.field.spread is not None else f"seed {seeds[0]}"


def _entry(member: Member) -> markers.Entry:
    return Line2D([], [], color=member.colour, linestyle=member.dashes), what_is_drawn(member)


def _names(members: Sequence[Member]) -> list[markers.Entry]:
    """Each line with what is drawn of it, where they differ in that, and whether it is dead."""
    drawn = [what_is_drawn(member) for member in members]
    tags = [flat_tag(member.line, member.field) for member in members]
    names: list[markers.Entry] = []
    for member, what, tag in zip(members, drawn, tags, strict=True):
        said = ", ".join(filter(None, [what if len(set(drawn)) > 1 else "", tag]))
        label = member.line.label + (f" ({said})" if said else "")
        names.append((Line2D([], [], color=member.colour, linestyle=member.dashes), label))
    return names


def _common_entries(members: Sequence[Member]) -> list[markers.Entry]:
    """What the bands, the thin lines and the rings at 0 are, once for all members."""
    colour = members[0].colour if len(members) == 1 else GREY
    entries: list[markers.Entry] = []
    if any(m.field.spread is not None for m in members):
        entries.append((Line2D([], [], color=colour, **SEED), "each seed"))
        entries.append((Patch(color=colour, alpha=SPREAD_ALPHA, linewidth=0), "± SD over seeds"))
    if any(m.field.standard_error is not None for m in members):
        entries.append((Patch(color=colour, alpha=ERROR_ALPHA, linewidth=0), "± SE over samples"))
    if any(m.line.checkpoint_value is not None for m in members):
        words = marks.checkpoint_words(members[0].line).removeprefix(": ") if len(members) == 1 else ""
        ring = Line2D([], [], color=colour, markeredgecolor=colour, **CHECKPOINT)
        entries.append(markers.Named(ring, "checkpoint", words))
    return entries
