"""What is asked of critical sharpness: along which directions, and how well it is to be known."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated

from landscape.checking import OWN, Option
from landscape.errors import InputError, unknown_choice
from landscape.probes.settings import DrawnConfigured, settings_of

NAMES = ("gradient", "random", "update", "difference")


@dataclass(frozen=True)
class CriticalSharpnessConfig:
    """Along which directions, and how well; see :func:`landscape.probes.critical_sharpness.measure.critical_sharpness`.

    Args:
        along: names of directions: ``gradient``, which is −∇L, ``random``; of a checkpoint of ``landscape train`` also ``update``,
            the optimiser's own, with further checkpoints ``difference``, and with a curvature result ``eigenvector1``, ….
        direction_seed: of ``random``, a filter-normalised Gaussian vector.
        tolerance: of the bracket around the critical step, as a part of it.
        max_passes: forward passes over the samples for one direction at most, that at the checkpoint included.
        reach: how far it is looked, in lengths ‖θ‖ of the parameters.

    Raises:
        InputError: naming the argument.

    Example:
        >>> config = ls.CriticalSharpnessConfig(along=("gradient", "random"), tolerance=0.01)
        >>> ls.critical_sharpness(objective, config)["critical_sharpness"].sizes["direction"]
        2
    """

    along: Annotated[
        tuple[str, ...],
        Option("gradient, random, update, difference (--to), eigenvector1 (--directions), …", OWN),
    ] = ("gradient",)
    direction_seed: Annotated[int, Option("Of the random direction.", OWN)] = 0
    tolerance: Annotated[float, Option("Of the critical step, as a part of it.", OWN)] = 1e-3
    max_passes: Annotated[int, Option("Passes over the images for a direction at most.", OWN)] = 20
    reach: Annotated[float, Option("How far to look, in lengths of the parameters.", OWN)] = 10.0

    def __post_init__(self) -> None:
        names = (self.along,) if isinstance(self.along, str) else tuple(self.along)
        for name in names:
            if name not in NAMES and not re.fullmatch(r"eigenvector[1-9]\d*", str(name)):
                raise unknown_choice("along", name, [*NAMES, "eigenvector1"])
        if not names or len(set(names)) < len(names):
            raise InputError(f"along: expected at least one direction, and each once, got {names!r}.")
        object.__setattr__(self, "along", names)
        if not isinstance(self.tolerance, int | float) or not 1e-6 <= self.tolerance < 1:
            raise InputError(f"tolerance: expected a number from 1e-6 to below 1, got {self.tolerance!r}. Try 0.001.")
        if not isinstance(self.max_passes, int) or isinstance(self.max_passes, bool) or self.max_passes < 4:
            raise InputError(f"max_passes: expected a whole number of at least 4, got {self.max_passes!r}.")
        if not isinstance(self.reach, int | float) or not 0 < self.reach < math.inf:
            raise InputError(f"reach: expected a number above 0, got {self.reach!r}. Try 10.")


CriticalSharpnessSettings = settings_of(CriticalSharpnessConfig, "critical_sharpness", DrawnConfigured)
