"""``landscape plot``: pictures of results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("plot")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--kind",
    default="auto",
    help="auto, line, contour, surface, trajectory, curvature-map, curves, flow, steps, run-range, sharpness, noise-scale, path, "
    "topology, spectrum, stability or comparison. Of a run's folder, flow, steps and stability draw what was watched; "
    "run-range joins the steps of several runs; topology takes planes too.",
)
@click.option(
    "--quantity",
    help="Planes, paths and curves: loss or accuracy; curves: loss_alone too. flow: mean_abs_gradient or gradient_norm. "
    "steps: all, loss, predictiveness, beta, lipschitz or normalized. topology: all, tree or barcode. "
    "sharpness and comparison: one measure. spectrum: density, eigenvalues, trace or frobenius_norm.  [default: the first]",
)
@click.option("--scale", default="auto", help="auto, linear or log.")
@click.option("--loss-max", type=float, help="Clip the loss above this value, and say so.")
@click.option("--seed", help="One direction seed, or mean.  [default: the mean over seeds]")
@click.option("--along", help="steps: gradient or update.  [default: gradient]")
@click.option("--points", is_flag=True, help="Mark which points of a plane were measured.")
@click.option("--label", "labels", multiple=True, help="A name for a file's data; once for each file.")
@click.option(
    "--out", "outs", multiple=True, type=click.Path(path_type=Path), help="Where to: .png, .svg, .pdf or .html."
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
    labels: tuple[str, ...],
    outs: tuple[Path, ...],
) -> None:
    """Draw result files, several together on one scale. A run's folder stands for its training curves."""
    from landscape.studies.pictures import Drawing, draw_files

    from .terminal import say

    chosen = int(seed) if seed is not None and seed.lstrip("-").isdigit() else seed
    drawing = Drawing(kind, quantity, scale, loss_max, chosen, labels or None, along, points)
    for path in draw_files(files, outs, drawing):
        say(path)
