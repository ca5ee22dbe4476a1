"""``landscape topology``: the minima, saddles and persistence of measured planes."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("topology")
@click.argument("planes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--loss-max", type=float, help="Leave out what lies above.  [default: where an adaptive plane ends to be known]"
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The result file.  [default: PLANE-topology.h5]")
def command(planes: tuple[Path, ...], loss_max: float | None, out: Path | None) -> None:
    """Count the minima of measured PLANES and the saddles where their basins meet, and say how deep they are.

    For each direction seed: SMAD (the mean difference of loss between saddles and minima), the merge tree of the sublevel sets, and
    their persistence. landscape plot draws the file that comes out. Needs gudhi: pip install 'landscape-lab[topology]'.
    """
    from landscape.probes.topology.probe import topology_files
    from landscape.results import summary

    from .terminal import say, tell

    for path, dataset in topology_files(planes, loss_max=loss_max, out=out):
        for line in summary(dataset):
            tell(line)
        say(path)
