"""Loss and accuracy along paths between two checkpoints, each path's barrier marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.caption import data_words, joined, once, policy_words, scale_note
from landscape.pictures.colours import looks
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.legend import MOST_NAMES
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, line_colours, number, width_of
from landscape.pictures.value_axis import few_ticks, mark_at_edge, set_value_axis
from landscape.pictures.words import state
from landscape.probes.path.result import ends_highest, no_barrier

RATIO = 0.62
ERROR_ALPHA = 0.22
STROKES_APART = 2.5  # points
MOST_STROKES = 6  # barriers that are drawn
QUANTITIES = {"all": ("loss", "accuracy"), "loss": ("loss",), "accuracy": ("accuracy",)}
# how a kind of path is drawn where the colour says which data set it is of
DASHES: dict[str, Any] = {
    "linear": "-",
    "aligned": (0, (4, 1.4)),
    "bezier": (0, (4, 1.2, 1, 1.2)),
    "chain": (0, (1, 1)),
}
WORDS = {
    "linear": "straight",
    "aligned": "straight, after the second network's hidden units were permuted",
    "bezier": "Bézier curve",
    "chain": "polygonal chain",
}


@dataclass(frozen=True)
class Way:
    """One kind of path of one data set, the one of number ``group``; arrays by ``t``.

    ``barrier`` is the value, its standard error and its t.
    """

    label: str
    kind: str
    group: int
    colour: str
    dashes: Any
    dataset: xr.Dataset
    barrier: tuple[float, float, float]

    @property
    def t(self) -> Floats:
        return np.asarray(self.dataset["t"].values, dtype=float)

    @property
    def missing(self) -> Mask:
        return np.asarray(self.dataset["status"].values == 0)

    def has(self, quantity: str) -> bool:
        return quantity in self.dataset

    def values(self, quantity: str) -> Floats:
        """NaN where missing."""
        return np.asarray(self.dataset[quantity].values, dtype=float)

    def errors(self, quantity: str) -> Floats:
        """One standard error; zero where none is known."""
        errors = self.values(f"{quantity}_standard_error")
        return np.where(np.isfinite(errors), errors, 0.0)

    def nonfinite(self, quantity: str) -> Mask:
        return np.asarray(~self.missing & ~np.isfinite(self.values(quantity)))

    @property
    def foot(self) -> tuple[float, float] | None:
        """The mean of the ends' losses and the largest one, between which the barrier lies; None where there is none to draw."""
        losses = self.values("loss")
        height, _, at = self.barrier
        if height <= 0 or ends_highest(self.dataset) or not np.isfinite([height, at, losses[0], losses[-1]]).all():
            return None
        return float(losses[0] + losses[-1]) / 2, float(losses[0] + losses[-1]) / 2 + height

    @property
    def barrier_words(self) -> str:
        height, error, at = self.barrier
        if np.isnan(at):
            return "not finished"
        spread = f"\u00a0±\u00a0{number(error, 2)}" if np.isfinite(error) else ""
        place = f"t\u00a0=\u00a0{number(at)}"
        if ends_highest(self.dataset):
            return no_barrier(place, f"{number(height)}{spread}")
        return f"barrier {number(height)}{spread} at\u00a0{place}"


def path_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for the loss and one for the accuracy, all paths in it; or a row of both for each data set."""
    ways, panels = read_paths(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    groups = [ways] if options.share else [[w for w in ways if w.group == g] for g in range(len(datasets))]
    cells = []
    for group in groups:
        scales = {panel: panel_scale(ways if options.share else group, panel, options) for panel in panels}
        titled = len(groups) > 1
        look = {"titled": titled, "strokes": stroked(ways)}
        cells += [_cell(figure.add_subplot(), group, panel, scales[panel], **look) for panel in panels]
    note = scale_note(panel_scale(ways, panels[0], options), f"{panels[0]} axis") if options.share else ""
    abreast = layout.across(len(panels), float(figure.get_size_inches()[0]), RATIO) if len(groups) > 1 else None
    heading = ways[0].label if len(datasets) == 1 else ""
    caption = path_caption(datasets, ways, options, note)
    return layout.finish(figure, cells, caption, options, abreast=abreast, heading=heading, names=_names(ways))


def read_paths(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Way], list[str]]:
    """Every path with its look, and the quantities that are drawn.

    Raises:
        InputError: for an unknown quantity, one that no path has, or paths without a measured point.
    """
    if options.quantity not in QUANTITIES:
        raise unknown_choice("quantity", options.quantity, QUANTITIES)
    several = len(datasets) > 1
    kinds = list(dict.fromkeys(str(kind) for dataset in datasets for kind in dataset["path"].values))
    colours = [look.colour for look in looks(datasets, options, dashed=False)] if several else line_colours(len(kinds))
    ways = []
    for group, (dataset, label) in enumerate(zip(datasets, labels_of(datasets, options.labels), strict=True)):
        for kind in map(str, dataset["path"].values):
            one = dataset.sel(path=kind)
            barrier = tuple(float(one[name]) for name in ("barrier", "barrier_standard_error", "barrier_at"))
            colour = colours[group if several else kinds.index(kind)]
            dashes = DASHES.get(kind, "-") if several else "-"
            ways.append(Way(marked(label, dataset), kind, group, colour, dashes, one, barrier))  # type: ignore[arg-type]
    if all(way.missing.all() for way in ways):
        raise InputError("datasets: nothing has been measured yet.")
    panels = [name for name in QUANTITIES[options.quantity] if any(way.has(name) for way in ways)]
    if not panels:
        raise InputError(f"quantity: no path has {options.quantity!r}. Try 'loss'.")
    return ways, panels


def panel_scale(ways: Sequence[Way], panel: str, options: Options) -> Scale | None:
    """Of the values and their errors' ends; accuracy is linear unless it alone is asked for otherwise."""
    values = [way.values(panel) for way in ways if way.has(panel)]
    ends = [sign * way.errors(panel) + way.values(panel) for way in ways if way.has(panel) for sign in (-1, 1)]
    linear = panel == "accuracy" and (options.scale == "auto" or options.quantity == "all")
    lowest = min((float(v[np.isfinite(v)].min()) for v in values if np.isfinite(v).any()), default=0.0)
    kept = [end[end > 0] if lowest > 0 else end for end in ends]
    maximum = options.loss_max if panel == "loss" else None
    still = all(way.dataset.attrs.get("dead") for way in ways)
    return choose_scale([*values, *kept], scale="linear" if linear else options.scale, maximum=maximum, still=still)


def _cell(
    axes: Axes, ways: Sequence[Way], panel: str, scale: Scale | None, *, titled: bool, strokes: bool
) -> layout.Cell:
    drawn = [way for way in ways if way.has(panel)]
    low = set_value_axis(axes, scale)
    peaks: list[float] = []
    for way in drawn:
        _draw(axes, way, panel, low)
        if panel == "loss" and way.foot is not None and strokes:
            _draw_barrier(axes, way, way.foot, beside=peaks.count(way.barrier[2]))
            peaks.append(way.barrier[2])
    axes.set_xlim(-0.02, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    kinds = {way.kind: Line2D([], [], color=INK, linestyle=way.dashes) for way in ways} if _many(ways) else {}
    entries = [(look, kind) for kind, look in kinds.items()] + _bands() + _gaps(drawn, panel)
    units = {str(way.dataset[panel].attrs.get("units", "1")) for way in drawn} - {"1"}
    words = panel + (f" ({units.pop()})" if len(units) == 1 else "")
    if all(way.dataset.attrs.get("dead") for way in drawn):
        state(axes, "dead")
    x, title = where_words(ways), ways[0].label if titled else ""
    return layout.Cell(axes, RATIO, title, x, words, entries, x_axis=x, fit=lambda width: few_ticks(axes.xaxis, width))


def _draw(axes: Axes, way: Way, panel: str, low: float) -> None:
    """The line with its band, and marks where there is no value."""
    values, errors = way.values(panel), way.errors(panel)
    known = np.isfinite(values)
    shown = np.where(known, values, np.nan)
    axes.plot(way.t, shown, color=way.colour, linestyle=way.dashes, zorder=3)
    alone = known & ~np.pad(known, 1)[:-2] & ~np.pad(known, 1)[2:]
    axes.plot(way.t[alone], values[alone], ".", color=way.colour, markersize=4, zorder=3)
    shade: dict[str, Any] = {"color": way.colour, "alpha": ERROR_ALPHA, "linewidth": 0, "zorder": 1}
    axes.fill_between(way.t, np.maximum(shown - errors, low), shown + errors, where=known, **shade)
    look = {"color": way.colour, "markersize": 3.5}
    mark_at_edge(axes, way.t, way.nonfinite(panel), {**markers.NONFINITE, **look}, top=True)
    ring = {**markers.MISSING, "markeredgecolor": way.colour, "markersize": 3}
    mark_at_edge(axes, way.t, way.missing, ring, top=False)


def _draw_barrier(axes: Axes, way: Way, foot: tuple[float, float], *, beside: int) -> None:
    """An upright stroke from the mean of the ends to the top, ``beside`` so many others of the same t."""
    figure = cast(PaperFigure, axes.figure)
    aside = ScaledTranslation(beside * STROKES_APART / 72, 0, figure.dpi_scale_trans)
    look: dict[str, Any] = {"linewidth": 0.8, "marker": "_", "markersize": 5, "zorder": 2}
    axes.plot([way.barrier[2]] * 2, list(foot), color=way.colour, transform=axes.transData + aside, **look)


def stroked(ways: Sequence[Way]) -> bool:
    """Whether barriers are drawn: those of many paths, often at one t, would hide the lines."""
    return len(ways) <= MOST_STROKES


def where_words(ways: Sequence[Way]) -> str:
    """What t is, with the checkpoints' names where all paths share them."""
    ends = {(str(w.dataset.attrs.get("checkpoint", "")), str(w.dataset.attrs.get("to", ""))) for w in ways}
    first, second = ends.pop() if len(ends) == 1 else ("", "")
    return f"t, from {first or 'the first checkpoint'} (0) to {second or 'the second'} (1)"


def name_of_way(way: Way, ways: Sequence[Way]) -> str:
    """The kind of path, with the data set's label where there are several."""
    return f"{way.label}, {way.kind}" if len({other.group for other in ways}) > 1 else way.kind


def _many(ways: Sequence[Way]) -> bool:
    """Whether there are so many data sets that their colours are told by a bar, and their barriers by the caption."""
    return len({way.group for way in ways}) > MOST_NAMES


def _names(ways: Sequence[Way]) -> list[markers.Entry]:
    if _many(ways):
        firsts = {way.group: way for way in reversed(ways)}
        return [(Line2D([], [], color=firsts[k].colour), firsts[k].label) for k in sorted(firsts)]
    return [
        (
            Line2D([], [], color=way.colour, linestyle=way.dashes),
            f"{name_of_way(way, ways)}: {way.barrier_words}",
        )
        for way in ways
    ]


def _bands() -> list[markers.Entry]:
    return [(Patch(color=INK, alpha=ERROR_ALPHA, linewidth=0), "± standard error")]


def _gaps(ways: Sequence[Way], panel: str) -> list[markers.Entry]:
    """How many points of each path are no numbers or not measured."""
    entries: list[markers.Entry] = []
    for way in ways:
        broken, missing = int(way.nonfinite(panel).sum()), int(way.missing.sum())
        if broken:
            look = {**markers.NONFINITE, "color": way.colour}
            words = f"{name_of_way(way, ways)}: not finite at {_points(broken)}"
            entries.append((markers.handle(look, 4), words))
        if missing:
            look = {**markers.MISSING, "markeredgecolor": way.colour}
            entries.append((markers.handle(look, 3), f"{name_of_way(way, ways)}: not measured at {_points(missing)}"))
    return entries


def _points(count: int) -> str:
    return f"{count} point{'s' if count != 1 else ''}"


def path_caption(datasets: Sequence[xr.Dataset], ways: Sequence[Way], options: Options, note: str = "") -> str:
    """What the paths are and how long, what a barrier is, under which BN policy, on which data."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    stroke = " (upright stroke)" if stroked(ways) else ""
    kinds = [f"{kind}: {WORDS.get(kind, kind)}" for kind in dict.fromkeys(way.kind for way in ways)]
    sentences = [
        f"Paths from one checkpoint to another; {'; '.join(kinds)}",
        f"Barrier: the largest loss on the path minus the mean of its ends{stroke}, over the measured points; "
        "bands and ±: one standard error over the samples",
        "A path whose largest loss is at an end has no barrier" if any(ends_highest(w.dataset) for w in ways) else "",
        note,
        "; ".join(f"{name_of_way(way, ways)}: {way.barrier_words}" for way in ways) if _many(ways) else "",
        once(labels, [_lengths(dataset) for dataset in datasets], "Length: "),
        once(labels, [_moved(dataset) for dataset in datasets], ""),
        once(labels, [_training(a) for a in attrs], "Curves: "),
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _lengths(dataset: xr.Dataset) -> str:
    known = [(str(k), float(v)) for k, v in zip(dataset["path"].values, dataset["length"].values, strict=True)]
    return ", ".join(f"{kind} {number(length)}" for kind, length in known if np.isfinite(length))


def _moved(dataset: xr.Dataset) -> str:
    return f"Alignment moved {int(dataset['moved_units'])} hidden units" if "moved_units" in dataset else ""


def _training(attrs: dict[str, Any]) -> str:
    if "curve_steps" not in attrs:
        return ""
    bends = int(attrs["curve_bends"])
    return f"{bends} bend{'s' if bends != 1 else ''} trained for {attrs['curve_steps']} minibatches of {attrs['curve_batch_size']}"
