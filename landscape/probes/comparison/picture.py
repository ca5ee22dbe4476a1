"""Comparisons: each measure in a panel of its own, every replicate a dot beside its setting's mean and interval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.caption import joined, once
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLOURS, COLUMN, PAGE, PaperFigure, number, points, width_of
from landscape.pictures.value_axis import mark_at_edge, set_value_axis
from landscape.pictures.words import shortened

RATIO = 0.62
UPRIGHT = 0.8  # inches that a setting's name may take upright
ASIDE = 0.17  # of the distance between settings, from the mean to its replicates
DEAD = "#8a8a8a"
ALIVE = COLOURS[0]
MEAN: dict[str, Any] = {"marker": "o", "markersize": 3.6, "linestyle": "none"}
REPLICATE: dict[str, Any] = {"marker": "o", "markersize": 2.4, "linestyle": "none", "markeredgewidth": 0, "alpha": 0.45}
_UNITS = {
    "training seeds": ("training seed", "training seeds"),
    "direction seeds": ("direction seed", "direction seeds"),
    "steps within one run (block bootstrap)": ("step within one run", "steps within one run (block bootstrap)"),
}


@dataclass(frozen=True)
class Measure:
    """One measure over the settings of a comparison.

    Attributes:
        values: ``(setting, replicate)``, NaN where there is none.
        mean, low, high: ``(setting,)``; the ends are NaN where no interval exists.
        count: ``(setting,)``, of independent units.
        sentences: of each trend, then each pair that was compared, in words.
    """

    name: str
    title: str
    unit: str
    log: bool
    values: Floats
    mean: Floats
    low: Floats
    high: Floats
    count: Floats
    replication: str
    settings: tuple[str, ...]
    dead: Mask
    by: str
    sentences: tuple[str, ...]

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What the quantity cannot leave, if it is a fraction: then all of its replicates lie in it too."""
        known = self.values[np.isfinite(self.values)]
        fraction = "accuracy" in self.name or "fraction" in self.name
        return (0.0, 1.0) if fraction and known.size and known.min() >= 0 and known.max() <= 1 else None

    @property
    def replicates(self) -> tuple[Floats, Floats]:
        """Number of the setting, and value, of every replicate; of those alone that were measured."""
        given = np.arange(self.values.shape[1])[None, :] < self.measured[:, None]
        settings, _ = np.nonzero(given)
        return settings.astype(float), self.values[given]

    @property
    def measured(self) -> Floats:
        """How many replicates each setting has: to the last that is a number, a row's end being filled up with NaN."""
        known = ~np.isnan(np.pad(self.values, ((0, 0), (1, 0)), constant_values=np.nan))  # so that none has no column
        last = known.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
        return np.asarray(np.where(known.any(axis=1), last, 0), dtype=float)

    def label(self, setting: int) -> str:
        return self.settings[setting] + ("\ndead" if self.dead[setting] else "")

    def replication_words(self) -> str:
        """What the interval is over, and over how many."""
        counts = np.unique(self.count[np.isfinite(self.count)]).astype(int)
        one, many = _UNITS.get(self.replication, (self.replication, self.replication))
        if counts.size == 0:
            return many
        low, high = int(counts[0]), int(counts[-1])
        return (
            f"n\u00a0=\u00a0{low} {one if low == 1 else many}"
            if low == high
            else f"n\u00a0=\u00a0{low} to {high} {many}"
        )


def read_measures(datasets: Sequence[xr.Dataset], options: Options) -> list[Measure]:
    """The wanted measures of every comparison, in its order.

    Raises:
        InputError: for a measure that does not exist, or a comparison without settings.
    """
    names = [str(name) for dataset in datasets for name in dataset["measure"].values]
    if options.quantity not in ("all", *names):
        raise unknown_choice("quantity", options.quantity, ("all", *names))
    heads = options.labels if options.labels is not None else _titles(datasets)
    found = []
    for dataset, head in zip(datasets, heads, strict=True):
        if dataset.sizes["setting"] == 0 or dataset.sizes["measure"] == 0:
            raise InputError(f"datasets: the comparison {head or 'given'!r} has no measure of any setting.")
        own = [_read(dataset.isel(measure=index), head) for index in range(dataset.sizes["measure"])]
        found += [one for one in own if options.quantity in ("all", one.name)]
    return found


def _titles(datasets: Sequence[xr.Dataset]) -> list[str]:
    """What is compared, where there is more than one comparison."""
    return [str(dataset.attrs.get("title", "")) if len(datasets) > 1 else "" for dataset in datasets]


def _read(one: xr.Dataset, head: str) -> Measure:
    name = str(one["measure"].item())
    words = str(one["long_name"].item()) if "long_name" in one else name
    unit = str(one["measure_units"].item()) if "measure_units" in one else "1"
    said = [one[name].values.tolist() for name in ("trend_sentence", "sentence") if name in one]
    return Measure(
        name=name,
        title=f"{head}: {words}" if head else words,
        unit="" if unit == "1" else unit,
        log=str(one["scale"].item()) == "log",
        values=one["value"].transpose("setting", "replicate").values.astype(float),
        mean=one["mean"].values.astype(float),
        low=one["low"].values.astype(float),
        high=one["high"].values.astype(float),
        count=one["n"].values.astype(float),
        replication=str(one["replication"].item()),
        settings=tuple(str(setting) for setting in one["setting"].values),
        dead=one["dead"].values.astype(bool),
        by=str(one.attrs.get("by", "setting")).replace("_", " "),
        sentences=tuple(str(sentence) for sentences in said for sentence in sentences if str(sentence)),
    )


def comparison_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A grid of panels, a measure each; see :func:`landscape.probes.plot.plot`."""
    return measures_figure(datasets, read_measures(datasets, options), options)


def measures_figure(
    datasets: Sequence[xr.Dataset], measures: Sequence[Measure], options: Options, note: str = ""
) -> PaperFigure:
    """A panel for each of some measures; ``note`` says which they are."""
    figure = layout.new_figure(width_of(options.width, COLUMN if len(measures) == 1 else PAGE))
    cells = [_cell(figure.add_subplot(), measure, options.scale) for measure in measures]
    return layout.finish(figure, cells, joined([note]) + " " + comparison_caption(datasets, measures), options)


def measure_scale(measure: Measure, scale: str) -> Scale | None:
    """Of the living settings, where there are any; log where the measure is compared by its ratios."""
    kind = scale if scale != "auto" else "log" if measure.log else "linear"
    settings = np.flatnonzero(~measure.dead) if not measure.dead.all() else np.arange(measure.dead.size)
    arrays = [measure.values[settings], measure.mean[settings], measure.low[settings], measure.high[settings]]
    finite = np.concatenate([a[np.isfinite(a)].ravel() for a in arrays])
    if scale == "auto" and kind == "log" and not ((finite >= 0).all() and (finite > 0).any()):
        kind = "linear"  # a logarithm that does not exist
    if measure.bounds is not None:  # an interval by the normal distribution may reach beyond what the quantity can be
        arrays = [np.clip(array, *measure.bounds) for array in arrays]
    return choose_scale(arrays, scale=kind)


def _cell(axes: Axes, measure: Measure, scale: str) -> layout.Cell:
    chosen = measure_scale(measure, scale)
    set_value_axis(axes, chosen)
    _draw(axes, measure)
    for setting, side in outside(measure, chosen):
        mark_at_edge(axes, np.array([float(setting)]), np.array([True]), _arrow(side), top=side == "above")
    count = len(measure.settings)
    axes.set_xlim(-0.5, count - 0.5)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    entries = _entries(measure, chosen)

    def fit(width: float) -> None:
        _name_settings(axes, measure, width / count)

    return layout.Cell(axes, RATIO, measure.title, axis_words(measure), measure.unit, entries, fit=fit)


def axis_words(measure: Measure) -> str:
    """What the settings are, and the number of independent units behind each."""
    return f"{measure.by}, {measure.replication_words()}"


def _name_settings(axes: Axes, measure: Measure, room: float) -> None:
    """Upright names where one is wider than the room between two settings; then long ones are cut."""
    figure: Any = axes.figure
    names = [measure.label(k) for k in range(len(measure.settings))]
    lines = [line for name in names for line in name.split("\n")]
    wide = max(layout.text_width(figure, line, points("tick")) for line in lines) > 0.92 * room
    if wide:
        names = [
            "\n".join(shortened(figure, line, UPRIGHT, points("tick")) for line in name.split("\n")) for name in names
        ]
    axes.set_xticks(range(len(names)), names, parse_math=False, rotation=90 if wide else 0)
    for setting in np.flatnonzero(measure.dead).tolist():
        axes.get_xticklabels()[setting].set_color(DEAD)


def _draw(axes: Axes, measure: Measure) -> None:
    """Mean and interval on a setting's place, its replicates beside it; all grey where the setting is dead."""
    places, values = measure.replicates
    dead = measure.dead[places.astype(int)] if places.size else np.zeros(0, dtype=bool)
    for mask, own, colour in ((~dead, ~measure.dead, ALIVE), (dead, measure.dead, DEAD)):
        finite = mask & np.isfinite(values)
        axes.plot(places[finite] + ASIDE, values[finite], **REPLICATE, color=colour, zorder=2, gid="replicates")
        mark_at_edge(
            axes, places + ASIDE, mask & ~finite, {**markers.NONFINITE, "color": colour, "markersize": 3}, top=True
        )
        for setting in np.flatnonzero(own & np.isfinite(measure.low) & np.isfinite(measure.high)):
            ends = [measure.low[setting], measure.high[setting]]
            ends = ends if measure.bounds is None else np.clip(ends, *measure.bounds).tolist()
            axes.plot([setting, setting], ends, color=colour, linewidth=1.1, zorder=3, gid="interval")
        shown = np.flatnonzero(own & np.isfinite(measure.mean))
        face = "white" if colour == DEAD else colour
        axes.plot(shown, measure.mean[shown], **MEAN, color=colour, markerfacecolor=face, zorder=4, gid="mean")


def _entries(measure: Measure, scale: Scale | None) -> list[markers.Entry]:
    """What is out of sight: values that are no number, and dead settings far from the living."""
    _, values = measure.replicates
    entries: list[markers.Entry] = []
    gaps = int((~np.isfinite(values)).sum())
    if gaps:
        look = {**markers.NONFINITE, "color": ALIVE}
        entries.append(markers.Named(markers.handle(look, 4), "not finite", f"{gaps} value{'s' if gaps != 1 else ''}"))
    for setting, side in outside(measure, scale):
        words = f"{measure.settings[setting]} (dead): {side} the axis"
        entries.append(markers.Named(markers.handle(_arrow(side), 3.5), words, number(float(measure.mean[setting]))))
    return entries


def outside(measure: Measure, scale: Scale | None) -> list[tuple[int, str]]:
    """Dead settings whose mean lies beyond an axis that the living ones gave, ``below`` or ``above`` it."""
    found = []
    for setting in np.flatnonzero(measure.dead & np.isfinite(measure.mean)).tolist():
        mean = float(measure.mean[setting])
        if scale is not None and not scale.low <= mean <= scale.high:
            found.append((setting, "below" if mean < scale.low else "above"))
    return found


def _arrow(side: str) -> dict[str, Any]:
    marker = "v" if side == "below" else "^"
    return {"marker": marker, "color": DEAD, "linestyle": "none", "markeredgewidth": 0, "markersize": 3.5}


def comparison_caption(datasets: Sequence[xr.Dataset], measures: Sequence[Measure]) -> str:
    """What the marks are, that dead settings have no rank, and the notes of the comparison."""
    labels = [str(dataset.attrs.get("title", "comparison")) for dataset in datasets]
    percents = [f"{100 * float(d.attrs.get('confidence', 0.95)):g}\u00a0%" for d in datasets]
    dead = any(measure.dead.any() for measure in measures)
    geometric = "on a logarithmic axis the mean is geometric" if any(m.log for m in measures) else ""
    sentences = [
        once(labels, [f"Dot and bar: mean and its {percent} interval" for percent in percents], ""),
        "Faint dots beside them: every replicate" + (f"; {geometric}" if geometric else ""),
        "Grey: a dead network, which has no rank" if dead else "",
        "An interval is cut where the quantity ends" if any(measure.bounds for measure in measures) else "",
        *comparison_notes(datasets),
    ]
    return joined(sentences)


def comparison_notes(datasets: Sequence[xr.Dataset]) -> list[str]:
    """What the comparisons themselves say of their tests and of what they left out."""
    labels = [str(dataset.attrs.get("title", "comparison")) for dataset in datasets]
    return [once(labels, [" ".join(_sentences(dataset)) for dataset in datasets], "")]


def _sentences(dataset: xr.Dataset) -> list[str]:
    notes = json.loads(dataset.attrs.get("notes") or "[]")
    return [str(note) if index + 1 < len(notes) else str(note).rstrip(".") for index, note in enumerate(notes)]
