"""One probe of a checkpoint as a user asks for it: each kind has its own settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from landscape.errors import InputError, unknown_choice
from landscape.numerics.directions import NORMALIZATIONS
from landscape.numerics.refinement import Refinement, default_budget
from landscape.probes.curvature_map import COARSE, EigenvalueSearch, check_usable
from landscape.probes.steps import StepProbeConfig
from landscape.studies.checking import checked, known_keys
from landscape.studies.curvature_settings import CurvatureSettings
from landscape.studies.path_settings import PathSettings
from landscape.studies.sampled_settings import ProbeSettings, RefinedSettings
from landscape.studies.sharpness_settings import NoiseScaleSettings, SharpnessSettings
from landscape.studies.trajectory_settings import TrajectorySettings

_SEARCH = EigenvalueSearch()
ALONG = ("random", "gradient", "update", "difference")


class DirectedSettings(RefinedSettings):
    """Of a probe along directions.

    ``along`` names what the axes follow instead of random directions: ``random``, ``gradient``, ``update``, ``difference``,
    ``eigenvector1``, ``eigenvector2``, …; see :mod:`landscape.studies.plane_directions`.
    """

    seeds: tuple[int, ...] = (0,)
    normalization: str = "filter"
    along: tuple[str, ...] = ()
    orthogonalize: bool = False

    @field_validator("normalization")
    @classmethod
    def _normalization(cls, value: str) -> str:
        if value not in NORMALIZATIONS:
            raise unknown_choice("normalization", value, NORMALIZATIONS)
        return value

    @field_validator("along", mode="before")
    @classmethod
    def _along(cls, value: Any) -> Any:
        names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        for name in names if isinstance(names, list | tuple) else ():
            if name not in ALONG and not re.fullmatch(r"eigenvector[1-9]\d*", str(name)):
                raise unknown_choice("along", name, [*ALONG, "eigenvector1"])
        return names

    @model_validator(mode="after")
    def _directed(self) -> Self:
        count = 1 if self.kind == "line" else 2
        if self.along and len(self.along) != count:
            raise InputError(f"along: a {self.kind} has {count} direction(s), got {','.join(self.along)!r}.")
        if self.along and len(self.seeds) > 1 and "random" not in self.along:
            raise InputError(f"seeds: none of the directions is random, so there is one alone; got {self.seeds!r}.")
        if self.orthogonalize and self.kind == "line":
            raise InputError("orthogonalize: a line has one direction. Leave it out, or choose kind plane.")
        return self


class PlaneSettings(DirectedSettings):
    """A plane or a line."""

    kind: Literal["plane", "line"] = "plane"


class CurvatureMapSettings(DirectedSettings):
    """λ_max and λ_min over a plane; ``eigenvalue_tolerance`` and ``max_products`` are those of
    :class:`landscape.probes.curvature_map.EigenvalueSearch`.

    A point costs some hundred times what one of a loss plane does, so fewer images are usual.
    """

    kind: Literal["curvature_map"] = "curvature_map"
    images: int = Field(default=100, ge=1)
    eigenvalue_tolerance: float = _SEARCH.tolerance
    max_products: int = _SEARCH.max_products

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.search()
        check_usable(self.batch_norm, self.precision, self.loss_max)
        return self

    def search(self) -> EigenvalueSearch:
        """How well the eigenvalues are looked for."""
        return EigenvalueSearch(self.eigenvalue_tolerance, self.max_products)

    def bounded(self, refinement: Refinement, counts: Sequence[int]) -> Refinement:
        return replace(refinement, max_points=default_budget(counts, COARSE))


class StepsSettings(ProbeSettings):
    """The step probe of a training that goes on from a checkpoint for ``steps`` steps, without changing its file.

    The other fields are those of :class:`landscape.probes.steps.StepProbeConfig`.
    """

    kind: Literal["steps"] = "steps"
    steps: int = Field(default=100, ge=1)
    probe_every: int = 10
    probe_eta: str = "0.5:4:8"
    probe_spacing: str = "linear"

    @model_validator(mode="after")
    def _probe(self) -> Self:
        self.config()
        return self

    def config(self) -> StepProbeConfig:
        """When and where the probe looks."""
        return StepProbeConfig.parse(every=self.probe_every, eta=self.probe_eta, spacing=self.probe_spacing)


KINDS: dict[str, type[ProbeSettings]] = {
    "plane": PlaneSettings,
    "line": PlaneSettings,
    "steps": StepsSettings,
    "trajectory": TrajectorySettings,
    "sharpness": SharpnessSettings,
    "noise_scale": NoiseScaleSettings,
    "curvature": CurvatureSettings,
    "path": PathSettings,
    "curvature_map": CurvatureMapSettings,
}


def probe_settings(table: Mapping[str, Any], *, where: str = "") -> ProbeSettings:
    """Probe settings from one flat table without lists to expand; ``kind`` is ``plane`` where it is not given.

    A kind of two words may be written with a hyphen.

    Raises:
        InputError: naming ``where``, the key and what was expected; also for a key that is another kind's.
    """
    kind = str(table.get("kind", "plane")).replace("-", "_")
    if kind not in KINDS:
        raise unknown_choice(f"{where}kind", kind, KINDS)
    table = {**table, "kind": kind} if "kind" in table else table
    for key in table:
        if key not in KINDS[kind].model_fields and any(key in other.model_fields for other in KINDS.values()):
            raise InputError(f"{where}{key}: is no setting of kind {kind!r}. Leave it out, or choose another kind.")
    known_keys(KINDS[kind], table, where)
    return checked(lambda: KINDS[kind](**table), where)
