"""``landscape info``: what is in files."""

from __future__ import annotations

from pathlib import Path

import click

from .options import json_option, picture_option


@click.command("info")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option()
@picture_option()
def command(files: tuple[Path, ...], as_json: bool, no_picture: bool) -> None:
    """Say in a few lines what is in each checkpoint or result.

    FILES may be folders: a run's stands for its parts, one of results for these, one of Hugging Face is a checkpoint. What
    cannot be read is named, the rest is told, and the exit status is then 1.
    """
    from landscape.errors import LandscapeError
    from landscape.results import describe
    from landscape.results.plain import file_contents

    from .terminal import say_lines, show_json

    documents, failed, told = [], False, False
    for path in [part for given in files for part in _parts(given)]:
        try:
            if as_json:
                documents.append(file_contents(path))
            else:
                text = describe(path)
                click.echo(f"\n{text}" if told else text)
                told = True
                if not no_picture and path.suffix == ".h5":
                    _show_picture(path)
        except LandscapeError as error:
            say_lines(f"Error: {error}", err=True)
            documents.append({"path": str(path), "type": "unreadable", "fault": str(error)})
            failed = True
    if as_json:
        show_json({"files": documents})
    if failed:
        raise SystemExit(1)


def _show_picture(path: Path) -> None:
    """The small picture of a result; none of what else an HDF5 file may be."""
    from landscape.errors import LandscapeError
    from landscape.results import load_result

    from .terminal import show_picture

    try:
        dataset = load_result(path)
    except LandscapeError:
        return
    show_picture(dataset)


def _parts(path: Path) -> list[Path]:
    """The results and checkpoints of a folder that is no checkpoint itself, a run's history first."""
    from landscape.registry import run_file
    from landscape.studies.listing import is_run

    if not path.is_dir():
        return [path]
    results = sorted(path.glob("*.h5"), key=lambda file: (file.name != run_file("history"), file.name))
    checkpoints = sorted(path.glob("*.pt"), key=lambda file: (file.name not in ("last.pt", "best.pt"), file.name))
    return [*results, *(checkpoints if is_run(path) else [])] or [path]
