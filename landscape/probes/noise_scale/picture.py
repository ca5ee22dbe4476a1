"""Gradient noise scales beside each other, each with its standard error and what it would be without each group of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from landscape.errors import unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import data_words, joined, once, policy_words, scale_note
from landscape.pictures.colours import looks
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, PaperFigure, number, width_of
from landscape.pictures.value_axis import mark_at_edge, padded, set_value_axis
from landscape.pictures.words import state
from landscape.results.words import unit_of

RATIO = 0.62
QUANTITY = "noise_scale"
ARROWS = {"below": "v", "above": "^"}
AXIS, PLACES = "gradient noise scale (samples)", "left: all batches; right: without each group of them"
LEFT, SPREAD = 0.16, (0.02, 0.36)  # of the distance between results: the dot, and the values without a group beside it
DOT: dict[str, Any] = {"marker": "o", "markersize": 4.5, "markeredgewidth": 0.9, "linestyle": "none"}
FAINT: dict[str, Any] = {"marker": "o", "markersize": 2.4, "markeredgewidth": 0, "alpha": 0.5, "linestyle": "none"}


@dataclass(frozen=True)
class Noise:
    """The noise scale of one checkpoint, the one of number ``place``, in samples; ``without`` is it by the group left out."""

    label: str
    colour: str
    place: int
    value: float
    error: float
    resolved: bool
    dead: bool
    without: Floats

    @property
    def spread(self) -> tuple[float, float]:
        """One standard error below and above; the value itself where no error is known."""
        error = self.error if np.isfinite(self.error) else 0.0
        return self.value - error, self.value + error

    @property
    def without_at(self) -> Floats:
        """Where the values without a group are drawn."""
        return self.place + np.linspace(*SPREAD, max(self.without.size, 2))[: self.without.size]

    @property
    def lost(self) -> str:
        """How many values without a group are no numbers, where the whole is one; nothing for none."""
        count = int((~np.isfinite(self.without)).sum()) if np.isfinite(self.value) else 0
        return f"not finite without {count} of the {self.without.size} groups" if count else ""

    @property
    def words(self) -> str:
        """The value with its error, and whether it has an upper end."""
        if not np.isfinite(self.value):
            return "not finite"
        error = f" ± {number(self.error, 2)}" if np.isfinite(self.error) else ""
        return f"{number(self.value)}{error}" + ("" if self.resolved else ", not resolved: no upper end")


def read_noise(datasets: Sequence[xr.Dataset], options: Options) -> list[Noise]:
    """The noise scale of every data set.

    Raises:
        InputError: for another quantity.
    """
    if options.quantity != QUANTITY:
        raise unknown_choice("quantity", options.quantity, [QUANTITY])
    shown = zip(datasets, labels_of(datasets, options.labels), looks(datasets, options, dashed=False), strict=True)
    return [_noise(dataset, label, look.colour, place) for place, (dataset, label, look) in enumerate(shown)]


def _noise(dataset: xr.Dataset, label: str, colour: str, place: int) -> Noise:
    return Noise(
        label=marked(label, dataset),
        colour=colour,
        place=place,
        value=float(dataset["noise_scale"]),
        error=float(dataset["noise_scale_standard_error"]),
        resolved=float(dataset["resolved"]) == 1,
        dead=bool(dataset.attrs.get("dead", 0)),
        without=np.asarray(dataset.get("noise_scale_without", []), dtype=float),
    )


def noise_axis(noises: Sequence[Noise], kind: str) -> Scale | None:
    """Of those that are resolved, where there are any: one without an upper end would leave them no room."""
    known = [one for one in noises if one.resolved and not one.dead] or list(noises)
    values = np.concatenate([[one.value, *one.without] for one in known])
    ends = np.array([end for one in known for end in one.spread])
    finite = values[np.isfinite(values)]
    return choose_scale([values, ends[ends > 0] if finite.size and finite.min() > 0 else ends], scale=kind)


def noise_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """One panel with a place for each data set; see :func:`landscape.probes.plot.plot`."""
    noises = read_noise(datasets, options)
    scale = noise_axis(noises, options.scale)
    figure = layout.new_figure(width_of(options.width, COLUMN))
    axes = figure.add_subplot()
    set_value_axis(axes, scale)
    names: list[markers.Entry] = []
    entries: list[markers.Entry] = []
    for one in noises:
        drawn = _draw(axes, one, scale, several=len(noises) > 1)
        names, entries = [*names, drawn[0]], [*entries, *drawn[1:]]
    axes.set_xlim(-0.5, len(noises) - 0.5)
    axes.set_xticks([])
    axes.spines[["top", "right"]].set_visible(False)
    if all(one.dead for one in noises):
        state(axes, "dead")
    heading = noises[0].label if len(noises) == 1 else ""
    caption = noise_caption(datasets, noises, options, scale)
    cell = layout.Cell(axes, RATIO, "", PLACES, AXIS, entries)
    return layout.finish(figure, [cell], caption, options, heading=heading, names=names)


def _draw(axes: Axes, one: Noise, scale: Scale | None, *, several: bool) -> list[markers.Entry]:
    """The dot with its bar, open where it is not resolved, the values without a group, and what has no place on the axis."""
    at, low = one.place - LEFT, axes.get_ylim()[0]
    x, y = np.array([at, *one.without_at]), np.array([one.value, *one.without])
    dot = {**DOT, "color": one.colour, "markerfacecolor": one.colour if one.resolved else "white"}
    faint = {**FAINT, "color": one.colour}
    cross = {**markers.NONFINITE, "color": one.colour, "markersize": 3.5}
    if np.isfinite(one.value):
        below, above = one.spread
        axes.vlines(at, max(below, low), above, color=one.colour, linewidth=1.1, zorder=2)
    sides = beyond(one, scale)
    axes.plot(x[:1], np.where(sides == "", y, np.nan)[:1], **dot, zorder=3)
    axes.plot(x[1:], np.where(sides == "", y, np.nan)[1:], **faint, zorder=2)
    mark_at_edge(axes, x, ~np.isfinite(y), cross, top=True)
    for side, marker in ARROWS.items():
        for look, part in ((dot, slice(0, 1)), (faint, slice(1, None))):
            mark_at_edge(axes, x[part], (sides == side)[part], {**look, "marker": marker}, top=side == "above")
    handle = markers.handle({**dot, "marker": ARROWS.get(sides[0], "o")} if np.isfinite(one.value) else cross)
    of = f"{one.label}: " if several else ""
    named = (one.label, one.words) if several else (one.words, "")
    entries: list[markers.Entry] = [markers.Named(handle, *named)]
    return entries + ([(markers.handle(cross, 4), f"{of}{one.lost}")] if one.lost else [])


def beyond(one: Noise, scale: Scale | None) -> NDArray[np.str_]:
    """``below`` or ``above`` for the value, then for each without a group, where the axis that others gave does not reach it."""
    values = np.array([one.value, *one.without])
    low, high = (-np.inf, np.inf) if scale is None else padded(scale)
    return np.select([values < low, values > high], ["below", "above"], "")


def noise_caption(
    datasets: Sequence[xr.Dataset], noises: Sequence[Noise], options: Options, scale: Scale | None
) -> str:
    """What dots and bars are, the parts of the ratio, from which batches, under which policy, on which data."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    open_ = any(not one.resolved for one in noises)
    outside = any((beyond(one, scale) != "").any() for one in noises)
    sentences = [
        "Dot and bar: gradient noise scale tr Σ / ‖G‖² ± one standard error, by the jackknife",
        "Faint dots beside it: its values without each group of batches in turn",
        "Open: ‖G‖² lies less than two standard errors above zero, so the scale has no upper end" if open_ else "",
        "Triangles: values beyond the axis, which spans those that are resolved" if outside else "",
        once(labels, [_parts(dataset) for dataset in datasets], ""),
        once(labels, [_batches(dataset) for dataset in datasets], "Batches: "),
        scale_note(scale, "axis"),
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _parts(dataset: xr.Dataset) -> str:
    return ", ".join(_part(dataset, *part) for part in (("gradient_norm_squared", "‖G‖²"), ("noise_trace", "tr Σ")))


def _part(dataset: xr.Dataset, name: str, words: str) -> str:
    error = dataset.get(f"{name}_standard_error")
    spread = f" ± {number(float(error), 2)}" if error is not None and np.isfinite(error) else ""
    return f"{words} = {number(float(dataset[name]))}{spread}{unit_of(dataset[name])}"


def _batches(dataset: xr.Dataset) -> str:
    """Their sizes, and how many groups, of which an unfinished result has fewer than were asked for."""
    made = dataset.attrs
    if not {"small_batch", "big_batch"} <= made.keys():
        return ""
    found = dataset.sizes.get("group", 0)
    of = f" of {made['groups']}, unfinished" if made.get("groups", found) != found else ""
    return f"{made['small_batch']} and {made['big_batch']} samples, in {found} groups{of}"
