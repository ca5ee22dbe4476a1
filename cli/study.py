"""``landscape study``: everything that a study file names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from .options import place_options, whole_numbers, worker_options


@click.command("study")
@click.argument("study")
@click.option("--data", help="Run it on this data set instead of the study's own.")
@click.option(
    "--scale", type=float, help="Shrink training images, epochs and probes to this fraction; everything says so."
)
@click.option(
    "--seeds", multiple=True, metavar="[RUNS=]0,1", help="Seeds of every run, or of the [[runs]] table of that name."
)
@click.option(
    "--plan",
    "planned",
    is_flag=True,
    help="List runs, updates and the estimated time, and stop; runs no code of yours.",
)
@click.option(
    "--checkpoints", type=click.Path(path_type=Path), default=Path("checkpoints"), help="Where runs are kept."
)
@click.option(
    "--outputs", type=click.Path(path_type=Path), default=Path("outputs"), help="Where results and pictures go."
)
@click.option(
    "--part",
    metavar="I/N",
    help="Train and probe only the I-th of N parts, as an array of jobs does; without it, the same command collects.",
)
@place_options()
@worker_options()
def command(
    study: str,
    data: str | None,
    scale: float | None,
    seeds: tuple[str, ...],
    planned: bool,
    checkpoints: Path,
    outputs: Path,
    device: str,
    data_root: Path | None,
    download: bool,
    part: str | None,
    workers: int | None,
    scheduler: str | None,
    threads: int | None,
) -> None:
    """Run a study: a bundled one (quick, coursework) or a TOML file. Trainings and probes
    that are complete are kept, pictures and tables are made anew.

    Prints a table of the runs and the paths of everything that was made.
    """
    from landscape.places import Places
    from landscape.studies.plan import plan, planned_images, training_images
    from landscape.studies.settings import load_study
    from landscape.studies.study import measure_study, run_study
    from landscape.studies.variations import on_data, part_of, scaled, with_seeds

    from .terminal import Terminal
    from .workers import team_asked

    settings = load_study(study)
    if data is not None:
        settings = on_data(settings, data)
    if seeds:
        settings = with_seeds(settings, dict(_seeds(text) for text in seeds))
    with Terminal() as terminal:
        places = Places(
            checkpoints=checkpoints,
            outputs=outputs,
            data_root=data_root,
            download=download,
            device=device,
            reporter=terminal,
        )
        if scale is not None:
            count = planned_images if planned else lambda run: training_images(run, places)
            settings = scaled(settings, scale, count)
        if part is not None:
            settings = part_of(settings, *_part(part))
        if planned:
            terminal.plan_summary(settings, plan(settings, places))
            return
        with team_asked(workers, scheduler, threads, device, outputs, terminal) as team:
            places = replace(places, executor=team)
            outcome = run_study(settings, places) if part is None else measure_study(settings, places)
    terminal.study_summary(settings.name, outcome)
    if outcome.failures:
        raise SystemExit(1)


def _part(text: str) -> tuple[int, int]:
    """``2/8`` as two numbers."""
    from landscape.errors import InputError

    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and int(count)):
        raise InputError(f"--part: expected a number and how many parts there are, such as 2/8, got {text!r}.")
    return int(number), int(count)


def _seeds(text: str) -> tuple[str, tuple[int, ...]]:
    """``0,1``, or ``RUNS=0,1``, as the name of the runs (empty for all) and their seeds."""
    name, _, numbers = text.rpartition("=")
    return name, whole_numbers(numbers, "--seeds")
