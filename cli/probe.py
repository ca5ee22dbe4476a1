"""``landscape probe``: what the loss looks like around a checkpoint, or along the steps from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import (
    chain,
    checkpoint_key_option,
    given,
    model_options,
    named_parts,
    place_options,
    sample_options,
    trust_option,
    whole_numbers,
)

_FILE = click.Path(path_type=Path)


@click.command("probe")
@chain(
    click.argument("files", type=_FILE, nargs=-1),
    click.option(
        "--checkpoint",
        type=_FILE,
        help="A run's checkpoint, a state dict, .safetensors or their index, or a folder of Hugging Face.",
    ),
    checkpoint_key_option("; also of --to"),
    click.option(
        "--kind",
        help="plane, line, steps, trajectory, sharpness, noise_scale, path, curvature or curvature-map.  [default: plane]",
    ),
    click.option(
        "--x",
        help="start:stop:count, or auto:count.  [default: -1:1:51; curvature-map 21 points; with --to, beyond both ends]",
    ),
    click.option("--y", help="The same for the second axis of a plane."),
    click.option("--seeds", help="Direction seeds, such as 0,1,2: a plane or line for each.  [default: 0]"),
    click.option("--normalization", help="filter, layer or none.  [default: filter]"),
    click.option(
        "--along",
        help="Directions to follow: random, gradient, update, difference (--to), eigenvector1 (--directions).  [default: random]",
    ),
    click.option(
        "--orthogonalize", is_flag=True, default=None, help="Make the second direction orthogonal to the first."
    ),
    click.option(
        "--to",
        type=_FILE,
        multiple=True,
        help="Lead to this checkpoint (line, path), these two (plane), or through these (trajectory).",
    ),
    click.option("--to-key", metavar="KEY", help="Which weights of --to, where they are others than --checkpoint-key."),
    click.option("--directions", type=_FILE, help="A file of the original loss-landscape tool, or a curvature result."),
    sample_options("400, curvature-map 100", batch_norm="frozen; path: reestimated"),
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
    click.option(
        "--max-points",
        type=int,
        help="Budget of an adaptive plane in points.  [default: a sixth of the grid in image passes, more of a small one]",
    ),
    click.option(
        "--minutes", type=float, help="Budget in time instead; makes the result depend on the machine's speed."
    ),
    click.option("--steps", type=int, help="steps: go on training for so many.  [default: 100]"),
    click.option("--probe-every", type=int, help="steps: look along every so many.  [default: 10]"),
    click.option("--probe-eta", help="steps: low:high:count, in multiples of the learning rate.  [default: 0.5:4:8]"),
    click.option("--probe-spacing", help="steps: linear or log.  [default: linear]"),
    click.option(
        "--centred", is_flag=True, default=None, help="trajectory: take the mean off, as the original tool does."
    ),
    click.option(
        "--measures",
        help="sharpness: of sam, sam_steps, m_sharpness, adaptive, adaptive_steps, adaptive_average, keskar, gaussian.  "
        "[default: those without _steps]",
    ),
    click.option(
        "--rho", help="sharpness: sizes of the perturbation, such as 0.05,0.1.  [default: each measure's own]"
    ),
    click.option("--ascent-steps", type=int, help="sharpness: of keskar and those with _steps.  [default: 10]"),
    click.option("--restarts", type=int, help="sharpness: further ascents from random places.  [default: 0]"),
    click.option("--draws", type=int, help="sharpness: perturbations that averages are over.  [default: 10]"),
    click.option("--draw-seed", type=int, help="sharpness, curvature: of what is drawn.  [default: 0]"),
    click.option("--m", type=int, help="sharpness: images a batch of m_sharpness.  [default: 50, or a quarter]"),
    click.option("--small-batch", type=int, help="noise_scale: images of the smaller batch.  [default: 10]"),
    click.option("--groups", type=int, help="noise_scale: groups of batches for the error.  [default: 10]"),
    click.option("--operator", help="curvature: hessian or gauss-newton.  [default: hessian]"),
    click.option("--top", type=int, help="curvature: so many of the largest eigenvalues.  [default: 10]"),
    click.option("--bottom", type=int, help="curvature: so many of the smallest.  [default: 2]"),
    click.option(
        "--per-layer", is_flag=True, default=None, help="curvature: a spectrum for each layer's diagonal block."
    ),
    click.option(
        "--curvature-tolerance",
        type=float,
        help="curvature: of the eigenvalues, in parts of the largest.  [default: 1e-3]",
    ),
    click.option(
        "--criterion", help="curvature: what is held to it, residual or (sooner) the value.  [default: residual]"
    ),
    click.option("--trace-probes", type=int, help="curvature: random vectors of the trace; 0: none.  [default: 30]"),
    click.option("--trace-method", help="curvature: krylov, hutch++ or hutchinson.  [default: krylov]"),
    click.option("--density-probes", type=int, help="curvature: random vectors of the density; 0: none.  [default: 4]"),
    click.option("--density-steps", type=int, help="curvature: nodes of each.  [default: 40]"),
    click.option("--paths", help="path: of linear, aligned, bezier, chain, such as linear,aligned.  [default: linear]"),
    click.option("--points", type=int, help="path: how many along each.  [default: 25]"),
    click.option("--alignment-seed", type=int, help="path: of the order in which units are matched.  [default: 0]"),
    click.option("--bends", type=int, help="path: trained points of a bezier or chain.  [default: 1]"),
    click.option("--curve-steps", type=int, help="path: minibatches that bends are trained on.  [default: 300]"),
    click.option("--curve-batch-size", type=int, help="path: images a minibatch.  [default: 100]"),
    click.option("--curve-learning-rate", type=float, help="path: of the bends.  [default: 1e-3]"),
    click.option("--curve-optimizer", help="path: adam or sgd.  [default: adam]"),
    click.option("--curve-seed", type=int, help="path: of the minibatches and their places.  [default: 0]"),
    click.option("--curve-images", type=int, help="path: how many training images.  [default: all]"),
    click.option(
        "--eigenvalue-tolerance",
        type=float,
        help="curvature-map: of residuals, relative to the larger |λ|.  [default: 0.01]",
    ),
    click.option(
        "--max-products",
        type=int,
        help="curvature, curvature-map: products of a search, or of a point, at most.  [default: 500; curvature-map 100]",
    ),
    click.option("--out", type=_FILE, help="The result file.  [default: outputs/NAME-HASH.h5]"),
    click.option("--save-every", type=float, default=10.0, help="Seconds between saves of the unfinished result."),
    model_options(),
    trust_option(),
    place_options(),
)
def command(
    files: tuple[Path, ...],
    checkpoint: Path | None,
    checkpoint_key: str | None,
    to_key: str | None,
    seeds: str | None,
    to: tuple[Path, ...],
    directions: Path | None,
    out: Path | None,
    save_every: float,
    device: str,
    data_root: Path | None,
    download: bool,
    **options: Any,
) -> None:
    """Measure the loss around a checkpoint, along the steps from it or the training that led to it, into one labelled HDF5 file.

    FILES are a run's folder, which stands for its last checkpoint, a folder of Hugging Face, or checkpoints: the one that is
    probed where --checkpoint does not say it, then more to lead to, so that --to epoch-*.pt takes all that the shell makes of it.

    A checkpoint of a model of your own names your functions, and what only a file names is not run: repeat --model, --data and
    --loss, or say --trust.

    Started again, it goes on where it stopped, or says that the code or data behind its names gives other values now. A plane is
    measured where its picture needs it, up to a budget, and says how well it is known; --full measures every point. For a surer
    picture ask for more --images, for the spread between random planes for --seeds 0,1,2. --kind steps goes on training from
    the checkpoint, without changing its file.
    """
    from landscape.places import Places
    from landscape.probes.probing import probe_checkpoint
    from landscape.probes.settings import probe_settings
    from landscape.probes.subjects import Subject

    from .terminal import Terminal

    parts = named_parts(options)
    settings = probe_settings(given(**options, seeds=None if seeds is None else whole_numbers(seeds, "--seeds")))
    checkpoint, to = _checkpoints(checkpoint, to, files)
    subject = Subject(checkpoint, to=to, directions=directions, key=checkpoint_key, to_key=to_key, **parts)
    with Terminal() as terminal:
        places = Places(data_root=data_root, download=download, device=device, save_every=save_every, reporter=terminal)
        outcome = probe_checkpoint(subject, settings, places, out=out)
    terminal.probe_summary(outcome)


def _checkpoints(
    checkpoint: Path | None, to: tuple[Path, ...], files: tuple[Path, ...]
) -> tuple[Path, tuple[Path, ...]]:
    """The checkpoint to probe, and those to lead to."""
    if checkpoint is None:
        if not files:
            raise click.UsageError("Missing option '--checkpoint', or a run's folder.")
        run = files[0].is_dir() and (files[0] / "last.pt").exists()
        checkpoint, files = files[0] / "last.pt" if run else files[0], files[1:]
    return checkpoint, (*to, *files)
