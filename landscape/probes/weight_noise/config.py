"""What is asked of weight noise: which noises, how strong, and how many draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from landscape.checking import OWN, Option
from landscape.errors import InputError, unknown_choice
from landscape.probes.settings import settings_of

# noise -> what it is, and the σ that it is taken at where none are asked for
NOISES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "relative": ("noise in parts of each tensor's root mean square", (0.01, 0.02, 0.05, 0.1, 0.2)),
    "absolute": ("noise of one size for every weight", (0.001, 0.002, 0.005, 0.01, 0.02)),
}


@dataclass(frozen=True)
class WeightNoiseConfig:
    """Which noises at which σ, over how many draws; see :func:`landscape.probes.weight_noise.measure.weight_noise`.

    Args:
        noise: names of :data:`NOISES`.
        sigma: of every noise; None for each noise's own. Of ``relative`` in parts of a tensor's root mean square, of ``absolute``
            the standard deviation itself.
        draws: perturbations that the mean is over; the same ones for every noise and every σ.
        draw_seed: of the draws. Use the same one for checkpoints that are compared.

    Raises:
        InputError: naming the argument.
    """

    noise: Annotated[tuple[str, ...], Option("Of relative, absolute.", OWN)] = tuple(NOISES)
    sigma: Annotated[
        tuple[float, ...] | None, Option("Sizes of the noise, such as 0.05,0.1.", OWN, "each noise's own")
    ] = None
    draws: Annotated[int, Option("Perturbations that means are over.", OWN)] = 10
    draw_seed: Annotated[int, Option("Of what is drawn.", OWN)] = 0

    def __post_init__(self) -> None:
        noises = (self.noise,) if isinstance(self.noise, str) else tuple(self.noise)
        for name in noises:
            if name not in NOISES:
                raise unknown_choice("noise", name, NOISES)
        if not noises or len(set(noises)) < len(noises):
            raise InputError(f"noise: expected {' or '.join(NOISES)}, or both, each once, got {noises!r}.")
        if not isinstance(self.draws, int) or isinstance(self.draws, bool) or self.draws < 2:
            raise InputError(f"draws: expected a whole number of at least 2, got {self.draws!r}.")
        object.__setattr__(self, "noise", noises)
        object.__setattr__(self, "sigma", None if self.sigma is None else _sizes(self.sigma))

    def sigmas(self, noise: str) -> tuple[float, ...]:
        """The σ of a noise."""
        return NOISES[noise][1] if self.sigma is None else self.sigma


def _sizes(given: Any) -> tuple[float, ...]:
    expected = "sigma: expected one or more different numbers above 0, such as 0.05, 0.1"
    try:
        sizes = tuple(float(value) for value in ((given,) if isinstance(given, int | float) else given))
    except (TypeError, ValueError):
        raise InputError(f"{expected}, got {given!r}.") from None
    if not sizes or len(set(sizes)) < len(sizes) or not all(0 < size < math.inf for size in sizes):
        raise InputError(f"{expected}, got {given!r}.")
    return sizes


WeightNoiseSettings = settings_of(WeightNoiseConfig, "weight_noise")
