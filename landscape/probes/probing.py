"""One probe of one checkpoint as one labelled file, resumed by fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from landscape.places import Places, short_hash
from landscape.probes.saving import Prepared, Saver
from landscape.probes.settings import ProbeSettings
from landscape.probes.subjects import Subject
from landscape.registry import asked, found
from landscape.results import ResultFile, check_result_path, check_writable
from landscape.results.names import LONGEST, shortened
from landscape.stopping import in_pieces


@dataclass(frozen=True)
class ProbeOutcome:
    """Where a result lies, the result, and how many of its parts (points, steps) had to be measured."""

    path: Path
    dataset: xr.Dataset
    measured: int


def probe_checkpoint(
    subject: Subject, settings: ProbeSettings, places: Places, *, out: Path | None = None
) -> ProbeOutcome:
    """Measure a checkpoint as ``settings`` say, or continue an unfinished measurement of the same settings.

    The result is saved every ``places.save_every`` seconds, or rarer where saving takes long, at the end, and when an error, a
    signal or Ctrl-C stops it.

    Raises:
        ResultFileError: before anything is measured, if ``out`` cannot be written.
        MismatchError: if the file holds a result of other settings, naming them, or one that other code or data made.
        LockedError: if another process writes the same file.
        CheckpointError: if the checkpoint cannot be read, or does not fit the model.
        InputError: if only the checkpoint names a function that would have to be run; see :func:`landscape.probes.trust.settled`.
    """
    if out is None:
        check_writable(places.outputs / f"{settings.kind}-new.h5")
    else:
        check_result_path(out, [p for p in (subject.checkpoint, *subject.to, subject.directions) if p is not None])
    prepared: Prepared = found(asked()[settings.kind].prepare)(subject, settings, places)
    stem = shortened(prepared.stem, LONGEST)
    path = out or places.outputs / f"{stem}-{settings.kind}-{short_hash(prepared.identity)}.h5"
    with ResultFile(path, prepared.identity) as file:
        existing = file.existing()
        if existing is not None:
            prepared.check(existing, path)
        if existing is not None and existing.attrs.get("complete") == 1:
            return ProbeOutcome(path, existing, 0)
        saver = Saver(file, places, prepared.attributes, prepared.task)
        already = 0 if existing is None else prepared.count(existing)
        with in_pieces():
            try:
                result = prepared.measure(existing, saver)
            except BaseException:
                saver.save_unfinished()
                raise
            result = file.kept(result.assign_attrs(**prepared.attributes, complete=1))
        return ProbeOutcome(path, result, prepared.count(result) - already)
