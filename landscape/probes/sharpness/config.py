"""Which measures of sharpness there are, and what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import model_validator

from landscape.checking import OWN, Option
from landscape.errors import InputError, unknown_choice
from landscape.probes.settings import Configured, settings_of


@dataclass(frozen=True)
class Measure:
    """What one measure of sharpness is.

    Attributes:
        words: what it is, for people.
        rho: what its ρ is the size of.
        radii: the ρ that it is taken at where none are asked for.
        over: what the standard error of its value is taken over.
        bound: whether it stands for a maximum, of which an ascent finds a lower bound.
        units: of its value; None for those of the loss.
    """

    words: str
    rho: str
    radii: tuple[float, ...]
    over: str
    bound: bool
    units: str | None = None


_NORM, _RELATIVE_NORM = "‖ε‖₂", "‖ε/θ‖₂"
_RHO, _RELATIVE_RHO = (0.01, 0.02, 0.05, 0.1, 0.2), (0.1, 0.2, 0.5, 1.0, 2.0)
MEASURES: Mapping[str, Measure] = {
    "sam": Measure("SAM, one ascent step", _NORM, _RHO, "samples", True),
    "sam_steps": Measure("SAM, several ascent steps", _NORM, _RHO, "samples", True),
    "m_sharpness": Measure("m-sharpness: SAM per batch, averaged", _NORM, _RHO, "batches", True),
    "adaptive": Measure("adaptive worst case, one ascent step", _RELATIVE_NORM, _RELATIVE_RHO, "samples", True),
    "adaptive_steps": Measure(
        "adaptive worst case, several ascent steps", _RELATIVE_NORM, _RELATIVE_RHO, "samples", True
    ),
    "adaptive_average": Measure(
        "adaptive average case", "standard deviation of δᵢ/|θᵢ|", (0.01, 0.02, 0.05, 0.1, 0.2), "draws", False
    ),
    "keskar": Measure(
        "Keskar's box", "half the box's sides, |εᵢ|/(|θᵢ| + 1)", (1e-4, 2e-4, 5e-4, 1e-3, 2e-3), "samples", True, "%"
    ),
    "gaussian": Measure(
        "average case", "standard deviation of δᵢ", (0.001, 0.002, 0.005, 0.01, 0.02), "draws", False
    ),
}  # fmt: skip
# Those that a checkpoint of a small convolutional network is through with in minutes on two cores.
DEFAULT_MEASURES = ("sam", "m_sharpness", "adaptive", "adaptive_average", "keskar", "gaussian")


@dataclass(frozen=True)
class SharpnessConfig:
    """Which measures, how far, and how hard they are tried; see :mod:`landscape.probes.sharpness.formulas` for the formulas.

    Args:
        measures: names of :data:`MEASURES`.
        rho: the radii of every measure, ascending or not; None for each measure's own. ρ is ‖ε‖₂ for ``sam``, ``sam_steps`` and
            ``m_sharpness``, ‖ε/θ‖₂ for ``adaptive`` and ``adaptive_steps``, the standard deviation of δᵢ/|θᵢ| for
            ``adaptive_average`` and of δᵢ for ``gaussian``, and the e of ``keskar``.
        ascent_steps: from each start, for ``sam_steps``, ``adaptive_steps`` and ``keskar``.
        restarts: further starts of these from random places; the highest value counts.
        ascent_tolerance: such an ascent has converged when the linearised loss would rise within the region by no more than this
            fraction of the rise already found.
        draws: random perturbations of ``adaptive_average`` and ``gaussian``; the same ones for every ρ.
        m: samples a batch of ``m_sharpness``; None for 50, or a quarter of the samples where that is fewer.
        draw_seed: of the draws, the starts and the batches. Use the same one for checkpoints that are compared.

    Raises:
        InputError: naming the argument.

    Example:
        >>> config = ls.SharpnessConfig(measures=("sam", "gaussian"), rho=(0.05, 0.1))
        >>> ls.sharpness(objective, config)["sharpness"].shape
        (2, 2)
    """

    measures: Annotated[
        tuple[str, ...],
        Option("Of sam, sam_steps, m_sharpness, adaptive, adaptive_steps, adaptive_average, keskar, gaussian.", OWN),
    ] = DEFAULT_MEASURES
    rho: Annotated[
        tuple[float, ...] | None, Option("Sizes of the perturbation, such as 0.05,0.1.", OWN, "each measure's own")
    ] = None
    ascent_steps: Annotated[int, Option("Of keskar and those with _steps.", OWN)] = 10
    restarts: Annotated[int, Option("Further ascents from random places.", OWN)] = 0
    ascent_tolerance: Annotated[float, Option("When an ascent has converged, in parts of its rise.", OWN)] = 1e-3
    draws: Annotated[int, Option("Perturbations that averages are over.", OWN)] = 10
    m: Annotated[int | None, Option("Images a batch of m_sharpness.", OWN, "50, or a quarter of them")] = None
    draw_seed: Annotated[int, Option("Of what is drawn.", OWN)] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "measures", _measures(self.measures))
        object.__setattr__(self, "rho", None if self.rho is None else _radii(self.rho))
        for name, least in (("ascent_steps", 1), ("restarts", 0), ("draws", 2), ("m", 1)):
            value = getattr(self, name)
            if not (name == "m" and value is None) and not _is_count(value, least):
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
        if not 0 < self.ascent_tolerance < 1:
            raise InputError(f"ascent_tolerance: expected a number between 0 and 1, got {self.ascent_tolerance!r}.")

    def radii(self, measure: str) -> tuple[float, ...]:
        """The ρ at which a measure is taken."""
        return MEASURES[measure].radii if self.rho is None else self.rho

    def batch(self, n_samples: int) -> int:
        """m for so many samples.

        Raises:
            InputError: for more than there are.
        """
        m = min(50, max(n_samples // 4, 1)) if self.m is None else self.m
        if m > n_samples:
            raise InputError(
                f"m: batches of {m} need at least as many samples, and there are {n_samples}. Ask for a smaller m."
            )
        return m


def _measures(given: Sequence[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names:
        raise InputError(f"measures: expected at least one of {', '.join(MEASURES)}, got none.")
    for name in names:
        if name not in MEASURES:
            raise unknown_choice("measures", name, MEASURES)
    if len(set(names)) < len(names):
        raise InputError(f"measures: each may occur once, got {', '.join(names)}.")
    return names


def _radii(given: Any) -> tuple[float, ...]:
    expected = "rho: expected one or more different numbers above 0, such as 0.05, 0.1"
    try:
        radii = tuple(float(value) for value in ((given,) if isinstance(given, int | float) else given))
    except (TypeError, ValueError):
        raise InputError(f"{expected}, got {given!r}.") from None
    if not radii or len(set(radii)) < len(radii) or not all(0 < radius < math.inf for radius in radii):
        raise InputError(f"{expected}, got {given!r}.")
    return radii


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class _Perturbed(Configured):
    @model_validator(mode="after")
    def _in_place(self) -> Self:
        if self.batch_norm == "interpolated":
            raise InputError(
                "batch_norm: 'interpolated' moves the running statistics between checkpoints, and a perturbation leads to "
                "none. Choose frozen, batch or reestimated."
            )
        return self


SharpnessSettings = settings_of(SharpnessConfig, "sharpness", _Perturbed)
