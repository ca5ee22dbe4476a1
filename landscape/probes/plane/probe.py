"""The probes that measure a line or a plane: its loss, or the curvature over it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from landscape.errors import InputError
from landscape.numerics.directions import given_direction
from landscape.numerics.refinement import Refinement
from landscape.objective.again import Held
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.subspace import Subspace
from landscape.places import Places
from landscape.probes.costs import EVALUATION, grid_points
from landscape.probes.plane.changes import is_drawn
from landscape.probes.plane.config import DirectedSettings, PlaneSettings
from landscape.probes.plane.directions import named_directions
from landscape.probes.plane.held import held_points
from landscape.probes.plane.measure import surface
from landscape.probes.plane.result import ABOVE, MEASURED
from landscape.probes.plane.spans import Span, along_span, checkpoint_span
from landscape.probes.saving import Prepared, Saver
from landscape.probes.subjects import Opened, Subject, open_subject, stem
from landscape.results import read_directions

# Of random directions, and of others: the loss may rise by any power of ten. A file's directions have a length of their own.
DEFAULT_AXES = {"plane": "auto:51", "line": "auto:51", "curvature_map": "-1:1:21"}
OWN_AXES = {"plane": "auto:51", "line": "auto:51", "curvature_map": "auto:21"}
FILE_AXES = {"plane": "-1:1:51", "line": "-1:1:51", "curvature_map": "-1:1:21"}
BETWEEN_AXES = {"plane": "-0.5:1.5:51", "line": "-0.5:1.5:101", "curvature_map": "-0.5:1.5:21"}


def prepare_plane(subject: Subject, settings: PlaneSettings, places: Places) -> Prepared:
    """A line or plane around the checkpoint, or to the ones that the subject leads to."""
    opened, objective, axes, refinement = opened_plane(subject, settings, places)
    span = cache(partial(span_asked, opened, settings, objective))

    def measure(existing: xr.Dataset | None, saver: Saver) -> xr.Dataset:
        return surface(
            objective,
            span(),
            axes,
            refinement=refinement,
            resume=existing,
            observer=saver,
            executor=places.executor,
        )

    return prepared_plane(
        f"{settings.kind} of {opened.stem}", opened, objective, settings, axes, opened.attributes(), measure, span
    )


def opened_plane(
    subject: Subject, settings: DirectedSettings, places: Places
) -> tuple[Opened, Objective, list[str], Refinement | None]:
    """The subject, its loss, the axes, and how a plane over them is refined."""
    _check_counts(subject, settings)
    opened = open_subject(subject, places)
    objective = opened.objective(settings, places)
    axes = _axes(settings, _named(subject, settings) or (("difference",) * 2 if subject.to else ("file",) * 2))
    return opened, objective, axes, settings.refinement(axes) if settings.kind != "line" else None


def prepared_plane(
    task: str,
    opened: Opened,
    objective: Objective,
    settings: DirectedSettings,
    axes: Sequence[str],
    attributes: Mapping[str, Any],
    measure: Callable[[xr.Dataset | None, Saver], xr.Dataset],
    span: Callable[[], Span],
) -> Prepared:
    file = opened.subject.directions
    identity = {
        **opened.identity(),
        **settings.axes_identity(axes),
        "directions": None if file is None else _file_hash(file),
    }

    def held(existing: xr.Dataset) -> tuple[Objective, Sequence[Held]]:
        return objective, held_points(span(), existing)

    made = partial(signature, objective)
    return Prepared(task, opened.stem, identity, made, attributes, measure, _measured, held)


def _measured(dataset: xr.Dataset) -> int:
    return int(dataset["status"].isin([MEASURED, ABOVE]).sum())


def _named(subject: Subject, settings: DirectedSettings) -> tuple[str, ...]:
    """What the axes follow, by name; nothing where checkpoints or a file say it alone."""
    if settings.along or subject.to or subject.directions is not None:
        return settings.along
    return ("random",) * (1 if settings.kind == "line" else 2)


def _check_counts(subject: Subject, settings: DirectedSettings) -> None:
    named = _named(subject, settings)
    wanted = (
        [name.partition(":")[0] for name in named].count("difference") if named else 1 if settings.kind == "line" else 2
    )
    if len(subject.to) != wanted and (named or subject.to):
        why = f"along {', '.join(named)}" if named else f"a {settings.kind}"
        raise InputError(f"to: {why} leads to {wanted} more checkpoint(s), got {len(subject.to)}.")
    if settings.orthogonalize and not named:
        raise InputError("orthogonalize: the checkpoints or the file decide both directions. Name them with along.")
    if subject.to and subject.directions is not None and not named:
        raise InputError("directions: give either a file of directions or checkpoints to lead to, not both.")


def span_asked(opened: Opened, settings: DirectedSettings, objective: Objective) -> Span:
    count = 1 if settings.kind == "line" else 2
    named = _named(opened.subject, settings)
    if named:
        return along_span(
            objective,
            named_directions(named, opened, objective),
            seeds=settings.seeds if any(is_drawn(name.partition(":")[0]) for name in named) else (0,),
            normalization=settings.normalization,
            orthogonalize=settings.orthogonalize,
        )
    if opened.others:
        return checkpoint_span(objective, [c.state_dict for c in opened.others], [stem(c.path) for c in opened.others])
    assert opened.subject.directions is not None
    return _span_from_file(opened.subject.directions, count, opened.module, objective)


def _span_from_file(path: Path, count: int, module: nn.Module, objective: Objective) -> Span:
    tensors = read_directions(path, module)
    if len(tensors) < count:
        raise InputError(f"{path}: holds {len(tensors)} direction(s), expected {count}.")
    theta = objective.theta
    directions = [
        given_direction(theta.layout.pack(named), theta, kind="file", file=path.name) for named in tensors[:count]
    ]
    labels = tuple(f"along direction {axis} of {path.name}" for axis in "xy"[:count])
    return Span("file", "as in the file", (0,), (Subspace(theta, directions),), labels)


def _axes(settings: DirectedSettings, named: Sequence[str]) -> list[str]:
    """The axes that were asked for; else what suits the direction: beyond both checkpoints, or as far as its basin."""
    asked = (settings.x,) if settings.kind == "line" else (settings.x, settings.y)
    alike = next((name for name in ("random", "file") if set(named) == {name}), "")
    others = {"random": DEFAULT_AXES, "file": FILE_AXES}.get(alike, OWN_AXES)[settings.kind]
    defaults = [BETWEEN_AXES[settings.kind] if name == "difference" else others for name in named]
    return [axis or default for axis, default in zip(asked, defaults, strict=False)]


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"directions: {path} cannot be read: {error.strerror}.") from None


def plane_steps(settings: DirectedSettings, module: nn.Module, batch_size: int) -> float:
    """What a plane costs, in training steps of one sample."""
    return len(settings.seeds) * grid_points(settings, asked_axes(settings))[1] * EVALUATION * settings.images


def asked_axes(settings: DirectedSettings) -> list[str]:
    """The axes of random directions."""
    given = (settings.x,) if settings.kind == "line" else (settings.x, settings.y)
    return [axis or DEFAULT_AXES[settings.kind] for axis in given]
