"""A measurement that becomes one file: what decides it, how it is made, and its saving on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from landscape.objective.again import Held, check_points
from landscape.objective.objective import Objective
from landscape.objective.signature import Signature, stored_in
from landscape.places import Places
from landscape.probes.progress import Progress
from landscape.results import ResultFile
from landscape.stopping import look

# Of a large result, saving takes at most one part in so many of the time.
SHARE = 20


class Saver:
    """Is told of a measurement's progress: saves it at a steady interval, and passes it on to the reporter."""

    def __init__(self, file: ResultFile, places: Places, attributes: Mapping[str, Any], task: str) -> None:
        self._file, self._places, self._attributes, self._task = file, places, attributes, task
        self._last: Progress | None = None
        self._saved_at = time.monotonic()
        self._took = 0.0

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        team = self._places.executor
        at_work = {} if team is None else {"workers": team.workers}
        self._places.reporter.progress(self._task, progress.done, progress.total, progress.unit, **at_work)
        if time.monotonic() - self._saved_at >= max(self._places.save_every, SHARE * self._took):
            self.save_unfinished()
        look()

    def save_unfinished(self) -> None:
        """Save what there is, marked as incomplete."""
        if self._last is not None:
            begun = time.monotonic()
            self._file.save(self._last.dataset().assign_attrs(**self._attributes, complete=0))
            self._saved_at = time.monotonic()
            self._took = self._saved_at - begun


@dataclass(frozen=True)
class Prepared:
    """A measurement that is ready to start.

    Attributes:
        task: what it is called while it runs.
        stem: what its subject is called in the name of the default file.
        identity: what was asked for: settings, checkpoints by their hashes, and model, data and loss by name. It names the file, so
            that the same command finds it again, whatever became of the code behind those names.
        signature: what the code behind them gives: hashes of weights and data, and values.
        attributes: what the result says besides.
        measure: makes the result; takes an earlier, incomplete one or None, and whom to tell of progress.
        count: how many of a result's parts were measured.
        held: points whose loss a result holds, and the objective that they are to be of; none where nothing is stored away from
            the checkpoint that could be measured again at the cost of a few evaluations.
    """

    task: str
    stem: str
    identity: Mapping[str, Any]
    signature: Callable[[], Signature]
    attributes: Mapping[str, Any]
    measure: Callable[[xr.Dataset | None, Saver], xr.Dataset]
    count: Callable[[xr.Dataset], int]
    held: Callable[[xr.Dataset], tuple[Objective, Sequence[Held]]] | None = None

    def check(self, existing: xr.Dataset, path: Path) -> None:
        """Refuse what a file holds if other code or data made it, although the same was asked for.

        Raises:
            MismatchError: naming what differs, be it one of the points that are measured again.
        """
        advice = "Remove it to measure anew, or write to another file with --out."
        self.signature().check(stored_in(existing.attrs), str(path), advice)
        if self.held is not None:
            check_points(*self.held(existing), str(path), advice)
