"""``landscape probe``: a line or a plane around a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import chain, given, key_values, model_options, place_options, whole_numbers

_FILE = click.Path(path_type=Path)


@click.command("probe")
@chain(
    click.option("--checkpoint", type=_FILE, required=True, help="A run's checkpoint, a state dict, or .safetensors."),
    click.option("--kind", help="plane or line.  [default: plane]"),
    click.option("--x", help="start:stop:count, or auto:count.  [default: -1:1:51; with --to, beyond both ends]"),
    click.option("--y", help="The same for the second axis of a plane."),
    click.option("--seeds", help="Direction seeds, such as 0,1,2: a plane or line for each.  [default: 0]"),
    click.option("--normalization", help="filter, layer or none.  [default: filter]"),
    click.option("--to", type=_FILE, multiple=True, help="Lead to this checkpoint (line) or these two (plane)."),
    click.option("--directions", type=_FILE, help="Directions in the original loss-landscape tool's HDF5 layout."),
    click.option("--batch-norm", help="frozen, interpolated, reestimated or batch.  [default: frozen]"),
    click.option("--split", help="train, validation or test.  [default: train]"),
    click.option("--images", type=int, help="How many images of the split.  [default: 400]"),
    click.option("--image-seed", type=int, help="Which images.  [default: 0]"),
    click.option("--precision", help="fp32, fp64 or bf16.  [default: fp32]"),
    click.option("--batch-size", type=int, help="Images a forward pass; part of the result for --batch-norm batch."),
    click.option(
        "--engine", help="auto folds BatchNorm away where that gives the same values; plain does not.  [default: auto]"
    ),
    click.option(
        "--compile", is_flag=True, default=None, help="Run through torch.compile; starts slower, runs faster."
    ),
    click.option(
        "--adaptive/--full",
        default=None,
        help="Measure where the picture needs it, or every point.",
    ),
    click.option("--tolerance", type=float, help="Of an adaptive plane, in displayed ranges.  [default: 0.01]"),
    click.option(
        "--loss-max",
        type=float,
        help="Where the picture is clipped.  [default: 10, or 4 times a loss above 5]",
    ),
    click.option("--max-points", type=int, help="Budget of an adaptive plane.  [default: a sixth of the grid]"),
    click.option(
        "--minutes", type=float, help="Budget in time instead; makes the result depend on the machine's speed."
    ),
    click.option("--out", type=_FILE, help="The result file.  [default: outputs/NAME-HASH.h5]"),
    click.option("--save-every", type=float, default=10.0, help="Seconds between saves of the unfinished result."),
    model_options(),
    place_options(),
)
def command(
    checkpoint: Path,
    seeds: str | None,
    to: tuple[Path, ...],
    directions: Path | None,
    out: Path | None,
    save_every: float,
    model: str | None,
    norm: str | None,
    model_option: tuple[str, ...],
    data: str | None,
    data_option: tuple[str, ...],
    loss: str | None,
    device: str,
    data_root: Path | None,
    download: bool,
    **options: Any,
) -> None:
    """Measure the loss around a checkpoint into one labelled HDF5 file.

    Started again, it goes on where it stopped. A plane is measured where its picture needs it, up to a budget of points, and
    says how well it is known; --full measures every point. For a surer picture ask for more --images, for the spread
    between random planes for --seeds 0,1,2.
    """
    from landscape.errors import InputError
    from landscape.studies.places import Places
    from landscape.studies.probing import Subject, probe_checkpoint
    from landscape.studies.settings import probe_settings

    from .terminal import Terminal

    if norm is not None and model is None:
        raise InputError("--norm: belongs to --model; give both, or neither for a checkpoint that says its model.")
    settings = probe_settings(given(**options, seeds=None if seeds is None else whole_numbers(seeds, "--seeds")))
    builder = {**given(norm=norm), **key_values(model_option, "--model-option")}
    subject = Subject(
        checkpoint,
        model=None if model is None else {"name": model, "options": builder},
        data=None if data is None else {"name": data, "options": key_values(data_option, "--data-option")},
        loss=loss,
        to=to,
        directions=directions,
    )
    with Terminal() as terminal:
        places = Places(data_root=data_root, download=download, device=device, save_every=save_every, reporter=terminal)
        outcome = probe_checkpoint(subject, settings, places, out=out)
    terminal.probe_summary(outcome)
