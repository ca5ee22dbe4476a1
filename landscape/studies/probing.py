"""One probe of one checkpoint as one labelled file, resumed by fingerprint."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from landscape.data import DataSet, load_data
from landscape.errors import InputError
from landscape.models import build_model
from landscape.numerics.directions import Direction
from landscape.numerics.refinement import Refinement
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace
from landscape.probes.plane import GridProgress, surface
from landscape.probes.spans import Span, checkpoint_span, random_span
from landscape.probes.surface import ABOVE, MEASURED
from landscape.store import Checkpoint, ResultFile, load_checkpoint, load_into, read_directions
from landscape.studies.places import Places, short_hash
from landscape.studies.runs import build_from, with_data
from landscape.studies.settings import DEFAULT_DATA, ProbeSettings

DEFAULT_AXES = {"plane": "-1:1:51", "line": "-1:1:51"}
BETWEEN_AXES = {"plane": "-0.5:1.5:51", "line": "-0.5:1.5:101"}


@dataclass(frozen=True)
class Subject:
    """What is probed: a checkpoint, and what it leaves open.

    Attributes:
        checkpoint: the file.
        model: a model's name and options, where the checkpoint does not say, or to overrule it.
        data: a data set's name and options, likewise.
        loss: a loss's name, likewise.
        to: further checkpoints of the same model: one for a line, two for a plane.
        directions: a file of directions in the original tool's layout.
    """

    checkpoint: Path
    model: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    loss: str | None = None
    to: tuple[Path, ...] = ()
    directions: Path | None = None


@dataclass(frozen=True)
class ProbeOutcome:
    """Where a result lies, the result, and how many points had to be measured."""

    path: Path
    dataset: xr.Dataset
    measured: int


def probe_checkpoint(
    subject: Subject, settings: ProbeSettings, places: Places, *, out: Path | None = None
) -> ProbeOutcome:
    """Measure a line or plane around a checkpoint, or continue an unfinished measurement of the same settings.

    The result is saved every ``places.save_every`` seconds, at the end, and when anything stops it.

    Raises:
        MismatchError: if ``out`` holds a result of other settings, naming them.
        LockedError: if another process writes the same file.
        CheckpointError: if the checkpoint does not fit the model.
    """
    _check_counts(subject, settings)
    checkpoint = load_checkpoint(subject.checkpoint)
    dataset, spec = _data(subject, checkpoint, places)
    module, model = _module(subject, checkpoint, dataset)
    loss = subject.loss or checkpoint.loss or "cross_entropy"
    objective = Objective(
        module,
        loss,
        dataset.split(settings.split),
        batch_norm=settings.batch_norm,
        samples=settings.images,
        sample_seed=settings.image_seed,
        batch_size=settings.batch_size,
        engine=settings.engine,
        compile=settings.compile,
        precision=settings.precision,
        device=places.device,
    )
    others = [load_checkpoint(path) for path in subject.to]
    axes = _axes(settings, bool(others))
    refinement = settings.refinement(axes) if settings.kind == "plane" else None
    asked = _identity(subject, settings, checkpoint, others, objective, refinement, model, spec, loss)
    path = out or places.outputs / f"{_stem(subject.checkpoint)}-{settings.kind}-{short_hash(asked)}.h5"
    with ResultFile(path, asked) as file:
        existing = file.existing()
        if existing is not None and existing.attrs.get("complete") == 1:
            return ProbeOutcome(path, existing, 0)
        span = _span(subject, settings, module, others, objective)
        attributes = _attributes(subject, checkpoint, model)
        saver = _Saver(file, places, attributes, f"{settings.kind} of {_stem(subject.checkpoint)}")
        already = 0 if existing is None else _measured(existing)
        try:
            result = surface(objective, span, axes, refinement=refinement, resume=existing, observer=saver)
        except BaseException:
            saver.save_unfinished()
            raise
        result = result.assign_attrs(**attributes, complete=1)
        file.save(result)
        return ProbeOutcome(path, result, _measured(result) - already)


class _Saver:
    """An observer of a grid that saves it at a steady interval and tells the reporter."""

    def __init__(self, file: ResultFile, places: Places, attributes: Mapping[str, Any], task: str) -> None:
        self._file, self._places, self._attributes, self._task = file, places, attributes, task
        self._last: GridProgress | None = None
        self._saved_at = time.monotonic()

    def __call__(self, progress: GridProgress) -> None:
        self._last = progress
        self._places.reporter.progress(self._task, progress.done, progress.total)
        if time.monotonic() - self._saved_at >= self._places.save_every:
            self.save_unfinished()

    def save_unfinished(self) -> None:
        if self._last is not None:
            self._file.save(self._last.dataset().assign_attrs(**self._attributes, complete=0))
            self._saved_at = time.monotonic()


def _measured(dataset: xr.Dataset) -> int:
    return int(dataset["status"].isin([MEASURED, ABOVE]).sum())


def _check_counts(subject: Subject, settings: ProbeSettings) -> None:
    wanted = 1 if settings.kind == "line" else 2
    if subject.to and len(subject.to) != wanted:
        raise InputError(f"to: a {settings.kind} leads to {wanted} more checkpoint(s), got {len(subject.to)}.")
    if settings.kind == "line" and settings.y is not None:
        raise InputError(f"y: a line has one axis, x; got y={settings.y!r}. Leave it out, or choose kind plane.")
    if subject.to and subject.directions is not None:
        raise InputError("directions: give either a file of directions or checkpoints to lead to, not both.")


def _data(subject: Subject, checkpoint: Checkpoint, places: Places) -> tuple[DataSet, dict[str, Any]]:
    spec = dict(subject.data or checkpoint.data or {"name": DEFAULT_DATA, "options": {}})
    if subject.data is None and checkpoint.data is None:
        places.reporter.message(f"{subject.checkpoint} does not say which data it belongs to: using {DEFAULT_DATA}")
    loaded = load_data(spec["name"], root=places.data_root, download=places.download, **spec["options"])
    return loaded, spec


def _module(subject: Subject, checkpoint: Checkpoint, dataset: DataSet) -> tuple[nn.Module, dict[str, Any]]:
    if subject.model is not None:
        spec = with_data(subject.model, dataset)
        module = build_model(spec["name"], **spec["options"])
    else:
        spec = dict(checkpoint.model or {})
        module = build_from(checkpoint)
    load_into(module, checkpoint)
    return module, spec


def _span(
    subject: Subject, settings: ProbeSettings, module: nn.Module, others: Sequence[Checkpoint], objective: Objective
) -> Span:
    count = 1 if settings.kind == "line" else 2
    if others:
        return checkpoint_span(objective, [c.state_dict for c in others], [_stem(c.path) for c in others])
    if subject.directions is not None:
        return _span_from_file(subject.directions, count, module, objective)
    return random_span(objective, settings.seeds, count, settings.normalization)


def _span_from_file(path: Path, count: int, module: nn.Module, objective: Objective) -> Span:
    tensors = read_directions(path, module)
    if len(tensors) < count:
        raise InputError(f"{path}: holds {len(tensors)} direction(s), expected {count}.")
    theta = objective.theta
    directions = [
        Direction(theta.layout.pack(named).to(theta.vector), theta.layout, {"kind": "file"})
        for named in tensors[:count]
    ]
    labels = tuple(f"along direction {axis} of {path.name}" for axis in "xy"[:count])
    return Span("file", "as in the file", (0,), (Subspace(theta, directions),), labels)


def _axes(settings: ProbeSettings, between: bool) -> list[str]:
    default = (BETWEEN_AXES if between else DEFAULT_AXES)[settings.kind]
    return [axis or default for axis in ((settings.x,) if settings.kind == "line" else (settings.x, settings.y))]


def _identity(
    subject: Subject,
    settings: ProbeSettings,
    checkpoint: Checkpoint,
    others: Sequence[Checkpoint],
    objective: Objective,
    refinement: Refinement | None,
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    loss: str,
) -> dict[str, Any]:
    """Everything that decides the values: what a resumed measurement must share with the one before it."""
    made = objective.provenance()
    random = not others and subject.directions is None
    return {
        "kind": settings.kind,
        "refinement": None if refinement is None else vars(refinement),
        "axes": _axes(settings, bool(others)),
        "checkpoint": checkpoint.weights_hash(),
        "to": [other.weights_hash() for other in others],
        "directions": None if subject.directions is None else _file_hash(subject.directions),
        "seeds": list(settings.seeds) if random else None,
        "normalization": settings.normalization if random else None,
        "model": dict(model),
        "data": dict(data),
        "loss": loss,
        "split": settings.split,
        **{key: made[key] for key in ("data_fingerprint", "index_hash", "n_samples", "bn_policy", "precision")},
        "batch_size": objective.batch_size if settings.batch_norm == "batch" else None,
    }


def _attributes(subject: Subject, checkpoint: Checkpoint, model: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(model.get("options", {}))
    return {
        "checkpoint": _stem(subject.checkpoint),
        "checkpoint_hash": checkpoint.weights_hash(),
        "model": model.get("name", ""),
        "model_options": options,
        **({"norm": options["norm"]} if "norm" in options else {}),
        **({} if checkpoint.epoch is None else {"epoch": checkpoint.epoch}),
    }


def _stem(path: Path) -> str:
    """What people call a checkpoint: its file, with the run's folder where it is one of a run's."""
    run = f"{path.parent.name}-" if path.name.startswith(("last", "best", "epoch-")) and path.parent.name else ""
    return f"{run}{path.stem}"


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"directions: {path} cannot be read: {error.strerror}.") from None
