"""Lines and shaded ranges over training steps, several runs over each other: what the pictures of steps are made of."""

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
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.colours import looks
from landscape.pictures.labels import marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, number, width_of
from landscape.pictures.value_axis import count_ticks, mark_at_edge, set_value_axis

RATIO = 0.62
BAND_ALPHA = 0.3
FEW = 12  # up to so many steps, each is shown as a dot
DASHES: Any = (0, (2, 1.2))  # of a dead run
MANY = 400  # steps from which edges of a range would run together to a surface
BEYOND: dict[str, Any] = {"markersize": 3, "linestyle": "none", "markeredgewidth": 0}


@dataclass(frozen=True)
class Spec:
    """What a panel shows: the names of a line's variable and of a range's ends, either of them or both.

    Attributes:
        title: over the panel.
        label: of the upright axis.
        line_words, band_words: what line and range are, for the legend.
        formula: what is drawn, for the caption; empty where the label says it.
        of_loss: whether the values are losses, which can be clipped.
    """

    title: str
    label: str
    line: str | None = None
    band: tuple[str, str] | None = None
    line_words: str = ""
    band_words: str = ""
    formula: str = ""
    of_loss: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (*((self.line,) if self.line else ()), *(self.band or ()))


@dataclass(frozen=True)
class Track:
    """One run in its colour: variables over the dimension ``step`` alone.

    ``group`` is its label without the seed, where others differ from it in that alone.
    """

    label: str
    dataset: xr.Dataset
    colour: str
    style: Any = "-"
    group: str = ""

    @property
    def dashes(self) -> Any:
        """Of its lines; a dead run has its own."""
        return DASHES if self.dead else self.style

    @property
    def name(self) -> str:
        """What it is called together with runs that differ in their seed alone."""
        return marked(self.group, self.dataset) if self.group else self.title

    @property
    def steps(self) -> Floats:
        return np.asarray(self.dataset["step"].values, dtype=float)

    @property
    def dead(self) -> bool:
        return bool(self.dataset.attrs.get("dead", 0))

    @property
    def title(self) -> str:
        return marked(self.label, self.dataset)

    def values(self, name: str) -> Floats:
        return np.asarray(self.dataset[name].values, dtype=float)

    def nonfinite(self, spec: Spec) -> Mask:
        """Steps at which something that the panel shows is no number."""
        return np.asarray(~np.isfinite([self.values(name) for name in spec.names]).all(axis=0))


def tracks_of(datasets: Sequence[xr.Dataset], names: Sequence[str], options: Options) -> list[Track]:
    """The runs in the colours of their settings."""
    shown = looks(datasets, options)
    return [
        Track(name, dataset, look.colour, look.dashes, look.group)
        for name, dataset, look in zip(names, datasets, shown, strict=True)
    ]


def ranges_figure(tracks: Sequence[Track], specs: Sequence[Spec], options: Options, caption: str) -> PaperFigure:
    """A panel for each spec with all tracks in it, or a row of panels for each track."""
    figure = layout.new_figure(width_of(options.width, COLUMN if len(specs) == 1 else PAGE))
    groups = [list(tracks)] if options.share else [[track] for track in tracks]
    cells = [
        _cell(figure.add_subplot(), group, spec, options, alone=len(groups) > 1) for group in groups for spec in specs
    ]
    abreast = layout.across(len(specs), float(figure.get_size_inches()[0]), RATIO) if len(groups) > 1 else None
    heading = tracks[0].title if len(tracks) == 1 else ""
    names = _names(tracks, specs[0]) if options.share and len(tracks) > 1 else []
    return layout.finish(figure, cells, caption, options, abreast=abreast, heading=heading, names=names)


def range_scale(tracks: Sequence[Track], spec: Spec, scale: str, loss_max: float | None) -> Scale | None:
    """Of the living runs, where there are any: a dead one, many decades below, would leave them no room."""
    living = [track for track in tracks if not track.dead] or tracks
    values = [track.values(name) for track in living for name in spec.names]
    still = all(track.dead for track in tracks)
    return choose_scale(values, scale=scale, maximum=loss_max if spec.of_loss else None, still=still)


def clip_sentence(tracks: Sequence[Track], specs: Sequence[Spec], options: Options) -> str:
    """Whether losses beyond the clip exist."""
    scales = [range_scale(tracks, spec, options.scale, options.loss_max) for spec in specs if spec.of_loss]
    over = any(scale is not None and scale.over for scale in scales) and options.loss_max is not None
    return f"Losses above {number(float(options.loss_max or 0))} are clipped" if over else ""


def _cell(axes: Axes, tracks: Sequence[Track], spec: Spec, options: Options, *, alone: bool) -> layout.Cell:
    scale = range_scale(tracks, spec, options.scale, options.loss_max)
    low = set_value_axis(axes, scale)
    notes: list[markers.Entry] = []
    gaps: list[markers.Named] = []
    for track in tracks:
        _draw(axes, track, spec, low)
        gaps += _mark_gaps(axes, track, spec, several=len(tracks) > 1)
        notes += _mark_beyond(axes, track, spec, scale)
    ends = np.concatenate([track.steps for track in tracks])
    room = 0.02 * float(np.ptp(ends)) or 0.5
    axes.set_xlim(float(ends.min()) - room, float(ends.max()) + room)
    axes.spines[["top", "right"]].set_visible(False)
    heading = f"{tracks[0].title}: {spec.title}" if alone else spec.title
    entries = [*_legend(tracks, spec), *markers.merged_gaps(gaps), *notes]
    units = {str(track.dataset[name].attrs.get("units", "1")) for track in tracks for name in spec.names} - {"1"}
    words = spec.label + (f" ({units.pop()})" if len(units) == 1 else "")
    reach = ("step", float(ends.min()), float(ends.max()))
    return layout.Cell(
        axes,
        RATIO,
        heading,
        "training step",
        words,
        entries,
        x_axis=reach,
        fit=lambda width: count_ticks(axes.xaxis, width),
    )


def _draw(axes: Axes, track: Track, spec: Spec, low: float) -> None:
    """The range as a shade with thin edges and the line over it; a dead run's are dashed."""
    steps = track.steps
    marker = "o" if steps.size <= FEW else ""
    style: dict[str, Any] = {"color": track.colour, "linestyle": track.dashes}
    if spec.band is not None:
        lower, upper = (_finite(track.values(name)) for name in spec.band)
        known = np.isfinite(lower) & np.isfinite(upper)
        shade: dict[str, Any] = {"color": track.colour, "alpha": BAND_ALPHA, "linewidth": 0, "zorder": 1}
        axes.fill_between(steps, np.maximum(lower, low), upper, where=known, **shade)
        for edge in (lower, upper) if steps.size <= MANY else ():
            axes.plot(steps, edge, **style, linewidth=0.35, alpha=0.8, marker=marker, markersize=1.2, zorder=2)
    if spec.line is not None:
        thick = 1.1 if steps.size <= 100 else 0.7 if steps.size <= MANY else 0.35
        values = _finite(track.values(spec.line))
        axes.plot(steps, values, **style, linewidth=thick, marker=marker, markersize=2.2, zorder=3)


def _mark_gaps(axes: Axes, track: Track, spec: Spec, *, several: bool) -> list[markers.Named]:
    """Crosses where something is no number."""
    gaps = track.nonfinite(spec)
    look = {**markers.NONFINITE, "color": track.colour, "markersize": 3}
    mark_at_edge(axes, track.steps, gaps, look, top=True)
    if not gaps.any():
        return []
    count, of = int(gaps.sum()), f" [{track.label}]" if several else ""
    said = f"{count:,} step{'s' if count != 1 else ''}"
    return [markers.Named(markers.handle(look, 4), f"not finite{of}", said)]


def _mark_beyond(axes: Axes, track: Track, spec: Spec, scale: Scale | None) -> list[markers.Entry]:
    """Words where a whole run lies beyond an axis that others gave."""
    entries: list[markers.Entry] = []
    side = beyond(track, spec, scale)
    if side:
        top = side == "above"
        look = {**BEYOND, "marker": "^" if top else "v", "color": track.colour}
        places = track.steps[:: max(1, track.steps.size // 8)]
        mark_at_edge(axes, places, np.ones(places.size, dtype=bool), look, top=top)
        head, said = beyond_words(track, spec, side).rsplit(", ", 1)
        entries.append(markers.Named(markers.handle(look, 3.5), head, said))
    return entries


def beyond(track: Track, spec: Spec, scale: Scale | None) -> str:
    """``below`` or ``above`` where every finite value of a track lies outside the scale; empty otherwise."""
    values = np.concatenate([track.values(name) for name in spec.names])
    finite = values[np.isfinite(values)]
    if scale is None or finite.size == 0:
        return ""
    return "below" if finite.max() < scale.low else "above" if finite.min() > scale.high else ""


def beyond_words(track: Track, spec: Spec, side: str) -> str:
    """Where a track that cannot be seen lies."""
    values = np.concatenate([track.values(name) for name in spec.names])
    finite = values[np.isfinite(values)]
    bound = f"at most {number(float(finite.max()))}" if side == "below" else f"at least {number(float(finite.min()))}"
    return f"{track.title}: {side} the axis, {bound}"


def _names(tracks: Sequence[Track], spec: Spec) -> list[markers.Entry]:
    """The runs with their looks; those that differ in their seed alone once."""
    names: dict[str, tuple[Any, int]] = {}
    for track in tracks:
        line = Line2D([], [], color=track.colour, linestyle=track.dashes)
        shade = Patch(facecolor=track.colour, alpha=0.6, linewidth=0)
        look, count = names.get(track.name, (line if spec.line is not None else shade, 0))
        names[track.name] = (look, count + 1)
    return [(look, name + (f" ({count} seeds)" if count > 1 else "")) for name, (look, count) in names.items()]


def _legend(tracks: Sequence[Track], spec: Spec) -> list[markers.Entry]:
    """What line and range are where a panel has both."""
    entries: list[markers.Entry] = []
    colour = tracks[0].colour if len(tracks) == 1 else INK
    if spec.line is not None and spec.line_words:
        entries.append((Line2D([], [], color=colour, linewidth=0.8), spec.line_words))
    if spec.band is not None:
        entries.append((Patch(color=colour, alpha=BAND_ALPHA, linewidth=0), spec.band_words))
    return entries


def _finite(values: Floats) -> Floats:
    return np.asarray(np.where(np.isfinite(values), values, np.nan))
