"""Which colour a data set has: that of its setting, the same in every picture of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from landscape.pictures.labels import TELLING, labels_of
from landscape.pictures.options import Options
from landscape.pictures.style import cycle, line_colours, ordered_colours

# what may have the colour, the first that differs; a network is its model and its norm
SETTINGS: dict[str, tuple[str, ...]] = {
    "network": ("model", "norm"),
    "learning_rate": ("learning_rate",),
    "batch_size": ("batch_size",),
    "optimizer": ("optimizer",),
    "data": ("data",),
}
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.3)), (0, (4, 1.2, 1, 1.2)), (0, (1, 1)))


@dataclass(frozen=True)
class Look:
    """How a data set is drawn. ``group`` is its label without the seed, where others differ from it in that alone."""

    colour: str
    dashes: Any = "-"
    group: str = ""


def looks(datasets: Sequence[xr.Dataset], options: Options, *, dashed: bool = True) -> list[Look]:
    """A look for each data set: the hue says one setting, dashes a second one.

    The hue is the first of :data:`SETTINGS` that differs over ``options.study`` and the data sets; numbers go from dark to light.
    A second setting that differs between the data sets has dashes, of up to four values. Data sets that differ in their seed
    alone look alike. Where that would not tell them apart, each kind of them has a colour of its own.

    Args:
        dashed: whether dashes are free to mean a setting.
    """
    own = [dict(dataset.attrs) for dataset in datasets]
    groups = _groups(datasets, options)
    every = [dict(attrs) for attrs in options.study] + own
    varying = [name for name in SETTINGS if len({_value(attrs, name) for attrs in every}) > 1]
    kinds = list(dict.fromkeys(groups))
    if varying:
        hue, hues = varying[0], [_value(attrs, varying[0]) for attrs in own]
        rest = [name for name in varying[1:] if len({_value(attrs, name) for attrs in own}) > 1]
        if len(set(hues)) == 1 and len(rest) == 1 and _numbers(every, rest[0]):
            hue, hues, rest = rest[0], [_value(attrs, rest[0]) for attrs in own], []
        palette = _palette(every, hue)
        second = [_value(attrs, rest[0]) for attrs in own] if len(rest) == 1 and dashed else [""] * len(own)
        order = sorted(set(second), key=_order)
        told = {(a, b) for a, b in zip(hues, second, strict=True)}
        if len(order) <= len(DASHES) and len(told) == len(kinds):
            return [
                Look(palette[h], DASHES[order.index(s)], group)
                for h, s, group in zip(hues, second, groups, strict=True)
            ]
    colours = dict(zip(kinds, line_colours(len(kinds)), strict=True))
    return [Look(colours[group], "-", group) for group in groups]


def setting_of(attrs: Mapping[Any, Any]) -> tuple[Any, ...]:
    """All that may have a colour; equal for data sets that look alike in every picture of a study."""
    return tuple(_value(attrs, name) for name in SETTINGS)


def _groups(datasets: Sequence[xr.Dataset], options: Options) -> list[str]:
    """A name for each data set, the same for those that differ in their seed alone."""
    whole = labels_of(datasets, options.labels)
    if options.labels is not None:
        return whole
    without = labels_of(
        datasets, None, tuple(part for part in TELLING if part not in ("seed", "checkpoint")), number=False
    )
    members: dict[str, list[int]] = {}
    for place, name in enumerate(without):
        members.setdefault(name, []).append(place)
    names = list(whole)
    for name, places in members.items():
        seeds = {str(datasets[place].attrs.get("seed", "")) for place in places}
        alike = len({_identity(datasets[place].attrs) for place in places}) == 1
        if len(places) > 1 and len(seeds) == len(places) and "" not in seeds and alike:
            for place in places:
                names[place] = name
    return names


def _identity(attrs: Mapping[Any, Any]) -> str:
    names = sorted({name for parts in SETTINGS.values() for name in parts})
    return json.dumps([str(attrs.get(name)) for name in names])


def _value(attrs: Mapping[Any, Any], setting: str) -> Any:
    """A setting's value; a word of all its parts where it has several."""
    parts = [attrs.get(part) for part in SETTINGS[setting]]
    if len(parts) > 1:
        return ", ".join("" if part is None else str(part) for part in parts)
    value: Any = parts[0]
    value = value.item() if hasattr(value, "item") else value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value or "")


def _numbers(every: Sequence[Mapping[Any, Any]], setting: str) -> bool:
    return all(isinstance(_value(attrs, setting), float) for attrs in every)


def _palette(every: Sequence[Mapping[Any, Any]], setting: str) -> dict[Any, str]:
    """A colour for every value: by order where they are numbers, else in the order in which they come."""
    values = list(dict.fromkeys(_value(attrs, setting) for attrs in every))
    if _numbers(every, setting):
        values.sort()
        return dict(zip(values, ordered_colours(len(values)), strict=True))
    colours = line_colours(len(values)) if len(values) > len(cycle()) else list(cycle()[: len(values)])
    return dict(zip(values, colours, strict=True))


def _order(value: Any) -> tuple[float, str]:
    return (value, "") if isinstance(value, float) else (float("inf"), str(value))
