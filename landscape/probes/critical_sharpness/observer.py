"""An observer of training that measures the critical sharpness along its steps (Kalra et al. 2026, arXiv 2601.16979)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from landscape.errors import InputError, MismatchError, unknown_choice
from landscape.numerics.crossing import Crossing
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.losses import loss_unit
from landscape.probes.critical_sharpness.dataset import VALUES, found_along
from landscape.probes.searches import Status
from landscape.results.attributes import LOSS, flags, labels
from landscape.torch_state.isolation import isolated
from landscape.training.observers import same_run
from landscape.training.step_objective import StepObjective

ALONG = ("gradient", "update")
_KEPT = tuple(name for name in VALUES if name not in ("direction_norm", "sign"))
_TOLD = {"step": "updates made before the step", "epoch": "epoch", "learning_rate": "learning rate"}


class CriticalSharpnessProbe:
    """An observer of training that measures λ_c = 2/η_c at every ``every``-th step, against the step's own 2/η.

    η_c is the least multiple of d at which the loss of the step's own minibatch is above that at θ, d being −g or the
    optimiser's next change of θ over its learning rate; the search begins at the learning rate. Where η_c is below it, the step
    raises the loss. Everything happens on a private copy, so training goes on bit for bit as it would without; a measured
    step costs some ten forward passes a direction.

    Args:
        every: measure every so many steps, those whose number of updates made before is a multiple.
        along: ``gradient``, ``update`` or both.
        tolerance: of the bracket around η_c, as a part of it.
        max_passes: forward passes for one direction at most.
        resume: what :meth:`dataset` gave before an interruption. Its steps up to the one that training goes on from are kept.

    Raises:
        InputError: naming the argument.
        MismatchError: for a ``resume`` that was measured otherwise or, at the start, in another training.

    Example:
        >>> probe = ls.CriticalSharpnessProbe(every=2)
        >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=2, batch_size=20), observers=[probe])
        >>> probe.dataset()["critical_sharpness"].dims
        ('step', 'along')
    """

    def __init__(
        self,
        every: int = 10,
        *,
        along: tuple[str, ...] = ALONG,
        tolerance: float = 0.01,
        max_passes: int = 20,
        resume: xr.Dataset | None = None,
    ) -> None:
        for name, value, least in (("every", every, 1), ("max_passes", max_passes, 4)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
        if not 0 < tolerance < 1:
            raise InputError(f"tolerance: expected a number between 0 and 1, got {tolerance!r}.")
        names = (along,) if isinstance(along, str) else tuple(along)
        for name in names:
            if name not in ALONG:
                raise unknown_choice("along", name, ALONG)
        if not names or len(set(names)) < len(names):
            raise InputError(f"along: expected gradient, update or both, each once, got {names!r}.")
        self.every, self.along, self.tolerance, self.max_passes = every, names, tolerance, max_passes
        self._steps: list[dict[str, Any]] = []
        self._loss_name = ""
        self._run: str | None = None
        self._objective: StepObjective  # from on_start to on_end
        if resume is not None:
            self._take_up(resume)

    def on_start(self, report: Any) -> None:
        """Make the private copy, and forget steps that are about to be made again. ``report`` is a ``StartReport``."""
        self._run = same_run(report, self._run)
        first = report.config.updates_after(len(report.history), report.steps_per_epoch)
        self._steps = [values for values in self._steps if values["step"] < first]
        self._loss_name = report.loss_name
        self._objective = StepObjective(report.module)

    def on_step(self, report: Any) -> None:
        """Measure the step if it is its turn. ``report`` is a ``StepReport``."""
        if report.step % self.every:
            return
        with isolated(self._objective.device):
            values = self._measured(report)
        self._steps.append({**{name: float(getattr(report, name)) for name in _TOLD}, **values})

    def on_epoch(self, report: Any) -> None:
        return

    def on_end(self, result: Any) -> None:
        """Let go of the private copy."""
        del self._objective

    def dataset(self, attrs: Mapping[str, Any] | None = None) -> xr.Dataset:
        """All steps measured so far: a Dataset of kind ``critical_steps`` with the dimensions ``(step, along)``, at any time.

        Variables: ``critical_sharpness`` and ``critical_step`` with their standard errors over the minibatch's samples (NaN
        where the loss is one number for all), ``critical_step_low`` and ``critical_step_high``, ``passes``, ``status`` as of
        :func:`landscape.probes.critical_sharpness.measure.critical_sharpness`; by step ``loss`` and ``threshold``, 2 over the
        learning rate: a critical sharpness above it is that of a step that raises the loss.

        Args:
            attrs: further attributes, which prevail.

        Example:
            >>> probe = ls.CriticalSharpnessProbe(every=1, along=("gradient",))
            >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=1, batch_size=20), observers=[probe])
            >>> probe.dataset()["threshold"].shape
            (3,)
        """
        unit, shape = loss_unit(self._loss_name), (len(self._steps), len(self.along))
        known = {**labels("how the value came to be"), **flags({one: one.name.lower() for one in Status})}
        dims = ("step", "along")

        def column(name: str) -> Any:
            return np.array([values[name] for values in self._steps], dtype=np.float64)

        return xr.Dataset(
            {
                **{name: (dims, column(name).reshape(shape), labels(*VALUES[name])) for name in _KEPT},
                "status": (dims, column("status").reshape(shape).astype(np.int8), known),
                "loss": ("step", column("loss"), labels("mean loss of the step's minibatch", LOSS, loss=unit)),
                "threshold": ("step", column("threshold"), labels("2 over the learning rate")),
            },
            coords={
                "step": ("step", column("step").astype(np.int64), labels(_TOLD["step"])),
                "epoch": ("step", column("epoch").astype(np.int64), labels(_TOLD["epoch"])),
                "learning_rate": ("step", column("learning_rate"), labels(_TOLD["learning_rate"])),
                "along": ("along", list(self.along), labels("what the direction d is")),
            },
            attrs={
                "kind": "critical_steps",
                "title": "Critical sharpness along a training",
                "loss_name": self._loss_name,
                "probe_every": self.every,
                "tolerance": self.tolerance,
                **({"run": self._run} if self._run else {}),
                **(attrs or {}),
            },
        )

    def _measured(self, report: Any) -> dict[str, Any]:
        objective, rate = self._objective, float(report.learning_rate)
        theta = objective.theta(report.module)
        here = objective.losses(report, theta)
        found = []
        for name in self.along:
            d = -objective.gradient(report.module) if name == "gradient" else objective.next_change(report) / rate
            found.append(self._along(report, theta, here, d, rate))
        values = {name: [one.values[name] for one in found] for name in _KEPT}
        loss = float(here.double().mean())
        return {**values, "status": [int(one.status) for one in found], "loss": loss, "threshold": 2 / rate}

    def _along(self, report: Any, theta: Tensor, here: Tensor, d: Tensor, rate: float) -> Any:
        rises: dict[float, tuple[float, float]] = {}
        norm, size = float(d.double().norm()), float(theta.double().norm()) or 1.0

        def rise(step: float) -> float:
            change = self._objective.losses(report, theta.add(d, alpha=step)) - here
            rises[step] = mean_and_standard_error(change)
            return rises[step][0] / step

        search = Crossing(rate, 1e-7 * rate, tolerance=self.tolerance, most=self.max_passes - 1)
        if norm > 0 and math.isfinite(norm):
            search.largest = max(10 * size / norm, rate)
            search.run(rise)
        return found_along(search, rises, 1.0, norm, passes=len(rises) + 1)

    def _take_up(self, resume: xr.Dataset) -> None:
        made = resume.attrs
        if made.get("kind") != "critical_steps":
            raise InputError(f"resume: expected a result of kind 'critical_steps', got kind {made.get('kind')!r}.")
        own = {"probe_every": self.every, "tolerance": self.tolerance, "along": list(self.along)}
        before = {**{name: made.get(name) for name in own}, "along": resume["along"].values.tolist()}
        for name, asked in own.items():
            if before[name] != asked:
                raise MismatchError(
                    f"resume: {name} was {before[name]!r} and is now {asked!r}. Probe as before, or start a new run."
                )
        names = (*_KEPT, "status", "loss", "threshold", *_TOLD)
        self._steps = [{name: resume[name].values[i].tolist() for name in names} for i in range(resume.sizes["step"])]
        self._loss_name, self._run = str(made["loss_name"]), str(made.get("run", ""))
