"""``landscape check``: whether a file, or a model with its data and loss, gives a picture that can be believed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    chain,
    checkpoint_key_option,
    given,
    named_parts,
    place_options,
    trust_option,
)
from .settings_options import GroupedOption, SettingsCommand, options_of, part_options

if TYPE_CHECKING:
    from landscape.testing import Report

_FILE = click.Path(path_type=Path)
_EXAMPLES = """\b
Examples:
  landscape check outputs/run-plane.h5 checkpoints/run/last.pt
  landscape check --checkpoint net.pt --model nets.py:net --data sets.py:data
"""


class CheckCommand(SettingsCommand):
    """Has the options of samples, and of a network's parts."""

    rest = "Checkpoint and places"

    def made(self, ctx: click.Context) -> list[GroupedOption]:
        from landscape.probes.settings import SampledSettings

        return [*part_options(), *options_of(SampledSettings)]


@click.command("check", cls=CheckCommand, epilog=_EXAMPLES)
@chain(
    click.argument("files", type=_FILE, nargs=-1),
    click.option("--checkpoint", type=_FILE, help="Check the network in it on data, its loss and derivatives."),
    checkpoint_key_option(),
    trust_option(),
    place_options(),
)
def command(
    files: tuple[Path, ...],
    checkpoint: Path | None,
    device: str,
    data_root: Path | None,
    download: bool,
    **options: Any,
) -> None:
    """Say what is right and what is wrong, in words to act on: of results and checkpoints, or of a network with its data and loss.

    FILES are results (is one complete, does it agree with its checkpoint, how far can its picture be trusted?), checkpoints
    (are weights and statistics those of a training?), or runs' folders, which stand for their last checkpoint. They are read,
    and nothing of them is run.

    --checkpoint takes what landscape probe takes and holds it against your own code: is the loss yours, are gradient and Hessian
    right, does the order of samples matter, do data and weights belong together?

    Exit status: 0 where nothing is wrong, 1 where something is, 2 for options that cannot be used.
    """
    if not files and checkpoint is None:
        raise click.UsageError("Give FILES, or --checkpoint with the options of landscape probe.")
    if checkpoint is None and (of_network := list(given(**options))):
        raise click.UsageError(f"--{of_network[0].replace('_', '-')}: belongs to --checkpoint, which is not given.")
    reports = [_of_file(path) for path in files]
    if checkpoint is not None:
        reports.append(_of_network(checkpoint, device, data_root, download, options))
    click.echo("\n\n".join(str(report) for report in reports))
    if not all(report.ok for report in reports):
        sys.exit(1)


def _of_file(path: Path) -> Report:
    """A run's folder stands for its last checkpoint."""
    from landscape.testing import check_file

    return check_file(last if (last := path / "last.pt").exists() else path)


def _of_network(
    checkpoint: Path, device: str, data_root: Path | None, download: bool, options: dict[str, Any]
) -> Report:
    from landscape.places import Places
    from landscape.probes.subjects import Subject
    from landscape.studies.checks import check_subject

    from .terminal import Terminal

    subject = Subject(checkpoint, key=options.pop("checkpoint_key"), **named_parts(options))
    with Terminal() as terminal:
        places = Places(data_root=data_root, download=download, device=device, reporter=terminal)
        return check_subject(subject, given(**options), places)
