"""``landscape train``: one training, or every combination of the lists that are given; resumed by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import chain, given, json_option, picture_option, place_options
from .settings_options import GroupedOption, SettingsCommand, options_of


class TrainCommand(SettingsCommand):
    """Its options are the settings of a run."""

    def made(self, ctx: click.Context) -> list[GroupedOption]:
        from landscape.studies.run_settings import RunSettings
        from landscape.training import TrainingConfig

        return [*options_of(RunSettings, several=True), *options_of(TrainingConfig, several=True)]


@click.command("train", cls=TrainCommand)
@chain(
    click.option(
        "--out", "-o", type=click.Path(path_type=Path), help="The run's folder.  [default: checkpoints/NAME-HASH]"
    ),
    place_options(),
    json_option(),
    picture_option(),
)
def command(
    out: Path | None,
    device: str,
    data_root: Path | None,
    download: bool,
    as_json: bool,
    no_picture: bool,
    **options: Any,
) -> None:
    """Train a network and keep its checkpoints, history and gradient flow.

    Every option of a value takes several, separated by commas: --learning-rate 1e-4,1e-3 --seed 0,1 trains every
    combination; one that fails is reported and does not stop the rest. The same command continues what was killed, with the
    same bits as if it never was, and does nothing for what is complete. Where the code or data behind its names gives other
    values now, it says so and stops.
    """
    from landscape.errors import InputError
    from landscape.places import Places
    from landscape.studies.runs import train_run
    from landscape.studies.sweep import sweep_settings, train_all

    from .terminal import Terminal, run_document, show_json

    _check_probe(options)
    runs = sweep_settings(given(**options))
    if len(runs) > 1 and out is not None:
        raise InputError(f"--out: names the folder of one run, and these are {len(runs)}. Leave it out.")
    failures: dict[str, str] = {}
    with Terminal() as terminal:
        places = Places(data_root=data_root, download=download, device=device, reporter=terminal)
        for run in runs:
            terminal.settings(run.identity())
        one = len(runs) == 1
        trained = [(runs[0], train_run(runs[0], places, folder=out))] if one else train_all(runs, places, failures)
    if as_json:
        show_json({"runs": [run_document(outcome) for _, outcome in trained], "failures": failures})
    elif one:
        terminal.training_summary(trained[0][1], picture=not no_picture)
    else:
        terminal.sweep_summary(trained, failures)
    if failures:
        raise SystemExit(1)


def _check_probe(options: dict[str, Any]) -> None:
    """Where to look along the step says nothing without how often."""
    from landscape.errors import InputError

    often = options["probe_every"] is not None or options["probe_count"] is not None
    for name in ("probe_eta", "probe_spacing", "probe_along"):
        if options[name] is not None and not often:
            raise InputError(
                f"{name}: says where to look along a step, and not how often. Add --probe-every 50 or such."
            )
