"""What a user asks of the paths between two checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from landscape.checking import OWN, Option
from landscape.errors import unknown_choice
from landscape.probes.path.measure import POINTS, TRAINED, check_kinds
from landscape.probes.path.training import OPTIMIZERS, CurveTraining
from landscape.probes.settings import SAMPLES, DrawnSettings

_CURVE = CurveTraining()
CURVES = "Curves"


class PathSettings(DrawnSettings):
    """Paths from one checkpoint to another; those of curves are :class:`landscape.probes.path.training.CurveTraining`'s.

    Attributes:
        batch_norm: re-estimated at every point, as a point between two checkpoints has no running statistics of its own.
        paths: which kinds, of :data:`landscape.probes.path.measure.PATHS`.
        points: how many along each path.
        curve_images: how many training images curves are trained on; None for all.
        to: in a study, the group of runs that the paths lead to; see :mod:`landscape.studies.path_ends`.
    """

    kind: Literal["path"] = "path"
    batch_norm: Annotated[str, Option("frozen, interpolated, reestimated or batch.", SAMPLES)] = "reestimated"
    paths: Annotated[tuple[str, ...], Option("Of linear, aligned, bezier, chain.", OWN)] = ("linear",)
    points: Annotated[int, Option("How many along each.", OWN)] = Field(default=POINTS, ge=3)
    alignment_seed: Annotated[int, Option("Of the order in which units are matched.", OWN)] = 0
    bends: Annotated[int, Option("Trained points of a bezier or chain.", CURVES)] = Field(default=_CURVE.bends, ge=1)
    curve_steps: Annotated[int, Option("Minibatches that bends are trained on.", CURVES)] = Field(
        default=_CURVE.steps, ge=1
    )
    curve_batch_size: Annotated[int, Option("Images a minibatch.", CURVES)] = Field(default=_CURVE.batch_size, ge=1)
    curve_learning_rate: Annotated[float, Option("Of the bends.", CURVES)] = Field(default=_CURVE.learning_rate, gt=0)
    curve_optimizer: Annotated[str, Option("adam or sgd.", CURVES)] = _CURVE.optimizer
    curve_seed: Annotated[int, Option("Of the minibatches and their places.", CURVES)] = _CURVE.seed
    curve_images: Annotated[int | None, Option("How many training images.", CURVES, "all")] = Field(default=None, ge=2)
    to: Annotated[
        str | None,
        Option(
            "The group of runs that the paths lead to.",
            study=True,
            no_effect="a result is told by its checkpoints' hashes",
        ),
    ] = None

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
