"""Training histories: loss, accuracy and learning rate over epochs, several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape.errors import InputError, unknown_choice
from landscape.pictures import layout, markers
from landscape.pictures.arrays import Floats
from landscape.pictures.caption import history_caption, scale_note
from landscape.pictures.colours import looks
from landscape.pictures.labels import state_words
from landscape.pictures.options import Options
from landscape.pictures.scale import Scale, choose_scale
from landscape.pictures.style import COLUMN, INK, PAGE, PaperFigure, ordered_colours, width_of
from landscape.pictures.value_axis import RATIO, count_ticks, mark_at_edge, set_value_axis
from landscape.probes.history.sweeps import Sweep, sweep_of

# what a quantity shows: the panels, from left to right
PANELS = {
    "loss": ("loss", "accuracy"),
    "loss_alone": ("loss",),
    "accuracy": ("accuracy",),
    "learning_rate": ("learning_rate",),
    "all": ("loss", "accuracy", "learning_rate"),
}
SPLITS: dict[str, Any] = {"train": "-", "validation": (0, (4, 1.6))}
TEST: dict[str, Any] = {"marker": "D", "markersize": 3.5, "linestyle": "none", "markerfacecolor": "white"}
BAND_ALPHA = 0.18
SEED: dict[str, Any] = {"linewidth": 0.35, "alpha": 0.7}
FEW_EPOCHS = 12  # up to so many, the epochs themselves are shown as dots


@dataclass(frozen=True)
class Run:
    """One curve in its colour: a history, or several that differ in their seed alone."""

    label: str
    histories: tuple[xr.Dataset, ...]
    colour: str

    @property
    def epochs(self) -> Floats:
        """Those that all its histories have."""
        common = self.histories[0]["epoch"].values
        for history in self.histories[1:]:
            common = np.intersect1d(common, history["epoch"].values)
        return np.asarray(common, dtype=float)

    @property
    def pooled(self) -> bool:
        return len(self.histories) > 1

    def every(self, name: str) -> Floats:
        """The values of each history, ``(seed, epoch)``, or ``(seed,)`` for what is no curve."""
        own = [history[name] for history in self.histories]
        return np.stack([np.asarray(v.sel(epoch=self.epochs) if "epoch" in v.dims else v, dtype=float) for v in own])

    def values(self, name: str) -> Floats:
        """Their mean over the seeds."""
        with np.errstate(invalid="ignore"):  # inf − inf is NaN, which is the truth about it
            return np.asarray(self.every(name).mean(axis=0))

    def title(self) -> str:
        """The label, over how many seeds, and how the training ended where it did not end well."""
        states = [state for history in self.histories if (state := state_words(history))]
        words = ", ".join(dict.fromkeys(states))
        if self.pooled:
            of = f", {len(states)} of them {words}" if states else ""
            return f"{self.label} ({len(self.histories)} seeds{of})"
        return f"{self.label} ({words})" if words else self.label


def runs_of(sweep: Sweep, options: Options | None = None) -> list[Run]:
    """The curves in the colours of their settings; see :func:`landscape.pictures.colours.looks`.

    Raises:
        InputError: for a history without epochs.
    """
    firsts = [group[0] for group in sweep.groups]
    colours = [look.colour for look in looks(firsts, options or Options("loss"), dashed=False)]
    if options is None and sweep.setting is not None:
        colours = ordered_colours(len(firsts))
    runs = [Run(*each) for each in zip(sweep.labels, sweep.groups, colours, strict=True)]
    for run in runs:
        if run.epochs.size == 0:
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
        return {"train": panel} if has(run, panel) else {}
    return {split: f"{split}_{panel}" for split in SPLITS if has(run, f"{split}_{panel}")}


def has(run: Run, name: str) -> bool:
    """Whether all its histories have the variable."""
    return all(name in history for history in run.histories)


def curves_figure(histories: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Curves over each other, or a row of panels for each run; see :func:`landscape.probes.plot.plot`."""
    sweep = sweep_of(histories, options.labels)
    runs = runs_of(sweep, options)
    panels = panels_of(runs, options.quantity)
    figure = layout.new_figure(width_of(options.width, COLUMN if len(panels) == 1 else PAGE))
    groups = [runs] if options.share else [[run] for run in runs]
    scales = _scales(runs, panels, options)
    cells = []
    for group in groups:
        own = scales if options.share else _scales(group, panels, options)
        titled = not options.share and len(runs) > 1
        cells += [_cell(figure.add_subplot(), group, panel, own[panel], panels, titled=titled) for panel in panels]
    note = scale_note(scales.get("loss"), "loss axis") if options.share else ""
    caption = history_caption(sweep.labels, sweep.groups, note, sweep.setting)
    names: list[markers.Entry] = []
    heading = sweep.common if options.share else ""
    if options.share and len(runs) > 1:
        names = [(Line2D([], [], color=run.colour), run.title()) for run in runs]
    elif len(runs) == 1:
        heading = runs[0].title()
    abreast = (
        None
        if options.share or len(panels) == 1
        else min(len(panels), layout.across(len(panels), float(figure.get_size_inches()[0]), RATIO))
    )
    return layout.finish(figure, cells, caption, options, abreast=abreast, heading=heading, names=names)


def _scales(runs: Sequence[Run], panels: Sequence[str], options: Options) -> dict[str, Scale | None]:
    """What was asked for is for the first panel, which is the loss where there is one."""
    return {p: panel_scale(runs, p, options.scale if p == panels[0] else "auto", options.loss_max) for p in panels}


def panel_scale(runs: Sequence[Run], panel: str, scale: str, loss_max: float | None) -> Scale | None:
    """The scale of a panel; accuracy is linear unless something else was asked for."""
    kind = "linear" if panel == "accuracy" and scale == "auto" else scale
    return choose_scale(panel_values(runs, panel), scale=kind, maximum=loss_max if panel == "loss" else None)


def panel_values(runs: Sequence[Run], panel: str) -> list[Floats]:
    """Everything that a panel draws."""
    names = [(run, name) for run in runs for name in (*names_in(run, panel).values(), f"test_{panel}")]
    return [run.every(name) for run, name in names if has(run, name)]


def _cell(
    axes: Axes, runs: Sequence[Run], panel: str, scale: Scale | None, panels: Sequence[str], *, titled: bool
) -> layout.Cell:
    set_value_axis(axes, scale)
    crosses: list[markers.Named] = []
    for run in runs:
        gaps = _draw(axes, run, panel)
        if gaps:
            of = f" [{run.label}]" if len(runs) > 1 else ""
            look = {**markers.NONFINITE, "color": run.colour}
            crosses.append(markers.Named(markers.handle(look, 4), f"not finite{of}", f"{gaps} epochs"))
    last = max(float(run.epochs[-1]) for run in runs)
    room = 0.025 * (last - 1) or 0.5  # so that the marks of the first and the last epoch are whole
    axes.set_xlim(1 - room, last + room)
    axes.spines[["top", "right"]].set_visible(False)
    entries = [*_legend(runs, panel), *markers.merged_gaps(crosses)]
    units = {run.histories[0][name].attrs.get("units", "1") for run in runs for name in names_in(run, panel).values()}
    unit = f" ({units.pop()})" if len(units) == 1 and units != {"1"} else ""
    title = runs[0].title() if titled and panel == panels[0] else ""
    words = panel.replace("_", " ") + unit
    reach = (float(min(run.epochs[0] for run in runs)), last)
    return layout.Cell(
        axes,
        RATIO,
        title,
        "epoch",
        words,
        entries,
        x_axis=("epoch", reach),
        fit=lambda width: count_ticks(axes.xaxis, width),
    )


def _draw(axes: Axes, run: Run, panel: str) -> int:
    """A run's curves and the range over its seeds; returns in how many epochs a value was not finite."""
    gaps = np.zeros(run.epochs.size, dtype=bool)
    for split, name in names_in(run, panel).items():
        values, every = run.values(name), run.every(name)
        gaps |= ~np.isfinite(values)
        marker = "o" if values.size <= FEW_EPOCHS else ""
        options: dict[str, Any] = {"color": run.colour, "linestyle": SPLITS[split], "marker": marker, "markersize": 2.2}
        axes.plot(run.epochs, np.where(np.isfinite(values), values, np.nan), **options)
        if run.pooled:
            shaded: dict[str, Any] = {"color": run.colour, "alpha": BAND_ALPHA, "linewidth": 0, "zorder": 1}
            axes.fill_between(run.epochs, every.min(axis=0), every.max(axis=0), where=np.isfinite(values), **shaded)
            for one in every:
                shown = np.where(np.isfinite(one), one, np.nan)
                axes.plot(run.epochs, shown, color=run.colour, linestyle=SPLITS[split], **SEED, zorder=1.5)
    mark_at_edge(axes, run.epochs, gaps, {**markers.NONFINITE, "color": run.colour, "markersize": 3.5}, top=True)
    if has(run, f"test_{panel}"):
        _draw_test(axes, run, f"test_{panel}")
    return int(gaps.sum())


def _draw_test(axes: Axes, run: Run, name: str) -> None:
    """The value after the last epoch, with a bar over the range of seeds."""
    last, every = run.epochs[-1], run.every(name)
    if run.pooled:
        axes.plot([last, last], [every.min(), every.max()], color=run.colour, linewidth=0.8, zorder=4)
    options = {**TEST, "color": run.colour, "markeredgecolor": run.colour}
    axes.plot([last], np.atleast_1d(run.values(name)), **options, zorder=5)


def _legend(runs: Sequence[Run], panel: str) -> list[markers.Entry]:
    """What the kinds of lines are."""
    entries: list[markers.Entry] = []
    if panel != "learning_rate":
        words = [split for split in SPLITS if any(split in names_in(run, panel) for run in runs)]
        entries += [(Line2D([], [], color=INK, linestyle=SPLITS[split]), split) for split in words]
        if any(run.pooled for run in runs):
            entries.append((Patch(color=INK, alpha=BAND_ALPHA, linewidth=0), "range over seeds"))
            entries.append((Line2D([], [], color=INK, **SEED), "each seed"))
        if any(has(run, f"test_{panel}") for run in runs):
            entries.append((Line2D([], [], color=INK, markeredgecolor=INK, **TEST), "test, after the last epoch"))
    return entries
