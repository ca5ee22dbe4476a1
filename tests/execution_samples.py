"""Probes that others do, and a user's own loss: workers import this file, and nothing that they need not."""

from __future__ import annotations

from collections.abc import Callable

import torch
import xarray as xr
from torch import nn

import landscape as ls
from landscape.numerics.refinement import Refinement

AXIS, FEW = (-1.0, 1.0, 11), (-1.0, 1.0, 7)
PROBES: dict[str, Callable[..., xr.Dataset]] = {
    "plane": lambda o, **by: ls.plane(o, x=FEW, y=FEW, seeds=[0, 1], **by),
    "adaptive plane": lambda o, **by: ls.plane(o, x=AXIS, y=AXIS, seeds=[0, 1], refinement=Refinement(max_points=115), **by),
    "curvature map": lambda o, **by: ls.curvature_map(o, x=(-1, 1, 3), y=(0, 1, 2), **by),
    "sharpness": lambda o, **by: ls.sharpness(o, ls.SharpnessConfig(rho=(0.05,), draws=2, ascent_steps=2, m=10), **by),
    "spectrum": lambda o, **by: ls.curvature(
        o, ls.CurvatureConfig(top=1, bottom=0, trace_probes=3, density_probes=2, density_steps=4), **by
    ),
    "noise scale": lambda o, **by: ls.noise_scale(o, ls.NoiseScaleConfig(small_batch=5, groups=4), **by),
}  # fmt: skip


def own_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")
