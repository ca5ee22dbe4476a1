"""Where things go on paper: a heading, panels in rows, their colour bar, one legend under all of them, and a caption line."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.errors import InputError
from landscape.pictures.caption import full_caption, short_caption
from landscape.pictures.labels import split_words
from landscape.pictures.legend import Legend, legend_of
from landscape.pictures.markers import Entry, entry_of
from landscape.pictures.options import Options
from landscape.pictures.style import INK, PaperFigure, points
from landscape.pictures.words import canvas, fitted, line_height, new_figure, text_width, wrap

__all__ = ["Cell", "across", "finish", "new_figure", "text_width", "wrap"]

MARGIN = 0.05  # inches of white around everything
GAP = 0.1  # inches between panels
BAR, BAR_GAP = 0.09, 0.06  # inches: width of a colour bar, and its distance from its panel
NARROWEST = 0.55  # inches a panel needs to be worth drawing
NARROW, READABLE = 0.75, 1.45  # inches from which a panel can be read, and one of curves reads well
TALLEST = 9.2  # inches of a page
SHARE = 0.6  # of the figure's area that panels are stretched to
STEEPEST = 1.05  # height over width up to which they are
LOWEST = 0.35  # inches of a panel's height where the figure's height is asked for
TITLE_LINES, LABEL_LINES = 2, 2
TICK_PAD = 0.4  # from a tick to its number, in sizes of the number
ALONE = 1.2  # inches that an upright label may take beside a low panel
ROOM = {
    "left": 0.42,
    "right": 0.45,
    "bottom": 0.33,
    "top": 0.17,
    "words": 0.3,
}  # inches, a guess before anything is drawn


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
        tall: its height in inches, where that is no matter of its width.
    """

    axes: Axes
    ratio: float
    title: str = ""
    x: str = ""
    y: str = ""
    entries: Sequence[Entry] = ()
    bar: Axes | None = None
    fixed: bool = False
    x_axis: Hashable = None
    y_axis: Hashable = None
    fit: Callable[[float], None] | None = None
    tall: float | None = None

    def height(self, panel: float) -> float:
        """Inches that it has before it is stretched."""
        return panel * self.ratio if self.tall is None else self.tall


@dataclass
class _Frame:
    """A figure being laid out: inches of what stands over, under and right of the panels, and how far these are stretched."""

    figure: PaperFigure
    rows: list[list[Cell]]
    bar: Axes | None
    height: float | None
    top: float = 0.0
    bottom: float = 0.0
    stretch: float = 1.0
    cut: list[str] = field(default_factory=list)

    @property
    def columns(self) -> int:
        return max(len(row) for row in self.rows)

    @property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row]


@dataclass(frozen=True)
class _Margins:
    """Inches that a cell's words take around its panel."""

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
    bare: bool = False,
) -> int:
    """How many of ``count`` panels stand abreast in ``width`` inches.

    Panels with one scale on both axes: so many that they take most of the figure. Others: as many as read well, more only where
    the figure would be taller than a page. Four stand as two and two.

    Args:
        ratio: height over width of a panel.
        shared: whether panels of a row have one upright axis.
        bars: whether each panel has a colour bar of its own.
        bare: whether no numbers stand beside or under the panels, as in perspective.
    """
    best, most, low = 1, -np.inf, True
    for columns in range(1, min(count, 6) + 1):
        numbers = 0 if bare else 1 if shared else columns
        panel = (width - 2 * MARGIN - ROOM["left"] * numbers - GAP * (columns - 1)) / columns
        panel -= ROOM["right"] if bars else ROOM["right"] / columns if fixed else 0.0
        rows = -(-count // columns)
        under = 0.0 if bare else ROOM["bottom"] if shared else ROOM["bottom"] * rows
        height = rows * (panel * ratio + ROOM["top"]) + under + ROOM["words"]
        if columns > 1 and panel < (READABLE if low and not fixed else NARROW):
            break
        low = height <= TALLEST
        share = count * panel**2 * ratio / (width * height) if fixed else float(columns)
        share -= (0.0 if low else 10.0) + (0.5 if count == 4 and columns == 3 else 0.0)
        if share > most:
            best, most = columns, share
    return best


def finish(
    figure: PaperFigure,
    cells: Sequence[Cell],
    caption: str,
    options: Options,
    *,
    abreast: int | None = None,
    bar: Axes | None = None,
    heading: str = "",
    names: Sequence[Entry] = (),
) -> PaperFigure:
    """Place the panels, write the words, and fit the figure's height to them. Saving at another resolution moves nothing.

    The full caption becomes the figure's ``caption``; on the figure stands as much of it as was asked for.

    Args:
        cells: in reading order.
        abreast: how many stand in a row; None: as :func:`across` says.
        bar: a colour bar for all of them.
        heading: what all panels have in common, over them; ``options.title`` takes its place.
        names: of the data sets with their looks, the legend's first entries.

    Raises:
        InputError: for a width, or a height, that is too small for the panels.
    """
    width = float(figure.get_size_inches()[0])
    first = cells[0]
    shared = len({cell.y_axis for cell in cells}) == 1 and first.y_axis is not None
    bare, bars = first.axes.name == "3d", first.bar is not None
    kind = {"fixed": first.fixed, "shared": shared, "bars": bars, "bare": bare}
    abreast = abreast or across(len(cells), width, first.ratio, **kind)
    rows = [list(cells[start : start + abreast]) for start in range(0, len(cells), abreast)]
    frame = _Frame(figure, rows, bar, options.height)
    if options.labels is None and not heading:
        heading, names = _without_common(cells, names)
    heading = heading if options.title is None else options.title
    legend = legend_of(figure, names, [(cell.title, cell.entries) for cell in cells], width - 2 * MARGIN)
    _hide_inner_numbers(frame)
    words = full_caption(options.note, caption, legend.told)
    lines = _caption_lines(figure, words, options.caption, width - 2 * MARGIN)
    top = _heading(figure, heading, width, frame)
    frame.top = MARGIN + top
    frame.bottom = MARGIN + len(lines) * line_height("small") + (0.04 if lines else 0.0)
    under_panels = frame.bottom
    frame.bottom += legend.height
    panel = (width - 1.0) / frame.columns - 0.2
    for _ in range(3):  # words are wrapped to the panels, and panels are as wide as the words beside them allow
        frame.cut.clear()
        _dress(frame, panel)
        panel = _place(frame, [[_margins(cell, figure) for cell in row] for row in rows], legend)
    _write(figure, heading, lines, width)
    legend.place(MARGIN, under_panels)
    figure.caption = full_caption(words, "", [f"In full: {'; '.join(frame.cut)}"] if frame.cut else [])
    figure.heading = heading or first.title
    return figure


def _without_common(cells: Sequence[Cell], names: Sequence[Entry]) -> tuple[str, Sequence[Entry]]:
    """The words that all names of data sets, or all titles, have: they are taken off them."""
    if names:
        entries = [entry_of(name) for name in names]
        common, rest = split_words([entry.words for entry in entries])
        return common, [entry._replace(words=words) for entry, words in zip(entries, rest, strict=True)]
    if len({cell.title for cell in cells}) < len(cells):
        return "", names
    common, rest = split_words([cell.title for cell in cells])
    for cell, words in zip(cells, rest, strict=True):
        cell.title = words
    return common, names


def _caption_lines(figure: PaperFigure, words: str, how: str, width: float) -> list[str]:
    if how == "none" or not words:
        return []
    if how == "full":
        return wrap(figure, words, width, points("small"))
    return [short_caption(words, lambda text: text_width(figure, text, points("small")) <= width)]


def _heading(figure: PaperFigure, heading: str, width: float, frame: _Frame) -> float:
    if not heading:
        return 0.0
    lines, cut = fitted(figure, heading, width - 2 * MARGIN, points("title"), TITLE_LINES)
    frame.cut += [heading] if cut else []
    return len(lines) * line_height("title") + 0.02


def _write(figure: PaperFigure, heading: str, lines: Sequence[str], width: float) -> None:
    """The heading at the top and the caption at the bottom."""
    height = float(figure.get_size_inches()[1])
    place: dict[str, Any] = {"ha": "left", "color": INK, "parse_math": False}
    if heading:
        shown, _ = fitted(figure, heading, width - 2 * MARGIN, points("title"), TITLE_LINES)
        figure.text(
            MARGIN / width,
            1 - MARGIN / height,
            "\n".join(shown),
            va="top",
            fontsize=points("title"),
            gid="heading",
            **place,
        )
    if lines:
        figure.text(
            MARGIN / width,
            MARGIN / height,
            "\n".join(lines),
            va="bottom",
            fontsize=points("small"),
            gid="caption",
            **place,
        )


def _hide_inner_numbers(frame: _Frame) -> None:
    """Where the panel below, or to the left, has the same axis, its numbers and words stand there alone."""
    for r, row in enumerate(frame.rows):
        for c, cell in enumerate(row):
            below = frame.rows[r + 1][c] if r + 1 < len(frame.rows) and c < len(frame.rows[r + 1]) else None
            if below is not None and cell.x_axis is not None and below.x_axis == cell.x_axis:
                cell.axes.tick_params(labelbottom=False)
                cell.x = ""
            if c and cell.y_axis is not None and row[c - 1].y_axis == cell.y_axis:
                cell.axes.tick_params(labelleft=False)
                cell.y = ""


def _dress(frame: _Frame, panel: float) -> None:
    figure = frame.figure
    for cell in frame.cells:
        axes = cell.axes
        if cell.fit is not None:
            cell.fit(panel)
        shown, cut = fitted(figure, cell.title, panel, points("title"), TITLE_LINES) if cell.title else ([], False)
        frame.cut += [cell.title] if cut else []
        axes.set_title("\n".join(shown), loc="left", parse_math=False)
        if axes.name == "3d":
            continue
        axes.tick_params(pad=TICK_PAD * points("tick"))  # so that the numbers of a corner stay apart
        for words, room, say in (
            (cell.x, panel, axes.set_xlabel),
            (cell.y, max(cell.height(panel) * frame.stretch, ALONE), axes.set_ylabel),
        ):
            lines, cut = fitted(figure, words, room, points("text"), LABEL_LINES) if words else ([], False)
            frame.cut += [words] if cut and words not in frame.cut else []
            say("\n".join(lines), parse_math=False)
    figure.draw_without_rendering()  # makes the tick labels that are measured next


def _margins(cell: Cell, figure: PaperFigure) -> _Margins:
    renderer = canvas(figure)
    inner = cell.axes.get_window_extent(renderer)
    outer = cell.axes.get_tightbbox(renderer) or inner
    left, right = inner.x0 - outer.x0, outer.x1 - inner.x1
    bottom, top = inner.y0 - outer.y0, outer.y1 - inner.y1
    if cell.bar is not None:
        right = max(right, (BAR_GAP + BAR) * figure.dpi + _beside(cell.bar, figure))
    return _Margins(*(max(float(m), 0.0) / figure.dpi for m in (left, right, bottom, top)))


def _beside(bar: Axes, figure: PaperFigure) -> float:
    """Pixels that a colour bar's words take at its right."""
    renderer = canvas(figure)
    words = bar.get_tightbbox(renderer)
    return 0.0 if words is None else max(float(words.x1 - bar.get_window_extent(renderer).x1), 0.0)


def _place(frame: _Frame, margins: Sequence[Sequence[_Margins]], legend: Legend) -> float:
    """Set the figure's height and every position; returns the panels' width in inches."""
    figure, rows, columns = frame.figure, frame.rows, frame.columns
    left = [max(m[c].left for m in margins if c < len(m)) for c in range(columns)]
    right = [max(m[c].right for m in margins if c < len(m)) for c in range(columns)]
    width = float(figure.get_size_inches()[0])
    aside = BAR_GAP + BAR + _beside(frame.bar, figure) / figure.dpi if frame.bar is not None else 0.0
    panel = (width - 2 * MARGIN - aside - sum(left) - sum(right) - GAP * (columns - 1)) / columns
    if panel < NARROWEST:
        raise InputError(
            f"width: {width:g} inches are too few for {columns} panel(s) side by side. Try {2.4 * columns:g}."
        )
    top, bottom = [max(m.top for m in row) for row in margins], [max(m.bottom for m in row) for row in margins]
    words = frame.top + frame.bottom + sum(top) + sum(bottom) + GAP * (len(rows) - 1) * 0.6
    inner, panel_width = _heights(frame, panel, words, width)
    height = words + sum(inner) if frame.height is None else frame.height
    figure.set_size_inches(width, height)
    y = height - frame.top
    ends = [y, y]
    for r, row in enumerate(rows):
        y -= top[r] + inner[r]
        x = MARGIN
        for c, cell in enumerate(row):
            x += left[c]
            tall = min(panel_width * cell.ratio, inner[r]) if cell.fixed else inner[r]
            base = y + inner[r] - tall
            cell.axes.set_position((x / width, base / height, panel_width / width, tall / height))
            if cell.bar is not None:
                cell.bar.set_position(((x + panel_width + BAR_GAP) / width, base / height, BAR / width, tall / height))
            x += panel + right[c] + GAP
        ends = [y if r == len(rows) - 1 else ends[0], ends[1] if r else y + inner[0]]
        y -= bottom[r] + GAP * 0.6
    if frame.bar is not None:
        at = width - MARGIN - aside + BAR_GAP - (panel - panel_width) * columns
        frame.bar.set_position((at / width, ends[0] / height, BAR / width, (ends[1] - ends[0]) / height))
    return panel


def _heights(frame: _Frame, panel: float, words: float, width: float) -> tuple[list[float], float]:
    """The height of every row of panels, and how wide panels are in it, which only a height that is asked for narrows."""
    usual = [max(cell.height(panel) for cell in row) for row in frame.rows]
    fixed = any(cell.fixed or cell.tall is not None for cell in frame.cells)
    if frame.height is not None:
        left = frame.height - words
        if left < LOWEST * len(usual):
            raise InputError(
                f"height: {frame.height:g} inches are too few for {len(usual)} row(s) of panels and their words. "
                f"Try {words + sum(usual):.2g}."
            )
        part = left / sum(usual)
        frame.stretch = part
        return (
            ([u * min(part, 1.0) for u in usual], panel * min(part, 1.0))
            if fixed
            else ([u * part for u in usual], panel)
        )
    if fixed:
        return usual, panel
    count = np.array([len(row) for row in frame.rows])
    covered, most = float((count * usual).sum()) * panel, STEEPEST * panel / max(usual)
    room = covered - SHARE * width * sum(
        usual
    )  # what a stretch by one adds to the panels, less their share of what it adds
    wanted = SHARE * width * words / room if room > 0 else most
    frame.stretch = float(np.clip(wanted, 1.0, max(most, 1.0)))
    tallest = (TALLEST - words) / sum(usual)
    if tallest < frame.stretch:
        frame.stretch = max(tallest, 0.6)
    return [u * frame.stretch for u in usual], panel
