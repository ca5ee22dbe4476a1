"""Which training histories are one curve, and what orders the curves: seeds are pooled, a swept setting gives the order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from landscape.pictures.labels import TELLING, labels_of, name_of, setting_words

SETTINGS = ("learning_rate", "batch_size")
# what may differ beside a swept setting: with another batch size, as many updates are another number of epochs
FOLLOWING = ("epochs", "updates")
_IDENTITY = ("model", "norm", "data", "optimizer", "loss_name", *SETTINGS)


@dataclass(frozen=True)
class Sweep:
    """Groups of histories, each one curve.

    Attributes:
        groups: of histories that share everything but their seed.
        labels: of each group.
        setting: what alone tells the groups apart, which are then in its order; None where there is no such thing.
        common: what all groups are, where the labels do not say it.
    """

    groups: tuple[tuple[xr.Dataset, ...], ...]
    labels: tuple[str, ...]
    setting: str | None = None
    common: str = ""


def sweep_of(histories: Sequence[xr.Dataset], labels: Sequence[str] | None) -> Sweep:
    """Group the histories; with ``labels`` of the user's own, each is a curve by itself."""
    if labels is not None:
        return Sweep(tuple((history,) for history in histories), tuple(labels))
    groups = _pooled(histories)
    firsts = [group[0] for group in groups]
    setting = _setting(firsts)
    if setting is None:
        pooled = len(groups) < len(histories)
        telling = tuple(part for part in TELLING if not (pooled and part == "seed"))
        return Sweep(tuple(groups), tuple(labels_of(firsts, None, telling)))
    groups.sort(key=lambda group: float(group[0].attrs[setting]))
    words = tuple(setting_words(setting, group[0].attrs[setting]) for group in groups)
    return Sweep(tuple(groups), words, setting, name_of(firsts[0]))


def _pooled(histories: Sequence[xr.Dataset]) -> list[tuple[xr.Dataset, ...]]:
    """Histories of different seeds and otherwise the same settings together, in the order of the first of each."""
    found: dict[str, list[xr.Dataset]] = {}
    for history in histories:
        found.setdefault(json.dumps(_identity(history.attrs), sort_keys=True, default=str), []).append(history)
    groups: list[tuple[xr.Dataset, ...]] = []
    for group in found.values():
        seeds = {str(history.attrs.get("seed", "")) for history in group}
        one = len(seeds) == len(group) and "" not in seeds
        groups += [tuple(group)] if one else [(history,) for history in group]
    return groups


def _setting(histories: Sequence[xr.Dataset]) -> str | None:
    """The numeric setting that alone differs, and in every history."""
    identities = [_identity(history.attrs) for history in histories]
    names = {name for identity in identities for name in identity}
    differing = {name for name in names if len({json.dumps(i.get(name), default=str) for i in identities}) > 1}
    swept = differing - set(FOLLOWING)
    if len(swept) != 1 or not swept <= set(SETTINGS):
        return None
    setting = swept.pop()
    values = [identity.get(setting) for identity in identities]
    distinct = len(set(values)) == len(values)
    return setting if distinct and all(isinstance(v, int | float) for v in values) else None


def _identity(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Every setting of a run but its seed, as far as its attributes tell them."""
    told: dict[str, Any] = {}
    for name in ("settings", "training"):
        text = attrs.get(name)
        told |= json.loads(text) if isinstance(text, str) and text.startswith("{") else {}
    for name in _IDENTITY:
        if name in attrs:
            value = attrs[name]
            told[name] = value.item() if hasattr(value, "item") else value
    told.pop("seed", None)
    return told
