"""Where things go on paper: a heading, panels in rows, a colour bar and one legend under all of them, and a caption line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from landscape.pictures.bars import PAD, Bar
from landscape.pictures.caption import full_caption, short_caption
from landscape.pictures.grid import GAP, MARGIN, Cell, Frame, Placed, across, box_of, margins_of, place
from landscape.pictures.labels import split_words
from landscape.pictures.legend import legend_of
from landscape.pictures.markers import Entry, entry_of
from landscape.pictures.options import Options
from landscape.pictures.style import INK, PaperFigure, points
from landscape.pictures.value_axis import fewer_values
from landscape.pictures.words import fitted, line_height, new_figure, shortened, shortened_within, text_width, wrap

__all__ = ["Cell", "across", "finish", "new_figure", "text_width", "wrap"]

TITLE_LINES, LABEL_LINES = 2, 2
MOST_ROWS = 2  # of panels, whose titles may have two lines; those of more are smaller
TICK_PAD = 0.4  # from a tick to its number, in sizes of the number
TITLE_PAD = 2.0  # points from a panel to what stands over it
ALONE = 1.2  # inches that an upright label may take beside a low panel
FEW_BANDS = 3  # of whom each is as strong as a single one
APART = 0.02  # inches between what stands under the panels


def finish(
    figure: PaperFigure,
    cells: Sequence[Cell],
    caption: str,
    options: Options,
    *,
    abreast: int | None = None,
    bar: Bar | None = None,
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
        names: of the data sets with their looks, the legend's first entries; of many colours, a colour bar.

    Raises:
        InputError: for a width, or a height, that is too small for the panels.
    """
    width = float(figure.get_size_inches()[0])
    first = cells[0]
    abreast = abreast or across(len(cells), width, first.ratio, **_kind(cells, bar))
    rows = [list(cells[start : start + abreast]) for start in range(0, len(cells), abreast)]
    frame = Frame(figure, rows, bar, options.height)
    if options.labels is None and not heading:
        heading, names = _without_common(cells, names)
    heading = heading if options.title is None else options.title
    legend = legend_of(figure, names, [(cell.title, cell.entries) for cell in cells], width - 2 * MARGIN)
    frame.bar = bar or legend.bar
    x, y = _common_words(cells)
    _hide_inner_numbers(frame)
    over = _words_over(frame)
    words = full_caption(options.note, caption, legend.told)
    lines = _caption_lines(figure, words, options.caption, width - 2 * MARGIN)
    aside = " / ".join(dict.fromkeys(cell.bar.label for cell in cells if cell.bar is not None))
    shown = _heading(figure, heading, aside, width, frame)
    frame.top = MARGIN + len(shown) * line_height("title") + (APART if shown else 0.0)
    legend_at = MARGIN + len(lines) * line_height("small") + (APART if lines else 0.0)
    bar_at = legend_at + legend.height
    x_at = bar_at + (_bar_height(frame.bar, width) if frame.bar is not None else 0.0)
    frame.bottom = x_at + (line_height("text") + APART / 2 if x else 0.0)
    frame.left = MARGIN + (line_height("text") if y else 0.0)
    placed = Placed(width / frame.columns, 0.0, width, 0.0, width)
    for _ in range(3):  # words are wrapped to the panels, and panels are as wide as the words beside them allow
        frame.cut.clear()
        _dress(frame, placed.panel, over)
        placed = place(frame, [[margins_of(cell, figure) for cell in row] for row in rows])
    _write(figure, shown, aside, lines)
    _write_common(frame, x, y, placed, x_at)
    if frame.bar is not None:
        frame.bar.under(placed.left, bar_at, placed.right, MARGIN)
    legend.place(MARGIN, legend_at)
    for cell in cells:
        _thin(cell.axes)
    figure.caption = full_caption(words, "", [f"In full: {'; '.join(frame.cut)}"] if frame.cut else [])
    figure.heading = heading or first.title
    return figure


def _thin(axes: Axes) -> None:
    """Bands of many data sets, one over the other, as faint together as a few are."""
    drawn = [a for a in (*axes.collections, *axes.patches) if isinstance(a, PolyCollection | Patch)]
    shades = [(shade, alpha) for shade in drawn if (alpha := shade.get_alpha())]
    for shade, alpha in shades if len(shades) > FEW_BANDS else ():
        shade.set_alpha(1 - (1 - alpha) ** (FEW_BANDS / len(shades)))


def _kind(cells: Sequence[Cell], bar: Bar | None) -> dict[str, bool]:
    """What :func:`across` asks of the panels."""
    first = cells[0]
    alone = {(cell.x_axis, cell.y_axis) for cell in cells}
    return {
        "fixed": first.fixed,
        "shared": len(alone) == 1 and None not in alone.pop(),
        "bars": first.bar is not None,
        "bar": bar is not None,
        "bare": first.axes.name == "3d",
    }


def _without_common(cells: Sequence[Cell], names: Sequence[Entry]) -> tuple[str, Sequence[Entry]]:
    """The words that all names of data sets, or all titles, have: they are taken off them, and off titles that are names."""
    if names:
        entries = [entry_of(name) for name in names]
        common, rest = split_words([entry.words for entry in entries])
        shorter = dict(zip((entry.words for entry in entries), rest, strict=True))
        for cell in cells:
            cell.title = shorter.get(cell.title, cell.title)
        return common, [entry._replace(words=words) for entry, words in zip(entries, rest, strict=True)]
    titled = [cell for cell in cells if cell.title]
    if len({cell.title for cell in titled}) < max(len(titled), 2):
        return "", names
    common, rest = split_words([cell.title for cell in titled])
    for cell, words in zip(titled, rest, strict=True):
        cell.title = words
    return common, names


def _caption_lines(figure: PaperFigure, words: str, how: str, width: float) -> list[str]:
    if how == "none" or not words:
        return []
    if how == "full":
        return wrap(figure, words, width, points("small"))
    return [short_caption(words, lambda text: text_width(figure, text, points("small")) <= width)]


def _heading(figure: PaperFigure, heading: str, aside: str, width: float, frame: Frame) -> list[str]:
    """Its lines, the last with room for ``aside`` at its right."""
    room = width - 2 * MARGIN
    taken = text_width(figure, aside, points("text")) + 2 * GAP if aside else 0.0
    if not heading:
        return [""] if aside else []
    lines, cut = fitted(figure, heading, room, points("title"), TITLE_LINES)
    if text_width(figure, lines[-1], points("title")) > room - taken:
        lines, more = fitted(figure, heading, max(room - taken, room / 3), points("title"), TITLE_LINES)
        cut = cut or more
    frame.cut += [heading] if cut else []
    return lines


def _write(figure: PaperFigure, heading: Sequence[str], aside: str, lines: Sequence[str]) -> None:
    """The heading at the top, at its right what own colour bars are of, and the caption at the bottom."""
    width, height = (float(side) for side in figure.get_size_inches())
    place: dict[str, Any] = {"color": INK, "parse_math": False}
    left, top = MARGIN / width, 1 - MARGIN / height
    if any(heading):
        figure.text(left, top, "\n".join(heading), va="top", fontsize=points("title"), gid="heading", **place)
    if aside:
        low = top - (len(heading) - 1) * line_height("title") / height
        shown = shortened(figure, aside, width - 2 * MARGIN, points("text"))
        figure.text(1 - left, low, shown, ha="right", va="top", fontsize=points("text"), gid="bars", **place)
    if lines:
        words, low = "\n".join(lines), MARGIN / height
        figure.text(left, low, words, va="bottom", fontsize=points("small"), gid="caption", **place)


def _hide_inner_numbers(frame: Frame) -> None:
    """Where the panel below, or to the left, has the same axis, its numbers stand there alone; so do words under panels."""
    words = {id(cell): cell.x for cell in frame.cells}
    for r, row in enumerate(frame.rows):
        for c, cell in enumerate(row):
            below = frame.rows[r + 1][c] if r + 1 < len(frame.rows) and c < len(frame.rows[r + 1]) else None
            if below is not None and cell.x_axis is not None and below.x_axis == cell.x_axis:
                cell.axes.tick_params(labelbottom=False)
            if below is not None and words[id(below)] == cell.x:
                cell.x = ""
            if c and cell.y_axis is not None and row[c - 1].y_axis == cell.y_axis:
                cell.axes.tick_params(labelleft=False)
                cell.y = ""


def _common_words(cells: Sequence[Cell]) -> tuple[str, str]:
    """The words of x and of y that all panels have, which are taken off them."""
    found = []
    for name in ("x", "y"):
        words = {str(getattr(cell, name)) for cell in cells}
        once = len(cells) > 1 and len(words) == 1
        found.append(words.pop() if once else "")
        for cell in cells if once else ():
            setattr(cell, name, "")
    return found[0], found[1]


def _words_over(frame: Frame) -> list[str]:
    """For each panel the words of y that stand over it: where panels stand abreast, beside each they would take its width."""
    inner = any(cell.y for row in frame.rows for cell in row[1:]) and not any(cell.fixed for cell in frame.cells)
    over = [cell.y if inner else "" for cell in frame.cells]
    for cell in frame.cells if inner else ():
        cell.y = ""
    return over


def _write_common(frame: Frame, x: str, y: str, placed: Placed, x_at: float) -> None:
    """The words of shared axes: under the middle of all panels, and beside it."""
    figure = frame.figure
    width, height = (float(side) for side in figure.get_size_inches())
    look: dict[str, Any] = {"fontsize": points("text"), "color": INK, "parse_math": False}
    for words, room, say in (
        (x, width - 2 * MARGIN, figure.supxlabel),
        (y, height - frame.top - MARGIN, figure.supylabel),
    ):
        if not words:
            continue
        shown = shortened(figure, words, room, points("text"))
        frame.cut += [words] if shown != words else []
        half = text_width(figure, shown, points("text")) / 2
        if say == figure.supxlabel:
            middle = min(max((placed.left + placed.right) / 2, MARGIN + half), width - MARGIN - half)
            say(shown, x=middle / width, y=x_at / height, va="bottom", **look)
        else:
            middle = min(max((placed.bottom + placed.top) / 2, MARGIN + half), height - frame.top - half)
            say(shown, x=MARGIN / width, y=middle / height, ha="left", va="center", **look)


def _bar_height(bar: Bar, width: float) -> float:
    return bar.height + PAD + bar.label_lines(width) * line_height("text")


def _title_rooms(frame: Frame, panel: float, over: Sequence[str]) -> list[float]:
    """The inches of each panel's title: it goes on over panels at its right that have none."""
    bare = {id(cell) for cell, label in zip(frame.cells, over, strict=True) if not cell.title and not label}
    rooms = []
    for row in frame.rows:
        for c in range(len(row)):
            after = next((k for k, other in enumerate(row[c + 1 :]) if id(other) not in bare), len(row) - c - 1)
            rooms.append(panel + after * (panel + GAP))
    return rooms


def _dress(frame: Frame, panel: float, over: Sequence[str]) -> None:
    """What depends on the panels' size: their ticks, and their words wrapped to it."""
    for cell, label, room in zip(frame.cells, over, _title_rooms(frame, panel, over), strict=True):
        if cell.fit is not None:
            cell.fit(panel)
        if cell.stretches:
            fewer_values(cell.axes, cell.height(panel) * frame.stretch)
        _write_over(frame, cell, label, room, panel)
        if cell.axes.name != "3d":
            cell.axes.tick_params(pad=TICK_PAD * points("tick"))  # so that the numbers of a corner stay apart
            _write_beside(frame, cell, panel)


def _write_over(frame: Frame, cell: Cell, label: str, room: float, panel: float) -> None:
    """The title in ``room`` inches, and the words of y that stand over the panel, on its last line or under it."""
    figure, axes = frame.figure, cell.axes
    few = len(frame.rows) <= MOST_ROWS
    most, size = (TITLE_LINES, points("title")) if few else (1, points("small"))
    shown, cut = fitted(figure, cell.title, room, size, most) if cell.title else ([], False)
    if cut:
        frame.cut.append(cell.title)
        shown = _told_apart(frame, cell, shown, room, size)
    if label and label.casefold().startswith(cell.title.casefold()):  # "Trace", "trace (nat)"
        shown, label = [], label[:1].upper() + label[1:] if cell.title else label
    if label:
        whole = f"{shown[-1]}, {label}" if shown else label
        inline = text_width(figure, whole, size) <= panel
        shown = [*shown[:-1], whole] if inline else [*shown, shortened(figure, label, panel, size)]
        frame.cut += [] if inline or shown[-1] == label else [label]
    axes.apply_aspect()
    start = (box_of(axes).x0 - axes.bbox.x0) / axes.bbox.width
    pad = TITLE_PAD + (0.0 if cell.bar is None else 72 * cell.bar.height)
    axes.set_title("\n".join(shown), loc="left", x=start, pad=pad, fontsize=size, parse_math=False)


def _told_apart(frame: Frame, cell: Cell, shown: list[str], room: float, size: float) -> list[str]:
    """A title that was cut, in the middle instead of at its end where another begins with the same words."""
    kept = " ".join(shown).removesuffix("…")
    if not any(other.title != cell.title and other.title.startswith(kept) for other in frame.cells):
        return shown
    rest = cell.title[len(" ".join(shown[:-1])) :].strip()
    return [*shown[:-1], shortened_within(frame.figure, rest, room, size)]


def _write_beside(frame: Frame, cell: Cell, panel: float) -> None:
    """The words of x under the panel and those of y at its left."""
    height = max(cell.height(panel) * frame.stretch, ALONE)
    for words, room, say in ((cell.x, panel, cell.axes.set_xlabel), (cell.y, height, cell.axes.set_ylabel)):
        lines, cut = fitted(frame.figure, words, room, points("text"), LABEL_LINES) if words else ([], False)
        frame.cut += [words] if cut and words not in frame.cut else []
        say("\n".join(lines), parse_math=False)
