"""Where the paths of a study lead: from each of its runs to another one."""

from __future__ import annotations

from landscape.errors import InputError
from landscape.probes.path.config import PathSettings
from landscape.studies.run_settings import RunSettings
from landscape.studies.runs import RunOutcome
from landscape.studies.sweep import Trained


def far_end(probe: PathSettings, run: RunSettings, runs: Trained, every: Trained) -> RunOutcome | None:
    """The run that the path from ``run`` leads to; None for the last seed, which leads to none.

    With ``to``, that is the run of the group ``to`` with the same training seed, or the group's only run. Without it, the run with
    the next larger seed of those that differ from this one in nothing else.

    Args:
        probe: whose ``to`` says which.
        run: where the path begins.
        runs: those that the probe is of.
        every: all of the study, of which ``to`` names some.

    Raises:
        InputError: where the group has none or several, or no run differs in its seed alone.
    """
    return _next_seed(run, runs) if probe.to is None else _of_group(probe.to, run, every)


def _next_seed(run: RunSettings, runs: Trained) -> RunOutcome | None:
    alike = {s.training.seed: outcome for s, outcome in runs if _without_seed(s) == _without_seed(run)}
    if len(alike) < 2:
        raise InputError(
            "to: no other run differs from this one in its seed alone. Give the runs several seeds, or say with to = 'GROUP' "
            "which group of runs the paths lead to."
        )
    later = [seed for seed in alike if seed > run.training.seed]
    return alike[min(later)] if later else None


def _of_group(group: str, run: RunSettings, every: Trained) -> RunOutcome | None:
    members = [(s, outcome) for s, outcome in every if group in s.groups and s.identity() != run.identity()]
    same = [(s, outcome) for s, outcome in members if s.training.seed == run.training.seed]
    chosen = members if len(members) == 1 else same
    if len(chosen) != 1:
        raise InputError(
            f"to: expected one run of the group {group!r} with the seed {run.training.seed}, as this one has, got {len(chosen)}."
        )
    return chosen[0][1]


def _without_seed(run: RunSettings) -> dict[str, object]:
    return {key: value for key, value in run.identity().items() if key != "seed"}
