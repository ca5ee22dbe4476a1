"""Weight noise over σ: a panel for each noise, checkpoints over each other, each rise with its standard error over draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.rises import Rise, draw_rises, nonfinite_entry, rise_looks, rise_names, sizes_of
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, PAGE, PaperFigure, number, setting_number, width_of
from landscape.pictures.value_axis import given_ticks, set_value_axis
from landscape.pictures.words import state
from landscape.probes.weight_noise.result import Status

RATIO = 0.62
ARRAYS = {"at": "sigma", "rise": "rise", "errors": "standard_error", "status": "status"}
X_LABELS = {"relative": "σ / root mean square of its tensor", "absolute": "σ"}


@dataclass(frozen=True, kw_only=True)
class Curve(Rise):
    """One noise of one checkpoint, by ascending σ."""

    status: Floats

    @property
    def nonfinite(self) -> Mask:
        return np.asarray(self.status == Status.NOT_FINITE)


@dataclass(frozen=True)
class NoisePanel:
    """A noise with the curves of all checkpoints that have it."""

    noise: str
    title: str
    unit: str
    curves: tuple[Curve, ...]

    @property
    def x_label(self) -> str:
        return X_LABELS.get(self.noise, "σ")

    @property
    def y_label(self) -> str:
        return f"rise of the loss{self.unit}"

    @property
    def sigma(self) -> Floats:
        """Every σ that some curve has, ascending."""
        return sizes_of(self.curves)

    @property
    def sigma_words(self) -> list[str]:
        """Every σ, as 1e-4 where one is so small."""
        write = setting_number if self.sigma[0] < 1e-3 else number
        return [write(float(sigma)) for sigma in self.sigma]

    def scale(self, kind: str) -> Scale | None:
        """Of the living networks, where there are any; the errors' lower ends are on it only if they are above zero."""
        curves = [curve for curve in self.curves if not curve.dead] or list(self.curves)
        rises = [curve.rise for curve in curves]
        finite = np.concatenate(rises)[np.isfinite(np.concatenate(rises))]
        ends = [curve.spread for curve in curves]
        below = [low[low > 0] if finite.size and finite.min() > 0 else low for low, _ in ends]
        return choose_scale([*rises, *below, *(high for _, high in ends)], scale=kind)


def read_noise(datasets: Sequence[xr.Dataset], options: Options) -> list[NoisePanel]:
    """The wanted noises, those of the first data set first.

    Raises:
        InputError: for a noise that none of the data sets has, and where nothing has been measured.
    """
    have = list(dict.fromkeys(str(name) for dataset in datasets for name in dataset["noise"].values))
    if options.quantity not in ("all", *have):
        raise unknown_choice("quantity", options.quantity, ["all", *have])
    panels = [_panel(name, datasets, options) for name in have if options.quantity in ("all", name)]
    drawn = [p for p in panels if any((curve.status != Status.MISSING).any() for curve in p.curves)]
    if not drawn:
        raise InputError("datasets: nothing has been measured yet.")
    return drawn


def _panel(name: str, datasets: Sequence[xr.Dataset], options: Options) -> NoisePanel:
    shown = rise_looks(datasets, options)
    rows = {number_: d.sel(noise=name).sortby("sigma") for number_, d in enumerate(datasets) if name in d["noise"]}
    curves = []
    for number_, row in rows.items():
        arrays: dict[str, Any] = {field: np.asarray(row[v].values, dtype=float) for field, v in ARRAYS.items()}
        curves.append(Curve(**shown[number_], **arrays))
    first = next(iter(rows.values()))
    title, unit = str(first["noise_name"].item()), str(first["rise"].attrs.get("units", "1"))
    return NoisePanel(name, title[:1].upper() + title[1:], "" if unit == "1" else f" ({unit})", tuple(curves))


def weight_noise_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each noise; see :func:`landscape.probes.plot.plot`."""
    panels = read_noise(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    cells = [_cell(figure.add_subplot(), panel, options) for panel in panels]
    curves = [curve for panel in panels for curve in panel.curves]
    heading = curves[0].label if len(datasets) == 1 else ""
    return layout.finish(
        figure, cells, noise_caption(datasets, options), options, heading=heading, names=rise_names(curves)
    )


def _cell(axes: Axes, panel: NoisePanel, options: Options) -> layout.Cell:
    low = set_value_axis(axes, panel.scale(options.scale))
    draw_rises(axes, panel.curves, low)
    room = 0.06 * np.log10(panel.sigma[-1] / panel.sigma[0]) or 0.1
    axes.set_xlim(panel.sigma[0] / 10**room, panel.sigma[-1] * 10**room)
    gaps = [
        nonfinite_entry(curve, words.split(" at ", 1)[1], several=len(panel.curves) > 1)
        for curve in panel.curves
        for words in nonfinite_words(curve)
    ]
    if all(curve.dead for curve in panel.curves):
        state(axes, "dead")

    def fit(width: float) -> None:
        given_ticks(axes, panel.sigma, panel.sigma_words, width)

    return layout.Cell(axes, RATIO, panel.title, panel.x_label, panel.y_label, markers.merged_gaps(gaps), fit=fit)


def nonfinite_words(curve: Curve) -> list[str]:
    """Where a curve has no number."""
    sigmas = [number(float(sigma)) for sigma in curve.at[curve.nonfinite]]
    return [f"not finite at σ = {', '.join(sigmas)}"] if sigmas else []


def noise_caption(datasets: Sequence[xr.Dataset], options: Options) -> str:
    """What the values and their bars are, and on which data."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    sentences = [
        "Mean rise of the mean loss L under Gaussian noise on the checkpoint's parameters θ, the same draws for every σ",
        "Bars: ± one standard error over draws",
        once(labels, [f"{a['draws']} draws" for a in attrs], ""),
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [_facts(dataset) for dataset in datasets], ""),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _facts(dataset: xr.Dataset) -> str:
    loss, error = float(dataset["checkpoint_loss"]), float(dataset["checkpoint_loss_standard_error"])
    bar = f" ± {number(error, 2)}" if np.isfinite(error) else ""
    return f"L(θ) = {number(loss)}{bar}, ‖θ‖₂ = {number(float(dataset['parameter_norm']))}"
