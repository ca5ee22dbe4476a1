"""Critical sharpness λ_c = 2/η_c: η_c is the least η > 0 at which L(θ + ηd) > L(θ) (Kalra et al. 2026, arXiv 2601.16979).

With a = ⟨∇L, d⟩ < 0 and b = dᵀHd a quadratic has η_c = −2a/b, so that λ_c = dᵀHd / −⟨∇L, d⟩. Along d = −∇L that is the Rayleigh
quotient of H at the gradient, and λ where the gradient is an eigenvector of eigenvalue λ. Forward passes are enough to find it:
(L(θ + ηd) − L(θ)) / η is bracketed at 0, of which a quadratic makes a straight line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.numerics.crossing import Crossing
from landscape.numerics.directions import Direction, given_direction, random_direction
from landscape.numerics.parameters import ParameterVector
from landscape.objective.again import Held, check_points
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import Signature, signature, vector_numbers
from landscape.objective.subspace import Subspace
from landscape.probes.critical_sharpness.config import CriticalSharpnessConfig
from landscape.probes.critical_sharpness.dataset import TRIALS, VALUES, found_along
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import checkpoint_variables, provenance, samples_variable
from landscape.probes.searches import Found, SearchTable

START, SMALLEST = 0.02, 1e-7  # of ‖θ‖: the length of the first step, and of the least that is looked at
_EITHER_WAY = ("random", "eigenvector")  # directions without a sign of their own

Along = str | Direction | Tensor | ParameterVector | Objective


@shown
def critical_sharpness(
    objective: Objective,
    config: CriticalSharpnessConfig | None = None,
    *,
    directions: Mapping[str, Along] | None = None,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
) -> xr.Dataset:
    """The least step along each direction at which the mean loss is above the checkpoint's, and λ_c = 2/η_c.

    A step has the direction's own unit: along ``gradient`` it is the learning rate of plain gradient descent. A random direction
    and an eigenvector have no sign, and are followed the way in which the loss falls. Two places before the step are looked
    at, so that an earlier rise is not overlooked where the loss rises and falls along the way; between them it still may be.

    Args:
        objective: whose loss; its own parameters are θ.
        config: names of directions, and how well; the defaults of :class:`CriticalSharpnessConfig` where None.
        directions: these instead of the config's, by a name for each: a :class:`~landscape.numerics.directions.Direction`, a flat
            vector of θ's layout, ``"gradient"``, ``"random"``, or another :class:`~landscape.objective.objective.Objective` of the
            same parameters, whose −∇L at this θ it then is: how one task bears the step of another.
        resume: an earlier, partial result of the same call: its directions are not measured again.
        observer: told after every direction.

    Returns:
        A data set of kind ``critical_sharpness`` with the dimension ``direction``: ``critical_step`` η_c between
        ``critical_step_low`` and ``critical_step_high``, and ``critical_sharpness`` 2/η_c, both with their standard errors over the
        samples (that of the rise at η_c, by the slope there); ``direction_norm`` ‖d‖₂; ``passes``; ``status``: 0 missing, 1
        measured, 2 bracketed only, 3 beyond reach, 4 rises at once. By ``trial`` every step that was looked at,
        ascending: ``trial_step``, and ``rise`` with its ``rise_standard_error``. A loss that is NaN counts as a rise.

    Raises:
        InputError: for a direction of another model, one that is zero or not finite, and the policy ``interpolated``.
        MismatchError: for a ``resume`` that another objective made, or of other directions or settings.

    References:
        Kalra et al. 2026, arXiv 2601.16979.

    Example:
        >>> found = ls.critical_sharpness(objective)
        >>> step = float(found["critical_step"].sel(direction="gradient"))
        >>> along = objective.theta.vector - 1.01 * step * objective.gradient().vector.vector
        >>> objective.evaluate(along).loss > objective.evaluate().loss
        True
    """
    config = CriticalSharpnessConfig() if config is None else config
    check_policy(objective)
    ways = _ways(objective, config, directions)
    made = made_by(objective, config, ways)
    table = SearchTable(list(ways), config.max_passes, VALUES, TRIALS)
    if resume is not None:
        made.check_resume(resume.attrs)
        table.take_up(resume)
        check_points(objective, _held(objective, ways, resume))
    unit, losses = loss_unit(objective.loss_name), objective.per_sample()
    loss, error = objective.spread.mean(losses)
    checkpoint = {
        **checkpoint_variables(
            unit,
            {
                "checkpoint_loss": loss,
                "checkpoint_loss_standard_error": error,
                "parameter_norm": objective.theta.norm,
            },
        ),
        **samples_variable(objective),
    }
    own = {name: value for name, value in vars(config).items() if name != "along"}
    attributes = {**provenance("critical_sharpness", "critical sharpness", objective, loss, own), **made.attribute()}

    def dataset() -> xr.Dataset:
        return table.dataset(unit).assign(checkpoint).assign_attrs(attributes)

    for place, name in table.missing():
        table.found[place] = _found(objective, losses, ways[name], config)
        if observer is not None:
            observer(Progress(table.done, len(ways), dataset))
    return dataset()


def check_policy(objective: Objective) -> None:
    """Refuse a BN policy under which a moved checkpoint has no statistics.

    Raises:
        InputError: for ``interpolated``.
    """
    if objective.batch_norm == "interpolated" and objective.bn_layers:
        raise InputError(
            "batch_norm: 'interpolated' moves the running statistics between checkpoints, and a step leads to none. Choose "
            "frozen, batch or reestimated."
        )


def made_by(objective: Objective, config: CriticalSharpnessConfig, ways: Mapping[str, Direction]) -> Signature:
    """What decides the values: the objective, the settings and the directions."""
    facts = {"kind": "critical_sharpness", **vars(config), "along": list(ways)}
    vectors = {f"direction {name}": way.vector for name, way in ways.items()}
    return signature(objective).also(facts, vector_numbers(vectors, objective.theta.layout, objective.precision))


def points_held(
    objective: Objective, config: CriticalSharpnessConfig, directions: Mapping[str, Along] | None, earlier: xr.Dataset
) -> list[Held]:
    """What an ``earlier`` result holds of its farthest step with a finite loss, for :func:`check_points`."""
    return _held(objective, _ways(objective, config, directions), earlier)


def _held(objective: Objective, ways: Mapping[str, Direction], earlier: xr.Dataset) -> list[Held]:
    lengths = earlier["trial_step"] * earlier["direction_norm"]
    lengths = lengths.where(np.isfinite(earlier["rise"]))
    if not np.isfinite(lengths).any():
        return []
    place = {name: int(index) for name, index in lengths.argmax(["direction", "trial"]).items()}
    one = earlier.isel(place)
    way = ways[str(one["direction"].item())]
    sign = float(one["sign"])
    subspace = Subspace(objective.theta, [replace(way, vector=sign * way.vector)])
    step, loss = float(one["trial_step"]), float(earlier["checkpoint_loss"]) + float(one["rise"])
    return [Held(f"the step {step:.4g} along {one['direction'].item()}", subspace, np.array([step]), loss)]


def _ways(
    objective: Objective, config: CriticalSharpnessConfig, given: Mapping[str, Along] | None
) -> dict[str, Direction]:
    asked: Mapping[str, Along] = {name: name for name in config.along} if given is None else given
    if not isinstance(asked, Mapping) or not asked:
        raise InputError(
            f"directions: expected a mapping of names to directions, such as {{'my step': vector}}, got {asked!r}."
        )
    return {str(name): _way(objective, str(name), one, config) for name, one in asked.items()}


def _way(objective: Objective, name: str, given: Along, config: CriticalSharpnessConfig) -> Direction:
    theta = objective.theta
    if isinstance(given, Direction):
        return given_direction(ParameterVector(given.vector, given.layout), theta, **{"kind": name, **given.provenance})
    if isinstance(given, ParameterVector | Tensor):
        return given_direction(given, theta, kind=name)
    if isinstance(given, Objective):
        _check_same(objective, given)
        return given_direction(-given.gradient(theta).vector.vector, theta, kind=name, of=given.loss_name)
    if given == "random":
        return random_direction(theta, seed=config.direction_seed)
    if given == "gradient":
        return given_direction(-objective.gradient().vector.vector, theta, kind="gradient")
    if isinstance(given, str) and given in config.along:
        raise InputError(
            f"along: {given!r} is made of a checkpoint's file, by landscape probe. Give it as a vector: "
            f"directions={{{given!r}: …}}."
        )
    if isinstance(given, str):
        raise unknown_choice(f"directions[{name!r}]", given, ("gradient", "random"))
    raise InputError(
        f"directions[{name!r}]: expected a Direction, a flat vector, an Objective, 'gradient' or 'random', "
        f"got {type(given).__name__}."
    )


def _check_same(objective: Objective, other: Objective) -> None:
    if other.theta.layout != objective.theta.layout:
        raise InputError(
            "directions: the other objective moves other parameters than this one. Make both of one module, with the same "
            "parameters."
        )


@dataclass
class _Along:
    """The rise of the loss along one direction, as it is looked at: step -> mean rise, and its standard error."""

    objective: Objective
    losses: Tensor
    vector: Tensor
    rises: dict[float, tuple[float, float]]

    def __call__(self, step: float) -> float:
        theta = torch.add(self.objective.theta.vector, self.vector, alpha=step)
        # Paired by sample, so that what the samples differ in drops out of the error.
        self.rises[step] = self.objective.spread.mean(self.objective.per_sample(theta) - self.losses)
        return self.rises[step][0] / step


def _found(objective: Objective, losses: Tensor, way: Direction, config: CriticalSharpnessConfig) -> Found:
    length = (objective.theta.norm or 1.0) / way.norm
    start, sign, along = START * length, 1.0, _Along(objective, losses, way.vector, {})
    known, most = {}, config.max_passes - 1  # one is that at the checkpoint
    if way.provenance.get("kind") in _EITHER_WAY:
        backward = _Along(objective, losses, -way.vector, {})
        rises = along(start), backward(start)
        if not rises[0] <= rises[1]:
            sign, along = -1.0, backward
        known, most = {start: rises[sign < 0]}, most - 1
    reach = config.reach * length
    search = Crossing(start, SMALLEST * length, reach, tolerance=config.tolerance, most=most, values=known).run(along)
    return found_along(search, along.rises, sign, way.norm, passes=len(search.values) + config.max_passes - most)
