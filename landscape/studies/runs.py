"""One training as a folder: its checkpoints, history, and what was watched along its steps; resumed by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from landscape.data import DataSet, load_data
from landscape.errors import MismatchError
from landscape.models import build_model
from landscape.places import Places, short_hash
from landscape.probes.gradient_flow.measure import GradientFlow
from landscape.probes.health import Health, health_of
from landscape.probes.stability.measure import StabilityProbe
from landscape.probes.steps.observer import StepProbe
from landscape.probes.subjects import with_data
from landscape.registry import run_file, run_files
from landscape.results import ResultFile, check_writable, load_checkpoint, load_result, save_checkpoint, save_result
from landscape.stopping import in_pieces
from landscape.studies.run_settings import RunSettings
from landscape.training import EpochReport, Observer, TrainingResult, fit, history_dataset, signature_of

_START = "stability_start"
HISTORY, FLOW, STEPS, STABILITY = map(run_file, ("history", "gradient_flow", "steps", "stability"))


@dataclass(frozen=True)
class RunOutcome:
    """Where a run lies, its history, and whether anything had to be trained."""

    folder: Path
    history: xr.Dataset
    trained_epochs: int

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        return self.folder / "best.pt"

    @property
    def files(self) -> list[Path]:
        """The results in the folder: the history, the gradient flow, and those of the probes that there were."""
        return [path for name in run_files() if (path := self.folder / name).exists()]


def run_folder(settings: RunSettings, places: Places) -> Path:
    """The folder that a run of these settings has: the same command finds it again, another never does."""
    return places.checkpoints / f"{settings.label()}-{short_hash(settings.identity())}"


def train_run(settings: RunSettings, places: Places, *, folder: Path | None = None) -> RunOutcome:
    """Train one network, or continue where a killed run of the same settings stopped, or do nothing if it is complete.

    The last checkpoint is written after the other files: it is what a resumed run trusts, and the epoch after it is done
    again with the same bits.

    Raises:
        MismatchError: if ``folder`` holds a run of other settings, naming them, or one that other code or data made.
        LockedError: if another process trains in the same folder.
    """
    folder = folder or run_folder(settings, places)
    for name in (*run_files(), "last.pt", "best.pt"):
        check_writable(folder / name)
    with ResultFile(folder / HISTORY, settings.identity()) as file:
        existing = file.existing()
        state = _saved_state(folder / "last.pt", settings)
        ended = existing is not None and existing.attrs.get("status") in ("complete", "diverged") and state is not None
        if existing is not None and ended and not settings.runs_own_code:
            return RunOutcome(folder, existing, 0)
        dataset = load_data(settings.data, root=places.data_root, download=places.download, **settings.data_options)
        spec = with_data({"name": settings.model, "options": settings.builder_options()}, dataset)
        module = build_model(spec["name"], seed=settings.training.seed, **spec["options"])
        if state is not None:
            _check_made(folder, state, module, dataset, settings, places)
        if existing is not None and ended:
            return RunOutcome(folder, existing, 0)
        watch = _Watch(folder, settings, len(dataset.train), state)
        writer = _Writer(folder, file, settings, spec, dataset, watch)
        done = 0 if state is None else int(state["epoch"])
        if state is not None and done:
            places.reporter.message(f"resuming {folder} after epoch {done} of {state['config']['epochs']}")
        with in_pieces():
            result = fit(
                module,
                dataset,
                settings.training,
                loss=settings.loss,
                device=places.device,
                observers=(*watch.observers, writer, *places.reporter.training_observers(folder.name)),
                resume=state,
            )
            health = health_of(module, settings.loss, dataset.train, result, watch.flow(), places.device)
            return RunOutcome(folder, writer.finish(result, health), len(result.history) - done)


def _check_made(
    folder: Path,
    state: Mapping[str, Any],
    module: nn.Module,
    dataset: DataSet,
    settings: RunSettings,
    places: Places,
) -> None:
    """Refuse to take a run for that of the present code: from the same seed it is to start with the same values."""
    now = signature_of(module, dataset, settings.training, loss=settings.loss, device=places.device)
    advice = "Remove the folder to train anew, or train into another one with --out."
    now.check((state.get("made") or {}).get("start"), str(folder), advice)


class _Watch:
    """What is watched along the steps, each kept in a file of its own; a run that is resumed from ``state`` goes on with them."""

    def __init__(self, folder: Path, settings: RunSettings, images: int, state: Mapping[str, Any] | None) -> None:
        self._folder, resumed = folder, state is not None
        self._flow = GradientFlow(every=settings.flow_every or "epoch", resume=_earlier(folder / FLOW, resumed))
        config = settings.step_probe(images)
        self._probe = None if config is None else StepProbe(config, resume=_earlier(folder / STEPS, resumed))
        every = settings.stability_every
        earlier = None if every is None else _earlier(folder / STABILITY, resumed)
        start = (state or {}).get(_START)
        self._stability = None if every is None else StabilityProbe(every, resume=earlier, start=start)

    @property
    def observers(self) -> tuple[Any, ...]:
        return tuple(one for one in (self._flow, self._probe, self._stability) if one is not None)

    def flow(self) -> xr.Dataset:
        return self._flow.dataset()

    def state(self) -> dict[str, Any]:
        """What goes into the checkpoint because no file has it, and a resumed run needs it to go on with the same bits."""
        return {} if self._stability is None else {_START: self._stability.start}

    def save(self, attributes: Mapping[str, Any]) -> None:
        """Replace the files by what has been seen so far."""
        title = attributes["title"]
        flow = self._flow.dataset({**attributes, "title": f"gradient flow, {title}"})
        save_result(flow, self._folder / FLOW)
        if self._probe is not None:
            steps = self._probe.dataset({**attributes, "title": f"along the steps, {title}"})
            save_result(steps, self._folder / STEPS)
        if self._stability is not None:
            stability = self._stability.dataset({**attributes, "title": f"edge of stability, {title}"})
            save_result(stability, self._folder / STABILITY)


def _earlier(path: Path, resumed: bool) -> xr.Dataset | None:
    return load_result(path) if resumed and path.exists() else None


def _saved_state(path: Path, settings: RunSettings) -> Mapping[str, Any] | None:
    """The training state to continue from; None where nothing has been saved yet.

    Raises:
        MismatchError: for a checkpoint that names another model, data set or loss than the run: it is of another one.
    """
    if not path.exists():
        return None
    saved = load_checkpoint(path)
    for part, own in (("model", settings.model), ("data", settings.data), ("loss", settings.loss)):
        said = getattr(saved, part)
        name = said.get("name") if isinstance(said, Mapping) else said
        if name is not None and name != own:
            raise MismatchError(
                f"{path}: is of a run with the {part} {name!r}, and this one has {own!r}. Move its folder away, or train "
                "in another one with --out."
            )
    return saved.state


class _Writer(Observer):
    """An observer of training that keeps its checkpoints, its history and what is watched in the run's folder."""

    def __init__(
        self,
        folder: Path,
        file: ResultFile,
        settings: RunSettings,
        spec: dict[str, Any],
        dataset: DataSet,
        watch: _Watch,
    ) -> None:
        self._folder, self._file, self._settings, self._spec = folder, file, settings, spec
        self._dataset, self._watch = dataset, watch
        self.attributes: dict[str, Any] = {
            "title": f"training of {settings.label()} on {dataset.name}",
            "model": settings.model,
            **({} if settings.norm is None else {"norm": settings.norm}),
            "data": dataset.name,
            "learning_rate": settings.training.learning_rate,
            "batch_size": settings.training.batch_size,
            "seed": settings.training.seed,
            "optimizer": settings.training.optimizer,
            "loss_name": settings.loss,
            "training": settings.identity(),
        }

    def on_epoch(self, report: EpochReport) -> None:
        state = report.state()
        every = self._settings.checkpoint_every
        if every and report.epoch % every == 0:
            self._save(f"epoch-{report.epoch:04d}.pt", state)
        if report.is_best:
            self._save("best.pt", state)
        now = {**self.attributes, "status": "running", "updates": report.step}
        self._watch.save(now)
        self._file.save(history_dataset(state["history"], now))
        self._save("last.pt", {**state, **self._watch.state()})

    def finish(self, result: TrainingResult, health: Health) -> xr.Dataset:
        """Save everything as it ended, the dead labelled, and give the history."""
        ended = {**health.attributes(), "updates": result.updates}
        self._watch.save({**self.attributes, **ended, "status": result.status})
        return self._file.kept(history_dataset(result, {**self.attributes, **ended}))

    def _save(self, name: str, state: Mapping[str, Any]) -> None:
        save_checkpoint(
            self._folder / name,
            state=state,
            model=self._spec,
            data=self._dataset.spec,
            training=self._settings.identity(),
            loss=self._settings.loss,
        )
