"""The rise of the loss along each direction, over the step: where it crosses zero is the critical step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats, Mask, error_band
from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, line_colours, number, setting_number, width_of
from landscape.pictures.value_axis import given_ticks, mark_at_edge, padded, set_value_axis
from landscape.probes.searches import Status

RATIO = 0.8
TICKS = 4  # at most, since the words of a small step are long
DASHES: Any = (0, (2, 1.2))  # of a dead network
_X = {
    "gradient": "η along −∇L (a learning rate)",
    "update": "η along the update (a learning rate)",
}


@dataclass(frozen=True)
class Curve:
    """One direction of one checkpoint, the one of number ``group``, by ascending step: arrays ``(trial,)``."""

    label: str
    colour: str
    group: int
    dead: bool
    step: Floats
    rise: Floats
    errors: Floats
    critical: float
    critical_error: float
    said: str

    @property
    def nonfinite(self) -> Mask:
        return np.asarray(~np.isfinite(self.rise))

    @property
    def spread(self) -> tuple[Floats, Floats]:
        """One standard error below and above; the value itself where no error is known."""
        return error_band(self.rise, self.errors)


@dataclass(frozen=True)
class StepPanel:
    """A direction with the curves of all checkpoints that have it."""

    direction: str
    unit: str
    curves: tuple[Curve, ...]

    @property
    def title(self) -> str:
        return f"Along {self.direction}"

    @property
    def x_label(self) -> str:
        return _X.get(self.direction, f"η along {self.direction}")

    @property
    def y_label(self) -> str:
        return f"L(θ + ηd) − L(θ){self.unit}"

    @property
    def steps(self) -> Floats:
        """Every step that some curve has, ascending."""
        return np.unique(np.concatenate([curve.step for curve in self.curves]))

    def scale(self, kind: str) -> Scale | None:
        """As far above zero as the loss falls below it: beyond the critical step it may rise to any height."""
        rises = [curve.rise for curve in self.curves]
        finite = np.concatenate(rises)[np.isfinite(np.concatenate(rises))]
        falls = finite.size and finite.min() < 0 < finite.max()
        return choose_scale(rises, scale=kind, maximum=-float(finite.min()) if falls else None)


def read_steps(datasets: Sequence[xr.Dataset], options: Options) -> list[StepPanel]:
    """The wanted directions, those of the first data set first.

    Raises:
        InputError: for a direction that none of the data sets has, and where nothing has been measured.
    """
    have = list(dict.fromkeys(str(name) for dataset in datasets for name in dataset["direction"].values))
    if options.quantity not in ("all", *have):
        raise unknown_choice("quantity", options.quantity, ["all", *have])
    panels = [_panel(name, datasets, options) for name in have if options.quantity in ("all", name)]
    if not any(panel.curves for panel in panels):
        raise InputError("datasets: nothing has been measured yet.")
    return [panel for panel in panels if panel.curves]


def _panel(name: str, datasets: Sequence[xr.Dataset], options: Options) -> StepPanel:
    labels, colours = labels_of(datasets, options.labels), line_colours(len(datasets))
    curves, unit = [], "1"
    for place, dataset in enumerate(datasets):
        one = dataset.sel(direction=name) if name in dataset["direction"].values else None
        if one is not None and int(one["status"]) != Status.MISSING:
            curves.append(_curve(marked(labels[place], dataset), colours[place], place, one))
            unit = str(dataset["rise"].attrs.get("units", "1"))
    return StepPanel(name, "" if unit == "1" else f" ({unit})", tuple(curves))


def _curve(label: str, colour: str, group: int, one: xr.Dataset) -> Curve:
    tried = np.isfinite(one["trial_step"].values)
    step, rise, errors = (
        np.asarray(one[name].values, dtype=float)[tried] for name in ("trial_step", "rise", "rise_standard_error")
    )
    sharpness, error = float(one["critical_sharpness"]), float(one["critical_sharpness_standard_error"])
    bar = f" ± {number(error, 2)}" if np.isfinite(error) else ""
    said = {
        Status.BEYOND_REACH: f"no rise up to η = {number(float(step.max()))}" if step.size else "",
        Status.AT_ONCE: "rises at once",
    }.get(Status(int(one["status"])), f"critical sharpness {number(sharpness, 4)}{bar}")
    dead = bool(one.attrs.get("dead", 0))
    critical = float(one["critical_step"]), float(one["critical_step_standard_error"])
    return Curve(label, colour, group, dead, step, rise, errors, *critical, said)


def critical_sharpness_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each direction; see :func:`landscape.probes.plot.plot`."""
    panels = read_steps(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    several = len(datasets) > 1
    cells = [_cell(figure.add_subplot(), panel, options, several) for panel in panels]
    return layout.finish(figure, cells, critical_caption(datasets, options), options)


def _cell(axes: Axes, panel: StepPanel, options: Options, several: bool) -> layout.Cell:
    set_value_axis(axes, panel.scale(options.scale))
    axes.axhline(0, color=INK, linewidth=0.6, zorder=1)
    for curve in panel.curves:
        _draw(axes, curve)
    low, high = padded(Scale(True, panel.steps[0], panel.steps[-1]))
    ticks = few(Scale(True, low, high).lines())
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    words = [setting_number(tick) if tick < 1e-3 else number(tick) for tick in ticks]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    entries: list[markers.Entry] = []
    for curve in panel.curves:
        named = f"{curve.label}: {curve.said}" if several else curve.said
        entries.append((Line2D([], [], **_look(curve)), named))
        if curve.nonfinite.any():
            handle = markers.handle({**markers.NONFINITE, "color": curve.colour}, 4)
            entries.append((handle, "not finite" + (f" [{curve.label}]" if several else "")))

    def fit(width: float) -> None:
        given_ticks(axes, np.array(ticks), words, width)

    return layout.Cell(axes, RATIO, panel.title, panel.x_label, panel.y_label, entries, fit=fit)


def few(ticks: Sequence[float]) -> list[float]:
    """At most :data:`TICKS` of them, evenly."""
    return list(ticks[:: -(-len(ticks) // TICKS)])


def _draw(axes: Axes, curve: Curve) -> None:
    """What was looked at with bars of one standard error, and the critical step with a band of its own."""
    rise = np.where(curve.nonfinite, np.nan, curve.rise)
    axes.plot(curve.step, rise, **_look(curve), zorder=3)
    below, above = (np.where(curve.nonfinite, np.nan, end) for end in curve.spread)
    axes.vlines(curve.step, below, above, color=curve.colour, linewidth=0.9, zorder=2.5)
    if np.isfinite(curve.critical):
        axes.axvline(curve.critical, color=curve.colour, linewidth=0.8, linestyle=":", zorder=2)
        low = curve.critical - curve.critical_error
        if np.isfinite(low) and curve.critical_error > 0:
            ends = max(low, 0.0), curve.critical + curve.critical_error
            axes.axvspan(*ends, color=curve.colour, alpha=0.15, linewidth=0, zorder=1)
    look = {**markers.NONFINITE, "color": curve.colour, "markersize": 3.5}
    mark_at_edge(axes, curve.step, curve.nonfinite, look, top=True)


def _look(curve: Curve) -> dict[str, Any]:
    line = {"color": curve.colour, "linestyle": DASHES if curve.dead else "-", "linewidth": 1.0}
    return {**line, "marker": "o", "markersize": 3}


def critical_caption(datasets: Sequence[xr.Dataset], options: Options) -> str:
    """What the curves and bars are, and on which data."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    sentences = [
        "Rise of the mean loss L over steps η along d",
        "Dotted: the critical step, from which on it is above zero; the critical sharpness is 2 over it",
        "Bars and bands: ± one standard error over samples",
        "Each axis ends as far above zero as the loss falls below it",
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)
