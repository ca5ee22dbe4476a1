"""What a reader must know before believing a comparison: confounds, units, and how it was made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from landscape.comparison.collecting import Run
from landscape.comparison.grouping import Setting, Stratum
from landscape.comparison.made_with import in_order, shown
from landscape.comparison.rows import PERCENT, Row
from landscape.comparison.sentences import number
from landscape.numerics.contrasts import critical_t, power, units_needed
from landscape.numerics.inference import CONFIDENCE
from landscape.probes.comparable import DIRECTION_SEEDS, RESCALINGS, STEPS, TRAINING_SEEDS
from landscape.probes.history.result import FINAL_EPOCHS, OVER_FINAL

LARGE = 2  # standard deviations: a difference that is plain to see in a plot of the seeds
UNEVEN = 2  # times as many seeds on one side as on the other
_HOPELESS = 0.2  # a test that finds it more rarely


def notes(by: str, groups: Sequence[Stratum], rows: Sequence[Row]) -> list[str]:
    """Sentences, the ones that may turn a conclusion round first."""
    settings = [setting for group in groups for setting in group.settings]
    return [
        *_failures(by, settings),
        *_updates(by, settings),
        *_one_seed(groups, rows),
        *_no_smoother(by, rows),
        *_policy(by, groups, rows),
        *_fit(by, groups, rows),
        *_parameter_norms(by, groups, rows),
        *_windows(by, groups, rows),
        *_uneven(rows),
        *_hopeless(rows),
        _method(rows),
    ]


def _failures(by: str, settings: Sequence[Setting]) -> list[str]:
    return [_failure(by, setting, run, why) for setting in settings for run, why in setting.failures.items()]


def _failure(by: str, setting: Setting, run: str, why: str) -> str:
    words = f"{by} {setting.label}: {run} {why}. The setting is listed and never ranked"
    if setting.dead:
        words += ": the flat surface of a dead network says nothing about smoothness"
    others = len(setting.runs) - len(setting.failures)
    living = f" Leave the run out to compare its other {others}, and say that you did." if others else ""
    return f"{words}.{living}"


def _updates(by: str, settings: Sequence[Setting]) -> list[str]:
    """The confound of equal epochs: how many updates each setting made."""
    said = {setting.label: in_order(run.updates for run in setting.runs) for setting in settings}
    unequal = len({tuple(map(shown, updates)) for updates in said.values()}) > 1
    if not (unequal or by == "batch_size"):
        return []
    listed = _by_setting(said, _updates_words)
    unknown = any(update is None for updates in said.values() for update in updates)
    if unequal or unknown:
        return [f"Updates made, by {by}: {listed}. A difference may come from the number of updates and not from {by}."]
    return [f"Updates made, by {by}: {listed}: equal, so not the reason for a difference."]


def _by_setting(said: Mapping[str, Iterable[Any]], words: Callable[[Any], str]) -> str:
    """What each setting's runs say, every value of them once."""
    return "; ".join(f"{label}: {' or '.join(map(words, values))}" for label, values in said.items())


def _updates_words(updates: int | None) -> str:
    return "not stored" if updates is None else f"{updates:,}"


def _one_seed(groups: Sequence[Stratum], rows: Sequence[Row]) -> list[str]:
    found = []
    single = [setting.label for group in groups for setting in group.settings if len(setting.runs) == 1]
    if single:
        seeds = in_order(
            run.seed for group in groups for setting in group.settings if len(setting.runs) == 1 for run in setting.runs
        )
        which = f" (seed {', '.join(map(shown, seeds))})" if "seed" in groups[0].runs[0].settings else ""
        found.append(
            f"One training seed only{which} for {', '.join(single)}: nothing here says how another training would come out."
        )
    replications = {row.replication for row in rows}
    if STEPS in replications:
        found.append(
            "Steps within one run: the interval is that of a mean over the steps of this run, by a circular block bootstrap with "
            "the stated length of blocks, as if the run were stationary: a trend makes it wide or impossible, and --steps "
            "chooses a part without one. It is no evidence between runs."
        )
    if DIRECTION_SEEDS in replications:
        found.append(
            "Direction seeds: the interval is over random planes of the same networks. It is no evidence between runs."
        )
    return found


def _no_smoother(by: str, rows: Sequence[Row]) -> list[str]:
    """Which measures name no smoother network, and why: one sentence for each reason."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in rows:
        if reasons := row.measure.moved_by(by):
            found[reasons].append(row.measure.name.partition(":")[0].partition(" [")[0])
    return [
        f"No network is called the smoother one by {', '.join(dict.fromkeys(names))}. Networks that are one and the same function "
        f"may differ in these as they differ in: {'; '.join(reasons)}."
        + (" Any network may be so rescaled." if RESCALINGS & set(reasons) else "")
        for reasons, names in found.items()
    ]


def _policy(by: str, groups: Sequence[Stratum], rows: Sequence[Row]) -> list[str]:
    """That a BatchNorm policy is one of those networks alone that have BatchNorm, where one of both may be called smoother."""
    results = [result for group in groups for run in group.runs for result in run.results]
    policies = [str(result.dataset.attrs["bn_policy"]) for result in results if "bn_policy" in result.dataset.attrs]
    mixed = len({policy.startswith("none") for policy in policies}) > 1
    if not (mixed or by == "norm") or all(row.measure.smoother == "neither" for row in rows):
        return []
    return [
        "Between networks with and without BatchNorm its policy is a choice about one side alone, and under another policy the "
        "other network may be the smoother one: measure under frozen and under reestimated, and believe what both say."
    ]


def _fit(by: str, groups: Sequence[Stratum], rows: Sequence[Row]) -> list[str]:
    """The losses at the checkpoints, over the measured samples, where a network may be called the smoother one."""
    settings = {setting.label: _checkpoint_losses(setting) for group in groups for setting in group.settings}
    if all(row.measure.smoother == "neither" for row in rows) or not all(settings.values()):
        return []
    listed = "; ".join(f"{label}: {number(min(v))} to {number(max(v))}" for label, v in settings.items())
    return [
        f"Losses at the checkpoints, by {by}: {listed}. Where they differ, a difference in sharpness may be one of the fit."
    ]


def _checkpoint_losses(setting: Setting) -> list[float]:
    """Over the samples of the sharpness of its runs."""
    measured = [r.dataset for run in setting.runs for r in run.results if r.kind == "sharpness"]
    return [float(dataset["checkpoint_loss"]) for dataset in measured if "checkpoint_loss" in dataset]


def _parameter_norms(by: str, groups: Sequence[Stratum], rows: Sequence[Row]) -> list[str]:
    """How large the weights are, where a measure depends on it."""
    norms = {setting.label: _parameter_norm(setting) for group in groups for setting in group.settings}
    listed = "; ".join(f"{label}: {number(norm)}" for label, norm in norms.items() if norm is not None)
    if not listed or all(not row.measure.moved_by(by) for row in rows):
        return []
    return [f"Mean ‖θ‖ over the steps, else at the checkpoint, by {by}: {listed}."]


def _parameter_norm(setting: Setting) -> float | None:
    """Mean ‖θ‖₂ over the probed steps of its runs, else over their probed checkpoints; None where no result says."""
    saying = [r for run in setting.runs for r in run.results if "parameter_norm" in r.dataset]
    of_steps = [r for r in saying if r.kind == "steps"]
    norms = [float(r.dataset["parameter_norm"].values.mean()) for r in of_steps or saying]
    return sum(norms) / len(norms) if norms else None


def _windows(by: str, groups: Sequence[Stratum], rows: Sequence[Row]) -> list[str]:
    found = _final_epochs(by, groups) if any(OVER_FINAL in row.measure.long_name for row in rows) else []
    spans = _spans(groups) if _has(rows, "steps") else []
    if len(spans) > 1:
        found.append(
            f"The runs were probed at different steps: {'; '.join(spans)}. --steps chooses a common range, where there is one."
        )
    return found


def _final_epochs(by: str, groups: Sequence[Stratum]) -> list[str]:
    """Of which part of the training the mean over the final epochs is, where it is another one by setting, or all of it."""
    runs = [run for group in groups for run in group.runs]
    counts = {run: count for run in runs if (count := _epochs(run)) is not None}
    if len({min(FINAL_EPOCHS / count, 1) for count in counts.values() if count}) > 1:
        settings = [setting for group in groups for setting in group.settings]
        made = {s.label: in_order(counts[run] for run in s.runs if run in counts) for s in settings}
        listed = _by_setting({label: found for label, found in made.items() if found}, _of_epochs)
        return [
            f"The {OVER_FINAL} is of other parts of the training, by {by}: {listed}. A difference in "
            "it may come from that; losses and accuracies of the final weights (test_loss, test_accuracy) do not have it."
        ]
    short = [run.label for run, count in counts.items() if count < FINAL_EPOCHS]
    if not short:
        return []
    return [f"Fewer than {FINAL_EPOCHS} epochs, so the mean over the final ones is over all: {', '.join(short)}."]


def _of_epochs(count: int) -> str:
    return f"{FINAL_EPOCHS} of {count}" if count > FINAL_EPOCHS else f"all {count}"


def _spans(groups: Sequence[Stratum]) -> list[str]:
    """First and last probed step and their number, each once, of all runs."""
    measured = [r for group in groups for run in group.runs for r in run.results if r.kind == "steps"]
    steps = sorted({tuple(result.dataset["step"].values.tolist()) for result in measured} - {()})
    return list(dict.fromkeys(f"{at[0]} to {at[-1]} ({len(at)})" for at in steps))


def _epochs(run: Run) -> int | None:
    """None where nothing of it is a history."""
    return min((r.dataset.sizes.get("epoch", 0) for r in run.results if r.kind == "history"), default=None)


def _uneven(rows: Sequence[Row]) -> list[str]:
    """Where Welch's degrees of freedom, an approximation, rest on few seeds of one side beside many of the other."""
    over_seeds = [row for row in rows if row.replication == TRAINING_SEEDS]
    tested = [(pair.n, pair.p) for row in over_seeds for pair in row.pairs]
    tested += [(trend.n, trend.p) for row in over_seeds for trend in row.trends]
    welch = {n for n, p in tested if len(n) > 1 and not math.isnan(p) and max(n) >= UNEVEN * min(n)}
    if not welch:
        return []
    few, many = min(min(n) for n in welch), max(max(n) for n in welch)
    return [
        f"Settings of {few} and of up to {many} training seeds, which are no pairs: Welch's t is an approximation that names a "
        "difference more often than it should where one side has few seeds, also if values are normal (7 % at 2 and 6 seeds "
        "where 5 are due, and more after Holm). Give all settings as many seeds, best the same ones."
    ]


def _hopeless(rows: Sequence[Row]) -> list[str]:
    """Families in which even a large difference would hardly be found, and how many seeds would do."""
    found: dict[str, tuple[int, int, bool]] = {}
    for row in rows:
        for pair in row.pairs:
            if row.replication == TRAINING_SEEDS and not math.isnan(pair.p):
                best = (min(pair.n), pair.comparisons, pair.method.startswith("paired"))
                found[row.measure.family] = max(best, found.get(row.measure.family, best))
    return [_hopeless_words(family, *case) for family, case in found.items() if _power(*case) < _HOPELESS]


def _power(n: int, comparisons: int, paired: bool) -> float:
    return power(n, comparisons, LARGE, paired=paired)


def _hopeless_words(family: str, n: int, comparisons: int, paired: bool) -> str:
    units = "pairs of training seeds" if paired else "training seeds a setting"
    tests = f"{comparisons} comparison{'s' * (comparisons != 1)} of {n} {units}"
    least, chance = number(critical_t(n, comparisons, paired=paired)), 100 * _power(n, comparisons, paired)
    needed = units_needed(comparisons, LARGE, paired=paired)
    return (
        f"{family}: {tests} can tell little. Holm's first must have |t| > {least}: a difference of {LARGE} standard deviations "
        f"has it in {chance:.2g} % of such studies. {needed} {units} would find it in 80 %; fewer comparisons (--measure, "
        "--reference), chosen before looking, need fewer."
    )


def _method(rows: Sequence[Row]) -> str:
    counts = {row.measure.family: pair.comparisons for row in rows for pair in row.pairs}
    families = ", ".join(f"{family} {count}" for family, count in counts.items())
    return (
        f"Intervals are {PERCENT} each, of t, taken alone. p-values are two-sided and corrected by Holm within each family "
        f"of measures (number of comparisons: {families}); a verdict needs p < {1 - CONFIDENCE:.2g} after it. Pairs share their "
        "seeds or steps (paired t; effect size: Hedges' g of the differences); otherwise Welch's t (effect size: over the root "
        "of the mean variance, with Hedges' correction). Beside every t: p over all sign flips of the pairs, or all exchanges "
        "between both sides, which needs no normal distribution."
    )


def _has(rows: Sequence[Row], family: str) -> bool:
    return any(row.measure.family == family for row in rows)
