"""What a user asks of the paths between two checkpoints."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from landscape.errors import unknown_choice
from landscape.probes.path.measure import POINTS, TRAINED, check_kinds
from landscape.probes.path.training import OPTIMIZERS, CurveTraining
from landscape.probes.settings import SampledSettings

_CURVE = CurveTraining()


class PathSettings(SampledSettings):
    """Paths from one checkpoint to another; those of curves are :class:`landscape.probes.path.training.CurveTraining`'s.

    Attributes:
        batch_norm: re-estimated at every point, as a point between two checkpoints has no running statistics of its own.
        paths: which kinds, of :data:`landscape.probes.path.measure.PATHS`.
        points: how many along each path.
        curve_images: how many training images curves are trained on; None for all.
        to: in a study, the group of runs that the paths lead to; see :mod:`landscape.studies.path_ends`.
    """

    kind: Literal["path"] = "path"
    batch_norm: str = "reestimated"
    paths: tuple[str, ...] = ("linear",)
    points: int = Field(default=POINTS, ge=3)
    bends: int = Field(default=_CURVE.bends, ge=1)
    curve_steps: int = Field(default=_CURVE.steps, ge=1)
    curve_batch_size: int = Field(default=_CURVE.batch_size, ge=1)
    curve_learning_rate: float = Field(default=_CURVE.learning_rate, gt=0)
    curve_optimizer: str = _CURVE.optimizer
    curve_seed: int = _CURVE.seed
    curve_images: int | None = Field(default=None, ge=2)
    alignment_seed: int = 0
    to: str | None = None

    @field_validator("paths", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """One kind, or several as text with commas."""
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("curve_optimizer")
    @classmethod
    def _optimizer(cls, value: str) -> str:
        if value not in OPTIMIZERS:
            raise unknown_choice("curve_optimizer", value, OPTIMIZERS)
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        check_kinds(self.paths, "paths")
        return self

    @property
    def curved(self) -> bool:
        """Whether a path has bends to train."""
        return bool(set(self.paths) & set(TRAINED))

    def config(self) -> CurveTraining:
        """How curves are trained."""
        return CurveTraining(
            steps=self.curve_steps,
            batch_size=self.curve_batch_size,
            learning_rate=self.curve_learning_rate,
            optimizer=self.curve_optimizer,
            bends=self.bends,
            seed=self.curve_seed,
        )
