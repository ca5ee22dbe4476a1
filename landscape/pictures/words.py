"""Text on paper: measured, wrapped to a width, and cut with an ellipsis where it would need too many lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from landscape.pictures.style import INK, PaperFigure, points

NUMBER = re.compile(r"[−+-]?\d[\d.,]*(?:[eE][−+-]?\d+)?(?:×?10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")  # as it is printed
LINE = 1.25  # line spacing, in font sizes


def new_figure(width: float) -> PaperFigure:
    """An empty figure of the given inches, with a canvas that measures text but belongs to no window.

    It has the resolution that it is saved in: at a coarser one letters are set up to 7 % closer, and words that fit would not.
    """
    figure = PaperFigure(figsize=(width, width), dpi=mpl.rcParams["savefig.dpi"])
    FigureCanvasAgg(figure)
    return figure


def canvas(figure: PaperFigure) -> Any:
    """The renderer that measures text."""
    return cast(Any, figure.canvas).get_renderer()


def line_height(role: str) -> float:
    """Inches from one line of text to the next."""
    return points(role) * LINE / 72


def text_width(figure: PaperFigure, text: str, size: float) -> float:
    """Inches that a line of text takes at a size in points; measured once a figure, as panels are dressed several times."""
    if (text, size) not in figure.widths:
        pixels = canvas(figure).get_text_width_height_descent(text, FontProperties(size=size), False)[0]
        figure.widths[text, size] = float(pixels) / figure.dpi
    return figure.widths[text, size]


def wrap(figure: PaperFigure, text: str, width: float, size: float) -> list[str]:
    """Lines no wider than ``width`` inches, broken at spaces, and within a word only where it is wider than a line."""
    lines = [""]
    for word in text.replace("\n", " ").split(" "):  # a no-break space stays whole
        joined = f"{lines[-1]} {word}".strip()
        if text_width(figure, joined, size) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while text_width(figure, word, size) > width and len(word) > 1:
            fits = _fitting(figure, word, width, size)
            lines[-1], word = word[:fits], word[fits:]
            lines.append("")
        lines[-1] = word
    return lines


def fitted(figure: PaperFigure, text: str, width: float, size: float, most: int) -> tuple[list[str], bool]:
    """At most ``most`` lines of ``width`` inches, and whether the text was cut to fit them, which an ellipsis shows."""
    lines = wrap(figure, text, width, size)
    if len(lines) <= most:
        return lines, False
    kept, rest = lines[: most - 1], " ".join(lines[most - 1 :])
    return [*kept, shortened(figure, rest, width, size)], True


def shortened(figure: PaperFigure, text: str, width: float, size: float) -> str:
    """The text, or as much of its beginning as fits with an ellipsis after it."""
    text = text.replace("\n", " ")
    if text_width(figure, text, size) <= width:
        return text
    fits = _fitting(figure, text, width - text_width(figure, "…", size), size)
    return text[:fits].rstrip(" ,;:(") + "…"


def shortened_within(figure: PaperFigure, text: str, width: float, size: float) -> str:
    """As :func:`shortened`, with the ellipsis in the middle, for names that differ at their end."""
    if text_width(figure, text, size) <= width:
        return text
    half = (width - text_width(figure, "…", size)) / 2
    head, tail = _fitting(figure, text, half, size), _fitting(figure, text[::-1], half, size)
    return f"{text[:head].rstrip()}…{text[len(text) - tail :].lstrip()}"


def _fitting(figure: PaperFigure, text: str, width: float, size: float) -> int:
    """How many letters fit, at least one; found by halving. A number is not cut, which would be another one."""
    low, high = 1, max(len(text) - 1, 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(figure, text[:middle], size) <= width else (low, middle - 1)
    whole = next((found.start() for found in NUMBER.finditer(text) if found.start() < low < found.end()), low)
    return whole or low


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


def state(axes: Axes, word: str) -> None:
    """A word in a panel's corner that says why it looks as it does."""
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": INK, "linewidth": 0.5}
    look: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": points("small"), "zorder": 8, "bbox": box}
    write: Any = getattr(axes, "text2D", axes.text)  # in perspective, on the paper
    write(0.04, 0.96, word, transform=axes.transAxes, parse_math=False, gid="state", **look)
