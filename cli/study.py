"""``landscape study``: everything that a study file names."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import F, chain, place_options, whole_numbers, worker_options

if TYPE_CHECKING:
    from landscape.studies.run_settings import RunSettings
    from landscape.studies.settings import StudySettings


def variation_options() -> Callable[[F], F]:
    """How a study is changed as a whole."""
    return chain(
        click.option("--data", help="Run it on this data set instead of the study's own."),
        click.option(
            "--scale",
            type=float,
            help="Shrink training images, epochs and probes to this fraction; everything says so.",
        ),
        click.option(
            "--seeds",
            multiple=True,
            metavar="[RUNS=]0,1",
            help="Seeds of every run, or of the [[runs]] table of that name.",
        ),
    )


@click.command("study")
@click.argument("study")
@variation_options()
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
    from landscape.studies.settings import study_text
    from landscape.studies.study import measure_study, run_study
    from landscape.studies.variations import part_of

    from .terminal import Terminal
    from .workers import team_asked

    with Terminal() as terminal:
        places = Places(
            checkpoints=checkpoints,
            outputs=outputs,
            data_root=data_root,
            download=download,
            device=device,
            reporter=terminal,
        )
        count = planned_images if planned else lambda run: training_images(run, places)
        settings = varied(study, data, scale, seeds, count)
        if part is not None:
            settings = part_of(settings, *_part(part))
        if planned:
            terminal.plan_summary(settings, plan(settings, places))
            return
        line = study_line(study, data, scale, seeds)
        with team_asked(workers, scheduler, threads, device, outputs, terminal) as team:
            places = replace(places, executor=team)
            if part is None:
                outcome = run_study(settings, places, recipe=study_text(study), command=line)
            else:
                outcome = measure_study(settings, places)
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


def varied(
    study: str, data: str | None, scale: float | None, seeds: tuple[str, ...], images: Callable[[RunSettings], int]
) -> StudySettings:
    """A study, changed as the options say; ``images`` counts the training images of a run at full scale."""
    from landscape.studies.settings import load_study
    from landscape.studies.variations import on_data, scaled, with_seeds

    settings = load_study(study)
    if data is not None:
        settings = on_data(settings, data)
    if seeds:
        settings = with_seeds(settings, dict(_seeds(text) for text in seeds))
    return settings if scale is None else scaled(settings, scale, images)


def study_line(study: str, data: str | None, scale: float | None, seeds: tuple[str, ...]) -> str:
    """The command that runs it."""
    words = ["landscape", "study", study, *([] if data is None else ["--data", data])]
    words += [] if scale is None else ["--scale", f"{scale:g}"]
    return shlex.join([*words, *(word for text in seeds for word in ("--seeds", text))])


def _seeds(text: str) -> tuple[str, tuple[int, ...]]:
    """``0,1``, or ``RUNS=0,1``, as the name of the runs (empty for all) and their seeds."""
    name, _, numbers = text.rpartition("=")
    return name, whole_numbers(numbers, "--seeds")
