"""A whole picture of ours within axes of a user's own figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from landscape.errors import InputError
from landscape.pictures.style import PaperFigure

NARROWEST = 2.0  # inches


def width_in(axes: Any) -> float:
    """The inches that some axes are wide.

    Raises:
        InputError: for what are no axes, or such as no picture fits into.
    """
    if not isinstance(axes, Axes):
        raise InputError(
            f"ax: expected axes of matplotlib, got {type(axes).__name__}. Try figure, ax = plt.subplots()."
        )
    figure = axes.get_figure(root=True)
    assert figure is not None
    width = axes.get_position().width * figure.get_size_inches()[0]
    if width < NARROWEST:
        raise InputError(
            f"ax: {width:.2g} inches are too narrow, expected {NARROWEST:g} at least. Try a larger figsize."
        )
    return float(width)


class Inset(Artist):
    """Draws a figure where axes stand: from their upper edge down, and smaller where it would be higher than they are.

    It is drawn by the renderer of the user's figure, so that lines and text of a PDF or SVG stay lines and text.
    """

    def __init__(self, picture: PaperFigure, axes: Axes) -> None:
        super().__init__()
        self.picture = picture
        self._place = axes

    def draw(self, renderer: Any) -> None:
        """Put the picture into place for this renderer, and draw it."""
        place, picture = self._place, self.picture
        box, dpi = place.get_window_extent(renderer), place.figure.get_figure(root=True).dpi
        size = picture.get_size_inches()
        scale = min(1.0, box.width / (size[0] * dpi), box.height / (size[1] * dpi))
        before = picture.dpi, picture.bbox_inches.get_points().copy()
        left = box.x0 + 0.5 * (box.width - scale * dpi * size[0])
        low = box.y1 - scale * dpi * size[1]
        picture._set_dpi(scale * dpi, forward=False)  # type: ignore[attr-defined]
        corner = np.array([left, low]) / (scale * dpi)
        picture.bbox_inches.set_points(np.array([corner, corner + size]))
        try:
            picture.draw(renderer)
        finally:
            picture.bbox_inches.set_points(before[1])
            picture._set_dpi(before[0], forward=False)  # type: ignore[attr-defined]


def put_into(picture: PaperFigure, axes: Axes) -> None:
    """Show a picture in place of the axes' own frame and ticks."""
    axes.set_axis_off()
    axes.add_artist(Inset(picture, axes))
