"""What is probed: a checkpoint with the model, data and loss that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from landscape.data import DataSet, load_data
from landscape.models import build_model
from landscape.objective.objective import Objective
from landscape.store import Checkpoint, load_checkpoint, load_into
from landscape.studies.places import Places
from landscape.studies.run_settings import DEFAULT_DATA
from landscape.studies.runs import build_from, with_data
from landscape.studies.sampled_settings import SampledSettings


@dataclass(frozen=True)
class Subject:
    """What is probed: a checkpoint, and what it leaves open.

    Attributes:
        checkpoint: the file.
        model: a model's name and options, where the checkpoint does not say, or to overrule it.
        data: a data set's name and options, likewise.
        loss: a loss's name, likewise.
        to: further checkpoints of the same model: one for a line, two for a plane.
        directions: a file of directions in the original tool's layout.
    """

    checkpoint: Path
    model: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    loss: str | None = None
    to: tuple[Path, ...] = ()
    directions: Path | None = None


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
        return Objective(
            self.module,
            self.loss,
            self.dataset.split(settings.split),
            batch_norm=settings.batch_norm,
            samples=settings.images,
            sample_seed=settings.image_seed,
            batch_size=settings.batch_size,
            engine=settings.engine,
            compile=settings.compile,
            precision=settings.precision,
            device=places.device,
            parameters=settings.parameters or None,
        )

    def identity(self) -> dict[str, Any]:
        """What decides any measurement of it."""
        return {
            "checkpoint": self.checkpoint.weights_hash(),
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
            "model": str(self.model.get("name", "")),
            "model_options": options,
            **({"norm": str(options["norm"])} if "norm" in options else {}),
            **({} if self.checkpoint.epoch is None else {"epoch": self.checkpoint.epoch}),
            **recipe,
            **({"training": training} if training else {}),
        }


def sample_identity(objective: Objective, settings: SampledSettings) -> dict[str, Any]:
    """What decides the samples and how they are run."""
    made = objective.provenance()
    return {
        "split": settings.split,
        **{key: made[key] for key in ("data_fingerprint", "index_hash", "n_samples", "bn_policy", "precision")},
        "batch_size": objective.batch_size if settings.batch_norm == "batch" or objective.couples else None,
        **({"parameters": list(settings.parameters)} if settings.parameters else {}),
    }


def open_subject(subject: Subject, places: Places) -> Opened:
    """Load the checkpoint, its data and its model.

    Raises:
        CheckpointError: if the checkpoint cannot be read, does not say its model, or does not fit it.
    """
    checkpoint = load_checkpoint(subject.checkpoint)
    dataset, data = _data(subject, checkpoint, places)
    module, model = _module(subject, checkpoint, dataset)
    others = tuple(load_checkpoint(path) for path in subject.to)
    loss = subject.loss or checkpoint.loss or "cross_entropy"
    return Opened(subject, checkpoint, others, module, model, dataset, data, loss)


def _data(subject: Subject, checkpoint: Checkpoint, places: Places) -> tuple[DataSet, dict[str, Any]]:
    spec = dict(subject.data or checkpoint.data or {"name": DEFAULT_DATA, "options": {}})
    if subject.data is None and checkpoint.data is None:
        places.reporter.message(f"{subject.checkpoint} does not say which data it belongs to: using {DEFAULT_DATA}")
    loaded = load_data(spec["name"], root=places.data_root, download=places.download, **spec["options"])
    return loaded, spec


def _module(subject: Subject, checkpoint: Checkpoint, dataset: DataSet) -> tuple[nn.Module, dict[str, Any]]:
    if subject.model is not None:
        spec = with_data(subject.model, dataset)
        module = build_model(spec["name"], **spec["options"])
    else:
        spec = dict(checkpoint.model or {})
        module = build_from(checkpoint)
    load_into(module, checkpoint)
    return module, spec


def stem(path: Path) -> str:
    """What people call a checkpoint: its file, with the run's folder where it is one of a run's."""
    run = f"{path.parent.name}-" if path.name.startswith(("last", "best", "epoch-")) and path.parent.name else ""
    return f"{run}{path.stem}"
