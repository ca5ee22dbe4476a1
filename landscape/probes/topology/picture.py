"""The topology of planes: the merge tree of the sublevel sets, and the barcode of their persistence, on one axis of loss."""

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
from landscape.pictures.caption import data_words, joined, once, policy_words, scale_note
from landscape.pictures.labels import labels_of, marked
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLOURS, COLUMN, INK, PAGE, PaperFigure, number, width_of
from landscape.pictures.value_axis import padded, set_value_axis
from landscape.pictures.words import state

RATIO = 0.8
PANELS = {"all": ("tree", "barcode"), "tree": ("tree",), "barcode": ("barcode",)}
MINIMUM, SADDLE, TOP = 1, 2, 3  # of the variable node_kind
DIMENSIONS = ("basin", "ring around a hill")
BAR_COLOURS = (COLOURS[0], COLOURS[1])
MARK: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0, "color": INK}
MINIMUM_LOOK: dict[str, Any] = {**MARK, "marker": "o", "color": COLOURS[0]}
LOWEST_LOOK: dict[str, Any] = {**markers.LOWEST, "markersize": 7}
SADDLE_LOOK: dict[str, Any] = {**MARK, "marker": "s", "markersize": 2.4}
ENDLESS_AT = 0.985  # of the axis, so that no tip reaches into the title
ENDLESS_LOOK: dict[str, Any] = {**MARK, "marker": "^"}


@dataclass(frozen=True)
class Surface:
    """One direction seed of one data set."""

    label: str
    seed: int
    dataset: xr.Dataset

    @property
    def unit(self) -> str:
        unit = str(self.dataset["smad"].attrs.get("units", "1"))
        return "" if unit == "1" else unit

    @property
    def heading(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.label}: SMAD {number(float(self.dataset['smad']))}{unit}"

    def values(self, name: str) -> Floats:
        return np.asarray(self.dataset[name].values, dtype=float)

    def bars(self, dimension: int) -> tuple[Floats, Floats]:
        """Births and deaths, the longest first."""
        births, deaths = self.values("birth")[dimension], self.values("death")[dimension]
        there = np.isfinite(births)
        return births[there], deaths[there]

    @property
    def levels(self) -> Floats:
        """Every finite value that is drawn."""
        every = np.concatenate([self.values("node_value"), self.values("birth").ravel(), self.values("death").ravel()])
        return np.asarray(every[np.isfinite(every)])


@dataclass(frozen=True)
class Branches:
    """A merge tree laid out from left to right: arrays by node, and for each its parent's number."""

    x: Floats
    y: Floats
    kinds: Floats
    parents: list[int]
    places: list[tuple[float, float]]

    @property
    def lowest(self) -> int:
        return int(np.argmin(self.y))

    def elbow(self, node: int) -> tuple[list[float], list[float]]:
        """Up from a node to the level of its parent, and across."""
        above = self.parents[node]
        return [float(self.x[node])] * 2 + [float(self.x[above])], [float(self.y[node])] + [float(self.y[above])] * 2


def topology_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A row for each direction seed of each data set: its merge tree, and its barcode."""
    surfaces, panels = read_topologies(datasets, options)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) * len(surfaces) == 1 else PAGE))
    shared = levels_scale(surfaces, options.scale)
    cells = []
    for surface in surfaces:
        scale = shared if options.share else levels_scale([surface], options.scale)
        for panel in panels:
            draw = _tree if panel == "tree" else _barcode
            cells.append(draw(figure.add_subplot(), surface, scale, titled=panel == panels[0]))
            cells[-1].y_axis = "shared" if options.share else surface
    note = scale_note(shared, "loss axis") if options.share else ""
    width = float(figure.get_size_inches()[0])
    abreast = layout.across(len(cells), width, RATIO, shared=True)
    abreast += -abreast % len(panels)
    return layout.finish(figure, cells, topology_caption(datasets, panels, options, note), options, abreast=abreast)


def read_topologies(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Surface], list[str]]:
    """Every wanted direction seed, and the panels of each.

    Raises:
        InputError: for an unknown quantity, or a seed that a data set does not have.
    """
    if options.quantity not in PANELS:
        raise unknown_choice("quantity", options.quantity, PANELS)
    surfaces = []
    for dataset, label in zip(datasets, labels_of(datasets, options.labels), strict=True):
        seeds = [int(seed) for seed in dataset["seed"].values]
        if options.seed is not None and options.seed not in seeds:
            have = ", ".join(map(str, seeds))
            raise InputError(f"seed: expected one of {have}, as topologies have no mean, got {options.seed!r}.")
        for seed in seeds if options.seed is None else [int(options.seed)]:
            words = marked(label, dataset) + (f", seed {seed}" if len(seeds) > 1 else "")
            surfaces.append(Surface(words, seed, dataset.sel(seed=seed)))
    return surfaces, list(PANELS[options.quantity])


def levels_scale(surfaces: Sequence[Surface], scale: str) -> Scale | None:
    """One scale of loss for all."""
    still = all(surface.dataset.attrs.get("dead") for surface in surfaces)
    return choose_scale([surface.levels for surface in surfaces], scale=scale, still=still)


def branches(surface: Surface) -> Branches:
    """Lay the trees out: minima stand side by side, every other node over the middle of what is below it.

    Branches of a node stand in the order of their lowest minima.
    """
    kinds = surface.values("node_kind")
    count = int((kinds > 0).sum())
    values = surface.values("node_value")[:count]
    parents = [int(parent) for parent in surface.values("node_parent")[:count]]
    below: dict[int, list[int]] = {}
    lowest = values.copy()
    for node in range(count):  # by ascending value, so from below
        if parents[node] != node:
            below.setdefault(parents[node], []).append(node)
            lowest[parents[node]] = min(lowest[parents[node]], lowest[node])
    x = np.zeros(count)
    leaves = _leaves([n for n in range(count) if parents[n] == n], below, lowest)
    x[leaves] = np.arange(len(leaves))
    for node in range(count):
        if node in below:
            x[node] = x[below[node]].mean()
    places = list(
        zip(surface.values("node_x")[:count].tolist(), surface.values("node_y")[:count].tolist(), strict=True)
    )
    return Branches(x, values, kinds[:count], parents, places)


def _leaves(roots: Sequence[int], below: dict[int, list[int]], lowest: Floats) -> list[int]:
    """The minima from left to right."""
    waiting = sorted(roots, key=lambda node: lowest[node], reverse=True)
    leaves = []
    while waiting:
        node = waiting.pop()
        if node not in below:
            leaves.append(node)
        waiting += sorted(below.get(node, []), key=lambda other: lowest[other], reverse=True)
    return leaves


def _tree(axes: Axes, surface: Surface, scale: Scale | None, *, titled: bool) -> layout.Cell:
    set_value_axis(axes, scale)
    tree = branches(surface)
    leaves = int((tree.kinds == MINIMUM).sum())
    thick = 1.0 if leaves <= 40 else 0.5
    for node in range(tree.y.size):
        if tree.parents[node] != node:
            axes.plot(*tree.elbow(node), color=INK, linewidth=thick, solid_joinstyle="miter", zorder=2)
    small = 3.4 if leaves <= 40 else 1.8
    minima, saddles = tree.kinds == MINIMUM, tree.kinds == SADDLE
    axes.plot(tree.x[minima], tree.y[minima], **MINIMUM_LOOK, markersize=small, zorder=3)
    axes.plot(tree.x[saddles], tree.y[saddles], **SADDLE_LOOK, zorder=3)
    axes.plot([tree.x[tree.lowest]], [tree.y[tree.lowest]], **LOWEST_LOOK, zorder=4, clip_on=False)
    axes.set_xlim(-0.6, max(leaves, 1) - 0.4)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return _cell(axes, surface, "merge tree", _tree_entries(surface, tree), titled=titled)


def _tree_entries(surface: Surface, tree: Branches) -> list[markers.Entry]:
    place = ",\u00a0".join(number(c, 2) for c in tree.places[tree.lowest])
    minima, saddles = int(surface.dataset["minima"]), int(surface.dataset["saddles"])
    entries: list[markers.Entry] = [
        markers.Named(
            markers.handle(LOWEST_LOOK), "lowest", f"{number(float(tree.y[tree.lowest]), 4)} at\u00a0({place})"
        ),
        markers.Named(markers.handle(MINIMUM_LOOK, 3.4), "minima", f"{minima:,}"),
    ]
    if saddles:
        entries.append(markers.Named(markers.handle(SADDLE_LOOK, 3), "saddles, where basins meet", f"{saddles:,}"))
    parts = int(surface.dataset["components"])
    if parts > 1:
        words = "trees, as the points fall into parts"
        entries.append(markers.Named(Line2D([], [], color=INK), words, f"{parts}"))
    return entries


def _barcode(axes: Axes, surface: Surface, scale: Scale | None, *, titled: bool) -> layout.Cell:
    set_value_axis(axes, scale)
    top = padded(scale)[1] if scale is not None else 1.0
    entries: list[markers.Entry] = []
    start, end, endless = 0.0, 0.0, False
    counts = [surface.bars(dimension)[0].size for dimension in range(len(DIMENSIONS))]
    thick = max(0.4, min(3.0, 60 / max(sum(counts), 1)))
    for dimension, colour in enumerate(BAR_COLOURS):
        births, deaths = surface.bars(dimension)
        x = start + np.arange(births.size)
        never = np.isinf(deaths)
        axes.vlines(x, births, np.where(never, top, deaths), color=colour, linewidth=thick, zorder=2)
        if never.any():
            tip = np.full(int(never.sum()), ENDLESS_AT)
            look = {**ENDLESS_LOOK, "color": colour, "markersize": thick + 2.5}
            axes.plot(x[never], tip, transform=axes.get_xaxis_transform(), **look, zorder=3)
        endless = endless or bool(never.any())
        what = DIMENSIONS[dimension].replace("basin", "basins").replace("ring ", "rings ")
        if births.size:
            words = f"{what}, dimension {dimension}"
            entries.append(markers.Named(Line2D([], [], color=colour, linewidth=2), words, f"{births.size:,}"))
            end, start = float(x[-1]), float(x[-1]) + 1 + max(1.0, 0.04 * sum(counts))
    if endless:
        entries.append((markers.handle(ENDLESS_LOOK, 3.4), "never ends below the highest level"))
    axes.set_xlim(-1, end + 1)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return _cell(
        axes,
        surface,
        "persistence, longest first",
        entries,
        titled=titled,
    )


def _cell(axes: Axes, surface: Surface, under: str, entries: Sequence[markers.Entry], *, titled: bool) -> layout.Cell:
    unit = f" ({surface.unit})" if surface.unit else ""
    if titled and surface.dataset.attrs.get("dead"):
        state(axes, "dead")
    return layout.Cell(axes, RATIO, surface.heading if titled else "", under, f"loss{unit}", entries)


def topology_caption(datasets: Sequence[xr.Dataset], panels: Sequence[str], options: Options, note: str = "") -> str:
    """What is drawn, of which points, what the complex is, and the noise of the losses."""
    labels = labels_of(datasets, options.labels)
    attrs = [dict(dataset.attrs) for dataset in datasets]
    sentences = [
        "Sublevel sets of the loss on a plane; SMAD: mean difference between saddles and minima over the edges of the merge tree",
        "Each minimum is a leaf, two branches join where their basins meet" if "tree" in panels else "",
        "Persistence: a bar for each feature from its birth to its death" if "barcode" in panels else "",
        note,
        "Points are joined along the axes, not across a corner",
        once(labels, [_points(dataset) for dataset in datasets], "Points: "),
        once(
            labels,
            [_error(dataset) for dataset in datasets],
            "Standard error of the loss, below which a life may be noise: ",
        ),
        once(labels, [policy_words(a) for a in attrs], "BN policy: "),
        once(labels, [data_words(a) for a in attrs], "Data: "),
        once(labels, [str(a.get("checkpoint", "")) for a in attrs], "Checkpoint: "),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in attrs], "Dead: "),
    ]
    return joined(sentences)


def _points(dataset: xr.Dataset) -> str:
    points, interpolated, holes = (int(dataset[name].sum()) for name in ("points", "interpolated_points", "holes"))
    above = f", or above {number(float(dataset.attrs['loss_max']))}" if "loss_max" in dataset.attrs else ""
    parts = [f"{points:,}"]
    parts += [f"{interpolated:,} of them interpolated"] if interpolated else []
    parts += [f"{holes:,} left out as not measured, not finite{above}"] if holes else []
    return ", ".join(parts)


def _error(dataset: xr.Dataset) -> str:
    errors = np.asarray(dataset["loss_standard_error"].values, dtype=float)
    return number(float(errors[np.isfinite(errors)].max()), 2) if np.isfinite(errors).any() else ""
