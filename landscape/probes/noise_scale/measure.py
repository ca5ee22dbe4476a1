"""The gradient noise scale tr Σ / ‖G‖² (McCandlish et al. 2018, arXiv 1812.06162, appendix A.1), with its uncertainty.

A batch of B samples has a gradient with E ‖g_B‖² = ‖G‖² + tr Σ / B, where G is the gradient of the expected loss and Σ the
covariance of one sample's gradient. Two batch sizes therefore give unbiased estimates of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from landscape.checking import OWN, Option
from landscape.errors import InputError
from landscape.execution.team import Work, team_of
from landscape.numerics.seeds import generator
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.objective.signature import signature
from landscape.probes.progress import Progress, ProgressObserver, shown
from landscape.probes.provenance import provenance
from landscape.results.attributes import labels

RESOLVED_ERRORS = (
    2.0  # a ‖G‖² that lies less than so many standard errors above zero leaves the ratio without an upper end
)


@dataclass(frozen=True)
class Noise:
    """tr Σ, ‖G‖² and their ratio, the noise scale in samples."""

    trace: float
    squared_norm: float

    @property
    def scale(self) -> float:
        return self.trace / self.squared_norm if self.squared_norm else math.nan


def noise_from_pair(small: float, big: float, small_size: int, big_size: int) -> Noise:
    """The unbiased estimates from E ‖g_b‖² = ``small`` for batches of b = ``small_size``, and ``big`` for B = ``big_size``.

    tr Σ = (‖g_b‖² − ‖g_B‖²) / (1/b − 1/B) and ‖G‖² = (B ‖g_B‖² − b ‖g_b‖²) / (B − b). Either may come out negative. NaN where
    b = B.
    """
    if small_size == big_size:
        return Noise(math.nan, math.nan)
    trace = (small - big) / (1 / small_size - 1 / big_size)
    return Noise(trace, (big_size * big - small_size * small) / (big_size - small_size))


@dataclass(frozen=True)
class NoiseScaleConfig:
    """How the samples are split.

    Args:
        small_batch: samples a small batch.
        groups: of small batches; each is left out once for the standard errors.
        split_seed: of the split.

    Raises:
        InputError: naming the argument.

    Example:
        >>> config = ls.NoiseScaleConfig(small_batch=5, groups=4)
        >>> len(config.split(60)), len(config.split(60)[0])
        (4, 3)
    """

    small_batch: Annotated[int, Option("Images of the smaller batch.", OWN)] = 10
    groups: Annotated[int, Option("Groups of batches for the error.", OWN)] = 10
    split_seed: Annotated[int, Option("Of the split into batches.", OWN)] = 0

    def __post_init__(self) -> None:
        for name, least in (("small_batch", 1), ("groups", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")

    def split(self, n_samples: int) -> list[list[Tensor]]:
        """Places of the samples by group and batch.

        Raises:
            InputError: for fewer batches than groups.
        """
        small, count = self.small_batch, n_samples // self.small_batch
        if count < max(self.groups, 3):
            raise InputError(
                f"small_batch: {n_samples} samples make {count} batches of {small}, and {self.groups} groups need at least "
                f"{max(self.groups, 3)}. Ask for more samples, smaller batches or fewer groups."
            )
        order = torch.randperm(n_samples, generator=generator(self.split_seed, "noise scale"))
        batches = torch.split(order[: count * small], small)
        return [[batches[i] for i in part] for part in np.array_split(np.arange(count), self.groups)]


@shown
def noise_scale(
    objective: Objective,
    config: NoiseScaleConfig | None = None,
    *,
    observer: ProgressObserver | None = None,
    executor: Any = None,
) -> xr.Dataset:
    """tr Σ / ‖G‖² of the loss at the checkpoint, from one pass over the samples.

    The samples are split at random into disjoint small batches (what is left over is in none). All of them together are the
    big one, whose gradient is the mean of theirs. The standard errors come from leaving out one group of them at a time (the
    delete-a-group jackknife). Under the policy ``batch`` every small batch is normalised by its own statistics, so this is
    the noise of a training with such batches. Memory: one vector of θ's size, in float64 on the host, for each group.

    Args:
        objective: its samples are taken as drawn independently from those that a training would see.
        config: the split; the defaults of :class:`NoiseScaleConfig` where None.
        observer: told after every group.
        executor: who measures, as in :func:`landscape.probes.plane.measure.plane`.

    Returns:
        A data set of kind ``noise_scale``: ``noise_scale`` (in samples), ``noise_trace`` tr Σ and ``gradient_norm_squared`` ‖G‖²,
        each with a ``…_standard_error``; ``resolved``, whether ‖G‖² lies two standard errors above zero, without which the
        scale has no upper end; ``noise_scale_without`` each ``group``. NaN and infinite values are kept.

    Raises:
        InputError: for fewer samples than the split needs, or single samples under batch statistics.

    Example:
        >>> found = ls.noise_scale(objective, ls.NoiseScaleConfig(small_batch=5, groups=4))
        >>> bool(found["resolved"])  # whether ‖G‖² is known to be above zero; 60 samples are too few
        False
    """
    config = NoiseScaleConfig() if config is None else config
    if objective.batch_norm == "batch" and objective.bn_layers and config.small_batch < 2:
        raise InputError("small_batch: batch statistics need at least 2 samples a batch, got 1.")
    batches = config.split(objective.n_samples)
    made = signature(objective).also({"kind": "noise_scale", **vars(config)})
    loss, effort = objective.evaluate().loss, _effort(objective, config)
    said = provenance("noise_scale", "gradient noise scale", objective, loss, effort)
    attributes = {**said, **made.attribute()}
    unit = loss_unit(objective.loss_name)
    done: dict[int, _Group] = {}

    def dataset() -> xr.Dataset:
        return _dataset([done[number] for number in sorted(done)], config.small_batch, unit).assign_attrs(attributes)

    parts = ((number, (members,)) for number, members in enumerate(batches))
    for number, group in Work(_Group.of, (objective,), team_of(executor)).each(parts):
        done[number] = group
        if observer is not None:
            observer(Progress(len(done), len(batches), dataset, "batches"))
    return dataset()


@dataclass(frozen=True)
class _Group:
    """Several small batches: the sum of their gradients ``(n,)`` in float64, the sum of their squared norms, and their number."""

    total: Tensor
    squares: float
    count: int

    @classmethod
    def of(cls, objective: Objective, batches: Sequence[Tensor]) -> _Group:
        total, squares = torch.zeros(objective.theta.layout.size, dtype=torch.float64), 0.0
        for batch in batches:
            gradient = objective.part(batch.to(objective.indices.device)).gradient().vector.vector.cpu().double()
            total += gradient
            squares += float(gradient @ gradient)
        return cls(total, squares, len(batches))


def _noise(groups: Sequence[_Group], small: int) -> Noise:
    """The estimates from the batches of some groups."""
    count = sum(group.count for group in groups)
    total = torch.stack([group.total for group in groups]).sum(0) / count
    mean_square = sum(group.squares for group in groups) / count
    return noise_from_pair(mean_square, float(total @ total), small, small * count)


def _left_out(groups: Sequence[_Group], small: int) -> Iterator[Noise]:
    """The estimates without each group in turn; NaN where too little is left."""
    for index in range(len(groups)):
        others = [*groups[:index], *groups[index + 1 :]]
        yield _noise(others, small) if others else Noise(math.nan, math.nan)


def jackknife_error(left_out: NDArray[np.float64]) -> float:
    """√((K − 1)/K Σ (xₖ − x̄)²) of the K values without each group; NaN for one.

    References:
        Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans.
    """
    count = len(left_out)
    if count < 2:
        return math.nan
    return math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))


def _dataset(groups: Sequence[_Group], small: int, unit: str) -> xr.Dataset:
    whole, without = _noise(groups, small), list(_left_out(groups, small))
    squared = unit if unit == "1" else f"{unit}^2"
    quantities = {
        "noise_scale": ("scale", "1", "gradient noise scale tr Σ / ‖G‖², in samples"),
        "noise_trace": ("trace", squared, "trace of the covariance Σ of a sample's gradient"),
        "gradient_norm_squared": ("squared_norm", squared, "squared norm of the expected gradient G, unbiased"),
    }
    dataset = xr.Dataset()
    for name, (attribute, units, words) in quantities.items():
        error = jackknife_error(np.array([getattr(noise, attribute) for noise in without]))
        dataset[name] = ((), getattr(whole, attribute), labels(words, units))
        words = f"standard error, by the jackknife, of the {words}"
        dataset[f"{name}_standard_error"] = ((), error, labels(words, units))
    resolved = whole.squared_norm > RESOLVED_ERRORS * float(dataset["gradient_norm_squared_standard_error"])
    words = "whether ‖G‖² lies two standard errors above zero; if not, the noise scale has no upper end"
    dataset["resolved"] = ((), np.int8(resolved), labels(words))
    scales = np.array([noise.scale for noise in without], dtype=np.float64)
    words = "gradient noise scale without the batches of the group, in samples"
    dataset["noise_scale_without"] = (("group",), scales, labels(words))
    return dataset


def _effort(objective: Objective, config: NoiseScaleConfig) -> dict[str, Any]:
    return {
        "small_batch": config.small_batch,
        "big_batch": objective.n_samples // config.small_batch * config.small_batch,
        "groups": config.groups,
        "split_seed": config.split_seed,
    }
