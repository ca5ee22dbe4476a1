"""A training's path in the plane of its principal components (Li et al. 2018, section 7), and how far it lies off that plane."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import given_direction
from landscape.numerics.grids import Axis
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.refinement import Refinement
from landscape.objective.again import check_points
from landscape.objective.ends import State, check_finite, point_of
from landscape.objective.objective import Objective
from landscape.objective.signature import Signature, signature, tensors_hash
from landscape.objective.subspace import Subspace
from landscape.objective.values import Evaluation
from landscape.probes.plane.held import held_points
from landscape.probes.plane.measure import AxisLike, measured_surface
from landscape.probes.plane.spans import Span, span_numbers
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.trajectory.components import Components, distances_between, principal_components, stress
from landscape.probes.trajectory.result import statistics_words
from landscape.probes.trajectory.states import earlier_states
from landscape.results.attributes import LOSS, labels

POINTS = 51
MARGIN = 0.15  # of the path's extent, free on either side of it
_NARROWEST = 0.1  # of the longer axis: a path that hardly leaves a line still gets a plane to be seen on


@dataclass(frozen=True)
class TrainingPath:
    """The checkpoints of a training in their order, the objective's own being the last.

    Attributes:
        names: what each is called.
        epochs: after how many epochs each was saved; NaN where that is not known.
        points: θ of each.
        statistics: their flat BatchNorm running statistics.
        components: the principal components of the differences to the last θ.
        distances: ‖θᵢ − θⱼ‖₂, shape ``(checkpoints, checkpoints)``.
        centred: whether the components are those around the mean.
    """

    names: tuple[str, ...]
    epochs: tuple[float, ...]
    points: tuple[ParameterVector, ...]
    statistics: tuple[Tensor, ...]
    components: Components
    distances: NDArray[np.float64]
    centred: bool

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """Where each lies in the plane of the first two components, shape ``(checkpoints, 2)``; the last at (0, 0)."""
        return np.vstack([self.components.coordinates[: len(self.points) - 1], np.zeros(2)])

    @property
    def residuals(self) -> NDArray[np.float64]:
        """How far each lies off that plane, shape ``(checkpoints,)``."""
        return np.append(self.components.residuals[: len(self.points) - 1], 0.0)

    @property
    def stress(self) -> float:
        """Kruskal's stress 1 of the distances on the plane."""
        return stress(self.coordinates, self.distances)


@shown
def trajectory(
    objective: Objective,
    checkpoints: Sequence[State],
    *,
    names: Sequence[str] | None = None,
    epochs: Sequence[float | None] | None = None,
    x: AxisLike | None = None,
    y: AxisLike | None = None,
    centred: bool = False,
    ordered: bool = True,
    refinement: Refinement | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The loss over the plane of the two principal components of [θ₀ − θₙ, …, θₙ₋₁ − θₙ], and each checkpoint beside it.

    Coordinates are Euclidean distances from θₙ along orthonormal components. What the plane shows at a checkpoint's projection
    is not its loss: how far off the plane it lies (``path_residual``) and its own loss (``path_loss``) are on the result too.

    With ``ordered=False`` the checkpoints are models that no training leads through: trained from several seeds, by the clients of
    a federation, merged. The components are then those of all around their mean, and where they lie is what classical
    multidimensional scaling makes of their distances.

    Args:
        objective: made of the last checkpoint, θₙ.
        checkpoints: the earlier ones in their order: modules, state dicts or files, of the same architecture. The last one may
            be the objective's own.
        names: what they are called, the last one included; their numbers by default.
        epochs: after how many epochs each was saved, the last one included; None where not known.
        x, y: the axes; ``auto:count``, with 51 points by default, covers the path with a margin and holds 0.
        centred: components of the differences with their mean taken off, as the original tool computes them. By default it stays,
            so that the plane is the best one through θₙ.
        ordered: whether the checkpoints are a path. Of models in no order the mean of all, θₙ too, is taken off.
        refinement: as in :func:`landscape.probes.plane.measure.plane`.
        resume: an earlier, partial result of the same call; how it was refined may differ.
        observer: told after every few points.
        executor: who measures the plane, as in :func:`landscape.probes.plane.measure.plane`.

    Returns:
        A data set of kind ``trajectory``: all that :func:`landscape.probes.plane.measure.surface` gives, and by ``checkpoint``:
        ``path_x``, ``path_y``; ``path_residual`` and ``path_distance`` (from the plane, from θₙ); ``path_loss`` with its standard
        error and ``path_accuracy``, of the checkpoint, under ``frozen`` with its own running statistics; ``path_weights_loss``, of
        its weights under the objective's BN policy; ``path_plane_loss`` with its standard error, at its projection, so that
        ``path_plane_loss − path_weights_loss`` is what the residual alone changes. By ``component``: ``explained_variance``, its
        fraction of Σ‖θᵢ − θₙ‖² (of the variance around the mean if ``centred``). ``stress`` says how well the plane keeps the
        distances: √(Σ (d − δ)² / Σ δ²) over all pairs, d on the plane and δ in parameter space (Kruskal's stress 1).

    Raises:
        InputError: for fewer than two earlier checkpoints, another architecture, checkpoints that lie on one line,
            or one with NaN or infinite parameters, naming it.
        MismatchError: for a ``resume`` that another objective made, or of other checkpoints or another grid.

    References:
        Li et al. 2018, arXiv 1712.09913.

    Example:
        >>> third = {name: tensor + 0.1 for name, tensor in other.state_dict().items()}
        >>> found = ls.trajectory(objective, [other, third, net.state_dict()], x="auto:3", y="auto:3")
        >>> found["path_distance"].shape
        (3,)
    """
    states, names = earlier_states(objective, checkpoints, names)
    path = path_of(objective, states, names=names, epochs=epochs, centred=centred, ordered=ordered)
    span = path_span(objective, path)
    made = _made_by(objective, path, span)
    if resume is not None:
        made.check_resume(resume.attrs)
        check_points(objective, held_points(span, resume))
    axes = [_axis(given, path.coordinates, k) for k, given in enumerate((x, y))]
    automatic = all(_is_automatic(given) for given in (x, y))
    values = _Values.empty(len(path.names)) if resume is None else _Values.of(resume)
    attributes = {
        "kind": "trajectory",
        "title": "loss surface along a training" if ordered else "loss surface through several models",
        "centred": int(path.centred),
        "ordered": int(ordered),
        "range_note": "range that covers the path with a margin" if automatic else "range as given",
        **made.attribute(),
    }

    def with_path(plane: xr.Dataset) -> xr.Dataset:
        return plane.assign(
            _variables(path, values, plane["loss"].attrs["units"], plane.attrs["bn_policy"])
        ).assign_attrs(attributes)

    points = 0  # that the plane will have, at most

    def on_plane(progress: Progress) -> None:
        nonlocal points
        points = progress.total
        tell(progress.done, progress.dataset)

    def tell(done: int, plane: Callable[[], xr.Dataset]) -> None:
        if observer is not None:
            total = points + len(path.names)
            observer(Progress(done + values.done, total, lambda: with_path(plane())))

    plane = measured_surface(
        objective, span, axes, refinement=refinement, resume=resume, observer=on_plane, executor=executor
    )
    points = points or plane["status"].size
    for number in np.flatnonzero(~values.measured):
        values.measure(objective, path, span.subspaces[0], int(number))
        tell(points, lambda: plane)
    return with_path(plane)


def _made_by(objective: Objective, path: TrainingPath, span: Span) -> Signature:
    weights = [view for point in path.points for view in point.views().values()]
    checkpoints = tensors_hash([*weights, *path.statistics])
    facts = {"kind": "trajectory", "checkpoints": checkpoints}
    return signature(objective).also(facts, span_numbers(span, objective.precision))


def path_of(
    objective: Objective,
    checkpoints: Sequence[nn.Module | Mapping[str, Tensor]],
    *,
    names: Sequence[str] | None = None,
    epochs: Sequence[float | None] | None = None,
    centred: bool = False,
    ordered: bool = True,
) -> TrainingPath:
    """The checkpoints with the objective's own as the last, and the two principal components of their differences.

    Raises:
        InputError: as :func:`trajectory`.
    """
    count = len(checkpoints) + 1
    for name, given in (("names", names), ("epochs", epochs)):
        if given is not None and len(given) != count:
            raise InputError(
                f"{name}: expected {count}, one a checkpoint with the last one included, got {len(given)}."
            )
    if count < 3:
        raise InputError(
            f"checkpoints: a plane needs at least three, the last one included, got {count}. For two there are lines: "
            "landscape probe --kind line --to."
        )
    called = tuple(names) if names is not None else tuple(str(number) for number in range(1, count + 1))
    found = [point_of(objective, one, name) for one, name in zip(checkpoints, called, strict=False)]
    check_finite(objective.theta, called[-1])
    points = (*(theta for theta, _ in found), objective.theta)
    end = points[-1].vector.double()
    rows = [p.vector.double() - end for p in points]
    try:
        components = principal_components(rows[:-1] if ordered else rows, 2, centred=centred or not ordered)
    except InputError as error:
        raise InputError(
            f"checkpoints: a plane needs three that do not lie on one line ({error}) Are some of them the same?"
        ) from None
    return TrainingPath(
        names=called,
        epochs=tuple(math.nan if e is None else float(e) for e in (epochs or [None] * count)),
        points=points,
        statistics=(*(statistics for _, statistics in found), objective.statistics),
        components=components,
        distances=distances_between(rows),
        centred=centred or not ordered,
    )


def path_span(objective: Objective, path: TrainingPath) -> Span:
    """The plane through the last checkpoint along the first two components, of length 1 each."""
    explained = path.components.explained
    directions = [
        given_direction(vector, objective.theta, kind="component", number=k, explained=float(explained[k - 1]))
        for k, vector in enumerate(path.components.vectors, 1)
    ]
    labels = tuple(f"principal component {k} ({100 * explained[k - 1]:.3g} % explained)" for k in (1, 2))
    return Span("components", "none", (0,), (Subspace(objective.theta, directions),), labels)


def _axis(given: AxisLike | None, coordinates: NDArray[np.float64], k: int) -> AxisLike:
    if given is not None and not _is_automatic(given):
        return given
    count = Axis.parse(f"0:1{str(given)[4:]}", argument="xy"[k]).count if given and given != "auto" else POINTS
    return fitted_axes(coordinates, count)[k]


def _is_automatic(given: AxisLike | None) -> bool:
    return given is None or (isinstance(given, str) and given.split(":")[0] == "auto")


def fitted_axes(coordinates: NDArray[np.float64], count: int = POINTS) -> list[Axis]:
    """An axis for each column that covers its values with a margin and holds 0, where the last checkpoint is."""
    widths = np.ptp(coordinates, axis=0)
    spare = MARGIN * np.maximum(widths, _NARROWEST * widths.max())
    low, high = coordinates.min(axis=0) - spare, coordinates.max(axis=0) + spare
    return [_around_zero(float(a), float(b), count) for a, b in zip(low, high, strict=True)]


def _around_zero(low: float, high: float, count: int) -> Axis:
    """``count`` points over [low, high] or a little more, one of them 0: exactly, as the step has few binary digits."""
    step = (high - low) / (count - 1)
    unit = 2.0 ** (math.floor(math.log2(step)) - 6)
    step = math.ceil(step / unit) * unit
    while math.ceil(-low / step) + math.ceil(high / step) > count - 1:
        step += unit
    before = math.ceil(-low / step)
    return Axis(-before * step, (count - 1 - before) * step, count)


@dataclass
class _Values:
    """What is measured of each checkpoint, arrays of shape ``(checkpoints,)``; NaN until ``measured``."""

    measured: NDArray[np.bool_]
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int) -> _Values:
        return cls(np.zeros(count, dtype=bool), {name: np.full(count, math.nan) for name in _MEASURED})

    @classmethod
    def of(cls, dataset: xr.Dataset) -> _Values:
        made = {name: np.array(dataset[name].values, dtype=float) for name in _MEASURED if name in dataset}
        empty = cls.empty(dataset.sizes["checkpoint"])
        return cls(dataset["path_measured"].values.astype(bool), {**empty.arrays, **made})

    @property
    def done(self) -> int:
        return int(self.measured.sum())

    def measure(self, objective: Objective, path: TrainingPath, subspace: Subspace, number: int) -> None:
        theta = path.points[number]
        own = objective.evaluate(theta, statistics=path.statistics[number])
        under = objective.evaluate(theta)
        projected = objective.evaluate_points(subspace, path.coordinates[number : number + 1])
        found = {
            **_named("path_loss", own),
            "path_accuracy": math.nan if own.accuracy is None else own.accuracy,
            "path_weights_loss": under.loss,
            "path_plane_loss": float(projected.loss[0]),
            "path_plane_loss_standard_error": float(projected.standard_error[0]),
        }
        for name, value in found.items():
            self.arrays[name][number] = value
        self.measured[number] = True


def _named(name: str, evaluation: Evaluation) -> dict[str, float]:
    return {name: evaluation.loss, f"{name}_standard_error": evaluation.standard_error}


_MEASURED = {
    "path_loss": (LOSS, "mean loss of the checkpoint"),
    "path_loss_standard_error": (LOSS, "standard error of the checkpoint's mean loss"),
    "path_accuracy": ("1", "accuracy of the checkpoint"),
    "path_weights_loss": (LOSS, "mean loss of the checkpoint's weights"),
    "path_plane_loss": (LOSS, "mean loss on the plane at the checkpoint's projection"),
    "path_plane_loss_standard_error": (LOSS, "standard error of the mean loss at the projection"),
}


def _variables(path: TrainingPath, values: _Values, unit: str, policy: str) -> dict[str, Any]:
    """The variables and coordinates by checkpoint and by component, labelled."""

    def by_checkpoint(array: Any, units: str, words: str) -> tuple[str, Any, dict[str, Any]]:
        return "checkpoint", array, labels(words, units, loss=unit)

    where = path.coordinates
    made: dict[str, Any] = {
        "checkpoint": by_checkpoint(list(path.names), "1", "checkpoint"),
        "path_epoch": by_checkpoint(np.array(path.epochs), "1", "epochs of training before the checkpoint"),
        "path_x": by_checkpoint(where[:, 0], "1", "distance along principal component 1 from the last checkpoint"),
        "path_y": by_checkpoint(where[:, 1], "1", "distance along principal component 2 from the last checkpoint"),
        "path_residual": by_checkpoint(path.residuals, "1", "distance of the checkpoint from the plane"),
        "path_distance": by_checkpoint(path.distances[-1], "1", "distance of the checkpoint from the last one"),
        "path_measured": by_checkpoint(
            values.measured.astype(np.int8), "1", "whether the checkpoint's loss is measured"
        ),
    }
    of_itself, of_plane = statistics_words(policy)
    for name, (units, words) in _MEASURED.items():
        if name != "path_accuracy" or not np.isnan(values.arrays[name]).all():
            statistics = of_itself if name in ("path_loss", "path_accuracy") else of_plane
            made[name] = by_checkpoint(
                values.arrays[name].copy(), units, words + ("" if "error" in words else statistics)
            )
    explained = path.components.explained
    numbers = np.arange(1, len(explained) + 1)
    made["component"] = ("component", numbers, labels("principal component"))
    whole = "variance of the checkpoints" if path.centred else "sum of squared distances from the last checkpoint"
    made["explained_variance"] = (
        "component",
        explained,
        labels(f"fraction of the {whole} that the component explains"),
    )
    made["stress"] = (
        (),
        path.stress,
        labels("root of the squared errors of distances on the plane over the squared distances"),
    )
    return made
