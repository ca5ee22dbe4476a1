"""Where things go on paper: wrapped text that is measured, legends under panels, and the caption under everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.transforms import Bbox, ScaledTranslation

from landscape.errors import InputError
from landscape.pictures.style import FONT, INK, SMALL, TEXT, PaperFigure

MARGIN = 0.06  # inches of white around everything
GAP = 0.12  # inches between panels, and over the caption
BAR, BAR_GAP = 0.09, 0.06  # inches: width of a colour bar, and its distance from its panel
LOWEST_LABEL = 1.2  # inches that an upright label may take beside a low panel
LEGEND = 1.1  # inches that the words of a legend need
NARROWEST = 0.6  # inches a panel needs to be worth drawing
LINE = 1.32  # line spacing of the caption, in font sizes


def new_figure(width: float) -> PaperFigure:
    """An empty figure of the given inches, with a canvas that measures text but belongs to no window."""
    figure = PaperFigure(figsize=(width, width))
    FigureCanvasAgg(figure)
    return figure


def canvas(figure: PaperFigure) -> Any:
    """The renderer that measures text."""
    return cast(Any, figure.canvas).get_renderer()


def text_width(figure: PaperFigure, text: str, size: float) -> float:
    """Inches that a line of text takes at a size in points; measured once a figure, as panels are dressed several times."""
    if (text, size) not in figure.widths:
        font = FontProperties(family=FONT, size=size)
        pixels = canvas(figure).get_text_width_height_descent(text, font, False)[0]
        figure.widths[text, size] = float(pixels) / figure.dpi
    return figure.widths[text, size]


def wrap(figure: PaperFigure, text: str, width: float, size: float) -> list[str]:
    """Lines no wider than ``width`` inches, broken at spaces, and within a word only where it is wider than a line."""
    lines = [""]
    for word in text.split(" "):  # a no-break space stays whole
        joined = f"{lines[-1]} {word}".strip()
        if text_width(figure, joined, size) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while text_width(figure, word, size) > width and len(word) > 1:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or text_width(figure, word[:n], size) <= width)
            lines[-1], word = word[:fits], word[fits:]
            lines.append("")
        lines[-1] = word
    return lines


def title(axes: Axes, text: str, width: float) -> None:
    """A left-aligned title, wrapped to ``width`` inches; a dollar sign in it is a dollar sign."""
    figure = cast(PaperFigure, axes.figure)
    axes.set_title("\n".join(wrap(figure, text, width, TEXT + 0.5)), loc="left", fontsize=TEXT + 0.5, parse_math=False)


def axis_labels(axes: Axes, x: str, y: str, width: float, height: float) -> int:
    """Set the labels, wrapped to the panel, if it is not all too low; returns the number of lines under it."""
    figure = cast(PaperFigure, axes.figure)
    lines = wrap(figure, x, width, TEXT) if x else []
    axes.set_xlabel("\n".join(lines), parse_math=False)
    axes.set_ylabel("\n".join(wrap(figure, y, max(height, LOWEST_LABEL), TEXT)) if y else "", parse_math=False)
    return len(lines)


def legend_below(axes: Axes, entries: Sequence[tuple[Any, str]], *, width: float, lines: int, columns: int = 1) -> None:
    """Handles with their words under a panel, where they cover no data.

    Args:
        entries: handles and texts; the texts are wrapped to ``width`` inches over the columns.
        lines: of the axis label that it stands under.
    """
    if not entries:
        return
    figure = cast(PaperFigure, axes.figure)
    across = max(width / columns - 0.32, LEGEND)  # under a very narrow panel it may stand out
    drop = max((18 + lines * TEXT * 1.4) / 72, _under(axes)) if lines else 0.12
    shift = ScaledTranslation(0, -drop, figure.dpi_scale_trans)
    legend = axes.legend(
        [handle for handle, _ in entries],
        [str(n) for n in range(len(entries))],  # real words below: matplotlib would drop one that starts with _
        loc="upper left",
        bbox_to_anchor=(0, 0, 1, 0),
        bbox_transform=axes.transAxes + shift,
        ncols=columns,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.5,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.35,
    )
    for text, (_, words) in zip(legend.get_texts(), entries, strict=True):
        text.set_parse_math(False)
        text.set_text("\n".join(wrap(figure, words, across, SMALL)))


def _under(axes: Axes) -> float:
    """Inches that an axis's numbers and label reach below its panel, and a little more."""
    renderer = canvas(cast(PaperFigure, axes.figure))
    words = axes.xaxis.get_tightbbox(renderer)
    reach = 0.0 if words is None else axes.get_window_extent(renderer).y0 - words.y0
    return float(reach) / axes.figure.dpi + 0.04


@dataclass
class Cell:
    """A panel to be placed: its axes, height over width, colour bar if it has one, and how it is dressed at a width.

    ``dress`` gets the panel's width in inches and sets whatever is wrapped to it: title, labels, legend.
    """

    axes: Axes
    ratio: float
    dress: Callable[[float], None]
    bar: Axes | None = None


@dataclass(frozen=True)
class _Margins:
    """Inches that a cell's words take around its panel."""

    left: float
    right: float
    bottom: float
    top: float


def finish(figure: PaperFigure, rows: Sequence[Sequence[Cell]], caption: str, note: str) -> PaperFigure:
    """Place the panels in rows over the note and the caption, wrapped to the figure's width, and fit its height to them.

    Positions are then fixed: saving at another resolution moves nothing.
    """
    width = float(figure.get_size_inches()[0])
    words = f"{note} {caption}".strip()
    lines = wrap(figure, words, width - 2 * MARGIN, SMALL) if words else []
    reserved = len(lines) * SMALL * LINE / 72 + (GAP if lines else 0.0)
    panel = (width - 1.0) / max(len(row) for row in rows) - 0.3
    for _ in range(3):  # words are wrapped to the panels, and panels are as wide as the words beside them allow
        _dress(rows, panel, figure)
        margins = [[_margins(cell, figure) for cell in row] for row in rows]
        panel = _place(figure, rows, margins, reserved)
    text = "\n".join(lines)
    options: dict[str, Any] = {"fontsize": SMALL, "color": INK, "linespacing": LINE, "parse_math": False}
    bottom = MARGIN / float(figure.get_size_inches()[1])
    figure.text(MARGIN / width, bottom, text, ha="left", va="bottom", gid="caption", **options)
    return figure


def _dress(rows: Sequence[Sequence[Cell]], panel: float, figure: PaperFigure) -> None:
    for row in rows:
        for cell in row:
            cell.dress(panel)
    figure.draw_without_rendering()  # makes the tick labels that are measured next


def _margins(cell: Cell, figure: PaperFigure) -> _Margins:
    renderer = canvas(figure)
    inner = cell.axes.get_window_extent(renderer)
    outer = cell.axes.get_tightbbox(renderer) or inner
    left, right = inner.x0 - outer.x0, outer.x1 - inner.x1
    bottom, top = inner.y0 - outer.y0, outer.y1 - inner.y1
    if cell.bar is not None:
        words = cell.bar.get_tightbbox(renderer) or inner
        beside = max(words.x1 - cell.bar.get_window_extent(renderer).x1, 0)
        right = max(right, (BAR_GAP + BAR) * figure.dpi + beside)
    return _Margins(*(max(float(m), 0.0) / figure.dpi for m in (left, right, bottom, top)))


def _place(
    figure: PaperFigure, rows: Sequence[Sequence[Cell]], margins: Sequence[Sequence[_Margins]], reserved: float
) -> float:
    """Set the figure's height and every position; returns the panels' width in inches."""
    columns = max(len(row) for row in rows)
    left = [max(m[c].left for m in margins if c < len(m)) for c in range(columns)]
    right = [max(m[c].right for m in margins if c < len(m)) for c in range(columns)]
    width = float(figure.get_size_inches()[0])
    panel = (width - 2 * MARGIN - sum(left) - sum(right) - GAP * (columns - 1)) / columns
    if panel < NARROWEST:
        raise InputError(
            f"width: {width:g} inches are too few for {columns} panel(s) side by side. Try {2.4 * columns:g}."
        )
    top = [max(m.top for m in row) for row in margins]
    bottom = [max(m.bottom for m in row) for row in margins]
    inner = [panel * max(cell.ratio for cell in row) for row in rows]
    height = 2 * MARGIN + reserved + sum(top) + sum(bottom) + sum(inner) + GAP * (len(rows) - 1)
    figure.set_size_inches(width, height)
    y = height - MARGIN
    for r, row in enumerate(rows):
        y -= top[r] + inner[r]
        x = MARGIN
        for c, cell in enumerate(row):
            x += left[c]
            tall = panel * cell.ratio
            base = y + inner[r] - tall
            cell.axes.set_position((x / width, base / height, panel / width, tall / height))
            if cell.bar is not None:
                cell.bar.set_position(((x + panel + BAR_GAP) / width, base / height, BAR / width, tall / height))
            x += panel + right[c] + GAP
        y -= bottom[r] + GAP
    return panel


def without_overlaps(figure: PaperFigure, texts: Sequence[Text], keep: Sequence[Artist], inside: Bbox) -> list[Text]:
    """The texts that cover no earlier one, no artist to keep free, and not the border of ``inside`` (pixels)."""
    renderer = canvas(figure)
    taken = [artist.get_window_extent(renderer) for artist in keep]
    free = []
    for text in texts:
        box = text.get_window_extent(renderer)
        whole = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if whole and not any(box.overlaps(other) for other in taken):
            free.append(text)
            taken.append(box)
    return free
