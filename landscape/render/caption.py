"""The line under a picture: what was measured, where, on what, and how certain it is, read from the data sets' attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.render.reading import QUANTITIES, Field, PlaneData
from landscape.render.scale import Scale
from landscape.render.style import number


def plane_caption(
    planes: Sequence[PlaneData], fields: Sequence[Field], note: str = "", drawn: str = "their mean is drawn"
) -> str:
    """Directions, BN policy, data, seeds and their cosines, checkpoint and standard error; once where all panels agree.

    ``note`` goes after the first sentence; ``drawn`` says what is shown of several seeds.
    """
    labels = [plane.label for plane in planes]
    pairs = list(zip(planes, fields, strict=True))
    sentences = [
        _once(labels, [_where(plane) for plane in planes], ""),
        note,
        _once(labels, [_policy(plane.attrs) for plane in planes], "BN policy: "),
        _once(labels, [_data(plane.attrs) for plane in planes], "Data: "),
        _once(labels, [_seeds(plane, field, drawn) for plane, field in pairs], "Direction seeds: "),
        _once(labels, [_cosines(plane, field) for plane, field in pairs], "cos(d₁,\u00a0d₂): "),
        _once(labels, [str(plane.attrs.get("checkpoint", "")) for plane in planes], "Checkpoint: "),
        _once(labels, [_error(plane, field) for plane, field in pairs], "Standard error over the samples: "),
        _once(labels, [_adaptive(plane.attrs) for plane in planes], "Adaptive: "),
        _once(labels, [plane.mesh_note for plane in planes], "Unfinished: "),
    ]
    return _joined(sentences)


def history_caption(labels: Sequence[str], histories: Sequence[xr.Dataset], note: str = "") -> str:
    """The data and the recipe of each run, and whether one has not ended well."""
    attrs = [dict(history.attrs) for history in histories]
    states = [str(a["status"]) if a.get("status") not in (None, "complete") else "" for a in attrs]
    sentences = [
        note,
        _once(labels, [str(a.get("data", "")) for a in attrs], "Data: "),
        _once(labels, [_recipe(a) for a in attrs], "Recipe: "),
        _once(labels, states, "State: "),
    ]
    return _joined(sentences)


def _adaptive(attrs: dict[str, Any]) -> str:
    """How much of an adaptive plane was measured, and how well the rest is known."""
    if "picture_error" not in attrs:
        return ""
    error = 100 * float(attrs["picture_error"])
    known = f"to {error:.2g} %" if error >= 0.1 else "to better than 0.1 %"
    return f"{int(attrs['measured_points'])} points measured, 95 % of the picture known {known} of its range"


def scale_note(scale: Scale | None, what: str = "colours") -> str:
    """Whether the scale is logarithmic, and what is drawn at its end instead of beyond it."""
    if scale is None:
        return ""
    parts = [f"Logarithmic {what}"] if scale.log else []
    if scale.over:
        parts.append(f"values above {number(scale.high)} are clipped")
    if scale.under:
        parts.append(f"values below {number(scale.low)} are clipped")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _once(labels: Sequence[str], texts: Sequence[str], head: str) -> str:
    """The text that all share, or each with the panels it belongs to; nothing where there is none."""
    if not any(texts):
        return ""
    if len(set(texts)) == 1:
        return head + texts[0]
    of: dict[str, list[str]] = {}
    for label, text in zip(labels, texts, strict=True):
        of.setdefault(text, []).append(label)
    return head + "; ".join(f"{text} [{'; '.join(those)}]" for text, those in of.items() if text)


def _where(plane: PlaneData) -> str:
    what = QUANTITIES[plane.quantity].capitalize()
    flat = plane.y is not None
    directions = plane.attrs.get("directions")
    if directions == "checkpoints":
        return f"{what} on the {'plane through three' if flat else 'line through two'} checkpoints"
    shape = "θ + x d₁ + y d₂" if flat else "θ + x d"
    scaling = {"none": "not normalised", "filter": "filter-normalised", "layer": "layer-normalised"}.get(
        str(plane.attrs.get("normalization", "")), str(plane.attrs.get("normalization", ""))
    )
    kind = f"{directions} directions" if directions == "random" else "directions from a file" if directions else ""
    how = ", ".join(part for part in (kind, scaling) if part)
    return f"{what} at {shape} around the checkpoint θ" + (f"; {how}" if how else "")


def _policy(attrs: dict[str, Any]) -> str:
    policy = str(attrs.get("bn_policy", ""))
    layers = attrs.get("bn_layers")
    return f"{policy}, {layers} BN layer{'s' if layers != 1 else ''}" if policy and layers else policy


def _data(attrs: dict[str, Any]) -> str:
    name, count = str(attrs.get("data", "")), attrs.get("n_samples")
    samples = "" if count is None else f"{int(count):,} sample{'s' if int(count) != 1 else ''}"
    return ", ".join(part for part in (name, samples) if part)


def _seeds(plane: PlaneData, field: Field, drawn: str) -> str:
    if plane.attrs.get("directions") != "random":
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
    centre = plane.scalar("checkpoint_loss_standard_error")
    parts = [] if centre is None or not np.isfinite(centre) else [f"{number(centre, 2)} at the checkpoint"]
    if finite.size:
        parts.append(f"median {number(float(np.median(finite)), 2)} over the grid")
    return ", ".join(parts)


def _recipe(attrs: dict[str, Any]) -> str:
    words = {"learning_rate": "learning rate", "batch_size": "batch size", "seed": "seed"}
    parts = [str(attrs["optimizer"])] if "optimizer" in attrs else []
    parts += [f"{word} {_plain(attrs[name])}" for name, word in words.items() if name in attrs]
    return ", ".join(parts)


def _plain(value: Any) -> str:
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
