"""Spectra: the density of eigenvalues with the extreme ones marked, and these by rank, or layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.pictures.arrays import Floats, Mask
from landscape.pictures.colours import looks
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import number, ordered_colours

ALIKE = 20.0  # times: spectra whose widths differ by more have axes of their own
LEAST = 0.1  # of the height that one eigenvalue's Gaussian has: what lies below is no eigenvalue
QUANTITIES = ("all", "density", "eigenvalues", "trace", "frobenius_norm")
TITLES = {
    "density": "Density of eigenvalues",
    "eigenvalues": "Extreme eigenvalues",
    "largest": "Largest eigenvalue",
    "trace": "Trace",
    "frobenius_norm": "Frobenius norm",
}
OPERATORS = {"hessian": "Hessian", "gauss-newton": "Gauss–Newton matrix"}
NOT_CONVERGED = 2  # of the variable status


@dataclass(frozen=True)
class Spectrum:
    """The density and the extreme eigenvalues of one matrix: a data set's, or a layer's block of it.

    Attributes:
        group: the number of what a reader can hide and show.
        at, density, spread: the curve ``(point,)``, with NaN between pieces of it.
        floor: a density below which there is no eigenvalue.
        ranks, values, residuals, converged: of the eigenvalues ``(rank,)``, by descending λ.
    """

    label: str
    colour: str
    group: int
    dead: bool
    at: Floats
    density: Floats
    spread: Floats
    floor: float
    ranks: Floats
    values: Floats
    residuals: Floats
    converged: Mask

    @property
    def extent(self) -> tuple[float, float]:
        """Ends of what is seen: the curve over its floor, and the eigenvalues."""
        seen = np.concatenate([self.at[self.density > self.floor], self.values])
        return float(seen.min()), float(seen.max())


@dataclass(frozen=True)
class Layers:
    """A quantity of every layer of one data set, with the ends of its bars; ``(block,)``."""

    label: str
    colour: str
    group: int
    dead: bool
    names: tuple[str, ...]
    values: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class CurvaturePanel:
    """The density of one spectrum, the extreme eigenvalues of all by rank, or a quantity of all layer by layer.

    ``sharing`` are the spectra of every panel that has the same axes as this density.
    """

    quantity: str
    title: str
    unit: str
    spectra: tuple[Spectrum, ...] = ()
    layers: tuple[Layers, ...] = ()
    sharing: tuple[Spectrum, ...] = ()

    def scale(self, kind: str) -> Scale | None:
        """Of living networks, if there are any; of a density logarithmic unless asked otherwise, down to :data:`LEAST`."""
        if self.quantity == "density":
            return self._density_scale("log" if kind == "auto" else kind)
        shown = _living(self.layers or self.spectra)
        if self.quantity == "eigenvalues":
            return choose_scale([one.values for one in shown], scale=kind)
        ends = [np.concatenate([one.values, one.low, one.high]) for one in shown]
        positive = all((one.values[np.isfinite(one.values)] > 0).all() for one in shown)
        return choose_scale([end[end > 0] if positive else end for end in ends], scale=kind)

    def _density_scale(self, kind: str) -> Scale | None:
        shown = _living(self.sharing)
        floor = min(one.floor for one in shown)
        return choose_scale([np.append(one.density[one.density > floor], floor) for one in shown], scale=kind)

    @property
    def extent(self) -> tuple[float, float]:
        """Ends of the axis of eigenvalues."""
        ends = np.array([one.extent for one in _living(self.sharing)])
        return float(ends[:, 0].min()), float(ends[:, 1].max())


def read_curvature(datasets: Sequence[xr.Dataset], options: Options) -> list[CurvaturePanel]:
    """The wanted panels.

    Raises:
        InputError: for a quantity that does not exist or was not measured, or layers together with whole matrices.
    """
    if options.quantity not in QUANTITIES:
        raise unknown_choice("quantity", options.quantity, QUANTITIES)
    layered = {"block" in dataset.dims for dataset in datasets}
    if len(layered) > 1:
        raise InputError(
            "datasets: spectra by layer and of whole matrices cannot share one picture. Draw each by itself."
        )
    names = [marked(*pair) for pair in zip(labels_of(datasets, options.labels), datasets, strict=True)]
    made = _layered(datasets, names, options) if layered.pop() else _whole(datasets, names, options)
    if not made:
        raise InputError(f"datasets: nothing has been measured yet of the quantity {options.quantity!r}.")
    return made


def _whole(datasets: Sequence[xr.Dataset], names: Sequence[str], options: Options) -> list[CurvaturePanel]:
    if options.quantity in ("trace", "frobenius_norm"):
        raise InputError(
            f"quantity: {options.quantity!r} is drawn layer by layer, and this is one matrix; landscape info says it. "
            "Probe with --per-layer, or draw the density."
        )
    each = zip(datasets, names, _colours(datasets, options), strict=True)
    spectra = [_spectrum(made, name, colour, place, made) for place, (made, name, colour) in enumerate(each)]
    unit = str(datasets[0]["eigenvalues"].attrs.get("units", "1"))
    panels = []
    if options.quantity in ("all", "density"):
        panels += _densities(spectra, unit, share=options.share)
    ranked = [spectrum for spectrum in spectra if spectrum.values.size]
    if ranked and options.quantity in ("all", "eigenvalues"):
        panels.append(CurvaturePanel("eigenvalues", TITLES["eigenvalues"], unit, tuple(ranked)))
    return panels


def _colours(datasets: Sequence[xr.Dataset], options: Options) -> list[str]:
    return [look.colour for look in looks(datasets, options, dashed=False)]


def _layered(datasets: Sequence[xr.Dataset], names: Sequence[str], options: Options) -> list[CurvaturePanel]:
    unit = str(datasets[0]["eigenvalues"].attrs.get("units", "1"))
    if options.quantity == "density":
        panels = []
        for dataset, name in zip(datasets, names, strict=True):
            blocks = [str(block) for block in dataset["block"].values]
            of = f"{name}: " if len(datasets) > 1 else ""
            spectra = [
                _spectrum(dataset.sel(block=block), f"{of}{block}", colour, place, dataset)
                for place, (block, colour) in enumerate(zip(blocks, ordered_colours(len(blocks)), strict=True))
            ]
            panels += _densities(spectra, unit, share=options.share)
        return panels
    wanted = ("largest", "trace", "frobenius_norm") if options.quantity == "all" else (options.quantity,)
    each = list(zip(datasets, names, _colours(datasets, options), range(len(datasets)), strict=True))
    panels = []
    for quantity in ("largest" if one == "eigenvalues" else one for one in wanted):
        layers = [_layers(quantity, *look) for look in each if quantity == "largest" or quantity in look[0]]
        known = tuple(one for one in layers if np.isfinite(one.values).any())
        panels += [CurvaturePanel(quantity, TITLES[quantity], unit, layers=known)] if known else []
    return panels


def _densities(spectra: Sequence[Spectrum], unit: str, *, share: bool) -> list[CurvaturePanel]:
    """A panel for each, on the same axes where their widths allow it: densities are combs, which hide each other."""
    dense = [spectrum for spectrum in spectra if spectrum.at.size]
    together = share and len(dense) > 1 and _alike(dense)
    return [
        CurvaturePanel(
            "density",
            one.label if len(spectra) > 1 else TITLES["density"],
            unit,
            (one,),
            sharing=tuple(dense) if together else (one,),
        )
        for one in dense
    ]


def _spectrum(made: xr.Dataset, label: str, colour: str, group: int, whole: xr.Dataset) -> Spectrum:
    at, density, spread, floor = np.empty(0), np.empty(0), np.empty(0), 0.0
    if "density_at" in made and np.isfinite(made["density_at"].values).any():
        known = np.isfinite(made["density_at"].values)
        at, density, spread = (made[name].values[known] for name in ("density_at", "density", "density_spread"))
        # Points lie in steps of one size around the nodes; between two clusters of them is nothing.
        breaks = np.flatnonzero(np.diff(at) > 1.5 * np.diff(at).min(initial=np.inf)) + 1
        at = np.insert(at, breaks, at[breaks])
        density, spread = (np.insert(values, breaks, np.nan) for values in (density, spread))
        one = 1 / (int(made["parameters"]) * np.sqrt(2 * np.pi * float(made["density_variance"])))
        floor = LEAST * one
    names = ("eigenvalues", "residuals", "converged", "rank")
    values, residuals, converged, ranks = (np.asarray(made[name].values, dtype=float) for name in names)
    order = np.argsort(-values, kind="stable")
    order = order[np.isfinite(values[order])]
    return Spectrum(
        label, colour, group, bool(whole.attrs.get("dead", 0)), at, density, spread, floor,
        ranks[order], values[order], residuals[order], converged[order] > 0,
    )  # fmt: skip


def _layers(quantity: str, dataset: xr.Dataset, label: str, colour: str, group: int) -> Layers:
    if quantity == "largest":
        first = dataset.isel(rank=0)
        values = np.asarray(first["eigenvalues"].values, dtype=float)
        error = np.asarray(first["residuals"].values, dtype=float)
        low, high = values - error, values + error
    else:
        values, low, high = (
            np.asarray(dataset[f"{quantity}{end}"].values, dtype=float) for end in ("", "_low", "_high")
        )
    names = tuple(str(block) for block in dataset["block"].values)
    return Layers(label, colour, group, bool(dataset.attrs.get("dead", 0)), names, values, low, high)


def _alike(spectra: Sequence[Spectrum]) -> bool:
    """Whether spectra are of widths that one axis can show."""
    widths = [high - low for low, high in (one.extent for one in _living(spectra))]
    return bool(max(widths) <= ALIKE * max(min(widths), 1e-300))


def _living(several: Sequence[Any]) -> list[Any]:
    """Without dead networks, where others are left."""
    return [one for one in several if not one.dead] or list(several)


def axis_words(panel: CurvaturePanel) -> tuple[str, str]:
    """What the axes of a panel are."""
    unit = "" if panel.unit == "1" else f" ({panel.unit})"
    if panel.quantity == "density":
        return f"eigenvalue λ{unit}", "density"
    if panel.quantity == "eigenvalues":
        return "rank from the top, negative from the bottom", f"λ{unit}"
    return "layer", {"largest": "λ₁", "trace": "trace", "frobenius_norm": "Frobenius norm"}[panel.quantity] + unit


def rank_words(panel: CurvaturePanel) -> tuple[Floats, list[str]]:
    """Every rank of the panel by descending λ, and how each is written: of many, every so many."""
    ranks = np.unique(np.concatenate([one.ranks for one in panel.spectra]))
    ordered = np.concatenate([ranks[ranks > 0], ranks[ranks < 0]])
    stride = max(1, -(-len(ordered) // 12))
    return ordered, [number(float(r)) if place % stride == 0 else "" for place, r in enumerate(ordered)]
