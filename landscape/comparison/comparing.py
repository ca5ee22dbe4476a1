"""Runs in, a comparison out: reading, grouping, measuring, testing, in this order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from landscape.comparison.collecting import Collected, Result, Run, Source, collect, collect_groups, compared_kinds
from landscape.comparison.differences import row_of
from landscape.comparison.grouping import Setting, Stratum, Variant, selected, strata, unlike, variants
from landscape.comparison.made_with import shown
from landscape.comparison.notes import notes
from landscape.comparison.result import Comparison
from landscape.comparison.rows import Row
from landscape.comparison.sentences import judged
from landscape.comparison.trends import trends_of
from landscape.errors import InputError, unknown_choice
from landscape.probes.comparable import Measure, Options, Reading

T = TypeVar("T")

GROUP = "group"  # what groups are called that nobody named
ALL_PAIRS_UP_TO = 6  # settings; beyond, 15 pairs become too many for Holm's correction to leave anything


def compare(
    runs: Sequence[Source] | Mapping[str, Sequence[Source | Sequence[Source]]],
    by: str = "",
    *,
    where: Mapping[str, Any] | None = None,
    reference: Any = None,
    steps: tuple[int | None, int | None] = (None, None),
    measures: Sequence[str] | str | None = None,
    equivalence: Mapping[str, float] | None = None,
    note: str = "",
) -> Comparison:
    """Compare trainings that differ in one setting, with the uncertainty of every difference.

    Args:
        runs: folders of runs, result files, or data sets, of kind ``history``, ``steps``, ``plane``, ``sharpness``,
            ``curvature`` or ``curvature_map``. Results of equal settings are of one run. Of networks that were not trained here
            a mapping of groups, ``{"plain": [a0, a1, a2], "ours": [b0, b1, b2]}``: each entry is a network, or the list of its
            results.
        by: what the groups of a mapping are called, ``group`` where it is not said; else the setting that is compared, such as
            ``batch_size``, ``norm`` or ``learning_rate``. Runs that share it, and all others, are replicates by their ``seed``;
            runs whose other settings differ are compared in groups.
        where: only runs with these settings.
        reference: compare all against this value of ``by``. None: all pairs of up to 6 settings, else all against the first.
        steps: first and last step of the step probe that count, both included.
        measures: only these, by name, family or shell pattern: ``validation_*``, ``plane``. Fewer comparisons leave Holm's
            correction more to find; choose before looking.
        equivalence: measure, as in ``measures`` -> the largest difference that counts as none: in the measure's unit, or the
            ratio, above 1, where it is compared by ratios. Two one-sided tests then say whether the true one is smaller.
        note: a sentence that stands before the other notes.

    Returns:
        A :class:`Comparison`. What could not be compared is named in its ``left_out``.

    Raises:
        InputError: where nothing remains to compare, saying why.

    Example:
        >>> def run(rate, seed):
        ...     model = ls.build_model("mlp", inputs=2, classes=2, hidden=8, seed=seed)
        ...     return ls.history_dataset(ls.fit(model, data, ls.TrainingConfig(epochs=2, learning_rate=rate, seed=seed)))
        >>> found = ls.compare([run(rate, seed) for rate in (0.01, 0.1) for seed in (0, 1, 2)], by="learning_rate")
        >>> dict(found.dataset()["value"].sizes)
        {'measure': 2, 'setting': 2, 'replicate': 3}
        >>> ls.compare({"slow": [run(0.01, 0), run(0.01, 1)], "fast": [run(0.1, 0), run(0.1, 1)]}).by
        'group'
    """
    if not by and not isinstance(runs, Mapping):
        raise InputError(
            "by: say by which setting, or give the networks in groups, {'plain': [a0, a1], 'ours': [b0, b1]}."
        )
    by = by or GROUP
    found = collect_groups(runs, by) if isinstance(runs, Mapping) else collect(runs)
    if not found.runs:
        raise InputError(_nothing("runs: nothing that can be compared.", found))
    groups = _groups(found, where or {}, by)
    settings = [setting for group in groups for setting in group.settings]
    pairs = [pair for group in groups for pair in _pairs(group, by, reference)]
    made_alike = _variants(found, groups)
    read = _readings(found, made_alike, groups, Options(steps), by)
    if isinstance(runs, Mapping):
        read = [(_of_groups(measure, by), readings) for measure, readings in read]
    if not read:
        raise InputError(_nothing("runs: no measure was made alike in two settings.", found))
    margins = _margins(equivalence or {}, [measure for measure, _ in read])
    rows = [row_of(measure, readings, settings, pairs, margins[measure.name]) for measure, readings in read]
    rows = [
        replace(row, trends=trends_of(row.measure, readings, groups, row.replication))
        for row, (_, readings) in zip(rows, read, strict=True)
    ]
    wanted = (measures,) if isinstance(measures, str) else tuple(measures or ())
    final = judged(_chosen(rows, wanted, found), by)
    return Comparison(
        by,
        {s.label: "; ".join(f"{run} {why}" for run, why in s.failures.items()) for s in settings},
        frozenset(s.label for s in settings if s.dead),
        final,
        (*filter(None, [note]), *notes(by, groups, final), *_against(groups, reference), *found.notes),
        tuple(found.left_out),
    )


def _of_groups(measure: Measure, by: str) -> Measure:
    """Between groups it may be of any losses of trainings: their batch sizes, augmentation and dropout are not known."""
    if not measure.loss_by:
        return measure
    return replace(measure, loss_by=measure.loss_by | {by}, smoother="neither")


def _groups(found: Collected, where: Mapping[str, Any], by: str) -> list[Stratum]:
    """The runs in groups; where they are too few, the message says which were left out before."""
    try:
        return strata(found, selected(found.runs, where), by)
    except InputError as error:
        raise InputError(_nothing(str(error), found)) from None


def _pairs(group: Stratum, by: str, reference: Any) -> list[tuple[Setting, Setting]]:
    """All pairs, or each setting against the reference."""
    if reference is None and len(group.settings) <= ALL_PAIRS_UP_TO:
        return list(itertools.combinations(group.settings, 2))
    chosen = group.settings[0]
    if reference is not None:
        known = {shown(setting.value): setting for setting in group.settings}
        if shown(reference) not in known:
            raise unknown_choice(f"reference: {by}", shown(reference), known)
        chosen = known[shown(reference)]
    return [(setting, chosen) for setting in group.settings if setting is not chosen]


def _against(groups: Sequence[Stratum], reference: Any) -> list[str]:
    if reference is not None or all(len(group.settings) <= ALL_PAIRS_UP_TO for group in groups):
        return []
    return [
        f"More than {ALL_PAIRS_UP_TO} settings: each is compared with the first alone. --reference chooses another."
    ]


def _variants(found: Collected, groups: Sequence[Stratum]) -> list[tuple[Variant, Stratum]]:
    """Results that were made alike and exist in two settings of a group; the others are left out by name."""
    kept = []
    for kind, entry in compared_kinds().items():
        items = []
        for run in (run for group in groups for run in group.runs):
            for result in run.results:
                if result.kind == kind and (conditions := _attempt(found, result, entry.conditions)) is not None:
                    items.append((run, result, conditions))
        made = variants(items, kind)
        compared = [(v, group) for v in made for group in groups if _settings_with(v, group) > 1]
        kept += compared
        _leave_out(found, kind, items, compared, groups)
    return kept


def _settings_with(variant: Variant, group: Stratum) -> int:
    members = {run for run, _ in variant.members}
    return sum(not members.isdisjoint(setting.runs) for setting in group.settings)


def _leave_out(
    found: Collected,
    kind: str,
    items: Sequence[tuple[Run, Result, Mapping[str, Any]]],
    compared: Sequence[tuple[Variant, Stratum]],
    groups: Sequence[Stratum],
) -> None:
    """Name the results that were made unlike all that are compared, and the runs that have none."""
    family = compared_kinds()[kind].family
    for group in groups:
        used = [variant for variant, of in compared if of is group]
        taken = {result for variant in used for _, result in variant.members}
        for run, result, conditions in items:
            if run in group.runs and result not in taken:
                why = unlike(conditions, used[0].conditions) if used else "no other setting has such a result"
                found.left_out.append(f"{result.source}: cannot be compared ({why or 'no counterpart'}).")
        if used:
            found.left_out += [
                f"{run.label}: has no usable result of kind {kind}, so it is missing from the {family} measures."
                for run in group.runs
                if all(run is not having for having, _, _ in items)
                and not any(message.startswith(f"{run.label}/{kind}.h5:") for message in found.left_out)
            ]


def _readings(
    found: Collected,
    made_alike: Sequence[tuple[Variant, Stratum]],
    groups: Sequence[Stratum],
    options: Options,
    by: str,
) -> list[tuple[Measure, dict[Run, Reading]]]:
    """Every measure with what each run says of it."""
    collected: dict[str, tuple[Measure, dict[Run, Reading]]] = {}
    for variant in dict.fromkeys(variant for variant, _ in made_alike):
        inside = {run for of, group in made_alike if of is variant for run in group.runs}
        for run, result in variant.members:
            if run not in inside:
                continue
            for reading in _attempt(found, result, compared_kinds()[variant.kind].read, options) or []:
                measure = _named(reading.measure, variant)
                _, readings = collected.setdefault(measure.name, (measure, {}))
                if run in readings:
                    note = f"{result.source}: {run.label} has another result of the same kind, made alike; it is counted once."
                    found.notes += [] if note in found.notes else [note]
                else:
                    readings[run] = replace(reading, measure=measure)
    return [
        (replace(measure, smoother="neither") if measure.moved_by(by) else measure, readings)
        for measure, readings in collected.values()
        if any(_enough(readings, group) for group in groups)
    ]


def _enough(readings: Mapping[Run, Reading], group: Stratum) -> bool:
    return sum(any(run in readings for run in setting.runs) for setting in group.settings) > 1


def _named(measure: Measure, variant: Variant) -> Measure:
    if not variant.label:
        return measure
    return replace(
        measure, name=f"{measure.name} [{variant.label}]", long_name=f"{measure.long_name} [{variant.label}]"
    )


def _attempt(found: Collected, result: Result, work: Callable[..., T], *arguments: Any) -> T | None:
    """What ``work`` makes of a result; None, with the reason kept under its name, where it is of no use."""
    try:
        return work(result.dataset, *arguments)
    except InputError as error:
        message = f"{result.source}: {error}"
        if message not in found.left_out:
            found.left_out.append(message)
        return None


def _chosen(rows: Sequence[Row], patterns: Sequence[str], found: Collected) -> list[Row]:
    for pattern in patterns:
        if not any(_fits(row.measure, pattern) for row in rows):
            if any(fnmatchcase(entry.family, pattern) for entry in compared_kinds().values()):
                raise InputError(_nothing(f"measure: nothing of {pattern!r} was made alike in two settings.", found))
            known = {row.measure.name for row in rows} | {row.measure.family for row in rows}
            raise unknown_choice("measure", pattern, known)
    return [row for row in rows if not patterns or any(_fits(row.measure, pattern) for pattern in patterns)]


def _margins(equivalence: Mapping[str, float], measures: Sequence[Measure]) -> dict[str, float]:
    """Name -> the margin of each measure, of the first pattern that fits it; NaN where none does.

    Raises:
        InputError: for a pattern that fits no measure, or a margin that is no difference or no ratio above 1.
    """
    margins = dict.fromkeys((measure.name for measure in measures), math.nan)
    for pattern, margin in reversed(list(equivalence.items())):
        fitting = [measure for measure in measures if _fits(measure, pattern)]
        if not fitting:
            raise unknown_choice("equivalence", pattern, margins)
        for measure in fitting:
            least, what = (1, "a ratio above 1") if measure.scale == "log" else (0, "a difference above 0")
            if not (isinstance(margin, int | float) and math.isfinite(margin) and margin > least):
                raise InputError(f"equivalence: expected {what} for {measure.name}, got {margin!r}.")
            margins[measure.name] = float(margin)
    return margins


def _fits(measure: Measure, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (measure.name, measure.name.partition(" [")[0], measure.family))


def _nothing(message: str, found: Collected) -> str:
    return " ".join([message, *found.left_out])
