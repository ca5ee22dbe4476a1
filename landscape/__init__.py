"""landscape: train networks, measure the shape of their loss, store it with its uncertainty, show it.

The public names, grouped; each is imported when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from landscape._version import __version__

if TYPE_CHECKING:
    from landscape import testing
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
    from landscape.probes.curvature import curvature
    from landscape.probes.curvature_config import CurvatureConfig
    from landscape.probes.curvature_map import EigenvalueSearch, curvature_map
    from landscape.probes.curve_training import CurveTraining
    from landscape.probes.gradient_flow import GradientFlow
    from landscape.probes.noise_scale import NoiseScaleConfig, noise_scale
    from landscape.probes.paths import align, path
    from landscape.probes.plane import line, plane, surface
    from landscape.probes.plane_curvature import plane_curvature
    from landscape.probes.run_range import run_range
    from landscape.probes.sharpness import sharpness
    from landscape.probes.sharpness_config import SharpnessConfig
    from landscape.probes.smoothness import plane_smoothness
    from landscape.probes.spans import Span, checkpoint_span, random_span
    from landscape.probes.stability import StabilityProbe
    from landscape.probes.step_observer import StepProbe
    from landscape.probes.steps import StepProbeConfig
    from landscape.probes.topology import topology
    from landscape.render import interactive, plot
    from landscape.store import load_checkpoint, load_into, save_checkpoint
    from landscape.store import load_result as load
    from landscape.store import save_result as save
    from landscape.studies.comparison import Comparison, compare
    from landscape.training import TrainingConfig, fit, history_dataset

# public name -> (module, name there)
_HOMES = {
    "Objective": ("landscape.objective.objective", "Objective"),
    "Evaluation": ("landscape.objective.values", "Evaluation"),
    "Gradient": ("landscape.objective.values", "Gradient"),
    "line": ("landscape.probes.plane", "line"),
    "plane": ("landscape.probes.plane", "plane"),
    "surface": ("landscape.probes.plane", "surface"),
    "Span": ("landscape.probes.spans", "Span"),
    "random_span": ("landscape.probes.spans", "random_span"),
    "checkpoint_span": ("landscape.probes.spans", "checkpoint_span"),
    "StepProbe": ("landscape.probes.step_observer", "StepProbe"),
    "StepProbeConfig": ("landscape.probes.steps", "StepProbeConfig"),
    "GradientFlow": ("landscape.probes.gradient_flow", "GradientFlow"),
    "StabilityProbe": ("landscape.probes.stability", "StabilityProbe"),
    "run_range": ("landscape.probes.run_range", "run_range"),
    "sharpness": ("landscape.probes.sharpness", "sharpness"),
    "SharpnessConfig": ("landscape.probes.sharpness_config", "SharpnessConfig"),
    "curvature": ("landscape.probes.curvature", "curvature"),
    "CurvatureConfig": ("landscape.probes.curvature_config", "CurvatureConfig"),
    "noise_scale": ("landscape.probes.noise_scale", "noise_scale"),
    "NoiseScaleConfig": ("landscape.probes.noise_scale", "NoiseScaleConfig"),
    "curvature_map": ("landscape.probes.curvature_map", "curvature_map"),
    "EigenvalueSearch": ("landscape.probes.curvature_map", "EigenvalueSearch"),
    "plane_curvature": ("landscape.probes.plane_curvature", "plane_curvature"),
    "plane_smoothness": ("landscape.probes.smoothness", "plane_smoothness"),
    "topology": ("landscape.probes.topology", "topology"),
    "path": ("landscape.probes.paths", "path"),
    "align": ("landscape.probes.paths", "align"),
    "CurveTraining": ("landscape.probes.curve_training", "CurveTraining"),
    "Subspace": ("landscape.objective.subspace", "Subspace"),
    "Refinement": ("landscape.numerics.refinement", "Refinement"),
    "Axis": ("landscape.numerics.grids", "Axis"),
    "Grid": ("landscape.numerics.grids", "Grid"),
    "Direction": ("landscape.numerics.directions", "Direction"),
    "direction_between": ("landscape.numerics.directions", "direction_between"),
    "random_direction": ("landscape.numerics.directions", "random_direction"),
    "ParameterVector": ("landscape.numerics.parameters", "ParameterVector"),
    "save": ("landscape.store", "save_result"),
    "load": ("landscape.store", "load_result"),
    "save_checkpoint": ("landscape.store", "save_checkpoint"),
    "load_checkpoint": ("landscape.store", "load_checkpoint"),
    "load_into": ("landscape.store", "load_into"),
    "compare": ("landscape.studies.comparison", "compare"),
    "Comparison": ("landscape.studies.comparison", "Comparison"),
    "plot": ("landscape.render", "plot"),
    "interactive": ("landscape.render", "interactive"),
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
