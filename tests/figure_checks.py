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

LEAST_SHARE, LEAST_PANELS = 0.55, 0.3  # of a figure's area, for axes with their numbers, and for what is drawn on
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
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in visible_texts(figure)]


def faults(figure: Figure, *, share: bool = True) -> list[str]:
    """Everything that is wrong with a drawn figure, in words."""
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
    for part, least, what in ((axes_share, LEAST_SHARE, "axes"), (panels_share, LEAST_PANELS, "panels")):
        if share and part(figure) < least:
            found.append(f"the {what} have {part(figure):.0%} of the area")
    return found


def axes_share(figure: Figure) -> float:
    """The part of the figure that its axes cover with their numbers and labels, colour bars among them: all but other words."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    renderer = figure.canvas.get_renderer()
    area = 0.0
    for axes in figure.axes:
        parts = [axis.get_tightbbox(renderer) for axis in axes_of(axes) if axes.axison]
        if isinstance(axes, Axes3D):  # drawn beyond its box, as a picture is beyond a window
            parts = [axes.get_tightbbox(renderer)]
        box = Bbox.union([axes.get_window_extent(renderer), *(part for part in parts if part is not None)])
        area += box.width * box.height
    return float(area / (figure.bbox.width * figure.bbox.height))


def panels_share(figure: Figure) -> float:
    """The part of the figure that is drawn on: its panels and colour bars, without any words."""
    return float(sum(box.width * box.height for box in (axes.get_position() for axes in figure.axes)))


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
