"""``landscape convert``: between our results and the original loss-landscape tool's surface files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to", "layout", type=click.Choice(["landscape", "original"]), default="landscape", help="Which layout to write."
)
@click.option("--seed", type=int, help="Which direction seed to export, where a result has several.")
def command(source: Path, target: Path, layout: str, seed: int | None) -> None:
    """Import a surface file of the original tool as a result, or export a result in its layout."""
    from landscape.store import check_writable, export_surface, import_surface, load_result, save_result

    from .terminal import say

    check_writable(target)
    if layout == "landscape":
        save_result(import_surface(source), target)
    else:
        export_surface(load_result(source), target, seed=seed)
    say(target)
