"""The mean rise of the loss under Gaussian noise on the weights, E L(θ + σ s ⊙ z) − L(θ) with z ~ N(0, I).

The scale s is 1 for ``absolute`` noise. For ``relative`` noise it is, in each tensor t of n weights, the root mean square ‖t‖/√n,
so that the noise is σ times as large as the tensor; a tensor of zeros gets none. To second order in σ the rise is ½ σ² Σ sᵢ² Hᵢᵢ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from landscape._version import __version__
from landscape.errors import InputError
from landscape.execution.team import Work, team_of
from landscape.numerics.directions import given_direction
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.seeds import generator
from landscape.objective.again import Held, check_points
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.objective.subspace import Subspace
from landscape.probes.health import network_health
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.weight_noise.config import WeightNoiseConfig
from landscape.probes.weight_noise.dataset import NoiseTable


@shown
def weight_noise(
    objective: Objective,
    config: WeightNoiseConfig | None = None,
    *,
    resume: xr.Dataset | None = None,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """How far random noise on the weights raises the mean loss, for every noise and σ that ``config`` names.

    Every σ has the same draws, so that the rise over σ is smooth, and the differences between σ are better known than the rises.

    Args:
        objective: what is evaluated; its own parameters are θ, and they alone are perturbed.
        config: noises, σ and draws; the defaults of :class:`WeightNoiseConfig` where None.
        resume: an earlier, partial result of the same call: what it has is not measured again.
        observer: told after every σ.
        executor: who measures, as in :func:`landscape.probes.plane.measure.plane`.

    Returns:
        A data set of kind ``weight_noise`` with the dimensions ``(noise, level)``:

        - ``sigma``, a coordinate of both, since noises may have σ of their own;
        - ``rise`` in the loss's unit, with its ``standard_error`` over draws and its ``sample_standard_error``; ``draw_rise``
          of each ``draw``;
        - ``status``: 0 missing, 1 measured, 2 not finite;
        - of the checkpoint ``checkpoint_loss`` with its standard error over the samples, and ``parameter_norm`` ‖θ‖₂.

        A value that is NaN or infinite is a result and stays; the attribute ``notes`` names it.

    Raises:
        InputError: for the policy ``interpolated``, which moves the statistics between checkpoints.
        MismatchError: for a ``resume`` that another objective made, or of other noises, σ, draws or seed.
    """
    config = WeightNoiseConfig() if config is None else config
    check_policy(objective)
    made = signature(objective).also({"kind": "weight_noise", "draws": config.draws, "draw_seed": config.draw_seed})
    table = NoiseTable.empty(config)
    if resume is not None:
        made.check_resume(resume.attrs)
        table = NoiseTable.of(resume, config)
        check_points(objective, points_held(objective, config, resume))
    unit = loss_unit(objective.loss_name)
    checkpoint = _checkpoint(objective, unit)
    attributes = {**_attributes(objective, config, float(checkpoint["checkpoint_loss"])), **made.attribute()}
    losses = objective.per_sample()

    def dataset() -> xr.Dataset:
        return table.dataset(unit).assign(checkpoint.data_vars).assign_attrs(attributes)

    parts = ((place, (noise, sigma, config)) for place, noise, sigma in table.missing())
    for place, found in Work(_rises, (objective, losses), team_of(executor)).each(parts):
        table.fill(place, *found)
        if observer is not None:
            observer(Progress(table.done, table.status.size, dataset, "draws"))
    return dataset()


def check_policy(objective: Objective) -> None:
    """Refuse a BN policy under which a perturbed checkpoint has no statistics.

    Raises:
        InputError: for ``interpolated``.
    """
    if objective.batch_norm == "interpolated" and objective.bn_layers:
        raise InputError(
            "batch_norm: 'interpolated' moves the running statistics between checkpoints, and noise leads to none. Choose "
            "frozen, batch or reestimated."
        )


def scales(theta: ParameterVector, noise: str) -> Tensor:
    """s of shape ``(n,)``: ones, or for ``relative`` noise the root mean square of each weight's tensor."""
    scale = torch.ones_like(theta.vector)
    if noise == "relative":
        for view, tensor in zip(theta.layout.views(scale).values(), theta.views().values(), strict=True):
            view.fill_(float(tensor.cpu().double().square().mean().sqrt()))
    return scale


def points_held(objective: Objective, config: WeightNoiseConfig, earlier: xr.Dataset) -> list[Held]:
    """What an ``earlier`` result holds of the point of its first draw at the largest σ, for :func:`check_points`."""
    rises, sigmas = earlier["draw_rise"].values[..., 0], earlier["sigma"].values
    if not np.isfinite(rises).any():
        return []
    row, column = np.unravel_index(np.where(np.isfinite(rises), sigmas, -np.inf).argmax(), sigmas.shape)
    noise, sigma = str(earlier["noise"].values[row]), float(sigmas[row, column])
    offset = sigma * scales(objective.theta, noise) * _normal(objective.theta, config.draw_seed, 0)
    if not bool(offset.any()):  # relative noise on weights that are all zero
        return []
    subspace = Subspace(objective.theta, [given_direction(offset, objective.theta, kind="noise")])
    loss = float(earlier["checkpoint_loss"]) + float(rises[row, column])
    return [Held(f"the first draw of {noise} noise at σ = {sigma:g}", subspace, np.ones(1), loss)]


def _rises(
    objective: Objective, losses: Tensor, noise: str, sigma: float, config: WeightNoiseConfig
) -> tuple[list[float], float]:
    """The rise of the mean loss by each draw, and the standard error of their mean over the samples."""
    scale = sigma * scales(objective.theta, noise)
    found, total = [], torch.zeros_like(losses)
    for number in range(config.draws):
        theta = objective.theta.vector + scale * _normal(objective.theta, config.draw_seed, number)
        # Paired by sample, so that what the samples differ in drops out of the error.
        rises = objective.per_sample(theta) - losses
        found.append(objective.spread.mean(rises)[0])
        total += rises
    return found, objective.spread.mean(total / config.draws)[1]


def _normal(theta: ParameterVector, seed: int, number: int) -> Tensor:
    """A standard normal vector of θ's layout, drawn tensor by tensor so that it does not depend on the memory format."""
    draws = generator(seed, "weight noise", number)
    drawn = {slot.name: torch.randn(slot.shape, generator=draws) for slot in theta.layout.slots}
    return theta.layout.pack(drawn, dtype=theta.vector.dtype, device=theta.vector.device)


def _checkpoint(objective: Objective, unit: str) -> xr.Dataset:
    """What the result says of the checkpoint itself, and on which samples."""
    here = objective.evaluate()
    error = "standard error of the checkpoint's mean loss"
    norm = "Euclidean norm of the checkpoint's parameters"
    return xr.Dataset(
        {
            "checkpoint_loss": ((), here.loss, {"long_name": "mean loss of the checkpoint itself", "units": unit}),
            "checkpoint_loss_standard_error": ((), here.standard_error, {"long_name": error, "units": unit}),
            "parameter_norm": ((), objective.theta.norm, {"long_name": norm, "units": "1"}),
            "index": (
                ("sample",),
                objective.indices.cpu().numpy().astype(np.int64),
                {"long_name": "index of each sample in the data", "units": "1"},
            ),
        }
    )


def _attributes(objective: Objective, config: WeightNoiseConfig, loss: float) -> dict[str, Any]:
    health = network_health(objective, loss)
    return {
        "kind": "weight_noise",
        "title": "weight noise",
        **objective.provenance(),
        "draws": config.draws,
        "draw_seed": config.draw_seed,
        "dead": int(health.dead),
        "dead_reason": health.reason,
        "landscape_version": __version__,
        "torch_version": str(torch.__version__),
    }
