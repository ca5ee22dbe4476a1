"""Loss surfaces over lines, planes and higher-dimensional grids (Li et al. 2018, arXiv 1712.09913).

f(c₁, …, c_K) = L(θ + Σ c_k d_k) for every point of a grid and every set of directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.grids import Axis, Grid
from landscape.objective.objective import Evaluation, Objective
from landscape.probes.health import network_health
from landscape.probes.spans import Span, automatic_range, checkpoint_span, random_span
from landscape.probes.surface import MEASURED, Surface, surface_dataset

POINTS_A_REQUEST = 4

AxisLike = Axis | tuple[float, float, int] | str


@dataclass(frozen=True)
class GridProgress:
    """What an observer hears after every request: how far the grid is, and the data set as it stands, made when asked for."""

    done: int
    total: int
    dataset: Callable[[], xr.Dataset]


GridObserver = Callable[[GridProgress], None]


def line(
    objective: Objective,
    *,
    x: AxisLike | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    normalization: str = "filter",
    to: nn.Module | Mapping[str, Tensor] | None = None,
    resume: xr.Dataset | None = None,
    observer: GridObserver | None = None,
) -> xr.Dataset:
    """The loss along lines: random directions (x = −1:1:51), or from the checkpoint (0) ``to`` another (1; x = −0.5:1.5:401).

    Returns, and raises, what :func:`surface` does, with the dimensions ``(seed, x)``.
    """
    span = random_span(objective, seeds, 1, normalization) if to is None else checkpoint_span(objective, [to])
    default = (-1.0, 1.0, 51) if to is None else (-0.5, 1.5, 401)
    return surface(objective, span, [default if x is None else x], resume=resume, observer=observer)


def plane(
    objective: Objective,
    *,
    x: AxisLike = (-1.0, 1.0, 51),
    y: AxisLike = (-1.0, 1.0, 51),
    seeds: Sequence[int] = (0,),
    normalization: str = "filter",
    through: Sequence[nn.Module | Mapping[str, Tensor]] = (),
    resume: xr.Dataset | None = None,
    observer: GridObserver | None = None,
) -> xr.Dataset:
    """The loss over planes of two random directions for each seed, or the plane ``through`` two more checkpoints.

    Args:
        objective: what is evaluated; its own parameters are the origin.
        x, y: the axes, ``(start, stop, count)`` or ``"start:stop:count"`` or ``"auto:count"``.
        seeds: direction seeds; each gives its own plane. Use the same ones across runs that are compared.
        normalization: ``filter``, ``layer`` or ``none``; see :func:`landscape.numerics.directions.normalize`.
        through: two checkpoints, at (1, 0) and (0, 1); replaces the seeds.
        resume: an earlier, partial result of the same call: its measured points are not measured again.
        observer: told after every few points.

    Returns, and raises, what :func:`surface` does, with the dimensions ``(seed, y, x)``.
    """
    if through and len(through) != 2:
        raise InputError(f"through: expected two checkpoints besides the objective's own, got {len(through)}.")
    span = checkpoint_span(objective, through) if through else random_span(objective, seeds, 2, normalization)
    return surface(objective, span, [x, y], resume=resume, observer=observer)


def surface(
    objective: Objective,
    span: Span,
    axes: Sequence[AxisLike],
    *,
    resume: xr.Dataset | None = None,
    observer: GridObserver | None = None,
) -> xr.Dataset:
    """The values over the grid of ``axes`` on every subspace of ``span``, coarsest mesh first; any number of axes.

    Returns:
        A data set of kind ``plane`` with the dimensions ``(seed, …, y, x)``: ``loss``, ``loss_standard_error``, ``accuracy``
        (where there is one), ``status`` (0 missing, 1 measured); the checkpoint's own loss; norms of the directions and
        the cosine between the first two; and its provenance as attributes. A loss that is NaN or infinite is a result
        and stays.

    Raises:
        InputError: for a malformed axis, or a number of axes other than the span's directions.
    """
    count = len(span.subspaces[0].directions)
    if len(axes) != count:
        raise InputError(f"axes: expected {count}, one for each direction, got {len(axes)}.")
    grid, note = _grid(objective, span, axes)
    values = Surface.empty((len(span.seeds), *grid.shape)) if resume is None else Surface.of(resume, grid, span.seeds)
    checkpoint = objective.evaluate()
    attributes = {**_attributes(objective, span, checkpoint), "range_note": note}

    def dataset() -> xr.Dataset:
        return surface_dataset(values, grid, span, checkpoint, attributes, objective.indices.cpu().numpy())

    _measure(objective, span, grid, values, dataset, observer)
    return dataset()


def _measure(
    objective: Objective,
    span: Span,
    grid: Grid,
    values: Surface,
    dataset: Callable[[], xr.Dataset],
    observer: GridObserver | None,
) -> None:
    """Fill in what is missing. All seeds share a mesh level before any goes finer, so that a stop leaves them alike."""
    total, done = values.status.size, int((values.status == MEASURED).sum())
    for wanted in np.array_split(grid.coarse_to_fine, -(-len(grid) // POINTS_A_REQUEST)):
        for number, subspace in enumerate(span.subspaces):
            part = values.part(number)
            missing: NDArray[np.int64] = wanted[part.status.flat[wanted] != MEASURED]
            if missing.size == 0:
                continue
            part.fill(missing, objective.evaluate_points(subspace, grid.coefficients(missing)))
            done += missing.size
            if observer is not None:
                observer(GridProgress(done, total, dataset))


def _grid(objective: Objective, span: Span, axes: Sequence[AxisLike]) -> tuple[Grid, str]:
    automatic = [isinstance(axis, str) and axis.split(":")[0] == "auto" for axis in axes]
    if not any(automatic):
        return Grid(tuple(_axis(axis, name) for axis, name in zip(axes, "xyzuvw", strict=False))), "range as given"
    chosen = automatic_range(objective, span)
    r = chosen.half_width
    resolved = [f"{-r}:{r}{str(a)[4:] or ':51'}" if auto else a for a, auto in zip(axes, automatic, strict=True)]
    return Grid(tuple(_axis(axis, name) for axis, name in zip(resolved, "xyzuvw", strict=False))), chosen.note


def _axis(value: AxisLike, name: str) -> Axis:
    if isinstance(value, Axis):
        return value
    if isinstance(value, str):
        return Axis.parse(value, argument=name)
    try:
        start, stop, count = value
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected (start, stop, count), such as (-1, 1, 51), got {value!r}.") from None
    return Axis(float(start), float(stop), count)


def _attributes(objective: Objective, span: Span, checkpoint: Evaluation) -> dict[str, Any]:
    health = network_health(objective, checkpoint.loss)
    return {
        **objective.provenance(),
        "directions": span.kind,
        "normalization": span.normalization,
        "checkpoint_gradient": health.gradient,
        "dead": int(health.dead),
        "dead_reason": health.reason,
    }
