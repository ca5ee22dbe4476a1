"""What an objective does at a point: it loads θ, with the statistics that the BN policy wants, and measures there."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.parameters import ParameterVector, ordinary
from landscape.objective.batch_norm import RunningStatistics, moved_statistics
from landscape.objective.batches import PreparedBatches
from landscape.objective.carried import CarriedObjective, carried
from landscape.objective.draws import Draws
from landscape.objective.engines import Engine
from landscape.objective.heights import Height, Heights, mean_height
from landscape.objective.labels import check_loss_count
from landscape.objective.runner import Runner
from landscape.objective.spread import Spread
from landscape.objective.stacked import POINTS, Stacked
from landscape.objective.subspace import Subspace
from landscape.objective.values import Evaluation

if TYPE_CHECKING:
    from landscape.objective.objective import Objective


class PointMeasurement:
    """The part of :class:`landscape.objective.objective.Objective` that works on the point which is loaded; made by it alone."""

    batch_norm: str
    spread: Spread
    _batches: PreparedBatches
    _calibration: PreparedBatches | None  # whose statistics are taken at every point; None where none are
    _checkpoint_statistics: Tensor
    _draws: Draws | None  # of a stochastic objective
    _dtype: torch.dtype
    _engine: Engine
    _given: dict[str, Any]  # arguments that it was made with
    _fast: Runner  # the module as evaluations run it
    _head: Tensor
    _heights: Heights  # what is measured beside the loss
    _of_head: Spread
    _runner: Runner  # the module as the user wrote it
    _stacked: Stacked | None
    _statistics: RunningStatistics
    _theta: ParameterVector
    _variances: Tensor

    @property
    def n_samples(self) -> int:
        """How many samples the loss is over."""
        return len(self._batches)

    @property
    def points_at_once(self) -> int:
        """How many points :meth:`evaluate_points` measures in one pass: 1, or for very small modules more."""
        return 1 if self._stacked is None else POINTS

    def recipe(self) -> CarriedObjective:
        """What is sent to workers, which make the same of it: module, data and arguments; see ``executor`` of the probes.

        Example:
            >>> objective.recipe().build().evaluate() == objective.evaluate()
            True
        """
        return carried(cast("Objective", self))

    def _check_subspace(self, subspace: Subspace) -> None:
        if self.batch_norm == "interpolated" and self._statistics.layout.size and subspace.statistics is None:
            raise InputError(
                "batch_norm: 'interpolated' moves the running statistics with the direction, and these directions have "
                "none, because they do not lead from one checkpoint to another. Choose frozen or reestimated."
            )

    def _at_points(
        self, subspace: Subspace, coefficients: NDArray[np.float64], ceiling: float | None
    ) -> list[Evaluation]:
        if self._stacked is None:
            return [self._evaluate_at(subspace, torch.from_numpy(row), ceiling) for row in coefficients]
        found = []
        for start in range(0, len(coefficients), POINTS):
            vectors = []
            for row in coefficients[start : start + POINTS]:
                self._engine.load_point(subspace, torch.from_numpy(row), None)
                vectors.append(self._engine.flat.vector.clone())
            found += [self._judged(losses, right, ceiling) for losses, right in self._stacked.measure(vectors)]
        return found

    def _evaluate_at(self, subspace: Subspace, coefficients: Tensor, ceiling: float | None) -> Evaluation:
        if self._calibration is not None:
            self._load(subspace.point(coefficients))
            return self._evaluation(ceiling)
        statistics = None
        if self.batch_norm == "interpolated" and subspace.statistics is not None and self._statistics.layout.size:
            moved = coefficients.to(subspace.statistics)
            statistics = moved_statistics(self._checkpoint_statistics, subspace.statistics, moved, self._variances)
        self._engine.load_point(subspace, coefficients, statistics)
        return self._evaluation(ceiling)

    def _evaluation(self, ceiling: float | None = None) -> Evaluation:
        """The values at the point that is loaded."""
        if self._heights or self._draws is not None:
            return self._with_heights()
        losses, right = self._measured(ceiling)
        spread = self.spread if len(losses) == self.n_samples else self._of_head
        return spread.evaluation(losses, right)

    def _with_heights(self) -> Evaluation:
        """The same with what is measured beside the loss, and over all draws; no ceiling gives such a point up."""
        passes = [self._one_pass(runner) for runner in self._runners()]
        losses = torch.stack([one[0] for one in passes])
        right = None if passes[0][1] is None else torch.stack([one[1] for one in passes if one[1] is not None]).mean(0)
        found = self.spread.evaluation(losses.mean(0), right)
        heights = {name: mean_height([one[2][name] for one in passes]) for name in passes[0][2]}
        if self._draws is None:
            return replace(found, heights=heights)
        means = torch.tensor([self.spread.mean(one)[0] for one in losses], dtype=torch.float64)
        error = float(means.std(correction=1)) / math.sqrt(len(means)) if len(means) > 1 else math.nan
        return replace(found, heights=heights, draw_error=error)

    def _runners(self) -> list[Runner]:
        """The module as evaluations run it, once for each draw."""
        return [self._fast] if self._draws is None else [replace(self._fast, draw=seed) for seed in self._draws.seeds]

    def _one_pass(self, runner: Runner) -> tuple[Tensor, Tensor | None, dict[str, Height]]:
        """Loss and metric of every sample in one pass, and what is measured besides."""
        collected = self._heights.begin()
        losses, metric = runner.measure(self._batches, also=collected if self._heights else None)
        check_loss_count(losses, self.n_samples)
        in_order = self._batches.in_order
        heights = collected.values(in_order, self.spread.clusters)
        return in_order(losses), None if metric is None else in_order(metric), heights

    def _measured(self, ceiling: float | None = None) -> tuple[Tensor, Tensor | None]:
        """Loss and metric of every sample at the point that is loaded; with ``ceiling``, of the first part where that is enough."""
        if self._stacked is not None:
            return self._stacked.measure([self._engine.flat.vector])[0]
        if self._draws is not None:
            found = [self._one_pass(runner)[:2] for runner in self._runners()]
            right = [metric for _, metric in found if metric is not None]
            return torch.stack([losses for losses, _ in found]).mean(0), torch.stack(right).mean(0) if right else None
        above = None if ceiling is None else partial(self._of_head.lies_above, ceiling=ceiling)
        losses, metric = self._fast.measure(self._batches, above, len(self._head))
        if above is not None and len(losses) == len(self._head):
            return losses, metric
        check_loss_count(losses, self.n_samples)
        return self._batches.in_order(losses), None if metric is None else self._batches.in_order(metric)

    def _judged(self, losses: Tensor, right: Tensor | None, ceiling: float | None) -> Evaluation:
        """The values that an evaluation of this point alone would give, from those of all samples."""
        head = self._head
        few = self._of_head
        if ceiling is not None and len(head) and few.lies_above(losses[head], ceiling):
            return few.evaluation(losses[head], None if right is None else right[head])
        return self.spread.evaluation(losses, right)

    def _load(self, theta: ParameterVector | Tensor | None, statistics: Tensor | None = None) -> Tensor:
        """Put θ into the engine's module, under ``reestimated`` recompute the statistics there, and give θ's vector."""
        vector = self._vector(theta)
        self._engine.load(vector, self._checkpoint_statistics if statistics is None else statistics)
        self._reestimate()
        return vector

    def _vector(self, theta: ParameterVector | Tensor | None) -> Tensor:
        vector = self._theta.vector if theta is None else theta.vector if isinstance(theta, ParameterVector) else theta
        if isinstance(theta, ParameterVector) and theta.layout != self._theta.layout:
            raise InputError(
                "theta: its tensors have another order or memory format here. Take it from this objective's parameters_of."
            )
        if not isinstance(vector, Tensor) or vector.shape != self._theta.vector.shape:
            got = tuple(vector.shape) if isinstance(vector, Tensor) else type(vector).__name__
            hint = "" if isinstance(vector, Tensor) else " Of a module or a state dict: objective.parameters_of(…)."
            raise InputError(f"theta: expected a tensor of shape {tuple(self._theta.vector.shape)}, got {got}.{hint}")
        return ordinary(vector)

    def _reestimate(self) -> None:
        if self._calibration is None:
            return
        with torch.no_grad(), self._statistics.reestimation(), self._runner.own_randomness():
            for inputs, _ in self._calibration:
                self._runner.outputs(inputs)

    def _of_these(self, derivative: Tensor) -> Tensor:
        """A derivative of the mean share as one of the loss, which differ where a part has not the mean weight of the whole."""
        return (derivative * self.spread.factor if self.spread.partial else derivative).to(self._dtype)
