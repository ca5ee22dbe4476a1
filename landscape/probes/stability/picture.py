"""The edge of stability over training: λ_max(P⁻¹H) beside what the optimiser's steps bear, and their ratio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.pictures.caption import joined, once, run_sentences
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.ranges import Spec, Track, clip_sentence, ranges_figure, tracks_of
from landscape.pictures.style import INK, PaperFigure, number

SPECS = {
    "ratio": Spec(
        "edge-of-stability ratio", "η λ / limit", "ratio", formula="Grey line: the edge of stability, a ratio of 1"
    ),
    "sharpness": Spec("largest eigenvalue", "λ", "sharpness", formula="λ is the largest eigenvalue of P⁻¹H"),
    "loss": Spec("loss of the minibatch", "L(θ)", "loss", of_loss=True),
}
QUANTITIES = {"all": tuple(SPECS), **{name: (name,) for name in SPECS}}


def stability_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each quantity, runs over each other; see :func:`landscape.probes.plot.plot`."""
    tracks, specs = read_stability(datasets, options)
    figure = ranges_figure(tracks, specs, options, stability_caption(tracks, specs, options))
    if specs[0].line == "ratio":
        for axes in figure.axes[:: len(specs)]:
            axes.axhline(1.0, color=INK, linewidth=0.8, alpha=0.45, zorder=1)
    return figure


def read_stability(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Track], list[Spec]]:
    """The runs, and what is drawn of them.

    Raises:
        InputError: for an unknown quantity, or a run without a measured step.
    """
    if options.quantity not in QUANTITIES:
        raise unknown_choice("quantity", options.quantity, QUANTITIES)
    names = labels_of(datasets, options.labels)
    for dataset, name in zip(datasets, names, strict=True):
        if dataset.sizes["step"] == 0:
            raise InputError(f"datasets: {name!r} has no measured step yet.")
    return tracks_of(datasets, names, options), [SPECS[name] for name in QUANTITIES[options.quantity]]


def stability_caption(tracks: Sequence[Track], specs: Sequence[Spec], options: Options) -> str:
    """Whose limit, of which Hessian, how well the eigenvalues are known."""
    labels = [track.label for track in tracks]
    sentences = [
        *(spec.formula for spec in specs if spec.formula),
        once(labels, [_limit(track.dataset) for track in tracks], "Limit: "),
        once(labels, [str(track.dataset.attrs.get("hessian_of", "")) for track in tracks], "H is that of "),
        once(labels, [_count(track) for track in tracks], ""),
        clip_sentence(tracks, specs, options),
        *run_sentences(labels, [[track.dataset] for track in tracks]),
    ]
    return joined(sentences)


def _limit(dataset: xr.Dataset) -> str:
    if "limit" not in dataset.attrs:
        return ""
    return f"{number(float(dataset.attrs['limit']))} ({dataset.attrs['rule']})"


def _count(track: Track) -> str:
    count, rough = track.steps.size, int((np.asarray(track.dataset["converged"].values) == 0).sum())
    words = f"{count:,} step{'s' if count != 1 else ''}"
    known = np.isfinite(track.values("residual"))
    residual = f", residuals at most {number(float(track.values('residual')[known].max()), 2)} λ" if known.any() else ""
    return words + residual + (f", {rough} not converged" if rough else "")
