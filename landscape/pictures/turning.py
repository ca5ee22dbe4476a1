"""Surfaces that turn once around, as an animation."""

from __future__ import annotations

import tempfile
from pathlib import Path

from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from landscape.errors import InputError, unknown_choice

FORMATS = ("gif", "mp4")
FRAMES = 48  # of a turn
RATE = 12  # frames a second
DPI = 100


def turning(figure: Figure, kind: str, dpi: float | None = None) -> bytes:
    """The figure's surfaces from all sides, at the height that they are seen from, as the bytes of a GIF or an MP4.

    Args:
        figure: of surfaces; see :func:`landscape.probes.plot.plot`.
        kind: ``gif``, which pillow writes, or ``mp4``, which needs ffmpeg.
        dpi: dots an inch; None: 100.

    Raises:
        InputError: for another kind, a figure without a surface, and mp4 without ffmpeg.
    """
    if kind not in FORMATS:
        raise unknown_choice("turn", kind, FORMATS)
    turned = [axes for axes in figure.axes if axes.name == "3d"]
    if not turned:
        raise InputError("turn: the picture has no surface. Draw a plane over x and y.")
    if kind == "mp4" and not FFMpegWriter.isAvailable():
        raise InputError("turn: an mp4 needs ffmpeg, which is not installed. Install it, or write a .gif.")
    starts = [axes.azim for axes in turned]  # type: ignore[attr-defined]

    def show(frame: int) -> None:
        for axes, start in zip(turned, starts, strict=True):
            axes.view_init(azim=start + 360 * frame / FRAMES, elev=axes.elev)  # type: ignore[attr-defined]

    writer = PillowWriter(fps=RATE) if kind == "gif" else FFMpegWriter(fps=RATE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"turn.{kind}"
        FuncAnimation(figure, show, frames=FRAMES).save(path, writer=writer, dpi=DPI if dpi is None else dpi)
        made = path.read_bytes()
    for axes, start in zip(turned, starts, strict=True):
        axes.view_init(azim=start, elev=axes.elev)  # type: ignore[attr-defined]
    return made
