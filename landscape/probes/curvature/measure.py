"""The spectrum of the loss's Hessian or Gauss–Newton matrix at a checkpoint, known by its products alone.

The largest and smallest eigenvalues by thick-restart Lanczos, trace and Frobenius norm from random vectors, the density of all
eigenvalues by stochastic Lanczos quadrature: of the whole matrix, or of the diagonal block of each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr

from landscape.errors import InputError
from landscape.execution.team import Team, Work, team_of
from landscape.numerics.eigenvalues import extremes
from landscape.numerics.lanczos import Floats, Krylov, Operator, rademacher
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.values import Gradient
from landscape.probes.curvature.config import CurvatureConfig, layers_of
from landscape.probes.curvature.dataset import curvature_dataset
from landscape.probes.curvature.quadrature import quadrature
from landscape.probes.curvature.result import MEASURED, NOT_CONVERGED
from landscape.probes.curvature.traces import Deflation, trace_sample
from landscape.probes.curvature.values import DENSITY, EIGENVALUES, TRACE, CurvatureTable, quantities
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import checkpoint_variables, provenance, samples_variable

WHOLE = "whole"
# fields of the configuration -> attributes, where the plain name is another kind's
_STORED = {"tolerance": "curvature_tolerance"}


@shown
def curvature(
    objective: Objective,
    config: CurvatureConfig | None = None,
    *,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """The spectrum of ∇²L, the Hessian of the mean loss over the samples, or of its Gauss–Newton part.

    Args:
        objective: what is differentiated; its parameters are θ, so ``parameters=["head.*"]`` there gives the block of these alone.
            Its BN policy is part of every value.
        config: which matrix and which quantities; the defaults of :class:`CurvatureConfig` where None.
        resume: an earlier, partial result of the same call: what it has is not measured again, and a search goes on from the very
            Krylov space where it stopped.
        observer: told after every product.
        executor: who makes the products of traces and densities, as in :func:`landscape.probes.plane.measure.plane`; a search for
            eigenvalues is one chain of products, which stays in this process.

    Returns:
        A data set of kind ``curvature``; ``per_layer`` gives everything but ``eigenvectors`` the dimension ``block``:

        - over ``rank``, 1, 2, … from the top and −1, −2, … from the bottom: ``eigenvalues`` with ``residuals``, ``error_bounds``
          and ``converged``, and ``eigenvectors`` ``(rank, parameter)``, of layers side by side; ``products``, how many these took,
          and their ``asymmetry``, which is rounding where every operation has a true second derivative;
        - ``trace`` and ``frobenius_norm``, each with ``…_standard_error`` and a 95 % interval from ``…_low`` to ``…_high``, and the
          ``trace_samples`` that they come from;
        - ``density`` at ``density_at`` with its ``density_spread``; the quadratures' ``nodes`` and ``weights``; ``moments``, the
          means of λ to the ``power`` 0 … 4, with ``moments_standard_error`` and a 95 % interval, which holds in 93 to 97 % of
          cases with 40 random vectors, in 92 to 97 with 20, and in 89 to 96 with 4 (six matrices of three small networks);
        - ``status`` of each ``quantity``: 0 missing, 1 measured, 2 some eigenvalues have not converged; ``parameters``, the block's
          size; and ``checkpoint_loss``, ``parameter_norm`` ‖θ‖₂ and ``gradient_norm`` ‖∇L(θ)‖₂.

        The attribute ``notes`` says what did not converge, and whether the matrix is zero. An eigenvalue that is repeated exactly,
        as 0 is of a Gauss–Newton matrix with more parameters than outputs, takes one rank, or as many as rounding tells apart.

    Raises:
        InputError: for a BN policy without a Hessian of its own, more eigenvalues than parameters, a loss or gradient that is not
            finite, or a module or loss without second derivatives.
        MismatchError: for a ``resume`` that another objective or configuration made.

    Example:
        >>> config = ls.CurvatureConfig(top=2, bottom=1, trace_probes=4, density_probes=0)
        >>> found = ls.curvature(objective, config)
        >>> found["eigenvalues"].sel(rank=[1, 2, -1]).values.round(2)
        array([ 1.02,  0.58, -0.3 ])
    """
    config = CurvatureConfig() if config is None else config
    check_curvature(objective, config)
    layout = objective.theta.layout
    blocks = layers_of(layout.names) if config.per_layer else {WHOLE: layout.names}
    table = CurvatureTable.empty(config, blocks, layout, objective.theta.vector.dtype)
    # eigenvectors are stored in the order of θ's entries
    order = {"memory_format": objective.provenance()["memory_format"]}
    made = signature(objective).also({"kind": "curvature", **vars(config), **order})
    if resume is not None:
        made.check_resume(resume.attrs)
        table.take_up(resume)
    unit = loss_unit(objective.loss_name)
    checkpoint = _checkpoint(objective, unit)
    loss, effort = float(checkpoint["checkpoint_loss"]), _effort(objective, config)
    attributes = {**provenance("curvature", "curvature", objective, loss, effort), **made.attribute()}

    def dataset() -> xr.Dataset:
        return curvature_dataset(table, unit).assign(checkpoint).assign_attrs(attributes)

    measured = _Measurement(objective, table, dataset, observer, team_of(executor))
    for block in range(len(blocks)):
        measured.finish(block)
    return dataset()


def check_curvature(objective: Objective, config: CurvatureConfig) -> None:
    """Refuse what cannot be measured, before anything is.

    Raises:
        InputError: for a BN policy without a Hessian of its own, or more eigenvalues than there are parameters.
    """
    if objective.batch_norm in ("interpolated", "reestimated") and objective.bn_layers:
        raise InputError(
            f"batch_norm: {objective.batch_norm!r} has statistics that follow θ from outside the loss, so its Hessian is not that "
            "of what is evaluated. Choose frozen, which holds them fixed, or batch, through whose statistics it is taken."
        )
    size = objective.theta.layout.size
    if not config.per_layer and config.wanted > size:
        raise InputError(
            f"top, bottom: expected at most {size:,} eigenvalues in all, one for each parameter, "
            f"got top={config.top!r}, bottom={config.bottom!r}."
        )


def _matrix(objective: Objective, names: tuple[str, ...], operator: str) -> tuple[Operator, torch.Tensor]:
    """The block of the Hessian or Gauss–Newton matrix of some parameters, and any vector that it takes."""
    product = objective.gauss_newton_product if operator == "gauss-newton" else objective.hessian_product
    like = objective.theta.vector[: objective.theta.layout.part(names).size]
    return lambda vector: product(vector, names=names), like


def _trace_sample(
    objective: Objective, deflation: Deflation | None, names: tuple[str, ...], operator: str, seed: int, probe: int
) -> tuple[float, float]:
    return trace_sample(*_matrix(objective, names, operator), probe, seed=seed, deflation=deflation)


def _quadrature(
    objective: Objective,
    observer: Callable[[int], None] | None,
    names: tuple[str, ...],
    operator: str,
    seed: int,
    steps: int,
    probe: int,
) -> tuple[Floats, Floats]:
    return quadrature(*_matrix(objective, names, operator), steps, probe=probe, seed=seed, observer=observer)


class _Measurement:
    """The quantities of one block after another, each kept in the table as soon as it is known."""

    def __init__(
        self,
        objective: Objective,
        table: CurvatureTable,
        dataset: Callable[[], xr.Dataset],
        observer: ProgressObserver | None,
        team: Team | None,
    ) -> None:
        self._team = team
        self._objective, self._table, self._config = objective, table, table.config
        self._dataset, self._observer = dataset, observer

    def finish(self, block: int) -> None:
        """Everything of a block that is still missing."""
        ways = {EIGENVALUES: self._eigenvalues, TRACE: self._traces, DENSITY: self._densities}
        operator, like = _matrix(self._objective, *self._asked(block)[:2])
        for quantity in quantities(self._config):
            if self._table.is_missing(block, quantity):
                ways[quantity](block, operator, like)
                self._tell()

    def _asked(self, block: int) -> tuple[tuple[str, ...], str, int]:
        """Whose matrix, which one, and the seed of what is drawn."""
        return [*self._table.blocks.values()][block], self._config.operator, self._config.draw_seed

    def _eigenvalues(self, block: int, operator: Operator, like: torch.Tensor) -> None:
        table, search = self._table, self._config.search(like.numel())
        start = rademacher(like.numel(), self._config.draw_seed, "eigenvalues", block, like)

        def keep(krylov: Krylov) -> None:
            table.space = krylov
            self._tell(min(krylov.products, self._guess - 1))

        begun = table.space if isinstance(table.space, Krylov) else start
        found, krylov = extremes(operator, begun, search, seed=self._config.draw_seed, observer=keep)
        table.keep_extremes(block, found, krylov)
        table.space = krylov if self._config.trace_method == "krylov" and self._config.trace_probes else None
        table.finish(block, EIGENVALUES, MEASURED if found.converged.all() else NOT_CONVERGED)

    def _traces(self, block: int, operator: Operator, like: torch.Tensor) -> None:
        table, config = self._table, self._config
        if config.trace_method == "hutch++" and table.space is None:
            table.space = Deflation.sketch(operator, like, config.trace_probes, seed=config.draw_seed)
        deflation = Deflation.krylov(table.space) if isinstance(table.space, Krylov) else table.space
        if deflation is not None:
            table.arrays["known_traces"][block] = deflation.trace, deflation.squares
        else:
            table.arrays["known_traces"][block] = 0.0
        samples = table.arrays["trace_samples"][block]
        missing = np.flatnonzero(~np.isfinite(samples).all(axis=1)).tolist()
        self._tell()
        work = Work(_trace_sample, (self._objective, deflation), self._team)
        for probe, found in work.each((probe, (*self._asked(block), probe)) for probe in missing):
            samples[probe] = found
            self._tell()
        table.space = None
        table.finish(block, TRACE)

    def _densities(self, block: int, operator: Operator, like: torch.Tensor) -> None:
        table, config = self._table, self._config
        nodes, weights = table.arrays["nodes"][block], table.arrays["weights"][block]
        steps = min(config.density_steps, like.numel())
        told = self._tell_before if self._team is None else None
        work = Work(_quadrature, (self._objective, told), self._team)
        missing = np.flatnonzero(~np.isfinite(nodes).any(axis=1)).tolist()
        for probe, found in work.each((probe, (*self._asked(block), steps, probe)) for probe in missing):
            for array, values in zip((nodes, weights), found, strict=True):
                array[probe, : len(values)] = values
            if told is None:
                self._tell()
        table.finish(block, DENSITY)

    def _tell(self, further: int = 0) -> None:
        """``further``: products towards what is not in the table yet."""
        if self._observer is None:
            return
        table, config = self._table, self._config
        total = len(table.blocks) * (self._guess + config.trace_probes + config.density_probes * config.density_steps)
        done = sum(not table.is_missing(block, EIGENVALUES) for block in range(len(table.blocks))) * self._guess
        done += int(np.isfinite(table.arrays["trace_samples"]).all(axis=2).sum())
        done += int(np.isfinite(table.arrays["nodes"]).any(axis=2).sum()) * config.density_steps
        self._observer(Progress(done + further, total, self._dataset, "Hessian products"))

    def _tell_before(self, products: int) -> None:
        self._tell(products - 1)

    @property
    def _guess(self) -> int:
        """Products that a search for eigenvalues counts as, however many it takes."""
        return min(self._config.max_products, 2 * self._config.wanted + 12)


def _checkpoint(objective: Objective, unit: str) -> dict[str, xr.Variable]:
    """What the result says of the checkpoint itself, and on which samples.

    Raises:
        InputError: where the loss or its gradient is not finite.
    """
    here, gradient = objective.evaluate(), objective.gradient()
    _check_finite(here.loss, gradient)
    values = {
        "checkpoint_loss": here.loss,
        "checkpoint_loss_standard_error": here.standard_error,
        "parameter_norm": objective.theta.norm,
        "gradient_norm": gradient.vector.norm,
    }
    return checkpoint_variables(unit, values) | samples_variable(objective)


def _check_finite(loss: float, gradient: Gradient) -> None:
    broken = [n for n, view in gradient.vector.views().items() if not bool(torch.isfinite(view).all())]
    if not math.isfinite(loss) or broken:
        where = f"the gradient is NaN or infinite in {', '.join(broken[:3])}" if broken else "the loss is no number"
        raise InputError(
            f"checkpoint: the loss is {loss:.5g}, and {where}, so there is no curvature. Expected a point with a finite loss and "
            "gradient; try precision fp64, or an earlier checkpoint."
        )


def _effort(objective: Objective, config: CurvatureConfig) -> dict[str, Any]:
    """What was asked for, and the parameters that the eigenvectors are over."""
    stored = {_STORED.get(name, name): value for name, value in vars(config).items()}
    return {**stored, "parameter_names": list(objective.theta.layout.names)}
