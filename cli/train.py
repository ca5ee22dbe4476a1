"""``landscape train``: one training, or every combination of the lists that are given; resumed by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import chain, given, key_values, listed, model_options, place_options

_NUMBER, _WHOLE, _NAME = listed(float, "a number"), listed(int, "a whole number"), listed(str, "a name")


@click.command("train")
@chain(
    model_options(model=_NAME, norm=_NAME),
    click.option("--learning-rate", callback=_NUMBER, help="Peak learning rate; a list trains each.  [default: 1e-3]"),
    click.option("--batch-size", callback=_WHOLE, help="Images a step; a list trains each.  [default: 100]"),
    click.option("--epochs", callback=_WHOLE, help="[default: 100]"),
    click.option(
        "--updates",
        callback=_WHOLE,
        help="Make so many updates instead, the same at every batch size, as epochs are not.",
    ),
    click.option("--optimizer", callback=_NAME, help="adam, adamw or sgd.  [default: adam]"),
    click.option("--momentum", type=float, help="For sgd.  [default: 0.9]"),
    click.option("--weight-decay", callback=_NUMBER, help="[default: 0]"),
    click.option("--schedule", callback=_NAME, help="cosine or constant.  [default: cosine]"),
    click.option(
        "--seed",
        callback=_WHOLE,
        help="Of initialisation, order, augmentation and dropout; a list trains each.  [default: 0]",
    ),
    click.option("--precision", help="fp32 (on a GPU too: never TF32) or bf16 (autocast).  [default: fp32]"),
    click.option(
        "--engine",
        help="auto (on a CPU, filtered 3x3 convolutions: about half the time) or plain (PyTorch's).  [default: auto]",
    ),
    click.option(
        "--compile",
        is_flag=True,
        default=None,
        help="Run steps through torch.compile; starts slower.",
    ),
    click.option("--augment/--no-augment", default=None, help="Random crop and flip.  [default: augment]"),
    click.option("--train-images", type=int, help="Train on a fixed subset of this size."),
    click.option("--checkpoint-every", type=int, help="Keep a checkpoint every so many epochs, besides last and best."),
    click.option(
        "--flow-every", type=int, help="Keep the gradient flow every so many steps.  [default: once an epoch]"
    ),
    click.option(
        "--probe-every", type=int, help="Look along the step every so many steps: loss, gradient, smoothness."
    ),
    click.option("--probe-count", type=int, help="Or so many times, at even distances over the training."),
    click.option(
        "--probe-eta", help="Where along it: low:high:count, in multiples of the learning rate.  [default: 0.5:4:8]"
    ),
    click.option("--probe-spacing", help="linear or log.  [default: linear]"),
    click.option(
        "--stability-every",
        type=int,
        help="Measure the edge of stability every so many steps: the step size times the largest eigenvalue of the Hessian, "
        "preconditioned for Adam, against what the optimiser bears.",
    ),
    click.option(
        "--out", "-o", type=click.Path(path_type=Path), help="The run's folder.  [default: checkpoints/NAME-HASH]"
    ),
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
    """Train a network and keep its checkpoints, history and gradient flow.

    Options that take a list (--learning-rate 1e-4,1e-3 --seed 0,1) train every combination; one that fails is reported and
    does not stop the rest. The same command continues what was killed, with the same bits as if it never was, and does
    nothing for what is complete. Where the code or data behind its names gives other values now, it says so and stops.
    """
    from landscape.errors import InputError
    from landscape.places import Places
    from landscape.studies.runs import train_run
    from landscape.studies.sweep import sweep_settings, train_all

    from .terminal import Terminal

    _check_probe(options)
    runs = sweep_settings(
        given(
            **options,
            model_options=key_values(model_option, "--model-option"),
            data_options=key_values(data_option, "--data-option"),
        )
    )
    if len(runs) > 1 and out is not None:
        raise InputError(f"--out: names the folder of one run, and these are {len(runs)}. Leave it out.")
    failures: dict[str, str] = {}
    with Terminal() as terminal:
        places = Places(data_root=data_root, download=download, device=device, reporter=terminal)
        if len(runs) == 1:
            outcome = train_run(runs[0], places, folder=out)
        else:
            trained = train_all(runs, places, failures)
    if len(runs) == 1:
        terminal.training_summary(outcome)
    else:
        terminal.sweep_summary(trained, failures)
    if failures:
        raise SystemExit(1)


def _check_probe(options: dict[str, Any]) -> None:
    """Where to look along the step says nothing without how often."""
    from landscape.errors import InputError

    often = options["probe_every"] is not None or options["probe_count"] is not None
    for name in ("probe_eta", "probe_spacing"):
        if options[name] is not None and not often:
            raise InputError(
                f"{name}: says where to look along a step, and not how often. Add --probe-every 50 or such."
            )
