"""The settings that a result was made with, as one flat mapping, and how their values are told apart and shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr

from landscape.results.attributes import mapping

# What was watched while training changes nothing about it.
_WATCHED = ("flow_every", "probe_every", "probe_count", "probe_eta", "probe_spacing", "probe_along", "stability_every")
_FALLBACK = ("model", "norm", "data", "learning_rate", "batch_size", "seed", "optimizer", "model_options")
_NESTED = ("model_options", "data_options")
NOT_SET = "not set"


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The training's settings: the attribute ``training``; else those of a history; else the single attributes.

    Options of the model and the data stand for themselves: ``norm``, others as ``model_options.NAME``. What was only watched is
    left out.

    Raises:
        InputError: for an attribute ``training`` that is no JSON mapping.
    """
    attributes = dataset.attrs
    found = mapping(attributes.get("training"), "training")
    if not found:
        found = {key: attributes[key] for key in _FALLBACK if key in attributes}
        if attributes.get("kind") == "history":
            found |= mapping(attributes.get("settings"), "settings")
    return _flat(found)


def has_identity(dataset: xr.Dataset) -> bool:
    """Whether the settings tell one training from another: they are all stored, or its seed is among them."""
    return bool(mapping(dataset.attrs.get("training"), "training")) or "seed" in settings_of(dataset)


def identity(settings: Mapping[str, Any], *, without: Iterable[str] = ()) -> str:
    """Equal exactly for equal settings, of those not in ``without``."""
    return json.dumps({key: shown(value) for key, value in settings.items() if key not in set(without)}, sort_keys=True)


def conflicts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """One phrase for each setting that both name and that differs."""
    return [
        f"{key} {shown(other[key])} instead of {shown(one[key])}"
        for key in one
        if key in other and shown(one[key]) != shown(other[key])
    ]


def differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not all the same, a missing one being a value."""
    all_settings = list(settings)
    keys = sorted({key for one in all_settings for key in one})
    return [key for key in keys if len({shown(one.get(key)) for one in all_settings}) > 1]


def shown(value: Any) -> str:
    """A value in a label; equal values, such as 1e-3 and 0.001, look alike."""
    if value is None:
        return NOT_SET
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def in_order(values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers ascending, else texts in their order; what is not set comes first."""
    distinct = {shown(value): value for value in values}
    numbers = all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in distinct.values()
    )
    if numbers:
        return sorted(distinct.values(), key=lambda value: (value is not None, value or 0))
    return [distinct[text] for text in sorted(distinct)]


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in found.items():
        if key in _NESTED:
            options = mapping(value, key)
            flat |= {name if name == "norm" else f"{key}.{name}": inner for name, inner in options.items()}
        elif key not in _WATCHED:
            flat.setdefault(key, value)
    return flat
