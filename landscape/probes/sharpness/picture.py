"""Sharpness over ρ: a panel for each measure, checkpoints over each other, each value with its standard error."""

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
from landscape.pictures.colours import looks
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, number, setting_number, width_of
from landscape.pictures.value_axis import given_ticks, mark_at_edge, set_value_axis
from landscape.pictures.words import state
from landscape.probes.sharpness.result import MISSING, NOT_CONVERGED, ZERO_GRADIENT

RATIO = 0.62
DASHES: Any = (0, (2, 1.2))  # of a dead network
DOT: dict[str, Any] = {"marker": "o", "markersize": 3, "markeredgewidth": 0.8}
OPEN: dict[str, Any] = {**DOT, "markerfacecolor": "white"}


@dataclass(frozen=True)
class Curve:
    """One measure of one checkpoint, the one of number ``group``, by ascending ρ: arrays ``(radius,)`` in the measure's unit."""

    label: str
    colour: str
    group: int
    dead: bool
    rho: Floats
    values: Floats
    errors: Floats
    status: Floats
    dashes: Any = "-"

    @property
    def style(self) -> Any:
        """Of its line; a dead network has its own."""
        return DASHES if self.dead else self.dashes

    @property
    def nonfinite(self) -> Mask:
        """Measured, and no number; also where there was no direction of ascent."""
        return np.asarray((self.status != MISSING) & ~np.isfinite(self.values))

    @property
    def unfinished(self) -> Mask:
        """Drawn, and of an ascent that had not ended."""
        return np.asarray((self.status == NOT_CONVERGED) & np.isfinite(self.values))

    @property
    def spread(self) -> tuple[Floats, Floats]:
        """One standard error below and above; the value itself where no error is known."""
        return error_band(self.values, self.errors)


@dataclass(frozen=True)
class SharpnessPanel:
    """A measure with the curves of all checkpoints that have it."""

    measure: str
    title: str
    unit: str
    rho_name: str
    over: str
    bound: bool
    curves: tuple[Curve, ...]

    def scale(self, kind: str) -> Scale | None:
        """Of the living networks, where there are any; the errors' lower ends are on it only if they are above zero."""
        curves = [curve for curve in self.curves if not curve.dead] or list(self.curves)
        values = [curve.values for curve in curves]
        finite = np.concatenate(values)[np.isfinite(np.concatenate(values))]
        ends = [curve.spread for curve in curves]
        below = [low[low > 0] if finite.size and finite.min() > 0 else low for low, _ in ends]
        return choose_scale([*values, *below, *(high for _, high in ends)], scale=kind)

    @property
    def rho(self) -> Floats:
        """Every ρ that some curve has, ascending."""
        return np.unique(np.concatenate([curve.rho for curve in self.curves]))

    @property
    def rho_words(self) -> list[str]:
        """Every ρ, as 1e-4 where one is so small."""
        write = setting_number if self.rho[0] < 1e-3 else number
        return [write(float(rho)) for rho in self.rho]

    @property
    def heading(self) -> str:
        return self.title[:1].upper() + self.title[1:]


def read_sharpness(datasets: Sequence[xr.Dataset], options: Options) -> list[SharpnessPanel]:
    """The wanted measures, those of the first data set first.

    Raises:
        InputError: for a measure that none of the data sets has.
    """
    have = list(dict.fromkeys(str(name) for dataset in datasets for name in dataset["measure"].values))
    if options.quantity not in ("all", *have):
        raise unknown_choice("quantity", options.quantity, ["all", *have])
    labels = labels_of(datasets, options.labels)
    shown = [
        (dataset, {"label": marked(label, dataset), "colour": look.colour, "group": number_, "dashes": look.dashes})
        for number_, (dataset, label, look) in enumerate(zip(datasets, labels, looks(datasets, options), strict=True))
    ]
    wanted = have if options.quantity == "all" else [options.quantity]
    panels = [_panel(name, shown) for name in wanted]
    drawn = [panel for panel in panels if any((curve.status != MISSING).any() for curve in panel.curves)]
    if not drawn:
        raise InputError("datasets: nothing has been measured yet.")
    return drawn


def _panel(name: str, shown: Sequence[tuple[xr.Dataset, dict[str, Any]]]) -> SharpnessPanel:
    rows = [(dataset.sel(measure=name), look) for dataset, look in shown if name in dataset["measure"]]
    first = rows[0][0]
    unit = str(first["measure_units"].item())
    return SharpnessPanel(
        measure=name,
        title=str(first["measure_name"].item()),
        unit="" if unit == "1" else unit,
        rho_name=str(first["rho_name"].item()),
        over=str(first["error_over"].item()),
        bound=bool(first["lower_bound"].item()),
        curves=tuple(_curve(row, look) for row, look in rows),
    )


def _curve(row: xr.Dataset, look: dict[str, Any]) -> Curve:
    order = np.argsort(row["rho"].values)
    names = {"rho": "rho", "values": "sharpness", "errors": "standard_error", "status": "status"}
    arrays: dict[str, Any] = {key: np.asarray(row[name].values, dtype=float)[order] for key, name in names.items()}
    return Curve(**look, dead=bool(row.attrs.get("dead", 0)), **arrays)


def sharpness_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Panels in rows of three; see :func:`landscape.probes.plot.plot`."""
    panels = read_sharpness(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    cells = [_cell(figure.add_subplot(), panel, options) for panel in panels]
    shown = {curve.group: curve for panel in panels for curve in panel.curves}
    heading = next(iter(shown.values())).label if len(datasets) == 1 else ""
    names = [(_handle(shown[group]), shown[group].label) for group in sorted(shown)] if len(datasets) > 1 else []
    caption = sharpness_caption(datasets, panels, options)
    return layout.finish(figure, cells, caption, options, heading=heading, names=names)


def _handle(curve: Curve) -> Line2D:
    return Line2D([], [], color=curve.colour, linestyle=curve.style, **DOT)


def _cell(axes: Axes, panel: SharpnessPanel, options: Options) -> layout.Cell:
    low = set_value_axis(axes, panel.scale(options.scale))
    for curve in panel.curves:
        _draw(axes, curve, low)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    room = 0.06 * np.log10(panel.rho[-1] / panel.rho[0]) or 0.1
    axes.set_xlim(panel.rho[0] / 10**room, panel.rho[-1] * 10**room)
    axes.spines[["top", "right"]].set_visible(False)
    if all(curve.dead for curve in panel.curves):
        state(axes, "dead")
    words = "sharpness" + (f" ({panel.unit})" if panel.unit else "")

    def fit(width: float) -> None:
        given_ticks(axes, panel.rho, panel.rho_words, width)

    x = f"ρ: {panel.rho_name.replace('standard deviation', 'SD')}"
    return layout.Cell(axes, RATIO, panel.heading, x, words, _entries(panel), fit=fit)


def _draw(axes: Axes, curve: Curve, low: float) -> None:
    """The line with a bar of one standard error to either side; open where the ascent had not ended."""
    style: dict[str, Any] = {"color": curve.colour, "linestyle": curve.style}
    values = np.where(np.isfinite(curve.values), curve.values, np.nan)
    axes.plot(curve.rho, values, **style, linewidth=1.0, zorder=2)
    below, above = (np.where(np.isfinite(values), end, np.nan) for end in curve.spread)
    axes.vlines(curve.rho, np.maximum(below, low), above, color=curve.colour, linewidth=0.9, zorder=2.5)
    for mask, look in ((~curve.unfinished, DOT), (curve.unfinished, OPEN)):
        axes.plot(curve.rho[mask], values[mask], **look, color=curve.colour, linestyle="none", zorder=3)
    mark_at_edge(
        axes, curve.rho, curve.nonfinite, {**markers.NONFINITE, "color": curve.colour, "markersize": 3.5}, top=True
    )


def _entries(panel: SharpnessPanel) -> list[markers.Entry]:
    """What open dots and crosses are."""
    entries: list[markers.Entry] = []
    if any(curve.unfinished.any() for curve in panel.curves):
        entries.append((Line2D([], [], color=INK, linestyle="none", **OPEN), "the ascent had not ended"))
    for curve in panel.curves:
        for words in nonfinite_words(curve):
            of = f" [{curve.label}]" if len(panel.curves) > 1 else ""
            look = {**markers.NONFINITE, "color": curve.colour}
            head, said = words.split(" at ", 1)
            entries.append(markers.Named(markers.handle(look, 4), f"{head}{of}", said))
    return entries


def nonfinite_words(curve: Curve) -> list[str]:
    """Where a curve has no number, and why."""
    zero = curve.nonfinite & (curve.status == ZERO_GRADIENT)
    words = [(zero, "gradient zero, no ascent"), (curve.nonfinite & ~zero, "not finite")]
    return [
        f"{what} at ρ = {', '.join(number(float(r)) for r in curve.rho[mask])}" for mask, what in words if mask.any()
    ]


def sharpness_caption(datasets: Sequence[xr.Dataset], panels: Sequence[SharpnessPanel], options: Options) -> str:
    """What the values and their bars are, on which data, and how hard the maxima were sought."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    bounds = any(panel.bound for panel in panels)
    sentences = [
        "Rise of the mean loss L under perturbations of the checkpoint's parameters θ",
        "Maxima are sought by ascent, so their values are lower bounds" if bounds else "",
        _error_words(panels),
        once(labels, [_effort(a, panels) for a in attrs], ""),
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [_norms(dataset) for dataset in datasets], ""),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _error_words(panels: Sequence[SharpnessPanel]) -> str:
    words = []
    for over in dict.fromkeys(panel.over for panel in panels):
        those = [panel.measure for panel in panels if panel.over == over]
        words.append(f"over {over}" + (f" ({', '.join(those)})" if len({p.over for p in panels}) > 1 else ""))
    return f"Bars: ± one standard error {', '.join(words)}"


def _effort(attrs: dict[str, Any], panels: Sequence[SharpnessPanel]) -> str:
    drawn = {panel.measure for panel in panels}
    parts = []
    if drawn & {"sam_steps", "adaptive_steps", "keskar"} and "ascent_steps" in attrs:
        starts = int(attrs.get("restarts", 0)) + 1
        parts.append(
            f"up to {attrs['ascent_steps']} ascent steps" + (f" from each of {starts} starts" if starts > 1 else "")
        )
    if drawn & {"adaptive_average", "gaussian"} and "draws" in attrs:
        parts.append(f"{attrs['draws']} draws")
    if "m_sharpness" in drawn and "m" in attrs:
        parts.append(f"batches of m = {attrs['m']}")
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def _norms(dataset: xr.Dataset) -> str:
    values = (("L(θ)", "checkpoint_loss"), ("‖θ‖₂", "parameter_norm"), ("‖∇L(θ)‖₂", "gradient_norm"))
    return ", ".join(f"{words} = {number(float(dataset[name]))}" for words, name in values)
