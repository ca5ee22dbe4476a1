"""What a user asks for, checked once at the border: runs, probes, pictures, and the study file that names them."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from landscape.data import DATA_SETS
from landscape.errors import InputError, unknown_choice
from landscape.numerics.directions import NORMALIZATIONS
from landscape.numerics.grids import Axis
from landscape.numerics.refinement import Refinement, default_budget
from landscape.objective.batch_norm import POLICIES
from landscape.objective.engines import ENGINES
from landscape.objective.runner import PRECISIONS
from landscape.training import TrainingConfig

DEFAULT_DATA = "fashion-mnist-10k"
BUNDLED_STUDIES = ("quick",)
T = TypeVar("T")

_TRAINING_FIELDS = tuple(field.name for field in fields(TrainingConfig))


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class RunSettings(_Settings):
    """One training: which model, which data, and the recipe. In a study file the recipe's keys stand beside the others."""

    model: str = "vgg38"
    norm: str | None = None
    model_options: dict[str, Any] = Field(default_factory=dict)
    data: str = DEFAULT_DATA
    data_options: dict[str, Any] = Field(default_factory=dict)
    loss: str = "cross_entropy"
    checkpoint_every: int = Field(default=0, ge=0)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    def identity(self) -> dict[str, Any]:
        """Everything that decides the weights that come out: the settings that a resumed run must share."""
        return {
            "model": self.model,
            "model_options": self.builder_options(),
            "data": self.data,
            "data_options": dict(self.data_options),
            "loss": self.loss,
            **self.training.to_dict(),
        }

    def builder_options(self) -> dict[str, Any]:
        """The options for the model's builder that the user gave, the norm among them."""
        return {**({} if self.norm is None else {"norm": self.norm}), **self.model_options}

    def label(self) -> str:
        """A short name for people: the model, and its norm where one was named."""
        name = self.model.replace(":", "-").replace("/", "-")
        return name if self.norm is None else f"{name}-{self.norm}"


class ProbeSettings(_Settings):
    """One probe of a checkpoint: what is measured where, on which samples, under which BatchNorm policy.

    ``adaptive`` None means: planes of more than 15 × 15 points.
    """

    kind: Literal["plane", "line"] = "plane"
    x: str | None = None
    y: str | None = None
    seeds: tuple[int, ...] = (0,)
    normalization: str = "filter"
    batch_norm: str = "frozen"
    split: Literal["train", "validation", "test"] = "train"
    images: int = Field(default=400, ge=1)
    image_seed: int = 0
    precision: str = "fp32"
    batch_size: int | None = Field(default=None, ge=1)
    engine: str = "auto"
    compile: bool = False
    adaptive: bool | None = None
    tolerance: float = 0.01
    loss_max: float | None = None
    max_points: int | None = None
    minutes: float | None = None
    name: str | None = None
    checkpoint: Literal["last", "best"] = "last"

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

    @field_validator("normalization", "batch_norm", "precision", "engine")
    @classmethod
    def _choice(cls, value: str, info: Any) -> str:
        choices = {
            "normalization": NORMALIZATIONS,
            "batch_norm": POLICIES,
            "precision": tuple(PRECISIONS),
            "engine": ENGINES,
        }
        if value not in choices[info.field_name]:
            raise unknown_choice(info.field_name, value, choices[info.field_name])
        return value

    @model_validator(mode="after")
    def _refinable(self) -> Self:
        if self.adaptive and self.kind != "plane":
            raise InputError(f"adaptive: only planes are refined, not a {self.kind}.")
        Refinement(self.tolerance, self.loss_max, self.max_points, self.minutes)
        return self

    def refinement(self, axes: Sequence[str]) -> Refinement | None:
        """How a plane over ``axes`` is refined; None where every point is measured."""
        counts = [int(axis.split(":")[-1]) for axis in axes]
        automatic = self.kind == "plane" and math.prod(counts) > 15 * 15
        if not (automatic if self.adaptive is None else self.adaptive):
            return None
        budget = default_budget(counts) if self.max_points is None and self.minutes is None else self.max_points
        return Refinement(self.tolerance, self.loss_max, budget, self.minutes)


class PictureSettings(_Settings):
    """One picture of all runs side by side: the training curves, or one kind of drawing of a probe."""

    kind: Literal["curves", "contour", "surface", "line", "interactive"]
    probe: str | None = None
    scale: Literal["auto", "linear", "log"] = "auto"
    loss_max: float | None = None
    formats: tuple[Literal["png", "svg", "pdf"], ...] = ("png",)
    name: str | None = None


class StudySettings(_Settings):
    """A study: its runs and probes with every list of settings expanded."""

    name: str
    description: str = ""
    runs: tuple[RunSettings, ...]
    probes: tuple[ProbeSettings, ...] = ()
    pictures: tuple[PictureSettings, ...] = ()


def run_settings(table: Mapping[str, Any], *, where: str = "") -> RunSettings:
    """Settings from one flat table, such as a command's options or a ``[[runs]]`` table without lists.

    Raises:
        InputError: naming ``where``, the key and what was expected.
    """
    own = {k: v for k, v in table.items() if k not in _TRAINING_FIELDS}
    recipe = {k: v for k, v in table.items() if k in _TRAINING_FIELDS}
    unknown = set(own) - set(RunSettings.model_fields) | ({"training"} & set(own))
    if unknown:
        known = [*RunSettings.model_fields, *_TRAINING_FIELDS]
        raise unknown_choice(f"{where}key", sorted(unknown)[0], [k for k in known if k != "training"])
    training = _checked(lambda: TypeAdapter(TrainingConfig).validate_python(recipe), where)
    settings = _checked(lambda: RunSettings(**own, training=training), where)
    if ":" not in settings.data and settings.data not in DATA_SETS:
        raise unknown_choice(f"{where}data", settings.data, DATA_SETS)
    return settings


def probe_settings(table: Mapping[str, Any], *, where: str = "") -> ProbeSettings:
    """Probe settings from one flat table without lists to expand.

    Raises:
        InputError: naming ``where``, the key and what was expected.
    """
    _known_keys(ProbeSettings, table, where)
    return _checked(lambda: ProbeSettings(**table), where)


def load_study(reference: str) -> StudySettings:
    """A bundled study by its name, or a TOML file by its path.

    Lists are expanded: a ``[[runs]]`` table with ``norm = ["none", "batch"]`` and ``seed = [0, 1]`` is four runs. In ``[[probes]]``
    the keys ``seeds``, ``x`` and ``y`` are lists by nature and stay.

    Raises:
        InputError: for a file that is missing or malformed, naming file, line or key, and what was expected.
    """
    text, name = _study_text(reference)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{reference}: not a TOML file: {error}.") from None
    known = {"name", "description", "runs", "probes", "pictures"}
    for key in table:
        if key not in known:
            raise unknown_choice(f"{reference}: key", key, known)
    runs = [
        run_settings(flat, where=f"{reference}: runs[{i}]: ")
        for i, raw in enumerate(_tables(table, "runs", reference))
        for flat in expand(raw, keep=("model_options", "data_options"))
    ]
    probes = [
        probe_settings(flat, where=f"{reference}: probes[{i}]: ")
        for i, raw in enumerate(_tables(table, "probes", reference))
        for flat in expand(raw, keep=("seeds", "x", "y"))
    ]
    pictures = []
    for i, raw in enumerate(_tables(table, "pictures", reference)):
        where = f"{reference}: pictures[{i}]: "
        _known_keys(PictureSettings, raw, where)
        pictures.append(_checked(partial(PictureSettings, **raw), where))
    if not runs:
        raise InputError(f"{reference}: runs: expected at least one [[runs]] table, got none.")
    return _checked(
        lambda: StudySettings(
            name=table.get("name", name),
            description=table.get("description", ""),
            runs=tuple(_distinct(runs)),
            probes=tuple(probes),
            pictures=tuple(pictures),
        ),
        f"{reference}: ",
    )


def expand(table: Mapping[str, Any], *, keep: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Every combination of a table's lists, the last key varying fastest; ``keep`` names keys whose lists are values."""
    lists = {k: v for k, v in table.items() if isinstance(v, list) and k not in keep}
    rest = {k: v for k, v in table.items() if k not in lists}
    return [{**rest, **dict(zip(lists, values, strict=True))} for values in itertools.product(*lists.values())]


def _distinct(runs: list[RunSettings]) -> list[RunSettings]:
    """The runs in order, each identity once: a setting shared by two sweeps is trained once."""
    seen: dict[str, RunSettings] = {}
    for run in runs:
        seen.setdefault(repr(sorted(run.identity().items(), key=str)), run)
    return list(seen.values())


def _study_text(reference: str) -> tuple[str, str]:
    if reference in BUNDLED_STUDIES:
        return resources.files("landscape.studies").joinpath(f"{reference}.toml").read_text("utf-8"), reference
    path = Path(reference)
    if not path.is_file():
        raise InputError(
            f"study: no bundled study and no file is called {reference!r}. Bundled: {', '.join(BUNDLED_STUDIES)}; "
            "otherwise give the path of a TOML file."
        )
    try:
        return path.read_text("utf-8"), path.stem
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{reference}: cannot be read as text: {error}.") from None


def _tables(table: Mapping[str, Any], key: str, reference: str) -> list[dict[str, Any]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{reference}: {key}: expected tables written as [[{key}]], got {value!r}.")
    return value


def _known_keys(model: type[BaseModel], table: Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in model.model_fields:
            raise unknown_choice(f"{where}key", key, model.model_fields)


def _checked(build: Callable[[], T], where: str) -> T:
    """Run a pydantic validation and say its first complaint as one line: place, key, what was expected, what arrived."""
    try:
        return build()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            message = str(cause)
            raise InputError(
                f"{where}{message}" if not key or message.startswith(key) else f"{where}{key}: {message}"
            ) from None
        raise InputError(f"{where}{key}: {first['msg'].lower()}, got {first['input']!r}.") from None
