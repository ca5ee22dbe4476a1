"""What a probe of one checkpoint costs, before it is made, in training steps of one sample; good to a factor of two."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from landscape.numerics.refinement import Refinement
from landscape.probes.curvature_config import layers_of
from landscape.probes.paths import TRAINED
from landscape.studies.curvature_settings import CurvatureSettings
from landscape.studies.path_settings import PathSettings
from landscape.studies.plane_probe import DEFAULT_AXES
from landscape.studies.probe_settings import CurvatureMapSettings, DirectedSettings, StepsSettings
from landscape.studies.sampled_settings import ProbeSettings, SampledSettings
from landscape.studies.sharpness_settings import NoiseScaleSettings, SharpnessSettings
from landscape.studies.trajectory_probe import DEFAULT_AXIS
from landscape.studies.trajectory_settings import TrajectorySettings

# Of a training step: an evaluation, and a Hessian product.
EVALUATION, PRODUCT = 1 / 3, 3.0
MAP_PRODUCTS = 15  # of a point of a curvature map
PAIR_PRODUCTS = 3.5  # of each eigenvalue that is looked for, as measured for one to ten on VGG38
CLIMBING = ("sam_steps", "adaptive_steps", "keskar")
AVERAGED = ("adaptive_average", "gaussian")


def probe_steps(probe: ProbeSettings, module: nn.Module, batch_size: int) -> float:
    """Training steps of one sample that the probe of one checkpoint comes to; 0 for what cannot be told.

    Args:
        probe: its settings.
        module: the network, whose layers a spectrum may be asked for.
        batch_size: of the training, for a probe that trains on.
    """
    if isinstance(probe, StepsSettings):
        looks = math.ceil(probe.steps / probe.probe_every)
        return (probe.steps + looks * len(probe.config().factors())) * batch_size
    if isinstance(probe, PathSettings):
        return _path(probe)
    return _passes(probe, module) * probe.images if isinstance(probe, SampledSettings) else 0.0


def _passes(probe: SampledSettings, module: nn.Module) -> float:
    """Training steps a sample that is looked at."""
    if isinstance(probe, CurvatureMapSettings):
        every, points = _points(probe, _axes(probe))
        return len(probe.seeds) * (every * EVALUATION + points * MAP_PRODUCTS * PRODUCT)
    if isinstance(probe, DirectedSettings):
        return len(probe.seeds) * _points(probe, _axes(probe))[1] * EVALUATION
    if isinstance(probe, TrajectorySettings):
        axes = [probe.x or DEFAULT_AXIS, probe.y or DEFAULT_AXIS]
        return _points(probe, axes)[1] * EVALUATION
    if isinstance(probe, CurvatureSettings):
        return _products(probe, module) * PRODUCT
    if isinstance(probe, SharpnessSettings):
        return sum(_measure(probe, name) for name in probe.config().measures)
    return 1.0 if isinstance(probe, NoiseScaleSettings) else 0.0


def _axes(probe: DirectedSettings) -> list[str]:
    given = (probe.x,) if probe.kind == "line" else (probe.x, probe.y)
    return [axis or DEFAULT_AXES[probe.kind] for axis in given]


def _points(probe: DirectedSettings | TrajectorySettings, axes: Sequence[str]) -> tuple[int, int]:
    """All points of the grid, and the passes over the images that they take at most."""
    every = math.prod(int(axis.split(":")[-1]) for axis in axes)
    refinement: Refinement | None = probe.refinement(axes)
    return every, every if refinement is None else refinement.most(every)


def _products(probe: CurvatureSettings, module: nn.Module) -> float:
    config = probe.config()
    searched = min(1 + PAIR_PRODUCTS * config.wanted, config.max_products) if config.wanted else 0.0
    blocks = len(layers_of([name for name, _ in module.named_parameters()])) if config.per_layer else 1
    return blocks * (searched + config.trace_probes + config.density_probes * config.density_steps)


def _measure(probe: SharpnessSettings, name: str) -> float:
    """One measure of sharpness over all its radii."""
    config = probe.config()
    radii = len(config.radii(name))
    if name in CLIMBING:
        return radii * config.ascent_steps * (1 + config.restarts)
    if name in AVERAGED:
        return radii * config.draws * EVALUATION
    return radii * (1 + EVALUATION) if name == "m_sharpness" else 1 + radii * EVALUATION


def _path(probe: PathSettings) -> float:
    """Points along every path, where the statistics are taken anew as well, and the training of its curves."""
    again = 2 if probe.batch_norm == "reestimated" else 1
    measured = len(probe.paths) * probe.points * again * EVALUATION * probe.images
    curves = sum(kind in TRAINED for kind in probe.paths)
    return measured + curves * probe.curve_steps * probe.curve_batch_size
