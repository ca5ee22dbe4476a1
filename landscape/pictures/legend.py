"""One legend under all panels: each look once, in as many columns as fit, with what only some panels have told in the caption.

The names of many data sets have a colour bar instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from matplotlib.colors import to_hex
from matplotlib.legend import Legend as Drawn
from matplotlib.lines import Line2D

from landscape.pictures.bars import Bar, strip_of
from landscape.pictures.caption import once
from landscape.pictures.markers import Entry, Named, entry_of
from landscape.pictures.style import PaperFigure, points
from landscape.pictures.words import canvas, shortened, text_width

HANDLE, APART = 0.27, 0.16  # inches: a handle with its gap, and between two entries
SPACING = 0.3  # of a line, between two lines
MOST_NAMES = 8  # that are written out; more have a colour bar, or are numbered, and named in the caption
SHORT = 8  # letters of a name that stands under a colour bar
MOST_LINES = 5
IN_CAPTION = "see caption"
NOTHING = Line2D([], [], linestyle="none")  # before words of no line


@dataclass(frozen=True)
class Legend:
    """A legend that has been measured: its height in inches with the gap over it, and what it leaves to the caption."""

    drawn: Drawn | None
    height: float
    told: tuple[str, ...] = ()
    bar: Bar | None = None

    def place(self, left: float, bottom: float) -> None:
        """Its lower left corner, in inches of the figure, whose size is final."""
        if self.drawn is None:
            return
        figure: Any = self.drawn.figure
        width, height = figure.get_size_inches()
        self.drawn.set_bbox_to_anchor((left / width, bottom / height), transform=figure.transFigure)


def legend_of(
    figure: PaperFigure, names: Sequence[Entry], panels: Sequence[tuple[str, Sequence[Entry]]], width: float
) -> Legend:
    """The legend of a figure, in ``width`` inches.

    Args:
        names: the data sets. More than a few have a colour bar where each has a colour; else they, and such that would take many
            lines, are numbered.
        panels: title and entries of each panel. What an entry says of its own panel alone, its ``detail``, stands in the legend
            where there is one panel, and otherwise in the caption.
    """
    entries, told = _merged(panels)
    named = [entry_of(name) for name in names]
    bar, more = _bar(figure, named)
    shown, more = ([], more) if bar is not None else _named(figure, named, width)
    told = [*more, *told]
    words = [*shown, *entries]
    if not words:
        return Legend(None, 0.0, tuple(told), bar)
    size = points("small")
    cut = [(handle, shortened(figure, text, width - HANDLE, size)) for handle, text in words]
    lost = [text for (_, text), (_, kept) in zip(words, cut, strict=True) if kept != text]
    told = [*([f"Legend in full: {'; '.join(lost)}"] if lost else []), *told]
    columns = _columns(figure, [text for _, text in cut], width, size)
    drawn = figure.legend(
        [handle for handle, _ in cut],
        [str(n) for n in range(len(cut))],  # real words below: matplotlib would drop one that starts with _
        loc="lower left",
        ncols=columns,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.5,
        handletextpad=0.5,
        columnspacing=APART * 72 / size,
        labelspacing=SPACING,
        fontsize=size,
    )
    for text, (_, said) in zip(drawn.get_texts(), cut, strict=True):
        text.set_parse_math(False)
        text.set_text(said)
    height = float(drawn.get_window_extent(canvas(figure)).height) / figure.dpi
    return Legend(drawn, height + 0.04, tuple(told), bar)


def _merged(panels: Sequence[tuple[str, Sequence[Entry]]]) -> tuple[list[tuple[Any, str]], list[str]]:
    """Each entry once, and the sentences on what differs between panels."""
    found: dict[str, tuple[Any, list[tuple[str, str]]]] = {}
    for title, entries in panels:
        for entry in map(entry_of, entries):
            found.setdefault(entry.words, (entry.handle, []))[1].append((title, entry.detail))
    shown, told = [], []
    for words, (handle, said) in found.items():
        details = {detail for _, detail in said}
        if len(panels) == 1 or (len(details) == 1 and (len(said) == len(panels) or not any(details))):
            detail = said[0][1]
            shown.append((handle, f"{words}: {detail}" if detail else words))
            continue
        shown.append((handle, words))
        head = f"{words[:1].upper()}{words[1:]}: "
        told.append(once([title for title, _ in said], [detail for _, detail in said], head, everywhere=False))
    return shown, told


def _named(figure: PaperFigure, names: Sequence[Named], width: float) -> tuple[list[tuple[Any, str]], list[str]]:
    """The names with what is said of each, else alone, else numbers for them; and a sentence with what that leaves out."""
    full, texts = [(name.handle, name.text.replace("\n", " ")) for name in names], [name.text for name in names]
    if len(full) < 2 or _fits(figure, full, width):
        return full, []
    alone = [(name.handle, name.words.replace("\n", " ")) for name in names]
    if len({words for _, words in alone}) == len(alone) and _fits(figure, alone, width):
        return alone, ["; ".join(texts)]
    numbers = [(handle, str(number)) for number, (handle, _) in enumerate(full, 1)]
    return [*numbers, (NOTHING, IN_CAPTION)], _numbered(texts)


def _fits(figure: PaperFigure, entries: Sequence[tuple[Any, str]], width: float) -> bool:
    """Whether so many names are few enough, and short enough for a few lines."""
    size = points("small")
    columns = _columns(figure, [text for _, text in entries], width, size)
    long = any(text_width(figure, text, size) > width - HANDLE for _, text in entries)
    few = len(entries) <= MOST_NAMES and -(-len(entries) // columns) <= MOST_LINES
    return few and not (long and len(entries) > MOST_LINES - 2)


def _bar(figure: PaperFigure, names: Sequence[Named]) -> tuple[Bar | None, list[str]]:
    """The colours of many data sets that differ in nothing else, with their names or their numbers, and which number is which."""
    colours = [to_hex(_colour(name.handle)) for name in names]
    if len(names) <= MOST_NAMES or len(set(colours)) < len(names):
        return None, []
    texts = [name.text for name in names]
    head, own, tail = _parted([name.words.replace("\n", " ").split(" ") for name in names])
    if all(len(word) <= SHORT for word in own) and (head or tail):
        said = ["; ".join(texts)] if any(name.detail for name in names) else []
        return strip_of(figure, colours, " ".join([*head, *tail]), own), said
    numbers = [str(number) for number in range(1, len(names) + 1)]
    return strip_of(figure, colours, IN_CAPTION, numbers), _numbered(texts)


def _colour(handle: Any) -> Any:
    return handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()


def _parted(parts: Sequence[Sequence[str]]) -> tuple[list[str], list[str], list[str]]:
    """The words that all begin with, what each has between, and the words that all end with."""
    head = [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*parts, strict=False))]
    rest = [words[len(head) :] for words in parts]
    ends = zip(*(reversed(words) for words in rest), strict=False)
    tail = [words[0] for words in takewhile(lambda words: len(set(words)) == 1, ends)][::-1]
    return head, [" ".join(words[: len(words) - len(tail)]) for words in rest], tail


def _numbered(texts: Sequence[str]) -> list[str]:
    return ["; ".join(f"{number}: {text}" for number, text in enumerate(texts, 1)).replace("\n", " ")]


def _columns(figure: PaperFigure, texts: Sequence[str], width: float, size: float) -> int:
    """The most columns whose widest texts fit beside each other; entries fill one column after the other."""
    widths = [text_width(figure, text, size) for text in texts]
    for columns in range(len(texts), 1, -1):
        rows, left = divmod(len(texts), columns)
        sizes = [rows + (column < left) for column in range(columns)]
        taken, start = APART * (columns - 1), 0
        for count in sizes:
            taken += HANDLE + max(widths[start : start + count], default=0.0)
            start += count
        if taken <= 0.98 * width:
            return columns
    return 1
