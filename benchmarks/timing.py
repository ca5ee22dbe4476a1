"""Cases of a group in turns: times, ratios pair by pair, and how far the values are from the reference's."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from benchmarks.case import Case, Differs, Group, Unavailable
from benchmarks.peers import Peer
from benchmarks.workload import Workload


@dataclass
class CaseResult:
    """What is known of a case: seconds a unit and times the reference for every repeat, or the note why it was not run."""

    name: str
    title: str
    reference: str | None
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    deviation: float | None = None
    peak_bytes: int | None = None
    note: str = ""


@dataclass
class GroupResult:
    """The cases of a group in its order, and its further ratios by their labels."""

    name: str
    title: str
    unit: str
    cases: list[CaseResult]
    comparisons: dict[str, list[float]]


def measure(
    group: Group, cases: Sequence[Case], workload: Workload, repeats: int, tell: Callable[[str], None]
) -> GroupResult:
    """Set up, run once to warm up and compare values, then time ``repeats`` times in turns.

    Every second turn goes backwards, so that a machine that slows down steadily does so for all alike.

    Raises:
        Differs: where a case computes something else than its reference.
    """
    results = {case.name: CaseResult(case.name, case.title, case.reference) for case in cases}
    values: dict[str, Tensor | None] = {}
    running: list[Case] = []
    for case in cases:
        tell(f"{group.name}: {case.name}: warming up")
        try:
            values[case.name] = _warm_up(case, workload)
            running.append(case)
        except Unavailable as reason:
            results[case.name].note = str(reason)
    for case in running:
        if case.reference is not None:
            results[case.name].deviation = _deviation(group, case, values[case.name], values[case.reference])
    for turn in range(repeats):
        tell(f"{group.name}: turn {turn + 1} of {repeats}")
        for case in running if turn % 2 == 0 else reversed(running):
            gc.collect()
            results[case.name].seconds.append(case.run().seconds)
    for case in running:
        if case.reference is not None:
            results[case.name].ratios = _pairs(results, case.reference, case.name)
    comparisons = {
        c.label: _pairs(results, c.over, c.under)
        for c in group.comparisons
        if c.over in results and c.under in results and results[c.over].seconds and results[c.under].seconds
    }
    return GroupResult(group.name, group.title, group.unit, list(results.values()), comparisons)


def _warm_up(case: Case, workload: Workload) -> Tensor | None:
    case.require()
    try:
        case.setup(workload)
        case.check(workload)
        return case.run().values
    except Exception as error:
        if not isinstance(case, Peer):
            raise
        raise Unavailable(f"does not run: {type(error).__name__}: {error}") from error


def _deviation(group: Group, case: Case, values: Tensor | None, reference: Tensor | None) -> float | None:
    if values is None or reference is None:
        return None
    deviation = group.deviation(values, reference)
    if case.tolerance is not None and not deviation <= case.tolerance:
        raise Differs(
            f"{group.name}/{case.name}: expected the values of {case.reference} to {case.tolerance:g}, "
            f"they differ by {deviation:.3g}."
        )
    return deviation


def _pairs(results: dict[str, CaseResult], over: str, under: str) -> list[float]:
    return [a / b for a, b in zip(results[over].seconds, results[under].seconds, strict=True)]
