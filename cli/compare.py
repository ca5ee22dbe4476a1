"""``landscape compare``: runs that differ in one setting, with the uncertainty of every difference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import QUIET, json_option, key_values
from .settings_options import DescribedOption

if TYPE_CHECKING:
    from landscape.comparison import Comparison


_of_comparison = partial(click.option, cls=DescribedOption, settings="landscape.studies.parts:ComparisonSettings")


@click.command("compare")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@_of_comparison("--by")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME=FILES",
    help="In place of RUNS: the results of networks that were not trained here, such as 'ours=outputs/ours-*.h5'; once a group.",
)
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Only runs with this setting; may be repeated.")
@_of_comparison("--reference")
@click.option(
    "--steps",
    default=":",
    metavar="FROM:TO",
    show_default=False,
    help="Steps of the step probe that count.  [default: all]",
)
@_of_comparison("--measure", "measures", multiple=True)
@_of_comparison("--equivalence", multiple=True, metavar="MEASURE=X")
@click.option(
    "--out",
    "-o",
    "outs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Where to: .csv, .md, .tex, .html or .h5; without a suffix, all of them.",
)
@json_option()
def command(
    runs: tuple[Path, ...],
    by: str | None,
    groups: tuple[str, ...],
    where: tuple[str, ...],
    reference: str | None,
    steps: str,
    measures: tuple[str, ...],
    equivalence: tuple[str, ...],
    outs: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Compare runs (folders, or result files) by one of their settings.

    Runs that differ in their seed alone are replicates. Networks of your own come in groups: --group NAME=FILES, twice or
    more. Prints the means, every difference with its interval, and each comparison as a sentence. What cannot be compared is
    named, the rest is compared, and the exit status is then 1.
    """
    from landscape.comparison import compare
    from landscape.comparison.writing import writable_files

    chosen = None if reference is None else key_values([f"reference={reference}"], "--reference")["reference"]
    wanted = {key.replace("-", "_"): value for key, value in key_values(where, "--where").items()}
    margins = key_values(equivalence, "--equivalence")
    given = _groups(groups, runs, by)
    writable_files(outs, runs if isinstance(given, tuple) else [path for paths in given.values() for path in paths])
    made = compare(
        given,
        (by or "").replace("-", "_"),
        where=wanted,
        reference=chosen,
        steps=_steps(steps),
        measures=measures,
        equivalence=margins,
    )
    written = made.write(*outs)
    from .terminal import say, show_json, verbosity

    if as_json:
        show_json(_document(made, written))
    else:
        if verbosity() > QUIET:
            _show(made)
        for path in written:
            say(path)
    for message in made.left_out:
        say(f"left out: {message}", err=True)
    if made.left_out:
        raise SystemExit(1)


def _groups(groups: Sequence[str], runs: tuple[Path, ...], by: str | None) -> tuple[Path, ...] | dict[str, list[Path]]:
    """The files of each group, by its name; the runs, where there are no groups."""
    from landscape.errors import InputError

    if groups and runs:
        raise InputError("--group: names all files itself; leave the runs out, or the groups.")
    if not groups:
        if not runs:
            raise InputError(
                "RUNS: say which, such as checkpoints/*, or give networks of your own as --group NAME=FILES."
            )
        if by is None:
            raise InputError("--by: say by which setting the runs are compared, such as --by norm.")
        return runs
    found: dict[str, list[Path]] = {}
    for text in groups:
        name, separator, pattern = text.partition("=")
        paths = [Path(path) for path in sorted(glob(pattern))] if separator else []  # noqa: PTH207 (absolute ones too)
        if not name or not paths:
            raise InputError(
                f"--group: expected NAME=FILES such as 'ours=outputs/ours-*.h5', and files there; got {text!r}."
            )
        found.setdefault(name, []).extend(paths)
    return found


def _document(made: Comparison, written: Sequence[Path]) -> dict[str, Any]:
    return {
        "by": made.by,
        "settings": dict(made.settings),
        "comparisons": made.records(),
        "notes": made.notes,
        "left_out": made.left_out,
        "files": [str(path) for path in written],
    }


def _steps(text: str) -> tuple[int | None, int | None]:
    from landscape.errors import InputError

    first, separator, last = text.partition(":")
    try:
        if not separator:
            raise ValueError
        ends = (int(first) if first else None, int(last) if last else None)
    except ValueError:
        raise InputError(f"--steps: expected FROM:TO in whole steps, such as 100:500 or 100:, got {text!r}.") from None
    if None not in ends and ends[0] > ends[1]:  # type: ignore[operator]
        raise InputError(f"--steps: expected FROM to be at most TO, got {text!r}.")
    return ends


def _show(made: Comparison) -> None:
    """The tables, every sentence, and the notes."""
    from landscape.comparison.tables import READING, tables_of

    from .terminal import say, show_table

    for table in tables_of(made):
        show_table(f"{table.title}, {made.title}", table.columns, table.rows)
    click.echo(f"{READING}\n")
    for sentence in made.sentences:
        say(f"- {sentence}")
    click.echo()
    for note in made.notes:
        say(f"Note: {note}")
