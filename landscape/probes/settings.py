"""What settings of probes have in common: a name and a checkpoint, the samples, and planes that are refined."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from pydantic import Field, ValidationInfo, create_model, field_validator, model_validator

from landscape.checking import RUNNING, Option, Settings, checked, known_keys, option_of
from landscape.errors import InputError, unknown_choice
from landscape.numerics.grids import Axis
from landscape.numerics.refinement import Refinement, default_budget
from landscape.objective.batch_norm import POLICIES
from landscape.objective.engines import ENGINES
from landscape.objective.runner import PRECISIONS
from landscape.references import resolve_reference
from landscape.registry import asked, found

# Headings that options stand under.
SAMPLES, GRID, DIRECTIONS, MEASURED = "Samples", "Grid", "Directions", "Draws and metrics"


class ProbeSettings(Settings):
    """What every kind of probe has: a name in its study, of which groups of runs (none: of all), and of which checkpoint."""

    kind: Annotated[
        str, Option(lambda: ", ".join(probe.command for probe in asked().values()) + ".", default="plane", study=True)
    ]
    name: Annotated[
        str | None,
        Option("What it is called.", default="its kind", study=True, no_effect="it is what the result is called"),
    ] = None
    runs: Annotated[
        tuple[str, ...],
        Option(
            "Of which groups of runs.", default="all", study=True, no_effect="a result is told by its checkpoint's hash"
        ),
    ] = ()
    checkpoint: Annotated[
        Literal["last", "best"],
        Option(
            "Which checkpoint of a run: last or best.",
            study=True,
            no_effect="a result is told by its checkpoint's hash",
        ),
    ] = "last"

    @field_validator("*", mode="before")
    @classmethod
    def _several(cls, value: Any, info: ValidationInfo) -> Any:
        """Several values as text with commas, and one value for several."""
        if not _is_several(cls.model_fields[str(info.field_name)].annotation):
            return value
        if isinstance(value, str):
            return [part.strip() for part in value.split(",")]
        return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value

    @classmethod
    def lists(cls) -> set[str]:
        """The settings that take a list as one value; in a study a list of any other stands for several probes."""
        return {name for name, field in cls.model_fields.items() if _is_several(field.annotation)}

    def identity(self) -> dict[str, Any]:
        """What of the settings decides values: every field but those that say why they have no effect."""
        fields = [(name, field, option_of(field)) for name, field in type(self).model_fields.items()]
        without = {
            name
            for name, field, said in fields
            if said
            and (said.no_effect or (said.later and getattr(self, name) == field.get_default(call_default_factory=True)))
        }
        return self.model_dump(exclude=without)


class SampledSettings(ProbeSettings):
    """Of a probe that looks at the loss over fixed samples: which ones, and how they are run.

    ``parameters`` are shell patterns of those that move, or ``trainable`` or ``all``; by default those that require a gradient.
    """

    images: Annotated[int, Option("How many images of the split.", SAMPLES)] = Field(default=400, ge=1)
    split: Annotated[Literal["train", "validation", "test"], Option("train, validation or test.", SAMPLES)] = "train"
    image_seed: Annotated[int, Option("Which images.", SAMPLES)] = 0
    batch_norm: Annotated[str, Option("frozen, interpolated, reestimated or batch.", SAMPLES)] = "frozen"
    parameters: Annotated[
        tuple[str, ...],
        Option(
            "Move these alone: patterns such as 'head.*,*.bias', trainable or all.", SAMPLES, "trainable, if any is"
        ),
    ] = ()
    precision: Annotated[str, Option("fp32 (on a GPU too: never TF32), fp64 or bf16.", RUNNING)] = "fp32"
    batch_size: Annotated[
        int | None,
        Option(
            "Images a forward pass; part of the result for --batch-norm batch.",
            RUNNING,
            "what fits",
            no_effect="values are the same to rounding, but under the policy batch, where it identifies the result",
        ),
    ] = Field(default=None, ge=1)
    engine: Annotated[
        str,
        Option(
            "auto folds BatchNorm away and filters 3x3 convolutions where values stay the same; plain does not.",
            RUNNING,
            no_effect="an engine is used where its values are the module's, to rounding",
        ),
    ] = "auto"
    compile: Annotated[bool, Option("Run through torch.compile; starts slower.", RUNNING)] = False

    def measured(self) -> dict[str, Any]:
        """Arguments of an objective that say what is measured at a point, and how often."""
        return {}

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


class DrawnSettings(SampledSettings):
    """Of a probe whose loss may draw random numbers: dropout, noise; see :class:`landscape.objective.objective.Objective`."""

    draws: Annotated[
        int | None,
        Option("Of a loss or network that draws: how often each point is measured.", MEASURED, "once", later=True),
    ] = Field(default=None, ge=1)
    draw_seed: Annotated[int, Option("Of the draws.", MEASURED, later=True)] = 0
    mode: Annotated[
        Literal["eval", "train"],
        Option("eval, or train: as in training, dropout on, but for BatchNorm.", MEASURED, later=True),
    ] = "eval"

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if self.draws is None and self.draw_seed != 0:
            raise InputError(
                "draw_seed: is of draws, and none are asked for. Say how many with draws, such as draws=8."
            )
        return self

    def measured(self) -> dict[str, Any]:
        return {**super().measured(), "draws": self.draws, "draw_seed": self.draw_seed, "mode": self.mode}


class MetricSettings(SampledSettings):
    """Of a probe that measures metrics beside the loss, by name; see :class:`landscape.objective.objective.Objective`."""

    metrics: Annotated[
        dict[str, str],
        Option(
            "Measure this beside the loss: a name, and file.py:function of outputs and targets, or module:function.",
            MEASURED,
            later=True,
        ),
    ] = Field(default_factory=dict)

    def measured(self) -> dict[str, Any]:
        found = {name: resolve_reference(f"metrics: {name}", where) for name, where in self.metrics.items()}
        return {**super().measured(), **({"metrics": found} if found else {})}


class RefinedSettings(SampledSettings):
    """Of a probe of a plane that may be measured only where its picture needs it.

    ``adaptive`` None means: planes of more than 15 × 15 points, and those for which a budget is given.
    """

    x: Annotated[
        str | None, Option("start:stop:count, or auto:count.", GRID, "auto, 51 points; to a checkpoint, beyond both")
    ] = None
    y: Annotated[str | None, Option("The same for the second axis.", GRID, "as --x")] = None
    adaptive: Annotated[
        bool | None,
        Option(
            "Measure where the picture needs it, or every point.",
            GRID,
            "adaptive above 225 points",
            "--adaptive/--full",
        ),
    ] = None
    tolerance: Annotated[float, Option("Of an adaptive plane, in displayed ranges.", GRID)] = 0.01
    loss_max: Annotated[
        float | None, Option("Where the picture is clipped.", GRID, "10, or 4 times a loss above 5")
    ] = None
    max_points: Annotated[
        int | None,
        Option(
            "Budget of an adaptive plane in points.",
            GRID,
            "a sixth of the grid in passes, more of a small one, and an audit",
        ),
    ] = None
    minutes: Annotated[
        float | None, Option("Budget in time instead; makes the result depend on the machine's speed.", GRID)
    ] = None

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

    @classmethod
    def lists(cls) -> set[str]:
        return super().lists() | {"x", "y"}

    @model_validator(mode="after")
    def _refinable(self) -> Self:
        if self.adaptive is False and self.budgeted:
            raise InputError("max_points, minutes: are budgets of an adaptive plane, and --full measures every point.")
        self._refined()
        return self

    def _refined(self) -> Refinement:
        return Refinement(self.tolerance, self.loss_max, self.max_points, self.minutes)

    @property
    def budgeted(self) -> bool:
        """Whether a budget is given, in points or minutes."""
        return self.max_points is not None or self.minutes is not None

    def refinement(self, axes: Sequence[str]) -> Refinement | None:
        """How a plane over ``axes`` is refined; None where every point is measured."""
        counts = [int(axis.split(":")[-1]) for axis in axes]
        automatic = self.budgeted or math.prod(counts) > 15 * 15
        if not (automatic if self.adaptive is None else self.adaptive):
            return None
        refinement = self._refined()
        return refinement if self.budgeted else self.bounded(refinement, counts)

    def axes_identity(self, axes: Sequence[str]) -> dict[str, Any]:
        """The same as :meth:`identity`, with axes and refinement as they are where the settings leave them open."""
        refinement = self.refinement(axes)
        named = None if refinement is None else {"max_passes": refinement.max_passes, **refinement.settings()}
        resolved = {"adaptive": refinement is not None, "refinement": named}
        return {**self.identity(), **dict(zip("xy", axes, strict=False)), **resolved}

    def bounded(self, refinement: Refinement, counts: Sequence[int]) -> Refinement:
        """The same with a budget, where neither points nor time are said."""
        return replace(refinement, max_passes=default_budget(counts))


class HeightSettings(MetricSettings, DrawnSettings, RefinedSettings):
    """Of a probe of the loss over a plane, or of another height of it."""

    quantity: Annotated[
        str,
        Option("Refine an adaptive plane by this: loss, accuracy, or one of --metrics.", GRID, later=True),
    ] = "loss"

    def _refined(self) -> Refinement:
        return replace(super()._refined(), quantity=self.quantity)

    def refinement(self, axes: Sequence[str]) -> Refinement | None:
        found = super().refinement(axes)
        if found is None and self.quantity != "loss":
            raise InputError(
                f"quantity: {self.quantity!r} says where an adaptive plane is measured, and this one is at every point. Leave it "
                "out (a picture of it: landscape plot FILE --quantity), or say adaptive."
            )
        return found


class Configured(SampledSettings):
    """Of a probe whose own settings are all those of its library function: see :func:`settings_of`."""

    config_type: ClassVar[type]
    config_names: ClassVar[Mapping[str, str]]

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.config()
        return self

    def config(self) -> Any:
        """What the library function takes.

        Raises:
            InputError: by the name that the setting has here.
        """
        own = {
            name: getattr(self, self.config_names.get(name, name))
            for name in (field.name for field in dataclasses.fields(self.config_type))
        }
        try:
            return self.config_type(**own)
        except InputError as error:
            name, _, rest = str(error).partition(":")
            raise InputError(f"{self.config_names.get(name, name)}:{rest}") from None


class DrawnConfigured(DrawnSettings, Configured):
    """The same of a probe whose loss may draw."""


def settings_of(config: type, kind: str, base: type[Configured] = Configured, **names: str) -> type[Configured]:
    """Settings made of a library function's own configuration: its fields with what they say of themselves.

    Args:
        config: a dataclass whose fields are annotated with :class:`landscape.checking.Option`.
        kind: of the probe.
        base: what they have besides, usually which samples.
        names: of fields that are called otherwise here, since they stand beside others.
    """
    hints = get_type_hints(config, include_extras=True)
    own: dict[str, Any] = {names.get(f.name, f.name): (hints[f.name], f.default) for f in dataclasses.fields(config)}
    literal: Any = Literal[kind]
    made = create_model(f"{kind.title().replace('_', '')}Settings", __base__=base, kind=(literal, kind), **own)
    made.config_type, made.config_names = config, names
    return made


def _is_several(annotation: Any) -> bool:
    """Whether it is a tuple, or that or None."""
    union = get_origin(annotation) in (Union, UnionType)
    return any(get_origin(part) is tuple for part in (get_args(annotation) if union else (annotation,)))


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
