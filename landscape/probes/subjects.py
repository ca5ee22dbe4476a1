"""What is probed: a checkpoint with the model, data and loss that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from landscape.data import DataSet
from landscape.data.catalog import open_data
from landscape.errors import CheckpointError, InputError, LandscapeError, first_line
from landscape.models import TRANSFORMERS, build_model, fitting_options, transformers_spec
from landscape.objective.batch_loss import MODEL
from landscape.objective.objective import Objective
from landscape.places import Places
from landscape.probes.settings import SampledSettings
from landscape.probes.trust import Spec, settled
from landscape.results import Checkpoint, deduced_size, fitted, load_checkpoint, load_into


@dataclass(frozen=True)
class Subject:
    """What is probed: a checkpoint, and what it leaves open.

    Attributes:
        checkpoint: the file.
        model: a model's name and options, where the checkpoint does not say, or to overrule it.
        data: a data set's name and options, likewise.
        loss: a loss's name, likewise.
        to: further checkpoints of the same model: one for a line or a path, two for a plane, those of a training for a trajectory.
        directions: a file of directions in the original tool's layout, or a curvature result with its eigenvectors.
        trust: whether functions may be run that only the checkpoint names; see :func:`landscape.probes.trust.settled`.
        key: which of a foreign file's weights, as in :func:`landscape.results.load_checkpoint`.
        to_key: the same for those of ``to``; by default as ``key``.
    """

    checkpoint: Path
    model: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    loss: str | None = None
    to: tuple[Path, ...] = ()
    directions: Path | None = None
    trust: bool = False
    key: str | None = None
    to_key: str | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """A subject with everything that it leaves open filled in: ``model`` and ``data`` are names and options."""

    subject: Subject
    checkpoint: Checkpoint
    others: tuple[Checkpoint, ...]
    module: nn.Module
    model: Mapping[str, Any]
    dataset: DataSet
    data: Mapping[str, Any]
    loss: str

    @property
    def stem(self) -> str:
        return stem(self.subject.checkpoint)

    def objective(self, settings: SampledSettings, places: Places) -> Objective:
        """The loss over the samples that ``settings`` name, as a function of the parameters that they name."""
        data = self.dataset.split(settings.split)
        return Objective(self.module, self.loss, data, **objective_arguments(settings, places))

    def identity(self) -> dict[str, Any]:
        """What it was asked to be."""
        return {
            "checkpoint_hash": self.checkpoint.weights_hash(),
            "to": [other.weights_hash() for other in self.others],
            "model": dict(self.model),
            "data": dict(self.data),
            "loss": self.loss,
        }

    def attributes(self) -> dict[str, Any]:
        """What a result says about the checkpoint it was measured at, and about the training that it came from."""
        options = dict(self.model.get("options", {}))
        training = dict(self.checkpoint.training or {})
        recipe: dict[str, Any] = {
            k: training[k] for k in ("learning_rate", "batch_size", "seed", "optimizer") if k in training
        }
        return {
            "checkpoint": self.stem,
            "checkpoint_hash": self.checkpoint.weights_hash(),
            **({"checkpoint_key": self.checkpoint.key} if self.checkpoint.key else {}),
            **({"checkpoint_note": self.checkpoint.note} if self.checkpoint.note else {}),
            "model": str(self.model.get("name", "")),
            "model_options": options,
            **({"norm": str(options["norm"])} if "norm" in options else {}),
            **({} if self.checkpoint.epoch is None else {"epoch": self.checkpoint.epoch}),
            **recipe,
            **({"training": training} if training else {}),
        }


def objective_arguments(settings: SampledSettings, places: Places) -> dict[str, Any]:
    """What an objective is given beside module, loss and data."""
    return {
        "batch_norm": settings.batch_norm,
        "samples": settings.images,
        "sample_seed": settings.image_seed,
        "batch_size": settings.batch_size,
        "engine": settings.engine,
        "compile": settings.compile,
        "precision": settings.precision,
        "device": places.device,
        "parameters": settings.parameters or None,
        **settings.measured(),
    }


def open_subject(subject: Subject, places: Places) -> Opened:
    """Load the checkpoint, its data and its model.

    Raises:
        CheckpointError: if the checkpoint cannot be read, does not say its model, or does not fit it.
        InputError: if only the checkpoint names a function that would have to be run; see :func:`settled`.
    """
    checkpoint = load_checkpoint(subject.checkpoint, subject.key)
    asked_loss = None if subject.loss is None else {"name": subject.loss, "options": {}}
    asked = {"model": subject.model, "data": subject.data, "loss": asked_loss}
    said = settled(checkpoint, asked, trust=subject.trust)
    named_loss = None if said["loss"] is None else said["loss"]["name"]
    dataset, data = _data(said["data"], checkpoint, places, whole=named_loss == MODEL)
    spec = said["model"] or transformers_spec(subject.checkpoint)
    module, model = _module(subject, spec, checkpoint, dataset, places)
    checkpoint = fitted(module, checkpoint)
    others = tuple(fitted(module, load_checkpoint(path, subject.to_key or subject.key)) for path in subject.to)
    for one in (checkpoint, *others):
        if one.note:
            places.reporter.message(f"{one.path}: {one.note}")
    loss = named_loss or ("causal_lm" if type(module).__name__.endswith(NEXT_TOKEN) else "cross_entropy")
    return Opened(subject, checkpoint, others, module, model, dataset, data, loss)


def _data(spec: Spec | None, checkpoint: Checkpoint, places: Places, *, whole: bool) -> tuple[DataSet, dict[str, Any]]:
    if spec is None:
        places.reporter.message(f"{checkpoint.path} does not say which data it belongs to: using {DEFAULT_DATA}")
        spec = {"name": DEFAULT_DATA, "options": {}}
    root, download = places.data_root, places.download
    return open_data(spec["name"], spec["options"], root=root, download=download, whole=whole), dict(spec)


def _module(
    subject: Subject, spec: Spec | None, checkpoint: Checkpoint, dataset: DataSet, places: Places
) -> tuple[nn.Module, dict[str, Any]]:
    if spec is None:
        raise CheckpointError(
            f"{checkpoint.path}: does not say which model it belongs to. Name it with --model, such as --model vgg38 "
            "--norm batch, torchvision:resnet18 or path/to/file.py:function."
        )
    if subject.model is None or spec["name"].startswith(TRANSFORMERS):
        module = _built(spec, checkpoint)
        load_into(module, checkpoint)
        return module, dict(spec)
    made = with_data(spec, dataset)
    module = build_model(made["name"], **made["options"])
    try:
        load_into(module, checkpoint)
    except CheckpointError:
        outputs = None if "classes" in subject.model["options"] else _outputs(made, checkpoint)
        if outputs is None or outputs < (dataset.classes or 1):
            raise
        made["options"]["classes"] = outputs
        module = build_model(made["name"], **made["options"])
        load_into(module, checkpoint)
        if dataset.classes is not None:
            places.reporter.message(
                f"{checkpoint.path} has {outputs} outputs, more than the {dataset.classes} classes of {dataset.name}"
            )
    return module, made


def _built(spec: Spec, checkpoint: Checkpoint) -> nn.Module:
    """The module that a file says; its options may be anything, such as a width that no memory holds."""
    try:
        return build_model(spec["name"], **spec["options"])
    except LandscapeError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint.path}: its model {spec['name']!r} cannot be built with {spec['options']!r:.200}: {first_line(error)}."
        ) from error


def _outputs(spec: Mapping[str, Any], checkpoint: Checkpoint) -> int | None:
    """How many classes a checkpoint's own shapes are of; None where the builder takes no such option, or they do not say it."""
    if not fitting_options(spec["name"], classes=1):
        return None
    try:
        small, large = (build_model(spec["name"], **{**spec["options"], "classes": count}) for count in (2, 3))
    except InputError:
        return None
    return deduced_size(checkpoint, small, large, 2)


def stem(path: Path) -> str:
    """What people call a checkpoint: its file, with the run's folder where it is one of a run's."""
    path = path.parent if path.name.endswith(".index.json") else path
    run = f"{path.parent.name}-" if path.name.startswith(("last", "best", "epoch-")) and path.parent.name else ""
    return f"{run}{path.stem}"


NEXT_TOKEN = ("LMHeadModel", "ForCausalLM")  # how transformers calls models that predict the next token
DEFAULT_DATA = "fashion-mnist-10k"


def with_data(spec: Mapping[str, Any], dataset: DataSet) -> dict[str, Any]:
    """A model's name and options, completed by what its builder takes of the data: classes, channels, image size."""
    facts = fitting_options(
        spec["name"], classes=dataset.classes, channels=dataset.channels, image_size=dataset.image_size
    )
    return {"name": spec["name"], "options": {**facts, **spec["options"]}}


def opened_alone(subject: Subject, settings: SampledSettings, places: Places) -> tuple[Opened, Objective]:
    """A subject of one checkpoint, and its loss.

    Raises:
        InputError: for one that leads to other checkpoints.
    """
    if subject.to or subject.directions is not None:
        raise InputError(f"kind: {settings.kind!r} is of one checkpoint; --to and --directions belong to other kinds.")
    opened = open_subject(subject, places)
    return opened, opened.objective(settings, places)
