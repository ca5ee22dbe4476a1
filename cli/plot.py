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
    labels: tuple[str, ...],
    outs: tuple[Path, ...],
) -> None:
    """Draw result files, several together on one scale. A run's folder stands for its training curves."""
    from landscape.studies.pictures import Drawing, draw_files

    from .terminal import say

    chosen = int(seed) if seed is not None and seed.lstrip("-").isdigit() else seed
    drawing = Drawing(kind.replace("_", "-"), quantity, scale, loss_max, chosen, labels or None, along, points)
    for path in draw_files(files, outs, drawing):
        say(path)
