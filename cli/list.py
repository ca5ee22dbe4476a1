"""``landscape list``: which runs and results there are."""

from __future__ import annotations

from pathlib import Path

import click

from .names import canonical
from .options import QUIET, json_option, key_values


@click.command("list")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="Only runs (run), or results of this kind (plane, curvature, …); may be repeated.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only what has this setting, such as norm=batch or seed=0, or state=incomplete; may be repeated.",
)
@json_option()
def command(folders: tuple[Path, ...], kinds: tuple[str, ...], where: tuple[str, ...], as_json: bool) -> None:
    """List runs and results in FOLDERS, the newest first: what each is of, how far it came, and its loss.

    FOLDERS are checkpoints and outputs where none are given; they are searched with all that is in them. A run's folder is one
    row, with the training loss of its last epoch; a result's loss is its checkpoint's over its images. A file that cannot
    be read is a row that says so, where no filter is given.
    """
    from landscape.studies.listing import UNREADABLE, entries, selected

    from .terminal import say, show_json, show_table, verbosity

    places = folders or tuple(folder for folder in (Path("checkpoints"), Path("outputs")) if folder.is_dir())
    every = entries(places)
    wanted = key_values(where, "--where")
    settings = {key for entry in every for key in entry.settings}
    named = {key if key in settings else canonical(key).replace("-", "_"): value for key, value in wanted.items()}
    chosen = selected(every, [kind.replace("-", "_") for kind in kinds], named)
    if as_json:
        show_json({"entries": [entry.record() for entry in chosen]})
    elif verbosity() == QUIET:
        for entry in chosen:
            say(entry.path)
    elif chosen:
        rows = [entry.cells() for entry in chosen]
        columns = [name for name in _COLUMNS if any(name in row for row in rows)]
        show_table("", columns, [[row.get(name, "") for name in columns] for row in rows])
    for entry in every:
        if entry.state == UNREADABLE:
            say(entry.fault, err=True)
    if not chosen:
        fits = "fits" if every else "lies there yet; landscape study quick makes something to see"
        say(f"Nothing in {', '.join(map(str, places)) or 'checkpoints, outputs'} {fits}.", err=True)


_COLUMNS = (
    "path",
    "kind",
    "model",
    "norm",
    "data",
    "batch size",
    "learning rate",
    "seed",
    "epochs",
    "state",
    "loss",
    "when",
)
