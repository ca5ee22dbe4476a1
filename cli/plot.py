"""``landscape plot``: pictures of results."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from .settings_options import DescribedOption

_of_picture = partial(click.option, cls=DescribedOption, settings="landscape.studies.parts:PictureSettings")


@click.command("plot")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_of_picture("--kind", default="auto")
@_of_picture("--quantity")
@_of_picture("--scale", default="auto")
@_of_picture("--loss-max", type=float)
@_of_picture("--seed")
@_of_picture("--along")
@_of_picture("--points", is_flag=True)
@_of_picture("--width", metavar="WIDTH")
@_of_picture("--height", type=float)
@_of_picture("--dpi", type=float)
@_of_picture("--title")
@_of_picture("--caption", type=click.Choice(["none", "short", "full"]), default="short")
@_of_picture("--view", metavar="AZIMUTH,ELEVATION")
@_of_picture("--cmap")
@_of_picture("--style", metavar="FILE")
@click.option(
    "--study",
    "study",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Another file that colours are shared with; may be repeated.",
)
@click.option(
    "--turn", type=click.Path(path_type=Path), help="Write surfaces that turn around: .gif, or .mp4 with ffmpeg."
)
@click.option("--label", "labels", multiple=True, help="A name for a file's data; once for each file.")
@click.option(
    "--out", "-o", "outs", multiple=True, type=click.Path(path_type=Path), help="Where to: .png, .svg, .pdf or .html."
)
def command(
    files: tuple[Path, ...],
    kind: str,
    quantity: str | None,
    scale: str,
    loss_max: float | None,
    seed: str | None,
    along: str | None,
    points: bool,
    width: str | None,
    height: float | None,
    dpi: float | None,
    title: str | None,
    caption: str,
    view: str | None,
    cmap: str | None,
    style: str | None,
    study: tuple[Path, ...],
    turn: Path | None,
    labels: tuple[str, ...],
    outs: tuple[Path, ...],
) -> None:
    """Draw result files, several together on one scale. A run's folder stands for its training curves."""
    from landscape.studies.pictures import Drawing, draw_files, files_of, turn_files

    from .terminal import say

    chosen = int(seed) if seed is not None and seed.lstrip("-").isdigit() else seed
    drawing = Drawing(
        kind.replace("_", "-"), quantity, scale, loss_max, chosen, labels or None, along, points,
        width=_inches(width), height=height, title=title, caption=caption, view=_view(view), cmap=cmap, style=style,
        study=tuple(files_of(study)), dpi=dpi,
    )  # fmt: skip
    if turn is not None:
        say(turn_files(files, turn, drawing))
    if turn is None or outs:
        for path in draw_files(files, outs, drawing):
            say(path)


def _inches(width: str | None) -> float | str | None:
    """A number of inches as such; words stay."""
    try:
        return None if width is None else float(width)
    except ValueError:
        return width


def _view(text: str | None) -> tuple[float, float] | None:
    from landscape.pictures.options import checked_view

    return None if text is None else checked_view(text.split(","))
