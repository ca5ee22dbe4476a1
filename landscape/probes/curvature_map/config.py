"""What a user asks of the curvature over a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from landscape.checking import OWN, Option
from landscape.numerics.refinement import Refinement, default_budget
from landscape.probes.curvature_map.measure import COARSE, EigenvalueSearch, check_usable
from landscape.probes.plane.config import DirectedSettings
from landscape.probes.settings import SAMPLES

_SEARCH = EigenvalueSearch()


class CurvatureMapSettings(DirectedSettings):
    """λ_max and λ_min over a plane; ``eigenvalue_tolerance`` and ``max_products`` are those of
    :class:`landscape.probes.curvature_map.measure.EigenvalueSearch`.

    A point costs some hundred times what one of a loss plane does, so fewer images are usual.
    """

    kind: Literal["curvature_map"] = "curvature_map"
    images: Annotated[int, Option("How many images of the split.", SAMPLES)] = Field(default=100, ge=1)
    eigenvalue_tolerance: Annotated[float, Option("Of residuals, relative to the larger |λ|.", OWN)] = _SEARCH.tolerance
    max_products: Annotated[int, Option("Hessian products of a point, at most.", OWN)] = _SEARCH.max_products

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
