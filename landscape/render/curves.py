"""Training histories: loss, accuracy and learning rate over epochs, several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from landscape.errors import InputError, unknown_choice
from landscape.render import layout, markers
from landscape.render.caption import history_caption, scale_note
from landscape.render.reading import Floats, labels_of
from landscape.render.scale import Scale, choose_scale
from landscape.render.style import COLOURS, COLUMN, INK, PAGE, PaperFigure, width_of
from landscape.render.value_axis import RATIO, mark_at_edge, set_value_axis

# what a quantity shows: the panels, from left to right
PANELS = {
    "loss": ("loss", "accuracy"),
    "accuracy": ("accuracy",),
    "learning_rate": ("learning_rate",),
    "all": ("loss", "accuracy", "learning_rate"),
}
SPLITS: dict[str, Any] = {"train": "-", "validation": (0, (4, 1.6))}
TEST: dict[str, Any] = {"marker": "D", "markersize": 3.5, "linestyle": "none", "markerfacecolor": "white"}
FEW_EPOCHS = 12  # up to so many, the epochs themselves are shown as dots


@dataclass(frozen=True)
class Run:
    """One history in its colour."""

    label: str
    history: xr.Dataset
    colour: str

    @property
    def epochs(self) -> Floats:
        return np.asarray(self.history["epoch"].values, dtype=float)

    def values(self, name: str) -> Floats:
        return np.asarray(self.history[name].values, dtype=float)

    def title(self) -> str:
        """The label, and how the training ended where it did not end well."""
        state = self.history.attrs.get("status")
        return self.label + (f" ({state})" if state not in (None, "complete") else "")


def runs_of(histories: Sequence[xr.Dataset], labels: Sequence[str] | None) -> list[Run]:
    """The histories with their labels and colours.

    Raises:
        InputError: for a history without epochs.
    """
    runs = [Run(*each) for each in zip(labels_of(histories, labels), histories, _colours(len(histories)), strict=True)]
    for run in runs:
        if run.history.sizes.get("epoch", 0) == 0:
            raise InputError(f"datasets: the history {run.label!r} has no epoch yet.")
    return runs


def panels_of(runs: Sequence[Run], quantity: str) -> list[str]:
    """The panels that a quantity asks for and that some run has values for.

    Raises:
        InputError: for an unknown quantity, or one that no run has.
    """
    if quantity not in PANELS:
        raise unknown_choice("quantity", quantity, PANELS)
    panels = [name for name in PANELS[quantity] if any(names_in(run, name) for run in runs)]
    if not panels:
        raise InputError(f"quantity: no history has {quantity!r}. Try 'loss'.")
    return panels


def names_in(run: Run, panel: str) -> dict[str, str]:
    """The variables of a panel that a run has, by split."""
    if panel == "learning_rate":
        return {"train": panel} if panel in run.history else {}
    return {split: f"{split}_{panel}" for split in SPLITS if f"{split}_{panel}" in run.history}


def curves_figure(
    histories: Sequence[xr.Dataset],
    *,
    quantity: str = "loss",
    scale: str = "auto",
    loss_max: float | None = None,
    labels: Sequence[str] | None = None,
    share: bool = True,
    width: float | str | None = None,
) -> PaperFigure:
    """Curves over each other, or a row of panels for each run; see :func:`landscape.render.plot`."""
    runs = runs_of(histories, labels)
    panels = panels_of(runs, quantity)
    figure = layout.new_figure(width_of(width, COLUMN if len(panels) == 1 else PAGE))
    groups = [runs] if share else [[run] for run in runs]
    scales = _scales(runs, panels, scale, loss_max)
    rows = []
    for group in groups:
        own = scales if share else _scales(group, panels, scale, loss_max)
        rows.append([_cell(figure.add_subplot(), group, panel, own[panel], panels) for panel in panels])
    note = scale_note(scales.get("loss"), "loss axis") if share else ""
    return layout.finish(figure, rows, history_caption([run.label for run in runs], histories, note))


def _scales(runs: Sequence[Run], panels: Sequence[str], scale: str, loss_max: float | None) -> dict[str, Scale | None]:
    """What was asked for is for the first panel, which is the loss where there is one."""
    return {panel: panel_scale(runs, panel, scale if panel == panels[0] else "auto", loss_max) for panel in panels}


def panel_scale(runs: Sequence[Run], panel: str, scale: str, loss_max: float | None) -> Scale | None:
    """The scale of a panel; accuracy is linear unless something else was asked for."""
    kind = "linear" if panel == "accuracy" and scale == "auto" else scale
    return choose_scale(panel_values(runs, panel), scale=kind, maximum=loss_max if panel == "loss" else None)


def panel_values(runs: Sequence[Run], panel: str) -> list[Floats]:
    """Everything that a panel draws."""
    drawn = [run.values(name) for run in runs for name in names_in(run, panel).values()]
    return drawn + [np.atleast_1d(run.values(f"test_{panel}")) for run in runs if f"test_{panel}" in run.history]


def _cell(axes: Axes, runs: Sequence[Run], panel: str, scale: Scale | None, panels: Sequence[str]) -> layout.Cell:
    set_value_axis(axes, scale)
    entries: list[markers.Entry] = []
    for run in runs:
        gaps = _draw(axes, run, panel)
        if gaps:
            entries.append(
                (markers.handle({**markers.NONFINITE, "color": run.colour}, 4), f"not finite: {gaps} epochs")
            )
    last = max(float(run.epochs[-1]) for run in runs)
    room = 0.025 * (last - 1) or 0.5  # so that the marks of the first and the last epoch are whole
    axes.set_xlim(1 - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    entries = _legend(runs, panel, panels) + entries
    units = {run.history[name].attrs.get("units", "1") for run in runs for name in names_in(run, panel).values()}
    unit = f" ({units.pop()})" if len(units) == 1 and units != {"1"} else ""
    heading = runs[0].title() if len(runs) == 1 and panel == panels[0] else ""

    def dress(width: float) -> None:
        layout.title(axes, heading, width)
        count = layout.axis_labels(axes, "epoch", panel.replace("_", " ") + unit, width, width * RATIO)
        layout.legend_below(axes, entries, width=width, lines=count)

    return layout.Cell(axes, RATIO, dress)


def _draw(axes: Axes, run: Run, panel: str) -> int:
    """A run's curves; returns in how many epochs a value was not finite."""
    gaps = np.zeros(run.epochs.size, dtype=bool)
    for split, name in names_in(run, panel).items():
        values = run.values(name)
        gaps |= ~np.isfinite(values)
        marker = "o" if values.size <= FEW_EPOCHS else ""
        options: dict[str, Any] = {"color": run.colour, "linestyle": SPLITS[split], "marker": marker, "markersize": 2.2}
        axes.plot(run.epochs, np.where(np.isfinite(values), values, np.nan), **options)
    mark_at_edge(axes, run.epochs, gaps, {**markers.NONFINITE, "color": run.colour, "markersize": 3.5}, top=True)
    if f"test_{panel}" in run.history:
        value = run.values(f"test_{panel}")
        options = {**TEST, "color": run.colour, "markeredgecolor": run.colour}
        axes.plot([run.epochs[-1]], np.atleast_1d(value), **options, zorder=5)
    return int(gaps.sum())


def _legend(runs: Sequence[Run], panel: str, panels: Sequence[str]) -> list[markers.Entry]:
    """The runs under the first panel, the kinds of lines under the second; both under a single one."""
    entries: list[markers.Entry] = []
    if panel == panels[0] and len(runs) > 1:
        entries += [(Line2D([], [], color=run.colour), run.title()) for run in runs]
    if panel == panels[min(1, len(panels) - 1)] and panel != "learning_rate":
        words = [split for split in SPLITS if any(split in names_in(run, panel) for run in runs)]
        entries += [(Line2D([], [], color=INK, linestyle=SPLITS[split]), split) for split in words]
        if any(f"test_{panel}" in run.history for run in runs):
            entries.append((Line2D([], [], color=INK, markeredgecolor=INK, **TEST), "test, after the last epoch"))
    return entries


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
