"""The radius of a basin: how far along a direction of length 1 until the loss, or another metric, is worse than a stated level.

Along a direction v of a quadratic with a = ⟨∇L, v⟩ and b = vᵀHv the loss has risen by t at r = (−a + √(a² + 2bt)) / b; at a minimum
that is √(2t/b), and for the eigenvector of the largest eigenvalue the least radius of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.crossing import Crossing
from landscape.numerics.directions import Direction, given_direction, normalize
from landscape.numerics.eigenvalues import Search, extremes
from landscape.numerics.seeds import generator
from landscape.objective.again import Held, check_points
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.subspace import Subspace
from landscape.objective.values import Evaluation
from landscape.probes.basin_radius.config import BasinRadiusConfig
from landscape.probes.basin_radius.dataset import basin_dataset, basin_table, found_along
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import checkpoint_variables, provenance, samples_variable
from landscape.probes.searches import Found

START, SMALLEST = 0.05, 1e-7  # of ‖θ‖: the first distance, and the least that is looked at
_EIGENVECTOR = Search(top=1, bottom=0, tolerance=0.01, criterion="value", max_products=100)


@shown
def basin_radius(
    objective: Objective,
    config: BasinRadiusConfig | None = None,
    *,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
) -> xr.Dataset:
    """How far θ can move along random and worst directions until a metric is worse by a stated share.

    A worst direction is worst near the checkpoint, by its slope or its curvature; farther away another may be worse, so that
    the least radius is an upper bound of the basin's. A gradient that is zero leads nowhere, and is left out.

    Args:
        objective: what is evaluated; its own parameters are θ, and they alone move.
        config: metric, share and directions; the defaults of :class:`BasinRadiusConfig` where None.
        resume: an earlier, partial result of the same call: its directions are not measured again.
        observer: told after every direction.

    Returns:
        A data set of kind ``basin_radius`` with the dimension ``direction``: ``radius`` ‖ε‖₂ between ``radius_low`` and
        ``radius_high``, its ``radius_standard_error`` over the samples (NaN for all but the loss), ``relative_radius`` ‖ε‖₂ / ‖θ‖₂,
        ``passes``, and ``status``: 0 missing, 1 measured, 2 bracketed only, 3 beyond reach, 4 at once; by ``trial`` every
        ``trial_radius`` that was looked at with the ``value`` of the metric there. ``random_radius``, the mean over random
        directions, with its standard error over them, and ``least_radius`` of all; both NaN where one of them is not known.
        ``checkpoint_value`` and ``threshold`` of the metric.

    Raises:
        InputError: for a metric that the objective has not, or of which it is not known which values are better; a share of one
            that is not above 0; a BN policy without a Hessian where an eigenvector is asked for, and the policy ``interpolated``.
        MismatchError: for a ``resume`` that another objective made, or of other settings.

    Example:
        >>> found = ls.basin_radius(objective, ls.BasinRadiusConfig(share=0.2, draws=3))
        >>> found["direction"].values.tolist()
        ['random 1', 'random 2', 'random 3', 'gradient', 'eigenvector', '−eigenvector']
        >>> bool(found["least_radius"] <= found["random_radius"])
        True
    """
    config = BasinRadiusConfig() if config is None else config
    check_asked(objective, config)
    made = signature(objective).also({"kind": "basin_radius", **vars(config), "worst": list(config.worst)})
    if resume is not None:
        made.check_resume(resume.attrs)
    here, unit = objective.evaluate(), loss_unit(objective.loss_name)
    edge = _Edge.of(objective, config)
    ways = _ways(objective, config)
    table = basin_table(list(ways), config)
    if resume is not None:
        table.take_up(resume)
        check_points(objective, _held(objective, ways, resume))
    values = {
        "checkpoint_loss": here.loss,
        "checkpoint_loss_standard_error": here.standard_error,
        "checkpoint_accuracy": here.accuracy,
        "parameter_norm": objective.theta.norm,
    }
    checkpoint = {**checkpoint_variables(unit, values), **samples_variable(objective)}
    own = {name: value for name, value in vars(config).items() if value is not None and name != "worst"}
    attributes = {**provenance("basin_radius", "basin radius", objective, here.loss, own), **made.attribute()}

    def dataset() -> xr.Dataset:
        of = unit if config.metric == "loss" else "1"
        drawn = basin_dataset(table, of, config, edge.value, edge.threshold)
        return drawn.assign(checkpoint).assign_attrs(attributes)

    for place, name in table.missing():
        table.found[place] = _found(edge, ways[name], config)
        if observer is not None:
            observer(Progress(table.done, len(ways), dataset))
    return dataset()


def check_asked(objective: Objective, config: BasinRadiusConfig) -> None:
    """Refuse what cannot be measured, before anything is.

    Raises:
        InputError: as :func:`basin_radius`.
    """
    moving = ("interpolated", "reestimated") if "eigenvector" in config.worst else ("interpolated",)
    if objective.batch_norm in moving and objective.bn_layers:
        lacks = "has no Hessian of its own. Choose frozen or batch, or leave the eigenvector out (worst)"
        leads = "moves the statistics between checkpoints, and a direction leads to none. Choose frozen, batch or reestimated"
        why = leads if objective.batch_norm == "interpolated" else lacks
        raise InputError(f"batch_norm: {objective.batch_norm!r} {why}.")
    here = objective.evaluate()
    value, worse = value_of(here, config.metric), way_worse(objective, config)
    if config.metric == "accuracy" and config.change is not None and config.change > value:
        raise InputError(f"change: the accuracy is {value:.4g} and cannot fall by {config.change:g}.")
    if config.change is None and not value > 0:
        raise InputError(
            f"share: a {config.metric} of {value:.4g} has no share that it could {'rise' if worse > 0 else 'fall'} by. Say by how "
            "much with change, such as change=0.1."
        )


def value_of(found: Evaluation, metric: str) -> float:
    """The metric's value among those that were measured.

    Raises:
        InputError: where it was not.
    """
    if metric == "accuracy" and found.accuracy is None and metric not in found.heights:
        raise InputError("metric: this objective has no accuracy. Ask for the loss, or give the objective a metric.")
    known = {"loss": found.loss, "accuracy": found.accuracy, **{name: one.value for name, one in found.heights.items()}}
    value = known.get(metric)
    if value is None:
        raise unknown_choice("metric", metric, [name for name, one in known.items() if one is not None])
    return value


def way_worse(objective: Objective, config: BasinRadiusConfig) -> int:
    """1 where the metric is worse when it is higher, −1 where it is worse when it is lower.

    Raises:
        InputError: where nobody said it.
    """
    better = config.better if config.better != "auto" else objective.better(config.metric)
    if better is None:
        raise InputError(
            f"better: nobody says whether lower or higher values of {config.metric} are better. Say better='higher' or 'lower'."
        )
    return 1 if better == "lower" else -1


def points_held(objective: Objective, config: BasinRadiusConfig, earlier: xr.Dataset) -> list[Held]:
    """What an ``earlier`` result holds of its farthest random place with a finite value, for :func:`check_points`."""
    return _held(objective, _random(objective, config), earlier)


def _held(objective: Objective, ways: Mapping[str, Direction], earlier: xr.Dataset) -> list[Held]:
    random = [str(name) for name in earlier["direction"].values if str(name).startswith("random")]
    some = earlier.sel(direction=random)
    places = some["trial_radius"].where(np.isfinite(some["value"]))
    if not np.isfinite(places).any():
        return []
    one = some.isel({name: int(index) for name, index in places.argmax(["direction", "trial"]).items()})
    name, radius, value = str(one["direction"].item()), float(one["trial_radius"]), float(one["value"])
    subspace = Subspace(objective.theta, [ways[name]])
    point, metric = (
        Held(f"radius {radius:.4g} along {name}", subspace, np.array([radius]), value),
        earlier.attrs["metric"],
    )
    if metric == "loss":
        return [point]
    loss = float(
        objective.evaluate_points(subspace, np.array([[radius]])).loss[0]
    )  # which a result of another metric lacks
    found = replace(point, loss=loss)
    return [replace(found, heights={metric: value}) if metric != "accuracy" else replace(found, accuracy=value)]


def _ways(objective: Objective, config: BasinRadiusConfig) -> dict[str, Direction]:
    """Every direction by name, each of length 1."""
    theta, ways = objective.theta, _random(objective, config)
    if "gradient" in config.worst:
        gradient = objective.gradient().vector
        if gradient.vector.any():  # at an exact minimum it leads nowhere, and the others are enough
            ways["gradient"] = _unit(given_direction(gradient, theta, kind="gradient"))
    if "eigenvector" in config.worst:
        draws = generator(config.direction_seed, "basin eigenvector")
        start = torch.randn(theta.layout.size, generator=draws).to(theta.vector)
        found, _ = extremes(objective.hessian_product, start, _EIGENVECTOR, seed=config.direction_seed)
        for sign, name in ((1.0, "eigenvector"), (-1.0, "−eigenvector")):
            ways[name] = _unit(given_direction(sign * found.vectors[0], theta, kind="eigenvector"))
    return ways


def _random(objective: Objective, config: BasinRadiusConfig) -> dict[str, Direction]:
    theta, found = objective.theta, {}
    for number in range(config.draws):
        draws = generator(config.direction_seed, "basin", number)
        # tensor by tensor, so that the memory format makes no difference
        drawn = {slot.name: torch.randn(slot.shape, generator=draws) for slot in theta.layout.slots}
        vector = theta.layout.pack(drawn, dtype=theta.vector.dtype, device=theta.vector.device)
        way = normalize(Direction(vector, theta.layout, {"kind": "random"}), theta, config.normalization)
        found[f"random {number + 1}"] = _unit(way)
    return found


def _unit(way: Direction) -> Direction:
    return Direction(way.vector / way.norm, way.layout, way.provenance)


@dataclass(frozen=True)
class _Edge:
    """Where the basin ends: the metric at the checkpoint, its level at the edge, and how far beyond that it is at a place.

    ``worse`` is the sign of a change for the worse; ``losses`` are those of the samples where the loss is the metric.
    """

    objective: Objective
    metric: str
    losses: Tensor | None
    value: float
    threshold: float
    worse: int

    @classmethod
    def of(cls, objective: Objective, config: BasinRadiusConfig) -> _Edge:
        losses, worse = objective.per_sample() if config.metric == "loss" else None, way_worse(objective, config)
        value = value_of(objective.evaluate(), config.metric) if losses is None else objective.spread.mean(losses)[0]
        by = config.share * value if config.change is None else config.change
        return cls(objective, config.metric, losses, value, value + worse * by, worse)

    def beyond(self, theta: Tensor) -> tuple[float, float, float]:
        """The metric at θ, by how much it is worse than at the edge, and the standard error of that over the samples."""
        if self.losses is None:
            value = value_of(self.objective.evaluate(theta), self.metric)
            return value, self.worse * (value - self.threshold), math.nan
        # Paired by sample, so that what the samples differ in drops out of the error.
        rise, error = self.objective.spread.mean(self.objective.per_sample(theta) - self.losses)
        value = self.value + rise
        return value, self.worse * (value - self.threshold), error


@dataclass(frozen=True)
class _Along:
    """The metric along one direction, as it is looked at: radius -> what :meth:`_Edge.beyond` gives."""

    edge: _Edge
    vector: Tensor
    seen: dict[float, tuple[float, float, float]] = field(default_factory=dict)

    def __call__(self, radius: float) -> float:
        theta = torch.add(self.edge.objective.theta.vector, self.vector, alpha=radius)
        self.seen[radius] = self.edge.beyond(theta)
        return self.seen[radius][1]


def _found(edge: _Edge, way: Direction, config: BasinRadiusConfig) -> Found:
    length, along = edge.objective.theta.norm or 1.0, _Along(edge, way.vector)
    # Without a slope the rise is that of a parabola, which is a straight line over the square of the radius.
    search = Crossing(
        START * length,
        SMALLEST * length,
        config.reach * length,
        tolerance=config.tolerance,
        most=config.max_passes,
        power=2.0,
    ).run(along)
    return found_along(search, along.seen, edge.objective.theta.norm)
