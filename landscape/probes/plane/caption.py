"""The line under a picture of a plane: what was measured, where, on what, and how certain it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.pictures.caption import data_words, joined, once, policy_words
from landscape.pictures.style import number
from landscape.probes.plane.panels import axes_sentence, flat_words
from landscape.probes.plane.reading import Field, PlaneData
from landscape.probes.plane.result import HEIGHT, heights_of
from landscape.results.words import picture_known


def plane_caption(
    planes: Sequence[PlaneData],
    fields: Sequence[Field],
    note: str = "",
    drawn: str = "their mean is drawn",
    *,
    axes: bool = False,
) -> str:
    """Directions, BN policy, data, seeds and their cosines, checkpoint and standard error; once where all panels agree.

    ``note`` goes after the first sentence; ``drawn`` says what is shown of several seeds, and ``axes`` whether the axes have no
    words of their own.
    """
    labels = [plane.label for plane in planes]
    pairs = list(zip(planes, fields, strict=True))
    sentences = [
        once(labels, [_where(plane) for plane in planes], ""),
        axes_sentence(planes, every=axes),
        note,
        once(labels, [policy_words(plane.attrs) for plane in planes], "BN policy: "),
        once(labels, [data_words(plane.attrs) for plane in planes], "Data: "),
        once(labels, [_seeds(plane, field, drawn) for plane, field in pairs], "Direction seeds: "),
        once(labels, [_cosines(plane, field) for plane, field in pairs], "cos(d₁,\u00a0d₂): "),
        once(labels, [str(plane.attrs.get("checkpoint", "")) for plane in planes], "Checkpoint: "),
        once(labels, [_error(plane, field) for plane, field in pairs], "Standard error over the samples: "),
        once(labels, [_range(plane.attrs) for plane in planes], ""),
        once(labels, [_adaptive(plane) for plane in planes], "Adaptive: "),
        once(labels, [plane.mesh_note for plane in planes], "Unfinished: "),
        once(labels, [_state(plane, field) for plane, field in pairs], ""),
    ]
    return joined(sentences)


def _state(plane: PlaneData, field: Field) -> str:
    """Why a plane only looks smooth, or is empty."""
    words = flat_words(plane, field)
    return words[:1].upper() + words[1:]


def _range(attrs: dict[str, Any]) -> str:
    """How far the axes go, where that was not asked for."""
    note = str(attrs.get("range_note", ""))
    return note[:1].upper() + note[1:] if "automatic" in note or "by default" in note else ""


def _adaptive(plane: PlaneData) -> str:
    """How much of an adaptive plane was measured, and how well the rest is known."""
    attrs = plane.attrs
    if "picture_error" not in attrs:
        return ""
    if attrs["measured_points"] >= plane.dataset["status"].size:
        return f"all {int(attrs['measured_points'])} points measured"
    refined_by = str(attrs.get("refined_by", "loss"))
    shown = str(attrs["loss_name"]) if HEIGHT in attrs else plane.quantity
    if shown != refined_by and (refined_by != "loss" or plane.quantity in heights_of(plane.dataset)):
        return (
            f"{int(attrs['measured_points'])} points measured, where the picture of {refined_by.replace('_', ' ')} needed them; "
            "the rest is interpolated, and how well is not known"
        )
    return f"{int(attrs['measured_points'])} points measured, {picture_known(attrs)}"


def _where(plane: PlaneData) -> str:
    what = plane.words
    what = what[:1].upper() + what[1:]
    flat = plane.y is not None
    directions = plane.attrs.get("directions")
    if directions == "checkpoints":
        return f"{what} on the {'plane through three' if flat else 'line through two'} checkpoints"
    shape = "θ + x d₁ + y d₂" if flat else "θ + x d"
    scaling = {"none": "not normalised", "filter": "filter-normalised", "layer": "layer-normalised"}.get(
        str(plane.attrs.get("normalization", "")), str(plane.attrs.get("normalization", ""))
    )
    kinds = {None: "", "random": "random directions", "file": "directions from a file"}
    others = {"components": "principal components"}  # the axes say how each of these is scaled
    known = ", ".join(part for part in (kinds.get(directions, ""), scaling) if part)
    how = known if directions in kinds else others.get(str(directions), f"along {directions}")
    return f"{what} at {shape} around the checkpoint θ" + (f"; {how}" if how else "")


def _seeds(plane: PlaneData, field: Field, drawn: str) -> str:
    if "random" not in str(plane.attrs.get("directions")):
        return ""
    return ", ".join(map(str, field.seeds)) + (f" ({drawn})" if field.spread is not None else "")


def _cosines(plane: PlaneData, field: Field) -> str:
    if "direction_cosine" not in plane.dataset or plane.between_checkpoints:
        return ""
    cosines = plane.dataset["direction_cosine"].values.reshape(-1)
    return ", ".join(number(float(cosines[plane.seeds.index(seed)]), 2) for seed in field.seeds)


def _error(plane: PlaneData, field: Field) -> str:
    if field.standard_error is None:
        return ""
    finite = field.standard_error[np.isfinite(field.standard_error)]
    centre = plane.scalar(f"checkpoint_{plane.quantity}_standard_error")
    parts = [] if centre is None or not np.isfinite(centre) else [f"{number(centre, 2)} at the checkpoint"]
    if finite.size:
        parts.append(f"median {number(float(np.median(finite)), 2)} over the grid")
    return ", ".join(parts)
