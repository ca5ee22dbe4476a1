"""``landscape info``: what is in a file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("info")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(files: tuple[Path, ...]) -> None:
    """Say in a few lines what is in each checkpoint or result."""
    from landscape.results import describe

    click.echo("\n\n".join(describe(path) for path in files))
