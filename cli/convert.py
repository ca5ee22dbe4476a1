"""``landscape convert``: between our results, the original loss-landscape tool's surface files, and other programs' meshes."""

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
@click.option("--unchecked", is_flag=True, help="Take a result that was changed after it was written, as it is now.")
def command(source: Path, target: Path, layout: str, seed: int | None, unchecked: bool) -> None:
    """Import a surface file of the original tool as a result, or export a result in its layout.

    A target .vts (a surface for ParaView), .vtp (a path), .ply or .stl (triangles) or .csv (a table) is written as such; of
    these a .vts, .vtp or .csv is read back, equal.

    A result that was changed on purpose, with h5py for instance, has lost its digest or does not match it, and is
    refused everywhere. --unchecked makes a new result of it, with a digest of its own.
    """
    from landscape.results import check_writable, export_surface, import_surface, load_result, save_result
    from landscape.studies.meshes import SUFFIXES, export_mesh, import_mesh

    from .terminal import say

    if target.suffix.lower() in SUFFIXES:
        export_mesh(load_result(source, unchecked=unchecked), target, seed=seed)
        say(target)
        return
    check_writable(target)
    if source.suffix.lower() in SUFFIXES:
        save_result(import_mesh(source), target)
    elif layout == "original":
        for sentence in export_surface(load_result(source, unchecked=unchecked), target, seed=seed):
            say(sentence, err=True)
    elif unchecked:
        save_result(load_result(source, unchecked=True), target)
    else:
        save_result(import_surface(source), target)
    say(target)
