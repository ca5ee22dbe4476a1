"""landscape: train networks, measure the shape of their loss, store it with its uncertainty, show it.

The public names, grouped; each is imported when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from landscape._version import __version__

if TYPE_CHECKING:
    from landscape import testing
    from landscape.comparison import Comparison, compare
    from landscape.data import DataSet, ImageData, as_data, load_data
    from landscape.errors import LandscapeError
    from landscape.models import build_model, vgg
    from landscape.numerics.directions import Direction, direction_between, random_direction
    from landscape.numerics.grids import Axis, Grid
    from landscape.numerics.parameters import ParameterVector
    from landscape.numerics.refinement import Refinement
    from landscape.objective.objective import Objective
    from landscape.objective.subspace import Subspace
    from landscape.objective.values import Evaluation, Gradient
    from landscape.probes.curvature.config import CurvatureConfig
    from landscape.probes.curvature.measure import curvature
    from landscape.probes.curvature_map.exact import plane_curvature
    from landscape.probes.curvature_map.measure import EigenvalueSearch, curvature_map
    from landscape.probes.gradient_flow.measure import GradientFlow
    from landscape.probes.interactive import interactive
    from landscape.probes.noise_scale.measure import NoiseScaleConfig, noise_scale
    from landscape.probes.path.measure import align, path
    from landscape.probes.path.training import CurveTraining
    from landscape.probes.plane.measure import line, plane, surface
    from landscape.probes.plane.smoothness import plane_smoothness
    from landscape.probes.plane.spans import Span, checkpoint_span, random_span
    from landscape.probes.plot import plot
    from landscape.probes.sharpness.config import SharpnessConfig
    from landscape.probes.sharpness.measure import sharpness
    from landscape.probes.stability.measure import StabilityProbe
    from landscape.probes.steps.measure import StepProbeConfig
    from landscape.probes.steps.observer import StepProbe
    from landscape.probes.steps.run_range import run_range
    from landscape.probes.topology.measure import topology
    from landscape.results import load_checkpoint, load_into, save_checkpoint
    from landscape.results import load_result as load
    from landscape.results import save_result as save
    from landscape.training import TrainingConfig, fit, history_dataset

# public name -> (module, name there)
_HOMES = {
    "Objective": ("landscape.objective.objective", "Objective"),
    "Evaluation": ("landscape.objective.values", "Evaluation"),
    "Gradient": ("landscape.objective.values", "Gradient"),
    "line": ("landscape.probes.plane.measure", "line"),
    "plane": ("landscape.probes.plane.measure", "plane"),
    "surface": ("landscape.probes.plane.measure", "surface"),
    "Span": ("landscape.probes.plane.spans", "Span"),
    "random_span": ("landscape.probes.plane.spans", "random_span"),
    "checkpoint_span": ("landscape.probes.plane.spans", "checkpoint_span"),
    "StepProbe": ("landscape.probes.steps.observer", "StepProbe"),
    "StepProbeConfig": ("landscape.probes.steps.measure", "StepProbeConfig"),
    "GradientFlow": ("landscape.probes.gradient_flow.measure", "GradientFlow"),
    "StabilityProbe": ("landscape.probes.stability.measure", "StabilityProbe"),
    "run_range": ("landscape.probes.steps.run_range", "run_range"),
    "sharpness": ("landscape.probes.sharpness.measure", "sharpness"),
    "SharpnessConfig": ("landscape.probes.sharpness.config", "SharpnessConfig"),
    "curvature": ("landscape.probes.curvature.measure", "curvature"),
    "CurvatureConfig": ("landscape.probes.curvature.config", "CurvatureConfig"),
    "noise_scale": ("landscape.probes.noise_scale.measure", "noise_scale"),
    "NoiseScaleConfig": ("landscape.probes.noise_scale.measure", "NoiseScaleConfig"),
    "curvature_map": ("landscape.probes.curvature_map.measure", "curvature_map"),
    "EigenvalueSearch": ("landscape.probes.curvature_map.measure", "EigenvalueSearch"),
    "plane_curvature": ("landscape.probes.curvature_map.exact", "plane_curvature"),
    "plane_smoothness": ("landscape.probes.plane.smoothness", "plane_smoothness"),
    "topology": ("landscape.probes.topology.measure", "topology"),
    "path": ("landscape.probes.path.measure", "path"),
    "align": ("landscape.probes.path.measure", "align"),
    "CurveTraining": ("landscape.probes.path.training", "CurveTraining"),
    "Subspace": ("landscape.objective.subspace", "Subspace"),
    "Refinement": ("landscape.numerics.refinement", "Refinement"),
    "Axis": ("landscape.numerics.grids", "Axis"),
    "Grid": ("landscape.numerics.grids", "Grid"),
    "Direction": ("landscape.numerics.directions", "Direction"),
    "direction_between": ("landscape.numerics.directions", "direction_between"),
    "random_direction": ("landscape.numerics.directions", "random_direction"),
    "ParameterVector": ("landscape.numerics.parameters", "ParameterVector"),
    "save": ("landscape.results", "save_result"),
    "load": ("landscape.results", "load_result"),
    "save_checkpoint": ("landscape.results", "save_checkpoint"),
    "load_checkpoint": ("landscape.results", "load_checkpoint"),
    "load_into": ("landscape.results", "load_into"),
    "compare": ("landscape.comparison", "compare"),
    "Comparison": ("landscape.comparison", "Comparison"),
    "plot": ("landscape.probes.plot", "plot"),
    "interactive": ("landscape.probes.interactive", "interactive"),
    "TrainingConfig": ("landscape.training", "TrainingConfig"),
    "fit": ("landscape.training", "fit"),
    "history_dataset": ("landscape.training", "history_dataset"),
    "load_data": ("landscape.data", "load_data"),
    "as_data": ("landscape.data", "as_data"),
    "DataSet": ("landscape.data", "DataSet"),
    "ImageData": ("landscape.data", "ImageData"),
    "build_model": ("landscape.models", "build_model"),
    "vgg": ("landscape.models", "vgg"),
    "testing": ("landscape.testing", ""),  # the module itself
    "LandscapeError": ("landscape.errors", "LandscapeError"),
}

__all__ = [
    # what is measured
    "Objective", "Evaluation", "Gradient",
    # probes
    "line", "plane", "surface", "Span", "random_span", "checkpoint_span", "Refinement",
    "sharpness", "SharpnessConfig", "noise_scale", "NoiseScaleConfig",
    "curvature", "CurvatureConfig",
    "path", "align", "CurveTraining",
    "curvature_map", "EigenvalueSearch", "plane_curvature",
    # probes of training
    "StepProbe", "StepProbeConfig", "GradientFlow", "StabilityProbe", "run_range",
    # parameter space
    "Axis", "Grid", "Direction", "direction_between", "random_direction", "ParameterVector", "Subspace",
    # files
    "save", "load", "save_checkpoint", "load_checkpoint", "load_into",
    # comparisons
    "compare", "Comparison", "plane_smoothness", "topology",
    # pictures
    "plot", "interactive",
    # training, data and models
    "TrainingConfig", "fit", "history_dataset", "load_data", "as_data", "DataSet", "ImageData", "build_model", "vgg",
    # checks
    "testing",
    "LandscapeError", "__version__",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    home = importlib.import_module(module)
    value = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
