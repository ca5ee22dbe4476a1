"""The grid of a figure: how many panels stand abreast, and where each of them and their colour bars are."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from landscape.errors import InputError
from landscape.pictures.bars import PAD, STRIP, Bar
from landscape.pictures.markers import Entry
from landscape.pictures.style import PaperFigure
from landscape.pictures.words import canvas

MARGIN = 0.03  # inches of white around everything
GAP = 0.04  # inches between panels of a row
TIGHT, BETWEEN = 0.012, 0.06  # inches between rows: of panels that cannot be stretched or are many, and of others
FEW_ROWS = 4
NARROWEST = 0.55  # inches a panel needs to be worth drawing
NARROW, READABLE = 0.75, 1.3  # inches from which a panel can be read, and one from which it reads well
SMALL, NUMBERED = 1.0, 1.9  # the same of one in perspective, which has room for its numbers only then
TALLEST = 9.2  # inches of a page
SHARE = 0.6  # of the figure's area that axes are to have
STEEPEST = 1.75  # height over width up to which panels are stretched for that
LOWEST = 0.35  # inches of a panel's height where the figure's height is asked for
MOST_ABREAST = 6
# inches, a guess before anything is drawn: words and numbers beside a panel, words over it, numbers under it, a colour bar, and
# what stands over and under all panels
ROOM = {"label": 0.12, "left": 0.23, "right": 0.06, "over": 0.15, "numbers": 0.14, "bar": 0.22, "words": 0.62}


@dataclass
class Cell:
    """A panel to be placed, with its words.

    Attributes:
        ratio: height over width.
        title, x, y: over it, under it, and beside it.
        entries: of the legend, which is one for all panels.
        bar: its own colour bar.
        fixed: whether both axes have one scale, so that the ratio is the data's.
        x_axis, y_axis: what an axis is; panels of one column, or row, that have the same one show its numbers once.
        fit: what else is set by the panel's width in inches.
        tall: its least height in inches, where that is no matter of its width.
    """

    axes: Axes
    ratio: float
    title: str = ""
    x: str = ""
    y: str = ""
    entries: Sequence[Entry] = ()
    bar: Bar | None = None
    fixed: bool = False
    x_axis: Hashable = None
    y_axis: Hashable = None
    fit: Callable[[float], None] | None = None
    tall: float | None = None

    def height(self, panel: float) -> float:
        """Inches that it has before it is stretched."""
        return panel * self.ratio if self.tall is None else self.tall

    @property
    def stretches(self) -> bool:
        return not self.fixed


@dataclass
class Frame:
    """A figure being laid out: inches of what stands around the panels, and how far these are stretched."""

    figure: PaperFigure
    rows: list[list[Cell]]
    bar: Bar | None
    height: float | None
    top: float = 0.0
    bottom: float = 0.0
    left: float = MARGIN
    stretch: float = 1.0
    cut: list[str] = field(default_factory=list)

    @property
    def columns(self) -> int:
        return max(len(row) for row in self.rows)

    @property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row]


@dataclass(frozen=True)
class Margins:
    """Inches that a cell's words take around its panel."""

    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Placed:
    """Where the panels are, in inches: their width, and the edges of all of them together."""

    panel: float
    left: float
    right: float
    bottom: float
    top: float


def across(
    count: int,
    width: float,
    ratio: float,
    *,
    fixed: bool = False,
    shared: bool = False,
    bars: bool = False,
    bar: bool = False,
    bare: bool = False,
) -> int:
    """How many of ``count`` panels stand abreast in ``width`` inches.

    The most that read well and have their share of the figure, which is no taller than a page; where none does, those that can
    still be read; else as many as get the largest share.

    Args:
        ratio: height over width of a panel.
        fixed: whether that is the data's; other panels are stretched as far as their share asks for it.
        shared: whether panels have their axes in common, and so their numbers once.
        bars: whether each panel has a colour bar of its own.
        bar: whether all panels have one.
        bare: whether no numbers stand beside or under the panels, as in perspective.
    """
    found = []
    for columns in range(1, min(count, MOST_ABREAST) + 1):
        rows, numbers = -(-count // columns), 0 if bare else 1 if shared else columns
        label = columns == 1 or shared or fixed  # else it stands over the panel
        aside = (ROOM["left"] + ROOM["right"]) * numbers + (0.0 if bare or not label else ROOM["label"])
        panel = (width - 2 * MARGIN - aside - GAP * (columns - 1)) / columns
        if panel < NARROW and columns > 1:
            break
        words = ROOM["words"] + rows * (ROOM["over"] + (0.0 if label else ROOM["label"]))
        words += (ROOM["bar"] * rows if bars else ROOM["bar"] * bar) + (
            0.0 if bare else ROOM["numbers"] * (1 if shared else rows)
        )
        part = count / rows * panel / width  # of the width that panels have
        stretched = SHARE * words / rows / max(part - SHARE, 0.01)
        tall = ratio * panel if fixed else float(np.clip(stretched, ratio * panel, STEEPEST * panel))
        height = rows * tall + words
        if height > TALLEST:
            part *= max(TALLEST - words, 0.1) / (rows * tall) if fixed else 1.0
            height = TALLEST
        strips = (rows * columns if bars else bar) * STRIP * panel * (1 if bars else columns) / (width * height)
        share = part * (height - words) / height + strips
        found.append((columns, panel, share, height))
    for least in (NUMBERED, SMALL) if bare else (READABLE, NARROW):
        good = [
            one for one, panel, share, height in found if panel >= least and share >= SHARE - 0.025 and height < TALLEST
        ]
        if good:
            return max(good)
    return max(found, key=lambda one: one[2])[0]


def margins_of(cell: Cell, figure: PaperFigure) -> Margins:
    """What a cell's words take, as they are drawn."""
    renderer = canvas(figure)
    inner = cell.axes.get_window_extent(renderer)
    outer = cell.axes.get_tightbbox(renderer) or inner
    title: Any = cell.axes._left_title  # type: ignore[attr-defined]
    if title.get_text() and title.get_window_extent(renderer).x1 > inner.x1:  # over the next panel, which has none
        title.set_visible(False)
        beside = cell.axes.get_tightbbox(renderer) or inner
        title.set_visible(True)
        outer = Bbox.from_extents(beside.x0, outer.y0, beside.x1, outer.y1)
    left, right = inner.x0 - outer.x0, outer.x1 - inner.x1
    bottom, top = inner.y0 - outer.y0, outer.y1 - inner.y1
    if cell.axes.name == "3d":  # drawn so that it fills its place
        left, right, bottom = 0.0, 0.0, 0.0
        top = outer.y1 - box_of(cell.axes).y1 if cell.axes.get_title(loc="left") else 0.0
    if cell.bar is not None:
        top = max(top, (cell.bar.height + PAD) * figure.dpi)
    return Margins(*(max(float(m), 0.0) / figure.dpi for m in (left, right, bottom, top)))


def box_of(axes: Axes) -> Bbox:
    """The place of some axes in pixels: in perspective that of the drawing, whose own axes are the square in its middle."""
    figure: Any = axes.figure
    return axes.get_position(original=axes.name == "3d").transformed(figure.transFigure)


def place(frame: Frame, margins: Sequence[Sequence[Margins]]) -> Placed:
    """Set the figure's height and every position.

    Raises:
        InputError: for a width, or a height, that is too small.
    """
    figure, rows, columns = frame.figure, frame.rows, frame.columns
    left = [max(m[c].left for m in margins if c < len(m)) for c in range(columns)]
    right = [max(m[c].right for m in margins if c < len(m)) for c in range(columns)]
    width = float(figure.get_size_inches()[0])
    panel = (width - frame.left - MARGIN - sum(left) - sum(right) - GAP * (columns - 1)) / columns
    if panel < NARROWEST:
        raise InputError(
            f"width: {width:g} inches are too few for {columns} panel(s) side by side. Try {2.4 * columns:g}."
        )
    top, bottom = [max(m.top for m in row) for row in margins], [max(m.bottom for m in row) for row in margins]
    tight = len(rows) > FEW_ROWS or any(cell.fixed for cell in frame.cells)
    between = TIGHT if tight else BETWEEN
    words = frame.top + frame.bottom + sum(top) + sum(bottom) + between * (len(rows) - 1)
    inner, panel_width = _heights(frame, panel, words, width)
    height = words + sum(inner) if frame.height is None else frame.height
    figure.set_size_inches(width, height)
    y, edges = height - frame.top, []
    for r, row in enumerate(rows):
        y -= top[r] + inner[r]
        x = frame.left
        for c, cell in enumerate(row):
            x += left[c]
            tall = min(panel_width * cell.ratio, inner[r]) if cell.fixed else inner[r]
            base = y + inner[r] - tall
            cell.axes.set_position((x / width, base / height, panel_width / width, tall / height))
            edges.append((x, x + panel_width, base, base + tall))
            if cell.bar is not None:
                cell.bar.over(x, base + tall, panel_width)
            x += panel_width + right[c] + GAP
        y -= bottom[r] + between
    ends: Any = np.array(edges)
    return Placed(
        panel_width, *(float(v) for v in (ends[:, 0].min(), ends[:, 1].max(), ends[:, 2].min(), ends[:, 3].max()))
    )


def _heights(frame: Frame, panel: float, words: float, width: float) -> tuple[list[float], float]:
    """The height of every row of panels, and how wide panels are in it, which only a height narrows, that is asked for or a page's.

    Panels that are not fixed are stretched until all have their share of the figure.
    """
    usual = np.array([max(cell.height(panel) for cell in row) for row in frame.rows])
    free = np.array([all(cell.stretches for cell in row) for row in frame.rows])
    if frame.height is not None or (words + usual.sum() > TALLEST and any(cell.fixed for cell in frame.cells)):
        asked = TALLEST if frame.height is None else frame.height
        left = asked - words
        if left < LOWEST * len(usual):
            if frame.height is None:
                return usual.tolist(), panel
            raise InputError(
                f"height: {asked:g} inches are too few for {len(usual)} row(s) of panels and their words. "
                f"Try {words + usual.sum():.2g}."
            )
        frame.stretch = part = left / float(usual.sum())
        if all(free):
            return (usual * part).tolist(), panel
        return (usual * min(part, 1.0)).tolist(), panel * min(part, 1.0)
    if not free.any():
        return usual.tolist(), panel
    count = np.array([len(row) for row in frame.rows])
    covered = panel * count * usual
    gain = float(
        (covered - SHARE * width * usual)[free].sum()
    )  # of a stretch by one: what panels get, less their share of it
    lack = SHARE * width * (words + float(usual[~free].sum())) - float(covered[~free].sum())
    most = max(STEEPEST * panel / float(usual[free].max()), 1.0)
    stretch = float(np.clip(lack / gain if gain > 0 else most, 1.0, most))
    tallest = (TALLEST - words - float(usual[~free].sum())) / float(usual[free].sum())
    least = 1.0 if any(cell.tall is not None for cell in frame.cells) else 0.6
    frame.stretch = max(tallest, least) if tallest < stretch else stretch
    return np.where(free, usual * frame.stretch, usual).tolist(), panel
