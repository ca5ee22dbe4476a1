"""``landscape train``: one training, resumed by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import chain, given, key_values, model_options, place_options


@click.command("train")
@chain(
    model_options(),
    click.option("--learning-rate", type=float, help="Peak learning rate.  [default: 1e-3]"),
    click.option("--batch-size", type=int, help="Images a step.  [default: 100]"),
    click.option("--epochs", type=int, help="[default: 100]"),
    click.option("--optimizer", help="adam, adamw or sgd.  [default: adam]"),
    click.option("--momentum", type=float, help="For sgd.  [default: 0.9]"),
    click.option("--weight-decay", type=float, help="[default: 0]"),
    click.option("--schedule", help="cosine or constant.  [default: cosine]"),
    click.option("--seed", type=int, help="Of initialisation, order, augmentation and dropout.  [default: 0]"),
    click.option("--precision", help="fp32 or bf16 (autocast).  [default: fp32]"),
    click.option(
        "--compile", is_flag=True, default=None, help="Run steps through torch.compile; starts slower, runs faster."
    ),
    click.option("--augment/--no-augment", default=None, help="Random crop and flip.  [default: augment]"),
    click.option("--train-images", type=int, help="Train on a fixed subset of this size."),
    click.option("--checkpoint-every", type=int, help="Keep a checkpoint every so many epochs, besides last and best."),
    click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: checkpoints/NAME-HASH]"),
    place_options(),
)
def command(
    model_option: tuple[str, ...],
    data_option: tuple[str, ...],
    out: Path | None,
    device: str,
    data_root: Path | None,
    download: bool,
    **options: Any,
) -> None:
    """Train a network and keep its checkpoints and history.

    The same command continues a run that was killed, with the same bits as if it never was, and does nothing for one that
    is complete.
    """
    from landscape.studies.places import Places
    from landscape.studies.runs import train_run
    from landscape.studies.settings import run_settings

    from .terminal import Terminal

    settings = run_settings(
        given(
            **options,
            model_options=key_values(model_option, "--model-option"),
            data_options=key_values(data_option, "--data-option"),
        )
    )
    with Terminal() as terminal:
        places = Places(data_root=data_root, download=download, device=device, reporter=terminal)
        outcome = train_run(settings, places, folder=out)
    terminal.training_summary(outcome)
