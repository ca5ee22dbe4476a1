"""What settings of probes have in common: a name and a checkpoint, the samples, and planes that are refined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from landscape.checking import Settings, checked, known_keys
from landscape.errors import InputError, unknown_choice
from landscape.numerics.grids import Axis
from landscape.numerics.refinement import Refinement, default_budget
from landscape.objective.batch_norm import POLICIES
from landscape.objective.engines import ENGINES
from landscape.objective.runner import PRECISIONS
from landscape.registry import asked, found

# Fields of all kinds that decide no value of a result, and why. Every other field identifies it.
WITHOUT_EFFECT = {
    "name": "what the result is called",
    "runs": "which runs it is of: a result is told by its checkpoint's hash",
    "checkpoint": "which checkpoint of a run, likewise",
    "to": "which runs a path leads to, likewise",
    "engine": "an engine is used where its values are the module's, to rounding",
    "batch_size": "values are the same to rounding, but under the policy batch, where it identifies the result",
}


class ProbeSettings(Settings):
    """What every kind of probe has: a name in its study, of which groups of runs (none: of all), and of which checkpoint."""

    kind: str
    name: str | None = None
    runs: tuple[str, ...] = ()
    checkpoint: Literal["last", "best"] = "last"

    def identity(self) -> dict[str, Any]:
        """What of the settings decides values: every field but those :data:`WITHOUT_EFFECT`."""
        return {name: value for name, value in self.model_dump().items() if name not in WITHOUT_EFFECT}


class SampledSettings(ProbeSettings):
    """Of a probe that looks at the loss over fixed samples: which ones, and how they are run.

    ``parameters`` are shell patterns of those that move, or ``trainable`` or ``all``; by default those that require a gradient.
    """

    batch_norm: str = "frozen"
    split: Literal["train", "validation", "test"] = "train"
    images: int = Field(default=400, ge=1)
    image_seed: int = 0
    precision: str = "fp32"
    batch_size: int | None = Field(default=None, ge=1)
    engine: str = "auto"
    compile: bool = False
    parameters: tuple[str, ...] = ()

    @field_validator("parameters", mode="before")
    @classmethod
    def _patterns(cls, value: Any) -> Any:
        """One pattern, or several as text with commas."""
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    def identity(self) -> dict[str, Any]:
        batches = {"batch_size": self.batch_size} if self.batch_norm == "batch" else {}
        return {**super().identity(), **batches}

    @field_validator("batch_norm", "precision", "engine")
    @classmethod
    def _choice(cls, value: str, info: Any) -> str:
        choices = {"batch_norm": POLICIES, "precision": tuple(PRECISIONS), "engine": ENGINES}[info.field_name]
        if value not in choices:
            raise unknown_choice(info.field_name, value, choices)
        return value


class RefinedSettings(SampledSettings):
    """Of a probe of a plane that may be measured only where its picture needs it.

    ``adaptive`` None means: planes of more than 15 × 15 points, and those for which a budget is given.
    """

    x: str | None = None
    y: str | None = None
    adaptive: bool | None = None
    tolerance: float = 0.01
    loss_max: float | None = None
    max_points: int | None = None
    minutes: float | None = None

    @field_validator("x", "y", mode="before")
    @classmethod
    def _axis(cls, value: Any) -> Any:
        text = ":".join(str(part) for part in value) if isinstance(value, list | tuple) else value
        if isinstance(text, str):
            if text.split(":")[0] == "auto":
                Axis.parse(f"-1:1{text[4:] or ':51'}")
            else:
                Axis.parse(text)
        return text

    @model_validator(mode="after")
    def _refinable(self) -> Self:
        if self.kind == "line":
            for name, value in (
                ("adaptive", self.adaptive),
                ("max_points", self.max_points),
                ("minutes", self.minutes),
            ):
                if value:
                    raise InputError(f"{name}: only planes are refined, not a {self.kind}. Leave it out.")
        if self.adaptive is False and self.budgeted:
            raise InputError("max_points, minutes: are budgets of an adaptive plane, and --full measures every point.")
        Refinement(self.tolerance, self.loss_max, self.max_points, self.minutes)
        return self

    @property
    def budgeted(self) -> bool:
        """Whether a budget is given, in points or minutes."""
        return self.max_points is not None or self.minutes is not None

    def refinement(self, axes: Sequence[str]) -> Refinement | None:
        """How a plane over ``axes`` is refined; None where every point is measured."""
        counts = [int(axis.split(":")[-1]) for axis in axes]
        automatic = self.kind != "line" and (self.budgeted or math.prod(counts) > 15 * 15)
        if not (automatic if self.adaptive is None else self.adaptive):
            return None
        refinement = Refinement(self.tolerance, self.loss_max, self.max_points, self.minutes)
        return refinement if self.budgeted else self.bounded(refinement, counts)

    def axes_identity(self, axes: Sequence[str]) -> dict[str, Any]:
        """The same as :meth:`identity`, with axes and refinement as they are where the settings leave them open."""
        refinement = self.refinement(axes)
        resolved = {"adaptive": refinement is not None, "refinement": None if refinement is None else vars(refinement)}
        return {**self.identity(), **dict(zip("xy", axes, strict=False)), **resolved}

    def bounded(self, refinement: Refinement, counts: Sequence[int]) -> Refinement:
        """The same with a budget, where neither points nor time are said."""
        return replace(refinement, max_passes=default_budget(counts))


def kinds() -> dict[str, type[ProbeSettings]]:
    """The settings of every kind that can be asked of a checkpoint."""
    return {name: found(probe.settings) for name, probe in asked().items()}


def probe_settings(table: Mapping[str, Any], *, where: str = "") -> ProbeSettings:
    """Probe settings from one flat table without lists to expand; ``kind`` is ``plane`` where it is not given.

    A kind of two words may be written with a hyphen.

    Raises:
        InputError: naming ``where``, the key and what was expected; also for a key that is another kind's.
    """
    kind = str(table.get("kind", "plane")).replace("-", "_")
    known = kinds()
    if kind not in known:
        raise unknown_choice(f"{where}kind", kind, known)
    table = {**table, "kind": kind} if "kind" in table else table
    for key in table:
        if key not in known[kind].model_fields and any(key in other.model_fields for other in known.values()):
            raise InputError(f"{where}{key}: is no setting of kind {kind!r}. Leave it out, or choose another kind.")
    known_keys(known[kind], table, where)
    return checked(lambda: known[kind](**table), where)
