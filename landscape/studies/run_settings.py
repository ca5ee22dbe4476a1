"""One training as a user asks for it: model, data, recipe, and what is watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, model_validator

from landscape.checking import Option, Settings, checked
from landscape.data import DATA_SETS
from landscape.errors import InputError, unknown_choice
from landscape.probes.steps.measure import ALONG_HELP, DEFAULT_ALONG, Along, StepProbeConfig
from landscape.probes.subjects import DEFAULT_DATA
from landscape.references import is_reference
from landscape.results.names import file_part
from landscape.training import TrainingConfig

# Headings that options stand under.
PARTS, WATCHED = "Network, data and loss", "What is watched and kept"
_TRAINING_FIELDS = tuple(field.name for field in fields(TrainingConfig))


class RunSettings(Settings):
    """One training: which model, which data, the recipe, and what is watched.

    In a study file the recipe's keys stand beside the others. The gradient flow is kept once an epoch, or every ``flow_every``
    steps; the step probe looks every ``probe_every`` steps, or ``probe_count`` times at even distances, or never; the edge of
    stability is measured every ``stability_every`` steps, or never. ``groups`` are the names of the tables of a study that the
    run stands in.
    """

    model: Annotated[
        str,
        Option(
            "vgg08 … vgg38, mlp, torchvision:NAME, timm:NAME, hf:FOLDER, module:function or file.py:function.", PARTS
        ),
    ] = "vgg38"
    norm: Annotated[
        str | None,
        Option("Where BatchNorm sits in a vgg: none, input, blocks or batch (after every convolution).", PARTS),
    ] = None
    model_options: Annotated[dict[str, Any], Option("For the model's builder.", PARTS, flag="--model-option")] = Field(
        default_factory=dict
    )
    data: Annotated[
        str,
        Option("fashion-mnist-10k, fashion-mnist, cifar10, cifar100, module:function or file.py:function.", PARTS),
    ] = DEFAULT_DATA
    data_options: Annotated[dict[str, Any], Option("For the data's function.", PARTS, flag="--data-option")] = Field(
        default_factory=dict
    )
    loss: Annotated[
        str,
        Option(
            "cross_entropy, mse, causal_lm, module:function or file.py:function: values, or (values, weights), one a sample; in a "
            "probe also model, what the module computes itself.",
            PARTS,
        ),
    ] = "cross_entropy"
    groups: Annotated[tuple[str, ...], Option("Tables of a study that it stands in.", study=True)] = ()
    checkpoint_every: Annotated[
        int, Option("Keep a checkpoint every so many epochs, besides last and best.", WATCHED, "these alone")
    ] = Field(default=0, ge=0)
    flow_every: Annotated[
        int | None, Option("Keep the gradient flow every so many steps.", WATCHED, "once an epoch")
    ] = Field(default=None, ge=1)
    probe_every: Annotated[
        int | None,
        Option("Look along the step every so many steps: loss, gradient, smoothness.", WATCHED, "never"),
    ] = None
    probe_count: Annotated[int | None, Option("Or so many times, at even distances over the training.", WATCHED)] = (
        Field(default=None, ge=1)
    )
    probe_eta: Annotated[str, Option("Where along it: low:high:count, in multiples of the learning rate.", WATCHED)] = (
        "0.5:4:8"
    )
    probe_spacing: Annotated[str, Option("linear or log.", WATCHED)] = "linear"
    probe_along: Annotated[Along, Option(ALONG_HELP, WATCHED)] = DEFAULT_ALONG
    stability_every: Annotated[
        int | None,
        Option(
            "Measure the edge of stability every so many steps: the step size times the largest eigenvalue of the Hessian, "
            "preconditioned for Adam, against what the optimiser bears.",
            WATCHED,
            "never",
        ),
    ] = Field(default=None, ge=1)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @model_validator(mode="after")
    def _watched(self) -> Self:
        if self.probe_every is not None and self.probe_count is not None:
            raise InputError("probe_count: give either probe_every or probe_count, not both.")
        self._config(1 if self.probe_every is None else self.probe_every)
        return self

    def identity(self) -> dict[str, Any]:
        """Everything that decides the weights that come out, and what was watched: what a resumed run must share."""
        recipe = self.training.to_dict()
        recipe.pop("updates" if self.training.updates is None else "epochs")
        if self.training.engine == "plain":
            recipe.pop("engine")  # as runs were named before there was another
        return {
            "model": self.model,
            "model_options": self.builder_options(),
            "data": self.data,
            "data_options": dict(self.data_options),
            "loss": self.loss,
            **recipe,
            **self.watching(),
        }

    @property
    def runs_own_code(self) -> bool:
        """Whether model, data or loss are a user's, who may edit them."""
        return any(is_reference(name) for name in (self.model, self.data, self.loss))

    def step_probe(self, images: int) -> StepProbeConfig | None:
        """When and where the step probe looks in a training on a split of ``images``; None where it does not."""
        every = self.probe_every
        if self.probe_count is not None:
            recipe = self.training
            per_epoch = recipe.steps_per_epoch(min(images, recipe.train_images or images))
            updates = recipe.for_steps(per_epoch).epochs * per_epoch if recipe.updates is None else recipe.updates
            every = max(1, updates // self.probe_count)
        if every is None:
            return None
        return self._config(every)

    def _config(self, every: int) -> StepProbeConfig:
        return StepProbeConfig.parse(every, self.probe_eta, self.probe_spacing, self.probe_along)

    def watching(self) -> dict[str, Any]:
        """What of the identity was only watched, and decides nothing about the weights."""
        names = ("flow_every", "probe_every", "probe_count", "stability_every")
        watched = {name: getattr(self, name) for name in names}
        where = {"probe_eta": self.probe_eta, "probe_spacing": self.probe_spacing}
        if self.probe_along != DEFAULT_ALONG:  # runs are named as before there were others
            where["probe_along"] = self.probe_along
        probed = self.probe_every is not None or self.probe_count is not None
        return {**{k: v for k, v in watched.items() if v is not None}, **(where if probed else {})}

    def builder_options(self) -> dict[str, Any]:
        """The options for the model's builder that the user gave, the norm among them."""
        return {**({} if self.norm is None else {"norm": self.norm}), **self.model_options}

    def label(self) -> str:
        """A short name for people: the model, and its norm where one was named."""
        return file_part(self.model if self.norm is None else f"{self.model}-{self.norm}")


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
    if {"epochs", "updates"} <= recipe.keys():
        raise InputError(f"{where}updates: give either epochs or updates, not both.")
    training = checked(lambda: TypeAdapter(TrainingConfig).validate_python(recipe), where)
    settings = checked(lambda: RunSettings(**own, training=training), where)
    if ":" not in settings.data and settings.data not in DATA_SETS:
        raise unknown_choice(f"{where}data", settings.data, DATA_SETS)
    return settings
