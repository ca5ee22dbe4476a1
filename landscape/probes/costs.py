"""What a probe of one checkpoint costs, before it is made, in training steps of one sample; good to a factor of two."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from landscape.numerics.refinement import Refinement
from landscape.probes.settings import ProbeSettings, RefinedSettings
from landscape.registry import asked, found

# Of a training step: an evaluation, and a Hessian product.
EVALUATION, PRODUCT = 1 / 3, 3.0


def probe_steps(settings: ProbeSettings, module: nn.Module, batch_size: int) -> float:
    """Training steps of one sample that the probe of one checkpoint comes to; 0 for what cannot be told.

    Args:
        settings: of the probe.
        module: the network, whose layers a spectrum may be asked for.
        batch_size: of the training, for a probe that trains on.
    """
    record = asked()[settings.kind]
    return float(found(record.steps)(settings, module, batch_size)) if record.steps else 0.0


def grid_points(settings: RefinedSettings, axes: Sequence[str]) -> tuple[int, int]:
    """All points of a grid, and the passes over the images that they take at most."""
    every = math.prod(int(axis.split(":")[-1]) for axis in axes)
    refinement: Refinement | None = settings.refinement(axes)
    return every, every if refinement is None else refinement.most(every)
