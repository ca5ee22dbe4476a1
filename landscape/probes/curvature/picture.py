"""The figure of spectra, and the caption that says of which matrix they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.pictures import layout, markers
from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, number, width_of
from landscape.pictures.value_axis import few_ticks, set_value_axis
from landscape.pictures.words import state
from landscape.probes.curvature.reading import (
    OPERATORS,
    CurvaturePanel,
    Layers,
    Spectrum,
    axis_words,
    rank_words,
    read_curvature,
)

RATIO = 0.62
DASHES: Any = (0, (2, 1.2))  # of a dead network
TICK: dict[str, Any] = {"marker": "|", "markersize": 5, "markeredgewidth": 0.8, "linestyle": "none"}
HEAD = 0.08  # of the panel's height, free for the marks of the extreme eigenvalues
OPEN: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.2,
    "markeredgewidth": 0.7,
    "markerfacecolor": "white",
    "linestyle": "none",
}
DOT: dict[str, Any] = {"marker": "o", "markersize": 3.2, "markeredgewidth": 0.7, "linestyle": "none"}
BAND_ALPHA = 0.22
LONGEST_NAME = 18  # letters of a layer's name under a panel


def curvature_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Panels in rows of three, many in rows of four; see :func:`landscape.probes.plot.plot`."""
    panels = read_curvature(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    cells = [_cell(figure.add_subplot(), panel, options) for panel in panels]
    heading = marked(labels_of(datasets, options.labels)[0], datasets[0]) if len(datasets) == 1 else ""
    caption = curvature_caption(datasets, panels, options)
    return layout.finish(figure, cells, caption, options, heading=heading, names=_names(panels))


def _cell(axes: Axes, panel: CurvaturePanel, options: Options) -> layout.Cell:
    low = set_value_axis(axes, panel.scale(options.scale))
    axes.spines[["top", "right"]].set_visible(False)
    if panel.quantity == "density":
        _draw_density(axes, panel, low)
    elif panel.quantity == "eigenvalues":
        _draw_ranks(axes, panel)
    else:
        _draw_layers(axes, panel, low)
    shown: Sequence[Spectrum | Layers] = panel.spectra or panel.layers
    if shown and all(one.dead for one in shown):
        state(axes, "dead")
    x, y = axis_words(panel)
    fit = (lambda width: few_ticks(axes.xaxis, width)) if panel.quantity == "density" else None
    if panel.layers:
        fit = lambda width: _name_layers(axes, layer_names(panel), width)  # noqa: E731
    reach = (x, axes.get_xlim()) if panel.quantity == "density" else None
    height = (y, axes.get_yscale(), axes.get_ylim()) if panel.quantity == "density" else None
    return layout.Cell(axes, RATIO, panel.title, x, y, _entries(panel), x_axis=reach, y_axis=height, fit=fit)


def _style(one: Spectrum | Layers) -> dict[str, Any]:
    return {"color": one.colour, "linestyle": DASHES if one.dead else "-", "linewidth": 1.0}


def _draw_density(axes: Axes, panel: CurvaturePanel, low: float) -> None:
    """The curve with its spread, and over it a row of marks for the extreme eigenvalues."""
    (one,) = panel.spectra
    if np.isfinite(one.spread).any():
        below, above = np.maximum(one.density - one.spread, low), np.maximum(one.density + one.spread, low)
        axes.fill_between(one.at, below, above, color=one.colour, alpha=BAND_ALPHA, linewidth=0, zorder=1.5)
    axes.plot(one.at, np.maximum(one.density, low / 10 if low > 0 else low), **_style(one), zorder=2)
    _leave_head(axes)
    head, transform = np.full(one.values.shape, 1.0 - HEAD / 2), axes.get_xaxis_transform()
    for mask, look in ((one.converged, TICK), (~one.converged, OPEN)):
        axes.plot(one.values[mask], head[mask], **look, color=INK, transform=transform, zorder=3)
    left, right = panel.extent
    room = 0.04 * (right - left) or 1.0
    axes.set_xlim(left - room, right + room)


def _leave_head(axes: Axes) -> None:
    low, high = axes.get_ylim()
    more = HEAD / (1 - HEAD)
    axes.set_ylim(low, high * (high / low) ** more if axes.get_yscale() == "log" else high + more * (high - low))


def _draw_ranks(axes: Axes, panel: CurvaturePanel) -> None:
    ranks, words = rank_words(panel)
    for one in panel.spectra:
        x = np.array([np.flatnonzero(ranks == rank)[0] for rank in one.ranks])
        axes.vlines(x, one.values - one.residuals, one.values + one.residuals, color=one.colour, linewidth=0.9)
        for mask, look in ((one.converged, DOT), (~one.converged, OPEN)):
            axes.plot(x[mask], one.values[mask], **look, color=one.colour, zorder=3)
    axes.axhline(0.0, color=INK, linewidth=0.6, alpha=0.4, zorder=1)
    axes.set_xticks(np.arange(len(ranks)), words)
    axes.set_xlim(-0.6, len(ranks) - 0.4)


def _draw_layers(axes: Axes, panel: CurvaturePanel, low: float) -> None:
    names = layer_names(panel)
    for one in panel.layers:
        x = np.array([names.index(name) for name in one.names])
        floor = low if axes.get_yscale() == "log" else -np.inf
        axes.plot(x, np.where(np.isfinite(one.values), one.values, np.nan), **_style(one), zorder=2)
        axes.vlines(x, np.maximum(one.low, floor), one.high, color=one.colour, linewidth=0.9, zorder=2.5)
        axes.plot(x, one.values, **DOT, color=one.colour, zorder=3)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _name_layers(axes: Axes, names: Sequence[str], width: float) -> None:
    """So many of the layers' names as stand upright beside each other, long ones cut."""
    stride = max(1, -(-len(names) // max(int(width / 0.13), 1)))
    shown = [name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}" for name in names[::stride]]
    axes.set_xticks(np.arange(len(names))[::stride], shown, rotation=90, parse_math=False)


def layer_names(panel: CurvaturePanel) -> list[str]:
    """Every layer of the panel, in order."""
    return list(dict.fromkeys(name for one in panel.layers for name in one.names))


def _names(panels: Sequence[CurvaturePanel]) -> list[markers.Entry]:
    """The data sets, where a panel has several of them."""
    several = [panel for panel in panels if len(panel.spectra or panel.layers) > 1]
    if not several:
        return []
    shown: Sequence[Spectrum | Layers] = several[0].spectra or several[0].layers
    look = DOT if several[0].spectra else {}
    return [(Line2D([], [], **{**_style(one), **look}), one.label) for one in shown]


def _entries(panel: CurvaturePanel) -> list[markers.Entry]:
    """What open marks are, where there are some."""
    entries: list[markers.Entry] = []
    if any(not one.converged.all() for one in panel.spectra):
        entries.append((Line2D([], [], color=INK, **OPEN), "not converged"))
    return entries


def curvature_caption(datasets: Sequence[xr.Dataset], panels: Sequence[CurvaturePanel], options: Options) -> str:
    """Of which matrix, under which BN policy, on which data, and how certain it is."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    drawn = {panel.quantity for panel in panels}
    dense = [panel for panel in panels if panel.quantity == "density"]
    apart = len(dense) > 1 and len(dense[0].sharing) == 1
    sentences = [
        once(labels, [_operator(dataset) for dataset in datasets], ""),
        _density_words(datasets) if "density" in drawn else "",
        "Each density has axes of its own" if apart else "",
        "Bars: 95 % intervals over random vectors" if drawn & {"trace", "frobenius_norm"} else "",
        "Bars of eigenvalues: ± the residual" if drawn & {"eigenvalues", "largest"} else "",
        once(labels, [_numbers(dataset) for dataset in datasets], ""),
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [_norms(dataset) for dataset in datasets], ""),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _operator(dataset: xr.Dataset) -> str:
    name = OPERATORS.get(str(dataset.attrs.get("operator")), str(dataset.attrs.get("operator")))
    of = f"over {int(dataset['parameters'].sum()):,} parameters"
    blocks = ", the diagonal block of each layer" if "block" in dataset.dims else ""
    return f"{name} of the mean loss {of}{blocks}"


def _density_words(datasets: Sequence[xr.Dataset]) -> str:
    counts = {int(d.sizes["density_probe"]) for d in datasets if "density_probe" in d.sizes}
    over = f" over {counts.pop()} random vectors" if len(counts) == 1 else " over random vectors"
    return (
        f"Density: stochastic Lanczos quadrature, mean (band: ± standard deviation){over}, smoothed; the axis ends at a "
        "tenth of one eigenvalue's height; marks over it: the extreme eigenvalues"
    )


def _numbers(dataset: xr.Dataset) -> str:
    """Trace and norm with their standard errors; nothing for layers."""
    if "trace" not in dataset or dataset["trace"].ndim:
        return ""
    parts = []
    for name, words in (("trace", "trace"), ("frobenius_norm", "Frobenius norm")):
        value, error = float(dataset[name]), float(dataset[f"{name}_standard_error"])
        if np.isfinite(value):
            parts.append(f"{words} {number(value)} ± {number(error, 2)}")
    return ", ".join(parts)[:1].upper() + ", ".join(parts)[1:]


def _norms(dataset: xr.Dataset) -> str:
    values = (("L(θ)", "checkpoint_loss"), ("‖θ‖₂", "parameter_norm"), ("‖∇L(θ)‖₂", "gradient_norm"))
    return ", ".join(f"{words} = {number(float(dataset[name]))}" for words, name in values)
