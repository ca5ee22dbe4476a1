"""The metric over the distance from the checkpoint, along random directions and the worst, and where it leaves the basin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.colours import looks
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, PaperFigure, number, width_of
from landscape.pictures.value_axis import few_ticks, set_value_axis
from landscape.probes.searches import Status

RATIO = 0.8
BEYOND = 1.5  # of the way from the checkpoint's value to the threshold: as far as the axis goes
DASHES: Any = (0, (4, 1.5))  # of a worst direction


@dataclass(frozen=True)
class Curve:
    """One direction of one checkpoint: distances in ‖θ‖ from 0 on, and the metric there."""

    name: str
    colour: str
    group: int
    random: bool
    places: Floats
    values: Floats
    radius: float


@dataclass(frozen=True)
class BasinPanel:
    """The curves of all checkpoints with one metric; ``said`` is what each checkpoint's legend says."""

    metric: str
    unit: str
    curves: tuple[Curve, ...]
    said: tuple[str, ...]
    colours: tuple[str, ...]
    ends: tuple[tuple[float, float], ...]  # of each checkpoint: the metric there, and at the edge

    @property
    def x_label(self) -> str:
        return "distance from the checkpoint, in ‖θ‖"

    @property
    def y_label(self) -> str:
        return f"{self.metric}{self.unit}"

    @property
    def farthest(self) -> float:
        """As far as the axis goes: a little beyond the largest radius, or all that was looked at where there is none."""
        known = [curve.radius for curve in self.curves if np.isfinite(curve.radius)]
        return 1.15 * max(known) if known else max(float(curve.places.max()) for curve in self.curves)

    def scale(self, kind: str) -> Scale | None:
        """From the checkpoint's value to beyond the edge; a loss may rise to any height farther out."""
        ends = np.array([[value, value + BEYOND * (edge - value)] for value, edge in self.ends])
        return choose_scale([ends], scale="linear" if kind == "auto" else kind)


def read_basin(datasets: Sequence[xr.Dataset], options: Options) -> BasinPanel:
    """The curves of every direction that has been measured.

    Raises:
        InputError: for metrics that differ, a quantity that is none, and where nothing has been measured.
    """
    metrics = list(dict.fromkeys(str(dataset.attrs["metric"]) for dataset in datasets))
    if len(metrics) > 1:
        raise InputError(f"datasets: these are of {' and '.join(metrics)}, and share no axis. Draw each by itself.")
    if options.quantity not in ("all", *metrics):
        raise unknown_choice("quantity", options.quantity, ["all", *metrics])
    labels = labels_of(datasets, options.labels)
    colours = [look.colour for look in looks(datasets, options, dashed=False)]
    curves = [
        _curve(dataset, int(place), colours[group], group)
        for group, dataset in enumerate(datasets)
        for place in np.flatnonzero(dataset["status"].values != Status.MISSING)
    ]
    if not curves:
        raise InputError("datasets: nothing has been measured yet.")
    unit = str(datasets[0]["value"].attrs.get("units", "1"))
    several = len(datasets) > 1
    said = tuple(
        f"{marked(label, one)}: {_said(one)}" if several else _said(one)
        for label, one in zip(labels, datasets, strict=True)
    )
    ends = tuple((float(one["checkpoint_value"]), float(one["threshold"])) for one in datasets)
    return BasinPanel(metrics[0], "" if unit == "1" else f" ({unit})", tuple(curves), said, tuple(colours), ends)


def _curve(dataset: xr.Dataset, place: int, colour: str, group: int) -> Curve:
    one, norm = dataset.isel(direction=place), float(dataset["parameter_norm"]) or 1.0
    tried = np.isfinite(one["trial_radius"].values)
    places = np.concatenate([[0.0], one["trial_radius"].values[tried] / norm])
    values = np.concatenate([[float(dataset["checkpoint_value"])], one["value"].values[tried]])
    name = str(one["direction"].item())
    return Curve(name, colour, group, name.startswith("random"), places, values, float(one["radius"]) / norm)


def _said(dataset: xr.Dataset) -> str:
    norm = float(dataset["parameter_norm"]) or 1.0
    parts = []
    mean, error, least = (
        float(dataset[name]) / norm for name in ("random_radius", "random_radius_standard_error", "least_radius")
    )
    if np.isfinite(mean):
        parts.append(f"random {number(mean)} ± {number(error, 2)}")
    if np.isfinite(least):
        parts.append(f"least {number(least)}")
    known = dataset["status"].isin([Status.MEASURED, Status.BRACKETED]).values
    if not known.all():
        parts.append(f"{int((~known).sum())} of {known.size} not known")
    return "radius in ‖θ‖: " + ", ".join(parts)


def basin_radius_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """One panel; see :func:`landscape.probes.plot.plot`."""
    panel = read_basin(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN))
    cell = _cell(figure.add_subplot(), panel, options)
    return layout.finish(figure, [cell], basin_caption(datasets, options), options)


def _cell(axes: Axes, panel: BasinPanel, options: Options) -> layout.Cell:
    set_value_axis(axes, panel.scale(options.scale))
    axes.set_xlim(0, panel.farthest)
    axes.spines[["top", "right"]].set_visible(False)
    for curve in panel.curves:
        values = np.where(np.isfinite(curve.values), curve.values, np.nan)
        axes.plot(curve.places, values, **look(curve), zorder=2 if curve.random else 3)
    for group, ((_, edge), colour) in enumerate(zip(panel.ends, panel.colours, strict=True)):
        axes.axhline(edge, color=colour, linewidth=0.7, linestyle=":", zorder=1)
        known = [curve for curve in panel.curves if curve.group == group and np.isfinite(curve.radius)]
        dots = {"marker": "o", "color": colour, "markersize": 2.8, "linestyle": "none", "zorder": 4}
        axes.plot([curve.radius for curve in known], [edge] * len(known), **dots)  # type: ignore[arg-type]
    entries: list[markers.Entry] = [
        (Line2D([], [], color=colour, linewidth=1.2), said)
        for colour, said in zip(panel.colours, panel.said, strict=True)
    ]
    if not all(curve.random for curve in panel.curves):
        entries.append((Line2D([], [], color="#555555", linewidth=1.2, linestyle=DASHES), "worst directions"))
    fit = partial(few_ticks, axes.xaxis)
    return layout.Cell(axes, RATIO, "", panel.x_label, panel.y_label, entries, fit=fit)


def look(curve: Curve) -> dict[str, Any]:
    """How a direction's line looks."""
    if curve.random:
        return {"color": curve.colour, "linewidth": 0.7, "alpha": 0.55}
    return {"color": curve.colour, "linewidth": 1.2, "linestyle": DASHES}


def basin_caption(datasets: Sequence[xr.Dataset], options: Options) -> str:
    """What the curves are, where the basin ends, and on which data."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    sentences = [
        once(labels, [_ways(dataset) for dataset in datasets], ""),
        once(labels, [_edge(dataset) for dataset in datasets], "Dotted: the edge of the basin, "),
        "Dots: where a direction crosses it; ± is the standard error over random directions",
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [f"‖θ‖₂ = {number(float(d['parameter_norm']))}" for d in datasets], ""),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _ways(dataset: xr.Dataset) -> str:
    names = [str(name) for name in dataset["direction"].values]
    worst = [name for name in names if not name.startswith("random")]
    made = f"{dataset.attrs['normalization']}-normalised" if dataset.attrs["normalization"] != "none" else "Gaussian"
    others = f" and along {', '.join(worst)}" if worst else ""
    return f"Along {len(names) - len(worst)} random directions ({made}){others}"


def _edge(dataset: xr.Dataset) -> str:
    metric, edge = dataset.attrs["metric"], number(float(dataset["threshold"]), 4)
    return f"{metric} {edge} from {number(float(dataset['checkpoint_value']), 4)} at the checkpoint"
