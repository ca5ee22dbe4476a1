"""Runs in groups that differ in one setting alone, and results in groups that were made alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.comparison.collecting import Collected, Result, Run
from landscape.comparison.made_with import differing, identity, in_order, shown
from landscape.errors import InputError, unknown_choice

_REPLICATED = ("seed",)


@dataclass(frozen=True, eq=False)
class Setting:
    """One column: the runs that share a value of the setting that is compared, and all others but the seed."""

    label: str
    value: Any
    runs: tuple[Run, ...]

    @property
    def failures(self) -> dict[str, str]:
        """Why it is never ranked, by run."""
        return {run.label: run.failure for run in self.runs if run.failure}

    @property
    def dead(self) -> bool:
        return any(run.dead for run in self.runs)


@dataclass(frozen=True, eq=False)
class Stratum:
    """Settings that differ in nothing but what is compared. ``label`` says what they share that others do not."""

    label: str
    settings: tuple[Setting, ...]

    @property
    def runs(self) -> list[Run]:
        return [run for setting in self.settings for run in setting.runs]


@dataclass(frozen=True, eq=False)
class Variant:
    """Results of one kind that were made alike. ``label`` says how, where others of the kind were made differently."""

    kind: str
    label: str
    conditions: Mapping[str, Any]
    members: tuple[tuple[Run, Result], ...]


def selected(runs: Sequence[Run], where: Mapping[str, Any]) -> list[Run]:
    """The runs whose settings are those of ``where``.

    Raises:
        InputError: for a setting that no run has, or values that leave none.
    """
    for key, value in where.items():
        known = {name for run in runs for name in run.settings}
        if key not in known:
            raise unknown_choice("where", key, known)
        values = in_order(run.settings.get(key) for run in runs)
        if shown(value) not in map(shown, values):
            raise unknown_choice(f"where {key}", shown(value), map(shown, values))
    chosen = [run for run in runs if all(shown(run.settings.get(key)) == shown(value) for key, value in where.items())]
    if not chosen:
        raise InputError(f"where: no run has all of {', '.join(f'{k}={shown(v)}' for k, v in where.items())}.")
    return chosen


def strata(found: Collected, runs: Sequence[Run], by: str) -> list[Stratum]:
    """The runs in groups of equal other settings, each with two or more values of ``by``; the rest is left out by name.

    Raises:
        InputError: for a ``by`` that no run has or that is the seed, for one value only, and where no two runs differ in
            ``by`` alone.
    """
    _check(runs, by)
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[identity(run.settings, without=(by, *_REPLICATED))].append(run)
    whole = [group for group in groups.values() if len({shown(run.settings.get(by)) for run in group}) > 1]
    if not whole:
        others = _differences([run.settings for run in runs], by)
        raise InputError(
            f"by: no two runs differ in {by} alone; they also differ in {others}. Choose runs that share these, or compare by one "
            "of them."
        )
    largest = max(whole, key=len)
    for group in groups.values():
        if group not in whole:
            others = _differences([largest[0].settings, group[0].settings], by)
            names = ", ".join(run.label for run in group)
            found.left_out.append(f"{names}: has no counterpart with another {by}; the others differ in {others}.")
    return [Stratum(label, _settings(group, by, label)) for label, group in _labelled(whole, by).items()]


def variants(items: Sequence[tuple[Run, Result, Mapping[str, Any]]], kind: str) -> list[Variant]:
    """Results with their conditions in groups of equal ones, the largest first. A condition that is None fits any."""
    distinct: list[Mapping[str, Any]] = []
    for _, _, conditions in sorted(items, key=lambda item: sum(value is None for value in item[2].values())):
        if not any(_fit(conditions, other) for other in distinct):
            distinct.append(conditions)
    varying = differing(distinct)
    made = [
        Variant(
            kind,
            ", ".join(f"{key} {shown(conditions[key])}" for key in varying),
            conditions,
            tuple((run, result) for run, result, own in items if _fit(own, conditions)),
        )
        for conditions in distinct
    ]
    return sorted(made, key=lambda variant: -len(variant.members))


def unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In which conditions ``one`` differs from ``other``, in words."""
    return "; ".join(
        f"{key} {shown(one[key])} instead of {shown(other[key])}"
        for key in one
        if None not in (one[key], other[key]) and one[key] != other[key]
    )


def _fit(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return not unlike(one, other)


def _check(runs: Sequence[Run], by: str) -> None:
    known = {key for run in runs for key in run.settings}
    if by in _REPLICATED:
        raise InputError(f"by: runs that differ in {by!r} are replicates of each other; compare by another setting.")
    if by not in known:
        raise unknown_choice("by", by, known - set(_REPLICATED))
    values = in_order(run.settings.get(by) for run in runs)
    if len(values) < 2:
        also = [key for key in differing(run.settings for run in runs) if key not in _REPLICATED]
        hint = f" They differ in {', '.join(also)}." if also else " They are replicates of one setting."
        raise InputError(f"by: all {len(runs)} run(s) have {by} {shown(values[0])}; nothing to compare.{hint}")


def _labelled(groups: Iterable[list[Run]], by: str) -> dict[str, list[Run]]:
    """Each group under the settings that tell it from the others."""
    listed = list(groups)
    keys = [key for key in differing(group[0].settings for group in listed) if key not in (by, *_REPLICATED)]
    labels = [", ".join(f"{key} {shown(group[0].settings.get(key))}" for key in keys) for group in listed]
    return dict(sorted(zip(labels, listed, strict=True), key=lambda item: item[0]))


def _settings(group: Sequence[Run], by: str, stratum: str) -> tuple[Setting, ...]:
    behind = f" ({stratum})" if stratum else ""
    return tuple(
        Setting(
            f"{shown(value)}{behind}",
            value,
            tuple(run for run in group if shown(run.settings.get(by)) == shown(value)),
        )
        for value in in_order(run.settings.get(by) for run in group)
    )


def _differences(settings: Sequence[Mapping[str, Any]], by: str) -> str:
    keys = [key for key in differing(settings) if key not in (by, *_REPLICATED)]
    return "; ".join(f"{key} ({', '.join(shown(v) for v in in_order(s.get(key) for s in settings))})" for key in keys)
