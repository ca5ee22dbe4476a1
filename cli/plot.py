"""``landscape plot``: pictures of results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("plot")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--kind", default="auto", help="auto, line, contour, surface or curves.")
@click.option("--quantity", default="loss", help="loss or accuracy.")
@click.option("--scale", default="auto", help="auto, linear or log.")
@click.option("--loss-max", type=float, help="Clip the loss above this value, and say so.")
@click.option("--seed", help="One direction seed, or mean.  [default: the mean over seeds]")
@click.option("--label", "labels", multiple=True, help="A panel's title; once for each file.")
@click.option(
    "--out", "outs", multiple=True, type=click.Path(path_type=Path), help="Where to: .png, .svg, .pdf or .html."
)
def command(
    files: tuple[Path, ...],
    kind: str,
    quantity: str,
    scale: str,
    loss_max: float | None,
    seed: str | None,
    labels: tuple[str, ...],
    outs: tuple[Path, ...],
) -> None:
    """Draw result files, several side by side on one scale. A run's folder stands for its training curves."""
    from landscape.studies.pictures import Drawing, draw_files

    chosen = int(seed) if seed is not None and seed.lstrip("-").isdigit() else seed
    drawing = Drawing(kind, quantity, scale, loss_max, chosen, labels or None)
    for path in draw_files(files, outs, drawing):
        click.echo(path)
