"""The step probe: watches training and measures the loss along its steps (Santurkar et al. 2018, arXiv 1805.11604)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from landscape.errors import InputError, MismatchError
from landscape.objective.losses import loss_unit
from landscape.probes.steps.measure import (
    RELATIVE_LENGTH,
    StepProbeConfig,
    StepValues,
    measure_along,
    relative_direction,
    step_ranges,
)
from landscape.probes.steps.result import RELATIVE
from landscape.results.attributes import LOSS, labels
from landscape.torch_state.devices import wide_type
from landscape.torch_state.isolation import isolated
from landscape.training.observers import same_run
from landscape.training.step_objective import StepObjective

# What is stored of every step: dimensions besides step, unit, long name.
_MEASURED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "loss": ((), LOSS, "mean loss of the step's minibatch"),
    "parameter_norm": ((), "1", "Euclidean norm of the parameters θ"),
    "gradient_norm": ((), LOSS, "Euclidean norm of the minibatch's gradient g"),
    "direction_norm": (("along",), "1", "Euclidean norm of the direction d"),
    "loss_along": (("along", "eta"), LOSS, "mean loss of the step's minibatch at θ + ηd"),
    "gradient_distance": (("along", "eta"), LOSS, "Euclidean norm of ∇L(θ + ηd) − g"),
    "gradient_norm_along": (("along", "eta"), LOSS, "Euclidean norm of ∇L(θ + ηd)"),
}
# And where the relative direction is among them.
_RELATIVE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "relative_gradient_norm": ((), LOSS, "Euclidean norm of θ⊙g"),
    "relative_gradient_distance": (("along", "eta"), LOSS, "Euclidean norm of θ⊙(∇L(θ + ηd) − g)"),
    "function_distance": (("along", "eta"), "1", "root mean square over samples of ‖f(θ + ηd) − f(θ)‖₂"),
}
_COORDINATES = {
    "step": "updates made before the step",
    "epoch": "epoch",
    "learning_rate": "learning rate",
    "along": "what the direction d is: −g, the optimiser's next change of θ divided by the learning rate, or −θ²⊙g of a set length",
    "eta": "η divided by the learning rate",
}


class StepProbe:
    """An observer of training that measures, at every ``config.every``-th step, the loss and the gradient along the step.

    The losses are those of the step's own minibatch, run as the step runs it: each layer in its mode, BatchNorm with the
    statistics of the batch, the same dropout masks, the same precision. Everything happens on a private copy, so training goes
    on bit for bit as it would without; a measured step costs 2 × 8 forward and backward passes with the default configuration.

    A compiled step rounds otherwise and draws other masks than its module run plainly, as it is here. Of a compiled training the
    loss and the gradient at θ are therefore taken anew, plainly; d of ``update`` is the optimiser's change all the same.

    Args:
        config: when and where to measure; the defaults of :class:`StepProbeConfig` where None.
        resume: what :meth:`dataset` gave before an interruption. Its steps up to the one that training goes on from are
            kept, so that the result is that of a training that was never interrupted.

    Raises:
        InputError: for a ``resume`` of another kind.
        MismatchError: for a ``resume`` that was measured at other steps, η or directions or, at the start, in another training.

    References:
        Santurkar, Tsipras, Ilyas, Mądry, "How Does Batch Normalization Help Optimization?", NeurIPS 2018, arXiv 1805.11604.

    Example:
        >>> probe = ls.StepProbe(ls.StepProbeConfig(every=2))
        >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=2, batch_size=20), observers=[probe])
        >>> probe.dataset()["loss_along"].dims
        ('step', 'along', 'eta')
    """

    def __init__(self, config: StepProbeConfig | None = None, *, resume: xr.Dataset | None = None) -> None:
        self.config = StepProbeConfig() if config is None else config
        self._loss_name = ""
        self._steps: list[StepValues] = []
        self._objective: StepObjective  # from on_start to on_end
        self._compiled = False
        self._run: str | None = None
        if resume is not None:
            self._check(resume)
            self._run = str(resume.attrs.get("run", ""))
            self._loss_name = str(resume.attrs.get("loss_name", ""))
            self._steps = _values(resume)

    def on_start(self, report: Any) -> None:
        """Make the private copy, and forget steps that are about to be made again. ``report`` is a ``StartReport``."""
        self._run = same_run(report, self._run)
        first = report.config.updates_after(len(report.history), report.steps_per_epoch)
        self._steps = [values for values in self._steps if values["step"] < first]
        self._loss_name, self._compiled = report.loss_name, report.config.compile
        self._objective = StepObjective(report.module)

    def on_step(self, report: Any) -> None:
        """Measure the step if it is its turn. ``report`` is a ``StepReport``."""
        if report.step % self.config.every:
            return
        with isolated(self._objective.device):
            values = self._measured(report, self._objective)
        told = {name: np.asarray(getattr(report, name), np.float64) for name in ("step", "epoch", "learning_rate")}
        self._steps.append({**told, **values})

    def on_epoch(self, report: Any) -> None:
        return

    def on_end(self, result: Any) -> None:
        """Let go of the private copy."""
        del self._objective

    def dataset(self, attrs: Mapping[str, str | int | float] | None = None) -> xr.Dataset:
        """All steps measured so far: a Dataset of kind ``steps`` with the dimensions ``(step, along, eta)``, at any time.

        Raw variables: ``loss``, ``parameter_norm``, ``gradient_norm`` by step, ``direction_norm`` by step and direction,
        ``loss_along``, ``gradient_distance``, ``gradient_norm_along`` by all three, as in
        :func:`landscape.probes.steps.measure.measure_along`. What follows from them:
        :func:`landscape.probes.steps.measure.step_ranges`.
        Coordinates: ``step`` (updates made before), ``epoch`` (1-based) and ``learning_rate`` by step; ``along``; ``eta``,
        multiples of the learning rate. NaN and ±inf are values that were measured.

        Args:
            attrs: further attributes, which prevail.

        Example:
            >>> probe = ls.StepProbe(ls.StepProbeConfig(every=2))
            >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=2, batch_size=20), observers=[probe])
            >>> probe.dataset()["step"].values
            array([0, 2, 4])
        """
        run = {"run": self._run} if self._run else {}
        return step_ranges(_raw_dataset(self._steps, self.config, self._loss_name, {**run, **(attrs or {})}))

    def _measured(self, report: Any, objective: StepObjective) -> StepValues:
        def evaluate(theta: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
            return objective.evaluate(report, theta)

        theta = objective.theta(report.module)
        if self._compiled:
            loss, gradient, _ = evaluate(theta)
            gradient = gradient.clone()
        else:
            loss, gradient = report.losses.mean(dtype=wide_type(objective.device)), objective.gradient(report.module)
        rate = report.learning_rate
        ways: dict[str, Callable[[], Tensor]] = {
            "gradient": lambda: -gradient,
            "update": lambda: objective.next_change(report) / rate,
            RELATIVE: lambda: relative_direction(theta, gradient, rate),
        }
        directions = [ways[name]() for name in self.config.along]
        etas = [float(factor * rate) for factor in self.config.factors()]
        return measure_along(evaluate, theta, loss, gradient, directions, etas, relative=RELATIVE in self.config.along)

    def _check(self, resume: xr.Dataset) -> None:
        if resume.attrs.get("kind") != "steps":
            raise InputError(f"resume: expected a result of kind 'steps', got kind {resume.attrs.get('kind')!r}.")
        asked = {"probe_every": self.config.every, "eta": self.config.factors().tolist(), "along": [*self.config.along]}
        stored = {
            "probe_every": resume.attrs.get("probe_every"),
            "eta": resume["eta"].values.tolist(),
            "along": resume["along"].values.tolist(),
        }
        changed = [
            f"{name} was {stored[name]!r} and is now {asked[name]!r}" for name in asked if asked[name] != stored[name]
        ]
        if changed:
            raise MismatchError(
                f"resume: the steps before were measured otherwise: {'; '.join(changed)}. Probe as before, or start a new run."
            )


def _raw_dataset(
    steps: Sequence[StepValues], config: StepProbeConfig, loss_name: str, attrs: Mapping[str, Any]
) -> xr.Dataset:
    """The raw variables of all steps; ``loss_name`` gives them their unit."""
    unit = loss_unit(loss_name)
    sizes = {"along": len(config.along), "eta": config.eta[2]}

    def stacked(name: str, dims: tuple[str, ...] = ()) -> Any:
        return np.array([values[name] for values in steps]).reshape(len(steps), *(sizes[dim] for dim in dims))

    return xr.Dataset(
        {
            name: (("step", *dims), stacked(name, dims), labels(long_name, of, loss=unit))
            for name, (dims, of, long_name) in _measured(config.along).items()
        },
        coords={
            "step": ("step", stacked("step").astype(np.int64), labels(_COORDINATES["step"])),
            "epoch": ("step", stacked("epoch").astype(np.int64), labels(_COORDINATES["epoch"])),
            "learning_rate": ("step", stacked("learning_rate"), labels(_COORDINATES["learning_rate"])),
            "along": ("along", list(config.along), labels(_COORDINATES["along"])),
            "eta": ("eta", config.factors(), labels(_COORDINATES["eta"])),
        },
        attrs={
            "kind": "steps",
            "title": "Along the training steps",
            "loss_name": loss_name,
            "probe_every": config.every,
            "probe_eta": "{:g}:{:g}:{}".format(*config.eta),
            "probe_spacing": config.spacing,
            **({"relative_length": RELATIVE_LENGTH} if RELATIVE in config.along else {}),
            **attrs,
        },
    )


def _measured(along: Iterable[str]) -> dict[str, tuple[tuple[str, ...], str, str]]:
    """The raw variables of a probe along these directions."""
    return {**_MEASURED, **(_RELATIVE if RELATIVE in along else {})}


def _values(dataset: xr.Dataset) -> list[StepValues]:
    """The inverse of :func:`_raw_dataset`."""
    names = (*_measured(dataset["along"].values), "step", "epoch", "learning_rate")
    arrays = {name: dataset[name].values.astype(np.float64) for name in names}
    return [{name: array[i] for name, array in arrays.items()} for i in range(dataset.sizes["step"])]
