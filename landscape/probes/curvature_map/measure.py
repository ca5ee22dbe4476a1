"""Curvature maps: λ_max and λ_min of the Hessian of all parameters at each point of a plane (Li et al. 2018, section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.errors import ExecutionError, InputError
from landscape.execution.team import Work, team_of
from landscape.numerics.directions import Direction
from landscape.numerics.eigenvalues import Extremes, Search, extremes
from landscape.numerics.refinement import Refinement
from landscape.numerics.seeds import generator
from landscape.objective.again import check_points
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.subspace import Subspace
from landscape.probes.curvature_map.values import RATIO_LIMIT, CurvatureValues, of_ends
from landscape.probes.plane.held import held_points
from landscape.probes.plane.measure import AxisLike, grid_of, measured_surface, plane_span
from landscape.probes.plane.points import GridPoints, known_attributes
from landscape.probes.plane.spans import Span, span_numbers
from landscape.probes.progress import Progress, ProgressObserver, shown

COARSE = 6  # mesh widths of the first grid: a point costs some hundred times what one of a loss plane does
POLICIES = ("frozen", "batch")


@dataclass(frozen=True)
class EigenvalueSearch:
    """How well the two eigenvalues of a point are looked for.

    Args:
        tolerance: of their residuals, relative to the larger |λ| of the point; the eigenvalues themselves err by less.
        max_products: at most so many Hessian products a point.

    Raises:
        InputError: naming the argument.

    Example:
        >>> search = ls.EigenvalueSearch(tolerance=0.05, max_products=20)
        >>> ls.curvature_map(objective, x=(-1, 1, 3), y=(0, 1, 2), search=search)["products"].shape
        (1, 2, 3)
    """

    tolerance: float = 0.01
    max_products: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError(
                f"eigenvalue_tolerance: expected a number between 0 and 1, such as 0.01, got {self.tolerance!r}."
            )
        if not isinstance(self.max_products, int) or isinstance(self.max_products, bool) or self.max_products < 3:
            raise InputError(f"max_products: expected a whole number of at least 3, got {self.max_products!r}.")

    def search(self) -> Search:
        """As the eigenvalue solver takes it. By the error bounds alone it would stop too early at indefinite points."""
        return Search(1, 1, self.tolerance, "residual", self.max_products)


@shown
def curvature_map(
    objective: Objective,
    *,
    x: AxisLike = (-1.0, 1.0, 21),
    y: AxisLike = (-1.0, 1.0, 21),
    seeds: Sequence[int] = (0,),
    normalization: str = "filter",
    to: Sequence[nn.Module | Mapping[str, Tensor]] = (),
    along: Sequence[Direction | str] = (),
    orthogonalize: bool = False,
    search: EigenvalueSearch | None = None,
    refinement: Refinement | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """λ_max, λ_min and λ_min/λ_max over planes of two random directions for each seed, or the plane ``to`` two checkpoints.

    Args:
        search: how well the eigenvalues are looked for; the defaults of :class:`EigenvalueSearch` where None.
        refinement: measure the curvature only where the picture of λ_min/λ_max, from −1 to 1, needs it; every point where None.

    The other arguments are those of :func:`landscape.probes.plane.measure.plane`; for what is returned and raised see
    :func:`curvature_over`.

    Example:
        >>> found = ls.curvature_map(objective, x=(-1, 1, 3), y=(0, 1, 2))
        >>> found["curvature_ratio"].sel(seed=0).values.round(2)
        array([[-0.17, -0.28, -0.6 ],
               [-0.22, -0.32, -0.52]])
    """
    span = plane_span(
        objective,
        seeds=seeds,
        normalization=normalization,
        to=to,
        along=along,
        orthogonalize=orthogonalize,
    )
    return curvature_over(
        objective,
        span,
        [x, y],
        search=search,
        refinement=refinement,
        resume=resume,
        observer=observer,
        executor=executor,
    )


def curvature_over(
    objective: Objective,
    span: Span,
    axes: Sequence[AxisLike],
    *,
    search: EigenvalueSearch | None = None,
    refinement: Refinement | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The curvature over the grid of two ``axes`` on every plane of ``span``; the loss at every point comes first.

    H is the Hessian of the mean loss in all parameters at the point, not that of the plane. Its two ends are found by Lanczos.
    Every point starts from the same vector: the checkpoint's two eigenvectors with a random one mixed in. So a value depends
    neither on the order of the points nor on an interruption, bit for bit, and takes fewer products than from a random start;
    the neighbour's eigenvectors would save some more, and make every value depend on what was measured before it.

    Returns:
        A data set of kind ``curvature_map`` with the dimensions ``(seed, y, x)``:

        - ``eigenvalue_largest`` and ``eigenvalue_smallest``, λ_max and λ_min, with ``…_residual`` = ‖H v − λ v‖₂ (an eigenvalue
          lies no further from λ), ``…_error_bound`` (the residual, or residual² / gap where that is less, the gap being that to
          the other Ritz values: an estimate) and ``…_converged``
          (the residual is within the tolerance); NaN where not measured, or where the loss or a product is not finite. Both are
          Rayleigh quotients, so λ_max is never too large and λ_min never too small; that no eigenvalue lies beyond them is what
          Lanczos finds, not what a residual proves;
        - ``curvature_ratio`` = λ_min/λ_max, interpolated between the measured points of an adaptive map, and its
          ``…_error_bound`` (r_min + |ratio| r_max) / (|λ_max| − r_max) from their residuals r; ``predicted_ratio``; ``products``;
        - ``status`` of the curvature, and ``loss_status`` of the loss: 0 missing, 1 measured, 2 interpolated;
        - all that :func:`landscape.probes.plane.measure.surface` says of the loss, and the checkpoint's own curvature.

        λ_min < 0 < λ_max is not convex there; Li et al. draw |λ_min/λ_max|. A ratio below −1 says that the steepest curvature is
        downward, and is displayed as −1. The ratio of a zero Hessian is NaN.

    Raises:
        InputError: for a policy under which the statistics would not follow the second derivative, bf16, a clip of the loss,
            and what :func:`landscape.probes.plane.measure.surface` refuses.
        MismatchError: for a ``resume`` that another objective or search made, or over another plane. Its loss is measured
            again at two points; its eigenvalues, which take as long as a hundred, are not.

    References:
        Li et al. 2018, arXiv 1712.09913, section 6.
    """
    _check(objective, axes, refinement)
    wanted = EigenvalueSearch() if search is None else search
    settings = {"kind": "curvature_map", **vars(wanted)}
    made = signature(objective).also(settings, span_numbers(span, objective.precision))
    if resume is not None:
        made.check_resume(resume.attrs)
        check_points(objective, held_points(span, resume))
    grid, note = grid_of(objective, span, axes)
    empty = CurvatureValues.empty((len(span.seeds), *grid.shape))
    values = empty if resume is None else CurvatureValues.of(resume)
    losses = None if resume is None else resume.drop_vars("status").rename(loss_status="status")
    hessian = _Hessian(objective, wanted)
    attributes: dict[str, Any] = {"range_note": note, **_effort(wanted, refinement), **made.attribute()}

    def completed(plane: Callable[[], xr.Dataset]) -> xr.Dataset:
        curved = values.dataset(plane(), hessian.checkpoint, refined=refinement is not None)
        return curved.assign_attrs(attributes)

    def on_loss(progress: Progress) -> None:
        tell(progress.done, progress.dataset)

    def tell(losses_done: int, plane: Callable[[], xr.Dataset]) -> None:
        if observer is not None:
            done = losses_done + values.measured
            observer(Progress(done, total, lambda: completed(plane)))

    most = len(grid) if refinement is None else refinement.most(len(grid))
    total = (len(grid) + most) * len(span.seeds)
    team = team_of(executor)
    plane = measured_surface(objective, span, grid.axes, resume=losses, observer=on_loss, executor=team)

    def asked(number: int, missing: NDArray[np.int64]) -> tuple[Any, ...]:
        return number, grid.coefficients(missing), np.isfinite(plane["loss"].values[number].ravel()[missing])

    def keep(number: int, points: NDArray[np.int64], found: list[dict[str, float]]) -> None:
        for point, ends in zip(points.tolist(), found, strict=True):
            values.fill(number, point, ends)
            tell(plane["loss"].size, lambda: plane)

    def lose(number: int, points: NDArray[np.int64], why: str) -> None:
        raise ExecutionError(
            f"workers: the eigenvalues at a point could not be found, as {why}. Ask for the same again to go on."
        )

    points = GridPoints(
        grid,
        span.seeds,
        values.known,
        values.shown,
        Work(_ends_at, (objective, span.subspaces, hessian.start, wanted), team),
        asked,
        keep,
        lose,
        lost=lambda number: np.zeros(len(grid), dtype=bool),
    )
    if refinement is None:
        points.measure_all()
    else:
        attributes |= _refined(points, values, replace(refinement, value_max=RATIO_LIMIT))
    return completed(lambda: plane)


def _refined(points: GridPoints, values: CurvatureValues, refinement: Refinement) -> dict[str, Any]:
    """Measure where the picture needs it, and say in attributes how well the rest is known."""
    known = []
    for number, refined in points.refine(refinement, scale="linear", coarse=COARSE):
        values.settle(number, refined)
        known.append(refined.known)
    return {**known_attributes(known), "measured_points": values.measured}


def _effort(search: EigenvalueSearch, refinement: Refinement | None) -> dict[str, Any]:
    made = {"eigenvalue_tolerance": search.tolerance, "max_products": search.max_products}
    return made if refinement is None else {**made, "tolerance": refinement.tolerance}


def _check(objective: Objective, axes: Sequence[AxisLike], refinement: Refinement | None) -> None:
    if len(axes) != 2:
        raise InputError(f"axes: a curvature map is over a plane, with two axes, got {len(axes)}.")
    policy = objective.batch_norm if objective.bn_layers else "frozen"
    check_usable(policy, objective.precision, None if refinement is None else refinement.value_max)


def check_usable(batch_norm: str, precision: str, loss_max: float | None) -> None:
    """Refuse what a curvature map cannot be made with.

    Raises:
        InputError: naming it.
    """
    if batch_norm not in POLICIES:
        raise InputError(
            f"batch_norm: under {batch_norm!r} the statistics move with the point and the second derivative does not "
            f"follow them. Choose {' or '.join(POLICIES)}."
        )
    if precision == "bf16":
        raise InputError("precision: 'bf16' is too coarse for eigenvalues of the Hessian. Choose fp32 or fp64.")
    if loss_max is not None:
        raise InputError(
            f"loss_max: a curvature map shows λ_min/λ_max from −1 to 1, and no loss; got {loss_max!r}. Leave it out."
        )


class _NotFinite(Exception):
    """A Hessian product is NaN or infinite."""


class _Hessian:
    """Finds the ends of the Hessian's spectrum at any point, always from the same ``start``.

    ``checkpoint`` is what was found at the checkpoint itself, named as in :data:`landscape.probes.curvature_map.values.POINT`.
    """

    def __init__(self, objective: Objective, search: EigenvalueSearch) -> None:
        theta = objective.theta.vector
        drawn = torch.randn(theta.numel(), generator=generator(0, "curvature map")).to(theta)
        self.start = drawn / torch.linalg.vector_norm(drawn)
        found = _found(objective, theta, self.start, search)
        self.checkpoint = {} if found is None else of_ends(found)
        if found is not None:
            self.start = self.start + found.vectors.sum(dim=0) / math.sqrt(2)


def _ends_at(
    objective: Objective,
    subspaces: tuple[Subspace, ...],
    start: Tensor,
    search: EigenvalueSearch,
    number: int,
    points: NDArray[np.float64],
    finite: NDArray[np.bool_],
) -> list[dict[str, float]]:
    """What there is at points; nothing where the loss or a product is not finite."""
    ends = []
    for place, usable in zip(points, finite.tolist(), strict=True):
        theta = subspaces[number].point(torch.from_numpy(place))
        found = _found(objective, theta, start, search) if usable else None
        ends.append({} if found is None else of_ends(found))
    return ends


def _found(objective: Objective, theta: Tensor, start: Tensor, search: EigenvalueSearch) -> Extremes | None:
    def product(vector: Tensor) -> Tensor:
        made = objective.hessian_product(vector, theta)
        if not bool(torch.isfinite(made).all()):
            raise _NotFinite
        return made

    try:
        return extremes(product, start, search.search())[0]
    except _NotFinite:
        return None
