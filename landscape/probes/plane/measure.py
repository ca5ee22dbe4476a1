"""Loss surfaces over lines, planes and higher-dimensional grids (Li et al. 2018, arXiv 1712.09913).

f(c₁, …, c_K) = L(θ + Σ c_k d_k) for every point of a grid and every set of directions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError, unknown_choice
from landscape.execution.team import Work, team_of
from landscape.numerics.grids import AXIS_NAMES, Axis, Grid
from landscape.numerics.interpolation import interpolate
from landscape.numerics.refinement import Refined, Refinement
from landscape.objective.again import check_points
from landscape.objective.ends import State
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.subspace import Subspace
from landscape.objective.values import Evaluation, PointValues
from landscape.probes.health import network_health
from landscape.probes.plane.changes import is_drawn
from landscape.probes.plane.dataset import DRAW_ERROR, ERROR, Surface, surface_dataset, values_of
from landscape.probes.plane.deviation import checked
from landscape.probes.plane.held import held_points
from landscape.probes.plane.points import GridPoints, known_attributes
from landscape.probes.plane.result import INTERPOLATED, LOST
from landscape.probes.plane.spans import (
    Along,
    Span,
    along_span,
    automatic_range,
    checkpoint_span,
    random_span,
    span_numbers,
)
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import samples_variable

POINTS_A_REQUEST = 4

AxisLike = Axis | tuple[float, float, int] | NDArray[np.float64] | str


@shown
def line(
    objective: Objective,
    *,
    x: AxisLike | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    normalization: str = "filter",
    to: State | None = None,
    along: Along | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The loss along lines: random directions (x = auto:51), or from the checkpoint (0) ``to`` another (1; x = −0.5:1.5:401).

    ``along`` is one direction to follow instead, and ``executor`` who measures, as in :func:`plane`.

    Returns, and raises, what :func:`surface` does, with the dimensions ``(seed, x)``.

    Example:
        >>> line = ls.line(objective, x=(-1, 1, 5), seeds=[0, 1])
        >>> line["loss"].dims, line["loss"].shape
        (('seed', 'x'), (2, 5))
        >>> line["loss"].sel(seed=0).values.round(2)
        array([0.66, 0.66, 0.7 , 0.8 , 0.95])
    """
    if to is not None and along is not None:
        raise InputError("along: give either a direction to follow or a checkpoint to lead to, not both.")
    if to is not None:
        span = checkpoint_span(objective, [to])
    elif along is None:
        span = random_span(objective, seeds, 1, normalization)
    else:
        drawn = seeds if isinstance(along, str) and is_drawn(along.partition(":")[0]) else (0,)
        span = along_span(objective, [along], seeds=drawn, normalization=normalization)
    default: AxisLike = "auto:51" if to is None else (-0.5, 1.5, 401)
    axis = default if x is None else x
    return surface(objective, span, [axis], resume=resume, observer=observer, executor=executor)


@shown
def plane(
    objective: Objective,
    *,
    x: AxisLike | None = None,
    y: AxisLike | None = None,
    seeds: Sequence[int] = (0,),
    normalization: str = "filter",
    to: Sequence[State] = (),
    along: Sequence[Along] = (),
    orthogonalize: bool = False,
    refinement: Refinement | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The loss over planes of two random directions for each seed, or the plane ``to`` two more checkpoints.

    Args:
        objective: what is evaluated; its own parameters are the origin.
        x, y: the axes, ``(start, stop, count)``, ``"start:stop:count"``, evenly spaced coordinates, or ``"auto:count"``, as far
            as the loss leaves its basin (:func:`landscape.probes.plane.spans.automatic_range`); None: ``auto:51``, or −1:1:51
            ``to`` checkpoints.
        seeds: direction seeds; each gives its own plane. Use the same ones across runs that are compared.
        normalization: ``filter``, ``layer`` or ``none``; see :func:`landscape.numerics.directions.normalize`.
        to: two checkpoints, at (1, 0) and (0, 1): modules, state dicts, objectives or files; replaces the seeds.
        along: what the axes follow instead of random directions, such as ``["gradient", "random"]``, ``["quantize4", "prune50"]``,
            two :class:`~landscape.numerics.directions.Direction`, other models or other objectives; see
            :func:`landscape.probes.plane.spans.along_span`.
        orthogonalize: take from the second direction its part along the first.
        refinement: measure only where the picture needs it (:class:`landscape.numerics.refinement.Refinement`); every point
            where None.
        resume: an earlier result of the same objective over the same grid of the same directions: its measured points are not
            measured again. How it was refined may differ.
        observer: told after every few points.
        executor: who measures: a ``concurrent.futures.Executor`` or a ``dask.distributed.Client``; this process where None. Values
            are the same bit for bit where its workers have the same installation, kind of processor, and number of threads.

    Returns, and raises, what :func:`surface` does, with the dimensions ``(seed, y, x)``.

    Example:
        >>> plane = ls.plane(objective, x=(-1, 1, 5), y=(0, 1, 3))
        >>> dict(plane["loss"].sizes)
        {'seed': 1, 'y': 3, 'x': 5}
        >>> float(plane["loss"].sel(seed=0, x=0, y=0)) == objective.evaluate().loss
        True
    """
    span = plane_span(
        objective,
        seeds=seeds,
        normalization=normalization,
        to=to,
        along=along,
        orthogonalize=orthogonalize,
    )
    usual: AxisLike = (-1.0, 1.0, 51) if to else "auto:51"
    axes = [usual if axis is None else axis for axis in (x, y)]
    return surface(objective, span, axes, refinement=refinement, resume=resume, observer=observer, executor=executor)


def plane_span(
    objective: Objective,
    *,
    seeds: Sequence[int] = (0,),
    normalization: str = "filter",
    to: Sequence[State] = (),
    along: Sequence[Along] = (),
    orthogonalize: bool = False,
) -> Span:
    """Where a plane lies; arguments and errors are those of :func:`plane`."""
    if not isinstance(to, list | tuple):
        raise InputError(
            "to: a plane leads to two checkpoints, to=[second, third]; to one of them leads ls.line(…, to=second)."
        )
    if to and len(to) != 2:
        raise InputError(f"to: expected two checkpoints besides the objective's own, got {len(to)}.")
    if to and (along or orthogonalize):
        raise InputError("to: the checkpoints decide both directions; leave out along and orthogonalize.")
    if to:
        return checkpoint_span(objective, to)
    named = along or ("random", "random")
    return along_span(objective, named, seeds=seeds, normalization=normalization, orthogonalize=orthogonalize)


@shown
def surface(
    objective: Objective,
    span: Span,
    axes: Sequence[AxisLike],
    *,
    refinement: Refinement | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The values over the grid of ``axes`` on every subspace of ``span``, coarsest mesh first; any number of axes.

    Returns:
        A data set of kind ``plane`` with the dimensions ``(seed, …, y, x)``: ``loss``, ``loss_standard_error``, ``accuracy``
        (where there is one), ``status`` (0 missing, 1 measured, 2 interpolated, 3 above the clip by part of the samples, 4 lost:
        every worker that took the point died, which the attribute ``lost_points`` names); the checkpoint's own loss; every metric
        and term by its name, with its error; norms of the directions and the cosine between the first two; and its provenance as
        attributes. A loss that is NaN or infinite is a result and stays. With ``refinement``, see
        :mod:`landscape.numerics.refinement`, also ``predicted_loss`` and the attributes ``picture_error_estimate`` (95th
        percentile of the error on the displayed scale, a fraction of its range, by ``picture_audits`` points drawn at random),
        ``picture_error`` (its upper limit; of several planes the largest), ``measured_points``, ``image_passes``, and
        ``interpolation_bound``, what 95 % of the interpolated points are off by at most, for each of its own. In bf16,
        or compiled, also how far that is from fp32 at a few points, see :func:`landscape.probes.plane.deviation.checked`.

    Raises:
        InputError: for a malformed axis, a number of axes other than the span's directions, or refinement of a grid that is
            not two-dimensional, or an ``executor`` that is none.
        ExecutionError: for workers that are gone, or do not suit.
        MismatchError: for a ``resume`` that another objective made, or of other directions or another grid; see
            :mod:`landscape.objective.signature`. Two of its points are measured again, see :mod:`landscape.objective.again`.

    Example:
        >>> span = ls.random_span(objective, seeds=[0], axes=3)
        >>> dict(ls.surface(objective, span, [(-1, 1, 3)] * 3)["loss"].sizes)
        {'seed': 1, 'z': 3, 'y': 3, 'x': 3}
    """
    made = signature(objective).also({"kind": "plane"}, span_numbers(span, objective.precision))
    if resume is not None:
        made.check_resume(resume.attrs)
        check_points(objective, held_points(span, resume))
    return measured_surface(
        objective,
        span,
        axes,
        refinement=refinement,
        resume=resume,
        observer=observer,
        executor=executor,
        made=made.attribute(),
    )


def measured_surface(
    objective: Objective,
    span: Span,
    axes: Sequence[AxisLike],
    *,
    refinement: Refinement | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
    made: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """:func:`surface` for who has seen that ``resume`` belongs here; ``made`` is the attribute that says what made the result."""
    count = len(span.subspaces[0].directions)
    if len(axes) != count:
        raise InputError(f"axes: expected {count}, one for each direction, got {len(axes)}.")
    grid, note = grid_of(objective, span, axes)
    begun = time.perf_counter()
    checkpoint = objective.evaluate()
    pace = time.perf_counter() - begun
    others = list(values_of(PointValues.of([checkpoint])))
    shape = (len(span.seeds), *grid.shape)
    values = Surface.empty(shape, others) if resume is None else Surface.of(resume, grid, span.seeds, others)
    attributes = {**_attributes(objective, span, checkpoint), "range_note": note, **(made or {})}
    if refinement is not None:
        if not isinstance(refinement, Refinement):
            raise InputError(
                f"refinement: expected an ls.Refinement, or None for every point, got {refinement!r}. Try ls.Refinement()."
            )
        refinement = refinement.around(checkpoint.loss)
        _check_quantity(refinement.quantity, checkpoint)
        most = math.inf if refinement.value_max is None else refinement.value_max
        attributes |= {"tolerance": refinement.tolerance, "loss_max": most}
        if refinement.quantity != "loss":
            attributes |= {"refined_by": refinement.quantity}
    if resume is not None and resume.attrs.get("loss_max") != attributes.get("loss_max"):
        values.forget_above()

    def dataset() -> xr.Dataset:
        return surface_dataset(values, grid, span, checkpoint, attributes, samples_variable(objective))

    points, passes = len(grid), None
    if refinement is not None:
        points, passes = min(points, refinement.max_points or points), refinement.max_passes
    count = len(span.seeds)
    work = Work(_values_at, (objective, span.subspaces), team_of(executor))
    passes = passes and passes * count
    job = _Job(objective, span, grid, values, dataset, observer, points * count, passes, work, pace)
    if refinement is None:
        job.measure_all()
    else:
        attributes |= job.measure_adaptively(refinement)
    if objective.is_reference:
        return dataset()
    displayed = refinement if refinement is not None and refinement.value_max else Refinement().around(checkpoint.loss)
    return checked(dataset(), objective, span, grid, values, displayed.value_max or math.inf)


@dataclass(frozen=True)
class _Job:
    """Measuring a grid into ``values`` on every subspace of ``span``, telling ``observer``."""

    objective: Objective
    span: Span
    grid: Grid
    values: Surface
    dataset: Callable[[], xr.Dataset]
    observer: ProgressObserver | None
    points: int  # at most
    passes: float | None  # over all samples, at most
    work: Work
    pace: float  # seconds that a point may take

    def measure_all(self) -> None:
        """Fill in what is missing."""
        self._points(None).measure_all()

    def measure_adaptively(self, refinement: Refinement) -> dict[str, Any]:
        """Measure where the picture needs it, interpolate the rest, and say in attributes how well that is known.

        What an earlier, unfinished run has measured answers the same questions again, so nothing is measured twice.
        """
        known = []
        quantity = refinement.quantity
        scale = "auto" if quantity == "loss" else "linear"
        for number, refined in self._points(refinement.value_max, quantity).refine(refinement, scale=scale):
            self._settle(number, refined, quantity)
            known.append(refined.known)
        if self.observer is not None:
            done = int(self.values.known().sum())
            self.observer(Progress(done, done, self.dataset))
        return {
            **known_attributes(known),
            "measured_points": int(self.values.known().sum()),
            "image_passes": float(self.values.passes(self.objective.n_samples).sum()),
        }

    def _points(self, ceiling: float | None, quantity: str = "loss") -> GridPoints:
        return GridPoints(
            self.grid,
            self.span.seeds,
            known=lambda number: self.values.part(number).known().ravel(),
            shown=lambda number: self.values.part(number).named(quantity).ravel(),
            work=self.work,
            asked=lambda number, missing: (number, self.grid.coefficients(missing), ceiling),
            keep=self._keep,
            lose=self._lose,
            lost=lambda number: (self.values.part(number).status == LOST).ravel(),
            at_once=max(POINTS_A_REQUEST, self.objective.points_at_once),
            together=self.objective.points_at_once,
            pace=self.pace,
            passes=lambda number: self.values.part(number).passes(self.objective.n_samples).ravel(),
        )

    def _settle(self, number: int, refined: Refined, quantity: str) -> None:
        """Keep what is interpolated between the measured points of a plane, and what was predicted of these."""
        part = self.values.part(number)
        unmeasured = np.flatnonzero(~refined.measured)
        shape = (part.loss.shape[0], part.loss.shape[1])
        for name in {"loss", "accuracy", *part.others}:
            array = part.named(name)
            if name == quantity:
                between = refined.values
            elif name.endswith(ERROR) or name == DRAW_ERROR:
                continue
            else:
                between = interpolate(shape, array.ravel(), refined.measured)
            if name != "loss":
                between = _as_shares(between, array.ravel()[refined.measured])
            array.flat[unmeasured] = between[unmeasured]
        lost = part.status == LOST
        part.status.flat[unmeasured] = INTERPOLATED
        part.interpolation_bound.flat[:] = refined.bounds
        if quantity == "loss":
            part.predicted_loss.flat[:] = refined.predicted
        part.lose(lost)

    def _keep(self, number: int, points: NDArray[np.int64], found: PointValues) -> None:
        self.values.part(number).fill(points, found, self.objective.n_samples)
        if self.observer is not None:
            done = int(self.values.known().sum())
            self.observer(Progress(done, max(done, self._total(done)), self.dataset))

    def _lose(self, number: int, points: NDArray[np.int64], why: str) -> None:
        self.values.part(number).status.flat[points] = LOST

    def _total(self, done: int) -> int:
        """How many points there may be, if each further one takes a whole pass."""
        if self.passes is None:
            return self.points
        left = self.passes - float(self.values.passes(self.objective.n_samples).sum())
        return min(self.points, math.floor(done + left + 1e-9))


def _as_shares(between: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolated values, within 0 to 1 where all that was measured is: accuracies and scores are shares of a whole."""
    known = measured[np.isfinite(measured)]
    shares = bool(known.size) and known.min() >= 0.0 and known.max() <= 1.0
    return np.clip(between, 0.0, 1.0) if shares else between


def _check_quantity(quantity: str, checkpoint: Evaluation) -> None:
    """Refuse to refine the picture of what is not measured."""
    measured = ["loss", *(["accuracy"] if checkpoint.accuracy is not None else []), *checkpoint.heights]
    if quantity not in measured:
        raise unknown_choice("refinement: quantity", quantity, measured)


def _values_at(
    objective: Objective,
    subspaces: tuple[Subspace, ...],
    number: int,
    points: NDArray[np.float64],
    ceiling: float | None,
) -> PointValues:
    """A part of the work."""
    return objective.evaluate_points(subspaces[number], points, ceiling=ceiling)


def grid_of(objective: Objective, span: Span, axes: Sequence[AxisLike]) -> tuple[Grid, str]:
    """The grid that ``axes`` mean, with automatic ranges found, and the sentence that says how.

    Raises:
        InputError: for a malformed axis.
    """
    automatic = [isinstance(axis, str) and axis.split(":")[0] == "auto" for axis in axes]
    if not any(automatic):
        return Grid(
            tuple(Axis.given(axis, argument=name) for axis, name in zip(axes, AXIS_NAMES, strict=False))
        ), "range as given"
    chosen = automatic_range(objective, span)
    resolved = [
        f"{-r}:{r}{str(axis)[4:] or ':51'}" if auto else axis
        for axis, auto, r in zip(axes, automatic, chosen.half_widths, strict=True)
    ]
    return Grid(
        tuple(Axis.given(axis, argument=name) for axis, name in zip(resolved, AXIS_NAMES, strict=False))
    ), chosen.note


def _attributes(objective: Objective, span: Span, checkpoint: Evaluation) -> dict[str, Any]:
    health = network_health(objective, checkpoint.loss)
    return {
        **objective.provenance(),
        "directions": span.kind,
        "normalization": span.normalization,
        "direction_origins": [[dict(d.provenance) for d in subspace.directions] for subspace in span.subspaces],
        "checkpoint_gradient": health.gradient,
        **health.attributes(),
    }
