"""``landscape study``: everything that a study file names."""

from __future__ import annotations

from pathlib import Path

import click

from .options import place_options


@click.command("study")
@click.argument("study")
@click.option(
    "--checkpoints", type=click.Path(path_type=Path), default=Path("checkpoints"), help="Where runs are kept."
)
@click.option(
    "--outputs", type=click.Path(path_type=Path), default=Path("outputs"), help="Where results and pictures go."
)
@place_options()
def command(study: str, checkpoints: Path, outputs: Path, device: str, data_root: Path | None, download: bool) -> None:
    """Run a study: a bundled one (quick) or a TOML file. Only what is missing is done.

    Prints a table of the runs and the paths of everything that was made.
    """
    from landscape.studies.places import Places
    from landscape.studies.settings import load_study
    from landscape.studies.study import run_study

    from .terminal import Terminal

    settings = load_study(study)
    with Terminal() as terminal:
        places = Places(
            checkpoints=checkpoints,
            outputs=outputs,
            data_root=data_root,
            download=download,
            device=device,
            reporter=terminal,
        )
        outcome = run_study(settings, places)
    terminal.study_summary(settings.name, outcome)
    if outcome.failures:
        raise SystemExit(1)
