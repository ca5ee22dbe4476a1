"""Probed training steps, as in Fig. 4 of Santurkar et al. 2018 (arXiv 1805.11604), and the range over separate runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.pictures.caption import joined, once, run_sentences
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.ranges import Spec, Track, clip_sentence, ranges_figure, tracks_of
from landscape.pictures.style import PaperFigure, number

# {point} is where the loss is taken, {step} the way there, {along} its direction in words
_OVER_ETA = "range over η"
SPECS = {
    "loss": Spec(
        "loss along {along}", "L({point})", "loss", ("loss_minimum", "loss_maximum"),
        "L(θ), where the step starts", _OVER_ETA, of_loss=True,
    ),
    "predictiveness": Spec(
        "gradient predictiveness", "‖∇L({point}) − g‖₂",
        band=("gradient_distance_minimum", "gradient_distance_maximum"), band_words=_OVER_ETA,
    ),
    "beta": Spec(
        "effective β-smoothness", "β", "effective_beta",
        formula="β is the largest ‖∇L({point}) − g‖₂ / ‖{step}‖₂ over η, a lower bound of the true constant",
    ),
    "lipschitz_loss": Spec(
        "Lipschitz estimate from losses", "K", "lipschitz_loss",
        formula="K is the largest |L({point}) − L(θ)| / ‖{step}‖₂ over η, a lower bound of the true constant",
    ),
    "lipschitz_gradient": Spec(
        "Lipschitz estimate from gradients", "G", "lipschitz_gradient",
        formula="G is the largest ‖∇L({point})‖₂ over η, another lower bound",
    ),
}  # fmt: skip
SPECS |= {
    "variation": Spec(
        "loss variation", "ΔL", "loss_variation", formula="ΔL is the range of L({point}) over η, along {along}"
    ),
    "predictiveness_normalized": Spec(
        "predictiveness / ‖g‖", "P / ‖g‖₂", "gradient_predictiveness_normalized",
        formula="P is the range of ‖∇L({point}) − g‖₂",
    ),
    "beta_normalized": replace(
        SPECS["beta"], title="β-smoothness × ‖θ‖²", label="β ‖θ‖₂²", line="effective_beta_normalized"
    ),
    "lipschitz_loss_normalized": replace(
        SPECS["lipschitz_loss"], title="Lipschitz (losses) × ‖θ‖", label="K ‖θ‖₂", line="lipschitz_loss_normalized"
    ),
    "lipschitz_gradient_normalized": replace(
        SPECS["lipschitz_gradient"], title="Lipschitz (gradients) × ‖θ‖", label="G ‖θ‖₂",
        line="lipschitz_gradient_normalized",
    ),
}  # fmt: skip
QUANTITIES = {
    "all": ("loss", "predictiveness", "beta"),
    "loss": ("loss",),
    "predictiveness": ("predictiveness",),
    "beta": ("beta",),
    "lipschitz": ("lipschitz_loss", "lipschitz_gradient"),
    "normalized": (
        "variation", "predictiveness_normalized", "beta_normalized",
        "lipschitz_loss_normalized", "lipschitz_gradient_normalized",
    ),
}  # fmt: skip
# direction -> what stands for it in titles and formulas
ALONG = {
    "gradient": {"along": "the gradient", "point": "θ − ηg", "step": "ηg"},
    "update": {"along": "the update", "point": "θ + ηu", "step": "ηu"},
    "relative": {"along": "the relative step", "point": "θ + ηr", "step": "ηr"},
}

_RUNS = "range over runs"
RUN_SPECS = {
    "loss": Spec(
        "loss, over separate runs", "L(θ) of the minibatch",
        band=("loss_minimum", "loss_maximum"), band_words=_RUNS, of_loss=True,
    ),
    "gradient_norm": Spec(
        "gradient norm, over separate runs", "‖∇L(θ)‖₂ of the minibatch",
        band=("gradient_norm_minimum", "gradient_norm_maximum"), band_words=_RUNS,
    ),
}  # fmt: skip
RUN_QUANTITIES = {"all": tuple(RUN_SPECS), **{name: (name,) for name in RUN_SPECS}}


def steps_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each quantity, runs over each other; see :func:`landscape.probes.plot.plot`."""
    tracks, specs = read_steps(datasets, options)
    return ranges_figure(tracks, specs, options, steps_caption(tracks, specs, options))


def run_range_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """Loss and gradient norm of separately trained runs; see :func:`landscape.probes.plot.plot`."""
    tracks, specs = read_run_ranges(datasets, options)
    return ranges_figure(tracks, specs, options, run_range_caption(tracks, specs, options))


def read_steps(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Track], list[Spec]]:
    """The runs along the wanted direction, and what is drawn of them.

    Raises:
        InputError: for an unknown quantity or direction, one that was not probed, or a run without a probed step.
    """
    if options.quantity not in QUANTITIES:
        raise unknown_choice("quantity", options.quantity, QUANTITIES)
    along = along_of(options)
    if along not in ALONG:
        raise unknown_choice("along", along, ALONG)
    names = labels_of(datasets, options.labels)
    chosen = [_along(dataset, along, name) for dataset, name in zip(datasets, names, strict=True)]
    specs = [_worded(SPECS[name], along) for name in QUANTITIES[options.quantity]]
    return _tracks(chosen, names, options), specs


def read_run_ranges(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Track], list[Spec]]:
    """The ranges, and what is drawn of them.

    Raises:
        InputError: for an unknown quantity, or a range over no step.
    """
    if options.quantity not in RUN_QUANTITIES:
        raise unknown_choice("quantity", options.quantity, RUN_QUANTITIES)
    tracks = _tracks(datasets, labels_of(datasets, options.labels), options)
    return tracks, [RUN_SPECS[name] for name in RUN_QUANTITIES[options.quantity]]


def along_of(options: Options) -> str:
    return "gradient" if options.along is None else options.along


def _along(dataset: xr.Dataset, along: str, label: str) -> xr.Dataset:
    probed = [str(one) for one in dataset["along"].values]
    if along not in probed:
        raise InputError(f"along: {label!r} was not probed along {along!r}. It was along: {', '.join(probed)}.")
    return dataset.isel(along=probed.index(along))


def _worded(spec: Spec, along: str) -> Spec:
    """The spec with the direction in its words."""
    words = {name: getattr(spec, name).format(**ALONG[along]) for name in ("title", "label", "formula")}
    return replace(spec, **words)


def _tracks(datasets: Sequence[xr.Dataset], names: Sequence[str], options: Options) -> list[Track]:
    for dataset, name in zip(datasets, names, strict=True):
        if dataset.sizes["step"] == 0:
            raise InputError(f"datasets: {name!r} has no probed step yet.")
    return tracks_of(datasets, names, options)


def steps_caption(tracks: Sequence[Track], specs: Sequence[Spec], options: Options) -> str:
    """Along which direction and over which η, how many steps, on what; and that dead runs give no axis."""
    labels = [track.label for track in tracks]
    sentences = [
        once(labels, [_direction(track.dataset, along_of(options)) for track in tracks], ""),
        once(labels, [_etas(track.dataset) for track in tracks], ""),
        once(labels, [_count(track) for track in tracks], ""),
        clip_sentence(tracks, specs, options),
        "; ".join(spec.formula for spec in specs if spec.formula),
        "The normalised values do not change where all weights are scaled by one factor, and η by its square"
        if options.quantity == "normalized"
        else "",
        *run_sentences(labels, [[track.dataset] for track in tracks]),
        dead_sentence(tracks),
    ]
    return joined(sentences)


def dead_sentence(tracks: Sequence[Track]) -> str:
    """Which runs are dead and why, and that the axes are the others'."""
    reasons = [str(t.dataset.attrs.get("dead_reason") or "no gradient reaches its weights") for t in tracks]
    dead = once(
        [t.label for t in tracks], [r if t.dead else "" for t, r in zip(tracks, reasons, strict=True)], "Dead: "
    )
    mixed = dead and not all(track.dead for track in tracks)
    return dead + ("; the axes are those of the living runs" if mixed else "")


def run_range_caption(tracks: Sequence[Track], specs: Sequence[Spec], options: Options) -> str:
    """What the range is over, and what it is not."""
    labels = [track.label for track in tracks]
    runs = ["; ".join(json.loads(track.dataset.attrs.get("runs", "[]"))) for track in tracks]
    sentences = [
        "Range over separately trained runs (not along the step): lowest to highest value of the runs at the same step",
        once(labels, runs, "Runs: "),
        once(labels, [_count(track) for track in tracks], ""),
        clip_sentence(tracks, specs, options),
        *run_sentences(labels, [[track.dataset] for track in tracks]),
        dead_sentence(tracks),
    ]
    return joined(sentences)


def _direction(dataset: xr.Dataset, along: str) -> str:
    optimizer = str(dataset.attrs.get("optimizer", ""))
    if along == "update":
        by = f" of {optimizer}" if optimizer else ""
        return f"u is the next update{by} divided by the learning rate, and g the minibatch's gradient"
    if along == "relative":
        length = dataset.attrs.get("relative_length")
        how_long = "" if length is None else f" of the length ‖r/θ‖₂ = {number(float(length))} / learning rate"
        return f"r is −θ²⊙g{how_long}, and g the minibatch's gradient"
    other = f"; the update of {optimizer} has another direction" if optimizer not in ("", "sgd") else ""
    return f"g is the minibatch's gradient{other}"


def _etas(dataset: xr.Dataset) -> str:
    etas = np.asarray(dataset["eta"].values, dtype=float)
    if etas.size == 1:
        return f"η = {number(float(etas[0]))} × learning rate"
    return f"{etas.size} values of η from {number(float(etas.min()))} to {number(float(etas.max()))} × learning rate"


def _count(track: Track) -> str:
    count = track.steps.size
    return f"{count:,} step{'s' if count != 1 else ''}, none smoothed"
