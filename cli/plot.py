"""``landscape plot``: pictures of results."""

from __future__ import annotations

from pathlib import Path

import click


class _Kinds(click.Option):
    """Its help names every kind of picture, those of other packages too."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from landscape.registry import picture_kinds

        *kinds, last = picture_kinds()
        self.help = (
            f"{', '.join(kinds)} or {last}. Of a run's folder, flow, steps and stability draw what was watched; "
            "run-range joins the steps of several runs; topology takes planes too."
        )
        return super().get_help_record(ctx)


@click.command("plot")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--kind", cls=_Kinds, default="auto")
@click.option(
    "--quantity",
    help="Planes, paths and curves: loss or accuracy; curves: loss_alone too. flow: mean_abs_gradient or gradient_norm. "
    "steps: all, loss, predictiveness, beta, lipschitz or normalized. topology: all, tree or barcode. "
    "spectrum: density, eigenvalues, trace or frobenius_norm. Of what has several measures, such as sharpness or comparison: "
    "one of them.  [default: the first]",
)
@click.option("--scale", default="auto", help="auto, linear or log.")
@click.option("--loss-max", type=float, help="Clip the loss above this value, and say so.")
@click.option("--seed", help="One direction seed, or mean.  [default: the mean over seeds]")
@click.option("--along", help="steps: gradient, update or relative.  [default: gradient]")
@click.option("--points", is_flag=True, help="Mark which points of a plane were measured.")
@click.option(
    "--width", metavar="WIDTH", help="column (3.5 inches), page (7 inches), or inches.  [default: by the panels]"
)
@click.option("--height", type=float, help="In inches.  [default: what panels and words need]")
@click.option("--dpi", type=float, help="Dots an inch of a PNG.  [default: 200]")
@click.option("--title", help="Over all panels.  [default: what the files have in common]")
@click.option(
    "--caption",
    type=click.Choice(["none", "short", "full"]),
    default="short",
    help="What of the caption stands on the figure; all of it goes beside it as .txt and .tex.",
)
@click.option(
    "--view", metavar="AZIMUTH,ELEVATION", help="Where a surface is seen from, in degrees.  [default: -58,28]"
)
@click.option("--cmap", help="A colour map of matplotlib.")
@click.option("--style", metavar="FILE", help="A style sheet of matplotlib, a file or a name.")
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
