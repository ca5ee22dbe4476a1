"""What a user asks of the curvature of a checkpoint's loss."""

from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.settings import settings_of

CurvatureSettings = settings_of(CurvatureConfig, "curvature", tolerance="curvature_tolerance")
