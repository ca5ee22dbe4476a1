"""Gradient flow: the mean |gradient| of every weight tensor, from the input to the output, all records over each other.

As in Figs. 1 and 2 of the University of Edinburgh MLP coursework.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.bars import Bar, bar_of
from landscape.pictures.caption import joined, once, run_sentences
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, sequence, width_of
from landscape.pictures.value_axis import mark_at_edge, set_value_axis
from landscape.pictures.words import state

QUANTITIES = {"mean_abs_gradient": "mean |∂L/∂w|", "gradient_norm": "‖∂L/∂w‖₂"}
RATIO = 0.72  # height over width: values may span twenty decades
FEW = 12  # up to so many tensors and records, each point is shown as a dot
MOST_TICKS = 8
ZERO: dict[str, Any] = {"marker": "v", "color": INK, "markersize": 3, "linestyle": "none", "markeredgewidth": 0}


@dataclass(frozen=True)
class Flow:
    """One data set's weight tensors in depth order.

    Attributes:
        values: ``(record, tensor)``.
        x: the place of each tensor: its layer's depth, or its number where layers have several weight tensors.
        when: of each record, in epochs, or in steps where an epoch has several records.
    """

    label: str
    dataset: xr.Dataset
    values: Floats
    x: Floats
    names: tuple[str, ...]
    when: Floats
    clock: str
    by_layer: bool

    @property
    def title(self) -> str:
        return marked(self.label, self.dataset)

    @property
    def zero(self) -> Mask:
        return np.asarray(self.values == 0)

    @property
    def nonfinite(self) -> Mask:
        return np.asarray(~np.isfinite(self.values))

    def short_name(self, index: int) -> str:
        """A tensor's name without the word that all have."""
        return self.names[index].removesuffix(".weight")


def read_flows(datasets: Sequence[xr.Dataset], options: Options) -> list[Flow]:
    """The wanted quantity of every weight tensor (role ``weight``) of each data set.

    Raises:
        InputError: for an unknown quantity, or a data set without a record or without a weight tensor.
    """
    if options.quantity not in QUANTITIES:
        raise unknown_choice("quantity", options.quantity, QUANTITIES)
    names = labels_of(datasets, options.labels)
    clock = "step" if any(np.unique(d["epoch"]).size < d.sizes["record"] for d in datasets) else "epoch"
    return [_read(dataset, options.quantity, label, clock) for dataset, label in zip(datasets, names, strict=True)]


def _read(dataset: xr.Dataset, quantity: str, label: str, clock: str) -> Flow:
    weights = dataset.isel(tensor=np.flatnonzero(dataset["role"].values == "weight")).sortby("depth")
    for dimension, what in (("record", "has no record yet"), ("tensor", "has no tensor of the role 'weight'")):
        if weights.sizes[dimension] == 0:
            raise InputError(f"datasets: the gradient flow {label!r} {what}.")
    depth = weights["depth"].values.astype(float)
    by_layer = bool(np.unique(depth).size == depth.size)
    return Flow(
        label=label,
        dataset=dataset,
        values=weights[quantity].transpose("record", "tensor").values.astype(float),
        x=depth if by_layer else np.arange(1.0, depth.size + 1),
        names=tuple(str(name) for name in weights["tensor"].values),
        when=weights[clock].values.astype(float),
        clock=clock,
        by_layer=by_layer,
    )


def flow_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Panels side by side on one upright axis; see :func:`landscape.probes.plot.plot`."""
    flows = read_flows(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(flows) == 1 else PAGE))
    shared = flow_scale(flows, options.scale)
    colours = record_colours(flows)
    cells = []
    for flow in flows:
        scale = shared if options.share else flow_scale([flow], options.scale)
        cells.append(_cell(figure.add_subplot(), flow, scale, colours, options.quantity))
        cells[-1].y_axis = "shared" if options.share else None
    return layout.finish(figure, cells, flow_caption(flows, options.quantity), options, bar=_record_bar(figure, flows))


def flow_scale(flows: Sequence[Flow], scale: str) -> Scale | None:
    """Logarithmic unless another is asked for; zeros then lie under it. None where no value is above zero."""
    values = [flow.values for flow in flows]
    if scale != "linear" and not any((v[np.isfinite(v)] > 0).any() for v in values):
        return None
    return choose_scale(values, scale="log" if scale == "auto" else scale)


def record_colours(flows: Sequence[Flow]) -> ScalarMappable:
    """Epoch or step to colour, the same for all: dark for the first, light for the last."""
    when = np.concatenate([flow.when for flow in flows])
    low, high = float(when.min()), float(when.max())
    return ScalarMappable(norm=Normalize(low, high if high > low else low + 1), cmap=sequence())


def _record_bar(figure: PaperFigure, flows: Sequence[Flow]) -> Bar | None:
    colours = record_colours(flows)
    low, high = colours.get_clim()
    if np.unique(np.concatenate([flow.when for flow in flows])).size == 1:
        return None
    ticks = round_places(float(low or 0), float(high or 0))
    return bar_of(figure, colours, flows[0].clock, ticks, [f"{tick:g}" for tick in ticks])


def _cell(axes: Axes, flow: Flow, scale: Scale | None, colours: ScalarMappable, quantity: str) -> layout.Cell:
    set_value_axis(axes, scale)
    log = scale is None or scale.log
    _draw(axes, flow, colours, log=log)
    room = 0.03 * float(np.ptp(flow.x)) or 0.5
    axes.set_xlim(flow.x[0] - room, flow.x[-1] + room)
    axes.spines[["top", "right"]].set_visible(False)
    if flow.dataset.attrs.get("dead"):
        state(axes, "dead")
    x, ends = axis_words(flow), (float(flow.x[0]), float(flow.x[-1]))

    def fit(width: float) -> None:
        places = round_places(*ends, most=int(width / 0.25))
        axes.set_xticks(places, [f"{place:g}" for place in places])

    words = value_words(flow, quantity)
    return layout.Cell(axes, RATIO, flow.title, x, words, _entries(flow, log=log), x_axis=(x, ends), fit=fit)


def value_words(flow: Flow, quantity: str) -> str:
    unit = str(flow.dataset[quantity].attrs.get("units", "1"))
    return QUANTITIES[quantity] + (f" ({unit})" if unit != "1" else "")


def axis_words(flow: Flow) -> str:
    """What the places are, with the names of the first and the last."""
    what = "layer" if flow.by_layer else "weight tensor"
    if flow.x.size == 1:
        return f"{what} {flow.x[0]:g}: {flow.short_name(0)}"
    ends = (f"{flow.x[index]:g}:\u00a0{flow.short_name(index)}" for index in (0, -1))
    return f"{what} ({', '.join(ends)})"


def _draw(axes: Axes, flow: Flow, colours: ScalarMappable, *, log: bool) -> None:
    """A line a record, triangles at the lower edge where a logarithm does not exist, crosses at the upper one."""
    thin = 0.9 if flow.when.size <= 20 else 0.5
    hidden = flow.nonfinite | (flow.zero if log else False)
    for values, mask, when in zip(flow.values, hidden, flow.when, strict=True):
        shown = np.where(mask, np.nan, values)
        known = np.isfinite(np.pad(shown, 1, constant_values=np.nan))
        alone = known[1:-1] & ~known[:-2] & ~known[2:]
        colour = colours.to_rgba(np.array([when]))[0]
        marker = "o" if max(flow.values.shape) <= FEW else ""
        axes.plot(flow.x, shown, color=colour, linewidth=thin, marker=marker, markersize=1.8)
        if alone.any() and not marker:  # a point without neighbours draws no line
            axes.plot(flow.x[alone], shown[alone], ".", color=colour, markersize=2)
    if log:
        mark_at_edge(axes, flow.x, somewhere(flow.zero), ZERO, top=False)
    mark_at_edge(axes, flow.x, somewhere(flow.nonfinite), {**markers.NONFINITE, "markersize": 3.5}, top=True)


def _entries(flow: Flow, *, log: bool) -> list[markers.Entry]:
    """How many values are exactly zero, or no number; and when the record was made where there is only one."""
    entries: list[markers.Entry] = []
    if flow.when.size == 1:
        entries.append((Line2D([], [], color=sequence()(0.0)), f"{flow.clock} {flow.when[0]:g}"))
    for mask, look, what in ((flow.zero & log, ZERO, "exactly 0"), (flow.nonfinite, markers.NONFINITE, "not finite")):
        if mask.any():
            entries.append(markers.Named(markers.handle(look, 3.5), what, counted(mask)))
    return entries


def somewhere(mask: Mask) -> Mask:
    """The tensors in which any record is so."""
    return np.asarray(mask.any(axis=0))


def counted(mask: Mask) -> str:
    """How many values of how many, in how many tensors of how many."""
    return f"{int(mask.sum()):,} of {mask.size:,} values, in {int(mask.any(axis=0).sum())} of {mask.shape[1]} tensors"


def flow_caption(flows: Sequence[Flow], quantity: str) -> str:
    """What was recorded, of which runs, and which of them are dead."""
    labels = [flow.label for flow in flows]
    attrs = [flow.dataset.attrs for flow in flows]
    named = [str(flow.dataset[quantity].attrs.get("long_name", "")) for flow in flows]
    counts = [f"{flow.when.size:,} record{'s over each other' if flow.when.size != 1 else ''}" for flow in flows]
    sentences = [
        once(labels, [name[:1].upper() + name[1:] for name in named], ""),
        "Weight tensors alone, from the input to the output",
        once(labels, counts, ""),
        *run_sentences(labels, [[flow.dataset] for flow in flows]),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def round_places(first: float, last: float, *, most: int = MOST_TICKS) -> list[float]:
    """The ends, and at most so many round numbers between them that keep clear of both."""
    if last <= first:
        return [first]
    step = next(s for s in _steps() if (last - first) / s <= min(max(most, 1), MOST_TICKS))
    between = [k * step for k in range(int(first // step) + 1, int(last // step) + 1)]
    return [first, *(v for v in between if v - first > 0.6 * step and last - v > 0.6 * step), last]


def _steps() -> Any:
    return (base * 10**power for power in range(9) for base in (1, 2, 5))
