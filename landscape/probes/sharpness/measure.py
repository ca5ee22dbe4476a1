"""Sharpness of a checkpoint: every measure of :mod:`landscape.probes.sharpness.formulas` over a range of ρ."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.execution.team import Work, team_of
from landscape.numerics.directions import given_direction
from landscape.objective.again import Held, check_points
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.subspace import Subspace
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import checkpoint_variables, provenance, samples_variable
from landscape.probes.sharpness.config import SharpnessConfig
from landscape.probes.sharpness.dataset import SharpnessTable
from landscape.probes.sharpness.formulas import ONE_STEP, Origin, estimate, one_step
from landscape.probes.sharpness.result import MEASURED


@shown
def sharpness(
    objective: Objective,
    config: SharpnessConfig | None = None,
    *,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """How far the mean loss rises around the checkpoint, by every measure that ``config`` names.

    Args:
        objective: what is evaluated; its own parameters are θ. Its BN policy is part of every value.
        config: measures, radii and effort; the defaults of :class:`SharpnessConfig` where None.
        resume: an earlier, partial result of the same call: what it has is not measured again.
        observer: told after every value, that is, a measure at a ρ.
        executor: who measures, as in :func:`landscape.probes.plane.measure.plane`.

    Returns:
        A data set of kind ``sharpness`` with the dimensions ``(measure, radius)``:

        - ``rho``, a coordinate of both, since measures may have radii of their own;
        - ``sharpness`` in ``measure_units``, with its ``standard_error`` over ``error_over`` (samples, batches or draws) and its
          ``sample_standard_error``;
        - ``status``: 0 missing, 1 measured, 2 the ascent had not ended, 3 the gradient is zero, 4 not finite; ``gap``, how much
          more the linearised loss would rise; ``lower_bound``, whether the measure stands for a maximum, of which an ascent
          finds a lower bound;
        - ``perturbation_norm``; and of the checkpoint ``checkpoint_loss``, ``parameter_norm`` ‖θ‖₂ and ``gradient_norm`` ‖∇L(θ)‖₂.

        A value that is NaN or infinite is a result and stays; the attribute ``notes`` says why.

    Raises:
        InputError: for a policy that moves the statistics between checkpoints, or m larger than the number of samples.
        MismatchError: for a ``resume`` that another objective made, or of other measures, radii or effort; see
            :func:`points_held`.

    Example:
        >>> found = ls.sharpness(objective, ls.SharpnessConfig(measures=("sam",), rho=(0.01, 0.1)))
        >>> found["sharpness"].sel(measure="sam").values.round(4)
        array([0.0034, 0.0377])
    """
    config = SharpnessConfig() if config is None else config
    _check(objective, config)
    made = signature(objective).also({"kind": "sharpness", **_effort(objective, config)})
    if resume is not None:
        made.check_resume(resume.attrs)
    table = SharpnessTable.empty(config) if resume is None else SharpnessTable.of(resume, config)
    origin = Origin(objective)
    if resume is not None:
        check_points(objective, _held(origin, config, resume))
    unit = loss_unit(objective.loss_name)
    checkpoint = _checkpoint(origin, unit)
    loss, effort = float(checkpoint["checkpoint_loss"]), _effort(objective, config)
    attributes = {**provenance("sharpness", "sharpness", objective, loss, effort), **made.attribute()}

    def dataset() -> xr.Dataset:
        return table.dataset(unit).assign(checkpoint).assign_attrs(attributes)

    total = table.status.size
    parts = ((place, (measure, rho, config)) for place, measure, rho in table.missing())
    for place, found in Work(estimate, (origin,), team_of(executor)).each(parts):
        table.fill(place, found)
        if observer is not None:
            observer(Progress(table.done, total, dataset, "values"))
    return dataset()


def points_held(objective: Objective, config: SharpnessConfig, earlier: xr.Dataset) -> list[Held]:
    """What an ``earlier`` result holds of the point θ + ε of one ascent step at the largest ρ, for :func:`check_points`.

    The loss there is the sharpness and the checkpoint's together. It takes a gradient; the other measures are of many points,
    which would take as long as measuring them anew, so there is none where ``sam`` and ``adaptive`` were not asked for.
    """
    return _held(Origin(objective), config, earlier)


def _held(origin: Origin, config: SharpnessConfig, earlier: xr.Dataset) -> list[Held]:
    for row, measure in enumerate(config.measures):
        radii, status = np.array(config.radii(measure)), earlier["status"].values[row]
        offset = None
        if measure in ONE_STEP and (status == MEASURED).any():
            column = int(np.where(status == MEASURED, radii, -np.inf).argmax())
            offset = one_step(origin, measure, float(radii[column]))
        if offset is not None:
            subspace = Subspace(origin.theta, [given_direction(offset, origin.theta, kind="step")])
            loss = float(earlier["checkpoint_loss"]) + float(earlier["sharpness"].values[row, column])
            return [Held(f"the {measure} step of ρ = {radii[column]:g}", subspace, np.ones(1), loss)]
    return []


def _check(objective: Objective, config: SharpnessConfig) -> None:
    if objective.batch_norm == "interpolated" and objective.bn_layers:
        raise InputError(
            "batch_norm: 'interpolated' moves the running statistics between checkpoints, and a perturbation leads to none. "
            "Choose frozen, batch or reestimated."
        )
    if "m_sharpness" in config.measures:
        config.batch(objective.n_samples)


def _checkpoint(origin: Origin, unit: str) -> dict[str, xr.Variable]:
    """What the result says of the checkpoint itself, and on which samples."""
    here = origin.objective.evaluate()
    values = {
        "checkpoint_loss": here.loss,
        "checkpoint_loss_standard_error": here.standard_error,
        "parameter_norm": origin.theta.norm,
        "gradient_norm": origin.gradient.vector.norm,
    }
    return checkpoint_variables(unit, values) | samples_variable(origin.objective)


def _effort(objective: Objective, config: SharpnessConfig) -> dict[str, Any]:
    """What decides the values besides measures and radii, which are coordinates."""
    made = {name: value for name, value in vars(config).items() if name not in ("measures", "rho", "m")}
    return {**made, **({"m": config.batch(objective.n_samples)} if "m_sharpness" in config.measures else {})}
