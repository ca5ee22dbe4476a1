"""What a drawn figure is measured for: words that cover words or leave it, how much of it the axes have, numbers alike."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D

LEAST_SHARE = 0.55  # of a figure's area, for its axes: panels and colour bars, without any words
TOUCH = 1.0  # pixels by which boxes of texts, which hold room for letters that are not there, may cover each other


def axes_of(axes: Axes) -> list[Axis]:
    return [axes.xaxis, axes.yaxis, *([axes.zaxis] if isinstance(axes, Axes3D) else [])]


def visible_texts(figure: Figure) -> list[Text]:
    """All texts that are drawn: of ticks, only those in view."""
    hidden = set()
    for axes in figure.axes:
        for axis in axes_of(axes):
            low, high = sorted(axis.get_view_interval())
            room = 1e-9 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - room <= tick.get_loc() <= high + room:
                    hidden |= {tick.label1, tick.label2}
    texts = figure.findobj(lambda artist: isinstance(artist, Text))
    return [t for t in texts if t.get_visible() and t.get_text().strip() and t not in hidden]


def extents(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text with its box in pixels, of the figure as it is drawn."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in visible_texts(figure)]


def faults(figure: Figure, *, least: float = LEAST_SHARE) -> list[str]:
    """Everything that is wrong with a drawn figure, in words; ``least`` is the part of it that its axes have to have."""
    boxes = extents(figure)
    paper = figure.bbox
    found = [
        f"{words!r} leaves the figure"
        for words, box in boxes
        if not (paper.x0 <= box.x0 and box.x1 <= paper.x1 and paper.y0 <= box.y0 and box.y1 <= paper.y1)
    ]
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        overlap = Bbox.intersection(a, b)
        if overlap is not None and min(overlap.width, overlap.height) >= TOUCH:
            found.append(f"{first!r} covers {second!r}")
    found += [f"axis {where} says {words} more than once" for where, words in alike(figure)]
    if round(axes_share(figure), 3) < least:  # to a tenth of a percent, as it is said
        found.append(f"the axes have {axes_share(figure):.1%} of the area")
    boxes = [place_of(axes) for axes in figure.axes]
    found += ["axes cover axes" for a, b in itertools.combinations(boxes, 2) if shared_area(a, b) > 1e-6]
    return found


def shared_area(a: Bbox, b: Bbox) -> float:
    both = Bbox.intersection(a, b)
    return 0.0 if both is None else float(both.width * both.height)


def place_of(axes: Axes) -> Bbox:
    return axes.get_position(original=isinstance(axes, Axes3D))


def axes_share(figure: Figure) -> float:
    """The part of the figure that its axes' own boxes have: its panels and colour bars, without numbers or words.

    Of a surface, that is the whole place its drawing fills: matplotlib's own axes are the square in the middle of it.
    """
    return float(sum(box.width * box.height for box in map(place_of, figure.axes)))


def alike(figure: Figure) -> list[tuple[str, list[str]]]:
    """Axes with two labelled ticks in view that are written alike."""
    found = []
    for axes in figure.axes:
        for axis in axes_of(axes):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_visible()]
            words = [tick.label1.get_text() for tick in ticks if tick.label1.get_text()]
            if len(set(words)) < len(words):
                found.append((axis.axis_name, words))
    return found
