# ruff: noqa: I001 - grouped by meaning. Read at run time too, where "as" is ignored: a public name is that of its own module.

# what is measured
from .objective.objective import Objective as Objective
from .objective.batch_loss import batch_loss as batch_loss
from .objective.function import function as function
from .objective.operators import SymmetricOperator as SymmetricOperator
from .objective.values import Evaluation as Evaluation, Gradient as Gradient

# probes
from .probes.plane.measure import line as line, plane as plane, surface as surface
from .probes.plane.spans import Span as Span, checkpoint_span as checkpoint_span, random_span as random_span
from .numerics.refinement import Refinement as Refinement
from .probes.plane.height import height as height
from .probes.sharpness.config import SharpnessConfig as SharpnessConfig
from .probes.sharpness.measure import sharpness as sharpness
from .probes.critical_sharpness.config import CriticalSharpnessConfig as CriticalSharpnessConfig
from .probes.critical_sharpness.measure import critical_sharpness as critical_sharpness
from .probes.basin_radius.config import BasinRadiusConfig as BasinRadiusConfig
from .probes.basin_radius.measure import basin_radius as basin_radius
from .probes.noise_scale.measure import NoiseScaleConfig as NoiseScaleConfig, noise_scale as noise_scale
from .probes.curvature.config import CurvatureConfig as CurvatureConfig
from .probes.curvature.measure import curvature as curvature
from .probes.path.barriers import barriers as barriers
from .probes.path.measure import path as path
from .probes.path.symmetries import align as align
from .probes.path.training import CurveTraining as CurveTraining
from .probes.curvature_map.exact import plane_curvature as plane_curvature
from .probes.curvature_map.measure import EigenvalueSearch as EigenvalueSearch, curvature_map as curvature_map

# probes of training
from .probes.steps.measure import StepProbeConfig as StepProbeConfig
from .probes.steps.observer import StepProbe as StepProbe
from .probes.steps.run_range import run_range as run_range
from .probes.gradient_flow.measure import GradientFlow as GradientFlow
from .probes.critical_sharpness.observer import CriticalSharpnessProbe as CriticalSharpnessProbe
from .probes.stability.measure import StabilityProbe as StabilityProbe

# loops of one's own
from .loops.watch import watch as watch
from .probes.trajectory.measure import trajectory as trajectory

# parameter space
from .numerics.grids import Axis as Axis, Grid as Grid
from .numerics.directions import (
    Direction as Direction,
    direction_between as direction_between,
    random_direction as random_direction,
)
from .numerics.parameters import ParameterVector as ParameterVector
from .objective.subspace import Subspace as Subspace
from .probes.plane.changes import (
    lora_update as lora_update,
    low_rank as low_rank,
    pruning as pruning,
    quantization as quantization,
    task_vector as task_vector,
)

# files
from .results.results import load as load, save as save
from .results.checkpoints import load_checkpoint as load_checkpoint, save_checkpoint as save_checkpoint
from .results.fitting import load_into as load_into

# comparisons
from .comparison.comparing import compare as compare
from .comparison.result import Comparison as Comparison
from .probes.plane.smoothness import plane_smoothness as plane_smoothness
from .probes.topology.measure import topology as topology

# pictures
from .probes.plane.difference import difference as difference
from .probes.interactive import interactive as interactive
from .probes.plot import plot as plot
from .reporting.writing import report as report

# training, data and models
from .training.config import TrainingConfig as TrainingConfig
from .training.history import history_dataset as history_dataset
from .training.loop import fit as fit
from .data import DataSet as DataSet, ImageData as ImageData, as_data as as_data, load_data as load_data
from .models import build_model as build_model, from_pretrained as from_pretrained, vgg as vgg

# checks
from . import testing as testing
from .errors import LandscapeError as LandscapeError
from ._version import __version__ as __version__
