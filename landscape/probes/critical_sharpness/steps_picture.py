"""Critical sharpness over training beside 2/η, from which on a step of the learning rate η raises the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError, unknown_choice
from landscape.pictures.caption import joined, once, run_sentences
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.pictures.range_page import ranges_content
from landscape.pictures.ranges import Spec, Track, clip_sentence, ranges_figure, tracks_of
from landscape.pictures.style import PaperFigure
from landscape.probes.searches import Status

SPECS = {
    "critical_sharpness": Spec(
        "critical sharpness",
        "λ",
        "critical_sharpness",
        ("low", "high"),
        "2 over the critical step",
        "± one standard error over samples",
    ),
    "ratio": Spec(
        "learning rate in critical steps",
        "η λ / 2",
        "ratio",
        formula="Where η λ / 2 is above 1 the step raises the loss",
    ),
    "loss": Spec("loss of the minibatch", "L(θ)", "loss", of_loss=True),
}
QUANTITIES = {"all": tuple(SPECS), **{name: (name,) for name in SPECS}}


def critical_steps_figure(datasets: Sequence[xr.Dataset], options: Options) -> PaperFigure:
    """A panel for each quantity, runs over each other; see :func:`landscape.probes.plot.plot`."""
    tracks, specs = _read(datasets, options)
    return ranges_figure(tracks, specs, options, _caption(tracks, specs, options))


def critical_steps_content(datasets: Sequence[xr.Dataset], options: Options) -> dict[str, Any]:
    """A chart for each panel of :func:`critical_steps_figure`."""
    tracks, specs = _read(datasets, options)
    return ranges_content(tracks, specs, options, _caption(tracks, specs, options))


def _read(datasets: Sequence[xr.Dataset], options: Options) -> tuple[list[Track], list[Spec]]:
    """The runs along the wanted direction, and what is drawn of them.

    Raises:
        InputError: for an unknown quantity or direction, or a run without a measured step.
    """
    if options.quantity not in QUANTITIES:
        raise unknown_choice("quantity", options.quantity, QUANTITIES)
    names = labels_of(datasets, options.labels)
    drawn = []
    for dataset, name in zip(datasets, names, strict=True):
        if dataset.sizes["step"] == 0:
            raise InputError(f"datasets: {name!r} has no measured step yet.")
        have = dataset["along"].values.tolist()
        along = options.along or ("update" if "update" in have else have[0])
        if along not in have:
            raise unknown_choice("along", along, have)
        drawn.append(_drawable(dataset.sel(along=along)))
    return tracks_of(drawn, names, options), [SPECS[name] for name in QUANTITIES[options.quantity]]


def _drawable(one: xr.Dataset) -> xr.Dataset:
    """With the range of one standard error, and the learning rate in critical steps."""
    value, error = one["critical_sharpness"], one["critical_sharpness_standard_error"]
    spread = error.where(np.isfinite(error), 0.0)
    return one.assign(low=value - spread, high=value + spread, ratio=value / one["threshold"])


def _caption(tracks: Sequence[Track], specs: Sequence[Spec], options: Options) -> str:
    labels = [track.label for track in tracks]
    sentences = [
        once(labels, [str(track.dataset["along"].item()) for track in tracks], "Along the "),
        *(spec.formula for spec in specs if spec.formula),
        once(labels, [_unknown(track) for track in tracks], ""),
        clip_sentence(tracks, specs, options),
        *run_sentences(labels, [[track.dataset] for track in tracks]),
    ]
    return joined(sentences)


def _unknown(track: Track) -> str:
    status = track.dataset["status"].values
    words = {Status.BEYOND_REACH: "without a rise within reach", Status.AT_ONCE: "that rise at once"}
    parts = [f"{int((status == one).sum())} {said}" for one, said in words.items() if (status == one).any()]
    steps = f"{track.steps.size:,} step{'s' if track.steps.size != 1 else ''}"
    return f"{steps}, {', '.join(parts)}" if parts else steps
