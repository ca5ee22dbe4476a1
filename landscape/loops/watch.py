"""``with watch(model, optimizer, …) as watching``: the observers of training in a user's own loop of any kind."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
import xarray as xr
from torch import nn

from landscape.errors import InputError, unknown_choice
from landscape.loops.logs import Log, as_log, numbers
from landscape.loops.step import (
    BatchRunner,
    WatchedConfig,
    WatchedStart,
    WatchedStep,
    as_loss_function,
    check_copy,
    copied,
    step_size,
)
from landscape.numerics.seeds import derive_seed
from landscape.probes.critical_sharpness.observer import CriticalSharpnessProbe
from landscape.probes.gradient_flow.measure import GradientFlow
from landscape.probes.plot import plot
from landscape.probes.stability.measure import StabilityProbe
from landscape.probes.steps.measure import StepProbeConfig
from landscape.probes.steps.observer import StepProbe
from landscape.results import load_result, save_checkpoint, save_result
from landscape.torch_state.isolation import isolated
from landscape.training.step_objective import StepObjective

FLOW, CHECKPOINTS = "gradient_flow", "checkpoints"
_MADE: dict[str, Callable[[int, xr.Dataset | None], Any]] = {
    FLOW: lambda every, resume: GradientFlow(every, resume=resume),
    "steps": lambda every, resume: StepProbe(StepProbeConfig(every=every), resume=resume),
    "stability": lambda every, resume: StabilityProbe(every, resume=resume),
    "critical_sharpness": lambda every, resume: CriticalSharpnessProbe(every, resume=resume),
}
PROBES = (*_MADE, CHECKPOINTS)


class Watching(Protocol):
    """An observer that gives a data set of what it saw."""

    def on_start(self, report: Any) -> None: ...
    def on_step(self, report: Any) -> None: ...
    def dataset(self) -> xr.Dataset: ...


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    probes: Sequence[str | Watching] = (FLOW, "critical_sharpness"),
    every: int = 50,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    step: int = 0,
    log: Any = None,
    figures_every: int | None = None,
) -> Watch:
    """Watch a loop of your own: ``watch.step(loss_fn, batch)`` between the backward pass and the optimiser's step.

    The loop's bits do not change: everything that is measured happens on private copies, with PyTorch's random state borrowed. At a
    step that is not measured nothing is done but counting.

    Args:
        model: what is trained; only read.
        optimizer: whose step it is; only read. The learning rate is that of its first group.
        probes: of ``gradient_flow``, ``steps``, ``stability``, ``critical_sharpness`` and ``checkpoints`` (copies of the weights,
            for :func:`landscape.trajectory`), or observers such as ``ls.StepProbe(…)`` with settings of their own.
        every: measure at the steps with a multiple of so many updates before them.
        folder: where checkpoints are saved, and results at the end and whenever :meth:`Watch.save` is called; None keeps all in
            memory.
        resume: go on with what ``folder`` holds, from ``step`` on.
        step: how many updates the loop has made already.
        log: whom to tell numbers and figures, by name and step; see :func:`landscape.loops.logs.as_log`.
        figures_every: tell figures at every so many measured steps; None: once, at the end.

    Raises:
        InputError: naming the argument; for a folder that holds an earlier watch where it is not resumed.
        MismatchError: for a ``resume`` of results that were measured otherwise.

    Example:
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> with ls.watch(net, optimizer, probes=["gradient_flow", "critical_sharpness"], every=1) as watching:
        ...     torch.nn.functional.cross_entropy(net(data[0]), data[1]).backward()
        ...     watching.step(torch.nn.CrossEntropyLoss(), data)
        ...     optimizer.step()
        >>> sorted(watching.datasets())
        ['critical_sharpness', 'gradient_flow']
    """
    return Watch(
        model,
        optimizer,
        probes,
        every,
        folder=folder,
        resume=resume,
        step=step,
        log=log,
        figures_every=figures_every,
    )


class Watch:
    """What :func:`watch` gives: a context manager to be told of every step.

    Attributes:
        updates: how many updates were told so far.
        checkpoints: by the number of updates made, copies of the weights, or the files that hold them.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        probes: Sequence[str | Watching],
        every: int,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        step: int = 0,
        log: Any = None,
        figures_every: int | None = None,
    ) -> None:
        _check_model(model, optimizer)
        _check_count("every", every, 1)
        _check_count("step", step, 0)
        if figures_every is not None:
            _check_count("figures_every", figures_every, 1)
        if resume and folder is None:
            raise InputError(
                "resume: goes on with what a folder holds. Name it: watch(…, folder='watched', resume=True)."
            )
        self.updates = step
        self.checkpoints: dict[int, Path | dict[str, Any]] = {}
        self._model, self._optimizer, self._every = model, optimizer, every
        self._folder = None if folder is None else Path(folder)
        self._log: Log | None = as_log(log)
        self._figures_every, self._measured = figures_every, 0
        self._keeps, self._observers = self._taken(probes, resume)
        self._objective: StepObjective | None = None
        self._stepped: tuple[Any, int] | None = None  # the gradient that the optimiser used last, and its version
        self._handle: Any = None
        # An observer of another rhythm, or of none that is known, is told when it may want to look.
        self._often = {every, *(_rhythm(observer) for observer in self._observers.values())}

    def __enter__(self) -> Self:
        start = WatchedStart(self._model, WatchedConfig(self.updates), "loss")
        with torch.enable_grad():
            for observer in self._observers.values():
                observer.on_start(start)
        used = weakref.ref(self)

        def after(*_: Any) -> None:
            watching = used()
            if watching is not None:
                watching._stepped = watching._present()

        self._handle = self._optimizer.register_step_post_hook(after)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Save and tell what there is, also after Ctrl-C or an error of the loop."""
        self._handle.remove()
        self._handle = None
        if self._keeps and kind is None and self.updates not in self.checkpoints:
            self._keep()
        if self._folder is not None:
            self.save()
        if kind is None:
            self._tell_figures()
        for observer in self._observers.values():
            if hasattr(observer, "on_end"):
                observer.on_end(None)
        self._objective = None

    def step(
        self,
        loss_fn: Any,
        batch: Any,
        *,
        epoch: int = 1,
        clipped: Callable[[Any], Any] | None = None,
    ) -> None:
        """Tell of a step, once its gradients are set and before the optimiser moves the parameters.

        Args:
            loss_fn: ``(model, batch) -> loss`` (a number, one a sample, or what has it as ``.loss``); a ``torch.nn`` loss or its
                name where ``batch`` is ``(inputs, targets)``; None for a model that computes its loss from a mapping.
            batch: what the step was made of.
            epoch: for the results alone.
            clipped: gradients by parameter -> those that the optimiser is to use, where they are clipped after this call.

        Raises:
            InputError: where no gradients are set, or those that are have been used already; for a loss that does not depend on
                the model it is given; and for what a probe cannot measure.
        """
        if self._handle is None:
            raise InputError("step: the watch is not open. Use it as: with ls.watch(…) as watch: …")
        if any(self.updates % often == 0 for often in self._often):
            self._check_gradients()
            with torch.enable_grad(), torch.inference_mode(False):
                self._tell(loss_fn, batch, epoch, dict if clipped is None else clipped)
        self.updates += 1

    @property
    def is_open(self) -> bool:
        """Whether steps can be told."""
        return self._handle is not None

    def datasets(self) -> dict[str, xr.Dataset]:
        """What every probe has seen so far, by its name."""
        return {name: observer.dataset() for name, observer in self._observers.items()}

    def save(self) -> None:
        """Write every result into the folder.

        Raises:
            InputError: where no folder was named.
        """
        if self._folder is None:
            raise InputError("save: no folder was named. Give one: watch(…, folder='watched').")
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, dataset in self.datasets().items():
            save_result(dataset, self._folder / f"{name}.h5")

    def _tell(self, loss_fn: Any, batch: Any, epoch: int, clipped: Callable[[Any], Any]) -> None:
        first = next(p for p in self._model.parameters() if p.requires_grad)
        runner = BatchRunner(self._model, as_loss_function(loss_fn, first.device, first.dtype), first.device)
        seed, rate = derive_seed(0, "watched step", self.updates), step_size(self._optimizer)
        report = WatchedStep(
            epoch, self.updates, seed, rate, self._model, self._optimizer, batch, torch.zeros(0), runner, clipped
        )
        if set(self._observers) - {FLOW}:
            if self._objective is None:
                self._objective = StepObjective(self._model)
                check_copy(report, self._objective)
            with isolated(first.device):
                losses = self._objective.losses(report, self._objective.theta(self._model))
            report = replace(report, losses=losses, made={"step": self._objective})
        for name, observer in self._observers.items():
            # A learning rate of 0, as a warm-up begins with, makes no step along which there is something to measure.
            if name == FLOW or rate > 0:
                observer.on_step(report)
        if self._keeps and self.updates % self._every == 0:
            self._keep()
        self._measured += 1
        if self._log is not None:
            told = [numbers(name, dataset) for name, dataset in self.datasets().items()]
            values = {name: value for each in told for name, value in each.items()}
            if values:
                self._log(values, self.updates)
            if self._figures_every is not None and self._measured % self._figures_every == 0:
                self._tell_figures()

    def _tell_figures(self) -> None:
        if self._log is None:
            return
        figures = {}
        for name, dataset in self.datasets().items():
            if dataset.sizes.get("step", dataset.sizes.get("record", 0)):
                figures[f"{name}/figure"] = plot(dataset)
        if figures:
            self._log(figures, self.updates)

    def _keep(self) -> None:
        """Keep the weights as they are before the step."""
        state = copied(self._model.state_dict())
        if self._folder is None:
            self.checkpoints[self.updates] = state
            return
        path = self._folder / f"step-{self.updates:08d}.pt"
        self._folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, state={"model": state, "step": self.updates})
        self.checkpoints[self.updates] = path

    def _present(self) -> tuple[Any, int] | None:
        """The first gradient that is set, and how often it was written to."""
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    return weakref.ref(parameter.grad), parameter.grad._version
        return None

    def _check_gradients(self) -> None:
        present = self._present()
        if present is None:
            raise InputError(
                "step: no gradients are set. Call watch.step between loss.backward() and optimizer.step(), before they are zeroed."
            )
        before = self._stepped
        if before is not None and before[0]() is present[0]() and before[1] == present[1]:
            raise InputError(
                "step: these gradients have been used already. Call watch.step before optimizer.step(), not after it."
            )

    def _taken(self, probes: Sequence[str | Watching], resume: bool) -> tuple[bool, dict[str, Any]]:
        """Whether weights are kept, and the observers by name, with what the folder holds of them."""
        given = [probes] if isinstance(probes, str) or hasattr(probes, "on_step") else list(probes)
        if not given:
            raise InputError(f"probes: expected at least one of {', '.join(PROBES)}, got none.")
        keeps, observers = False, {}
        for one in given:
            if isinstance(one, type):
                raise InputError(f"probes: {one.__name__} is a class. Give one of it: {one.__name__}().")
            if isinstance(one, str) and one not in PROBES:
                raise unknown_choice("probes", one, PROBES)
            if not isinstance(one, str) and not (hasattr(one, "on_step") and hasattr(one, "dataset")):
                raise InputError(f"probes: expected names of {', '.join(PROBES)}, or observers, got {one!r}.")
            name = one if isinstance(one, str) else _name_of(one)
            if name in observers or (name == CHECKPOINTS and keeps):
                raise InputError(f"probes: {name} is there twice.")
            if name == CHECKPOINTS:
                keeps = True
                self._take_up_checkpoints(resume)
            else:
                earlier = self._earlier(name, resume)
                observers[name] = _MADE[name](self._every, earlier) if isinstance(one, str) else one
        return keeps, observers

    def _earlier(self, name: str, resume: bool) -> xr.Dataset | None:
        file = None if self._folder is None else self._folder / f"{name}.h5"
        if file is None or not file.exists():
            return None
        if not resume:
            raise InputError(
                f"folder: {file} is there already, of an earlier watch. Go on with it by resume=True and step=…, or name another."
            )
        return load_result(file)

    def _take_up_checkpoints(self, resume: bool) -> None:
        files = [] if self._folder is None else sorted(self._folder.glob("step-*.pt"))
        if files and not resume:
            raise InputError(f"folder: {files[0]} is there already, of an earlier watch. Name another, or resume=True.")
        numbered = {int(file.stem.partition("-")[2]): file for file in files}
        self.checkpoints.update({number: file for number, file in numbered.items() if number < self.updates})


def _name_of(observer: Any) -> str:
    """What an observer's results are called."""
    kinds: Mapping[type, str] = {
        GradientFlow: FLOW,
        StepProbe: "steps",
        StabilityProbe: "stability",
        CriticalSharpnessProbe: "critical_sharpness",
    }
    return next((name for kind, name in kinds.items() if isinstance(observer, kind)), type(observer).__name__)


def _rhythm(observer: Any) -> int:
    often = getattr(observer, "every", getattr(getattr(observer, "config", None), "every", 1))
    return often if isinstance(often, int) else 1


def _check_model(model: Any, optimizer: Any) -> None:
    if isinstance(model, type):
        raise InputError(f"model: {model.__name__} is a class. Give an instance of it: {model.__name__}(…).")
    if not isinstance(model, nn.Module):
        raise InputError(f"model: expected a torch.nn.Module, got {type(model).__name__}.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(
            f"optimizer: expected a torch.optim.Optimizer, got {type(optimizer).__name__}. Of a wrapper give what it wraps, such "
            "as wrapper.optimizer."
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise InputError("optimizer: moves none of the model's parameters. Make it with model.parameters().")


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
