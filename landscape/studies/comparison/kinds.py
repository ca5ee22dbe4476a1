"""The registry: which kinds of results are compared, and how. A further kind is one more entry."""

from __future__ import annotations

from landscape.studies.comparison.measure import Kind
from landscape.studies.comparison.of_curvature import CURVATURE
from landscape.studies.comparison.of_curvature_maps import CURVATURE_MAPS
from landscape.studies.comparison.of_planes import PLANES
from landscape.studies.comparison.of_sharpness import SHARPNESS
from landscape.studies.comparison.of_steps import ALONG_STEPS
from landscape.studies.comparison.of_training import TRAINING

KINDS: dict[str, Kind] = {
    "history": TRAINING,
    "steps": ALONG_STEPS,
    "plane": PLANES,
    "sharpness": SHARPNESS,
    "curvature": CURVATURE,
    "curvature_map": CURVATURE_MAPS,
}
# Belong to a run and hold nothing that is one number of it.
PICTURES_ONLY = ("gradient_flow", "stability")
