"""The rise of the loss along each direction, over the step: where it crosses zero is the critical step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.rises import Rise, draw_rises, nonfinite_entry, rise_looks, rise_names, sizes_of
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, number, setting_number, width_of
from landscape.pictures.value_axis import given_ticks, padded, set_value_axis
from landscape.probes.searches import Status

RATIO = 0.8
TICKS = 4  # at most, since the words of a small step are long
_X = {
    "gradient": "η along −∇L (a learning rate)",
    "update": "η along the update (a learning rate)",
}


@dataclass(frozen=True, kw_only=True)
class Curve(Rise):
    """One direction of one checkpoint, by ascending step; ``said`` is its critical sharpness in words."""

    critical: float
    critical_error: float
    said: str


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
        return sizes_of(self.curves)

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
    curves, unit = [], "1"
    for dataset, look in zip(datasets, rise_looks(datasets, options), strict=True):
        one = dataset.sel(direction=name) if name in dataset["direction"].values else None
        if one is not None and int(one["status"]) != Status.MISSING:
            curves.append(_curve(look, one))
            unit = str(dataset["rise"].attrs.get("units", "1"))
    return StepPanel(name, "" if unit == "1" else f" ({unit})", tuple(curves))


def _curve(look: dict[str, Any], one: xr.Dataset) -> Curve:
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
    critical, within = float(one["critical_step"]), float(one["critical_step_standard_error"])
    return Curve(**look, at=step, rise=rise, errors=errors, critical=critical, critical_error=within, said=said)


def critical_sharpness_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each direction; see :func:`landscape.probes.plot.plot`."""
    panels = read_steps(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    cells = [_cell(figure.add_subplot(), panel, options) for panel in panels]
    curves = [curve for panel in panels for curve in panel.curves]
    heading = curves[0].label if len(datasets) == 1 else ""
    caption = critical_caption(datasets, options, panels if len(datasets) > 1 else ())
    return layout.finish(figure, cells, caption, options, heading=heading, names=rise_names(curves))


def _cell(axes: Axes, panel: StepPanel, options: Options) -> layout.Cell:
    set_value_axis(axes, panel.scale(options.scale))
    axes.axhline(0, color=INK, linewidth=0.6, zorder=1)
    draw_rises(axes, panel.curves)
    for curve in panel.curves:
        _draw_critical(axes, curve)
    low, high = padded(Scale(True, panel.steps[0], panel.steps[-1]))
    ticks = few(Scale(True, low, high).lines())
    axes.set_xlim(low, high)
    words = [setting_number(tick) if tick < 1e-3 else number(tick) for tick in ticks]
    several = len({curve.group for curve in panel.curves}) > 1
    entries: list[markers.Entry] = [] if several else [(Line2D([], [], **c.look), c.said) for c in panel.curves]
    gaps = [nonfinite_entry(curve, "", several=several) for curve in panel.curves if curve.nonfinite.any()]
    entries += markers.merged_gaps(gaps)

    def fit(width: float) -> None:
        given_ticks(axes, np.array(ticks), words, width)

    return layout.Cell(axes, RATIO, panel.title, panel.x_label, panel.y_label, entries, fit=fit)


def few(ticks: Sequence[float]) -> list[float]:
    """At most :data:`TICKS` of them, evenly."""
    return list(ticks[:: -(-len(ticks) // TICKS)])


def _draw_critical(axes: Axes, curve: Curve) -> None:
    """The critical step, with a band of one standard error to either side."""
    if np.isfinite(curve.critical):
        axes.axvline(curve.critical, color=curve.colour, linewidth=0.8, linestyle=":", zorder=2)
        low = curve.critical - curve.critical_error
        if np.isfinite(low) and curve.critical_error > 0:
            ends = max(low, 0.0), curve.critical + curve.critical_error
            axes.axvspan(*ends, color=curve.colour, alpha=0.15, linewidth=0, zorder=1)


def critical_caption(datasets: Sequence[xr.Dataset], options: Options, panels: Sequence[StepPanel] = ()) -> str:
    """What the curves and bars are, on which data, and what came out of ``panels``, where no legend says it."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    sentences = [
        "Rise of the mean loss L over steps η along d",
        "Dotted: the critical step, from which on it is above zero; the critical sharpness is 2 over it",
        "Bars and bands: ± one standard error over samples",
        *(once([c.label for c in p.curves], [c.said for c in p.curves], f"{p.title}: ") for p in panels),
        "Each axis ends as far above zero as the loss falls below it",
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)
