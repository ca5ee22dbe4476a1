"""The edge of stability: watches training and measures how near it is to more curvature than its steps bear."""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from landscape.data.tensors import TensorData
from landscape.errors import InputError, MismatchError
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.probes.stability.limits import StabilityRule, coupled_decay, groups_of, preconditioner, stability_rule
from landscape.probes.stability.tracking import LargestEigenvalue
from landscape.results.attributes import labels
from landscape.training.observers import same_run

_MEASURED = {
    "sharpness": "largest eigenvalue of P⁻¹H, H the Hessian of the loss and P what the optimiser divides its update by",
    "threshold": "the optimiser's limit of stability divided by its learning rate",
    "ratio": "sharpness over threshold; 1 is the edge of stability",
    "residual": "‖A v − λ v‖₂ / |λ| of the eigenvalue, A = P^(−1/2) H P^(−1/2)",
    "products": "Hessian products that the eigenvalue took",
    "converged": "whether the residual is within the tolerance",
    "loss": "mean loss of the step's minibatch",
}
_TYPES: dict[str, type] = {"step": np.int64, "epoch": np.int64, "products": np.int64, "converged": np.int8}
_TOLD = {"step": "updates made before the step", "epoch": "epoch", "learning_rate": "learning rate"}


class StabilityProbe:
    """An observer of training that measures η λ_max(P⁻¹H), at every ``every``-th step, against the optimiser's limit.

    The ratio is η λ_max / 2 for gradient descent, and η λ_max(P⁻¹H) (1 − β₁) / (2 + 2β₁) for Adam, with β₁ = 0.9 a 38th of
    η λ_max(P⁻¹H); for others see :mod:`landscape.probes.stability.limits`. P is that of the update about to be made. Training
    goes on bit for bit as it would without; a measurement costs from 2 to ``max_products`` Hessian products.

    Args:
        every: measure every so many steps, those whose number of updates made before is a multiple.
        objective: whose Hessian; it must have no BatchNorm, or the policy ``batch``, because its running statistics would
            not follow the training. None: that of the step's own minibatch, normalised by its own statistics, without dropout.
        tolerance: of the eigenvalue's residual, relative to it.
        max_products: at most so many Hessian products a measurement.
        resume: what :meth:`dataset` gave before an interruption. Its steps up to the one that training goes on from are
            kept.
        start: what :attr:`start` was at the end of the epoch that training goes on from. With it the steps after are those of
            an uninterrupted training bit for bit, without it they agree to the tolerance.

    Attributes:
        start: what the next measurement begins with, a vector ``(n,)`` on the CPU; None before the first.

    Raises:
        InputError: naming the argument; at the first step, for an optimiser other than SGD, Adam and AdamW.
        MismatchError: for a ``resume`` that was measured at other steps, of another Hessian or, at the start, in another training.

    References:
        Cohen et al. 2021, arXiv 2103.00065, and 2022, arXiv 2207.14484.

    Example:
        >>> probe = ls.StabilityProbe(every=2)
        >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=2, optimizer="sgd", batch_size=30), observers=[probe])
        >>> bool((probe.dataset()["ratio"] < 1).all())  # below the edge of stability
        True
    """

    def __init__(
        self,
        every: int = 10,
        *,
        objective: Objective | None = None,
        tolerance: float = 0.01,
        max_products: int = 50,
        resume: xr.Dataset | None = None,
        start: Tensor | None = None,
    ) -> None:
        for name, value, least in (("stability_every", every, 1), ("max_products", max_products, 2)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
        if not 0 < tolerance < 1:
            raise InputError(f"tolerance: expected a number between 0 and 1, got {tolerance!r}.")
        if objective is not None and objective.bn_layers and objective.batch_norm != "batch":
            raise InputError(
                f"objective: its BatchNorm has the policy {objective.batch_norm!r}, whose statistics would not follow the "
                "training. Make it with batch_norm='batch'."
            )
        self.every = every
        self._objective = objective
        self._tracker = LargestEigenvalue(tolerance, max_products)
        self._tracker.start = start
        self._rule: StabilityRule | None = None
        self._loss_name = ""
        self._steps: list[dict[str, float]] = []
        self._run: str | None = None
        if resume is not None:
            self._take_up(resume)

    @property
    def start(self) -> Tensor | None:
        last = self._tracker.start
        return None if last is None else last.cpu()

    def on_start(self, report: Any) -> None:
        """Forget steps that are about to be made again. ``report`` is a ``StartReport``."""
        self._run = same_run(report, self._run)
        first = report.config.updates_after(len(report.history), report.steps_per_epoch)
        self._steps = [values for values in self._steps if values["step"] < first]
        self._loss_name = report.loss_name

    def on_step(self, report: Any) -> None:
        """Measure the step if it is its turn. ``report`` is a ``StepReport``."""
        if report.step % self.every:
            return
        self._rule = stability_rule(report.optimizer)
        told = {name: float(getattr(report, name)) for name in _TOLD}
        self._steps.append({**told, **self._measured(report, self._rule)})

    def on_epoch(self, report: Any) -> None:
        return

    def on_end(self, result: Any) -> None:
        return

    def dataset(self, attrs: Mapping[str, Any] | None = None) -> xr.Dataset:
        """All steps measured so far: a Dataset of kind ``stability`` with the dimension ``step``, at any time.

        Variables: ``sharpness``, λ_max(P⁻¹H); ``threshold``, the optimiser's limit over its learning rate; ``ratio``, their
        quotient; ``residual``, ``products`` and ``converged`` of the eigenvalue; ``loss``. Where the loss or the curvature is
        not finite, the eigenvalue is NaN. Coordinates: ``step`` (updates made before), ``epoch`` (1-based), ``learning_rate``.
        Attributes: ``rule`` and ``limit``, the optimiser's; ``hessian_of``.

        Args:
            attrs: further attributes, which prevail.

        Example:
            >>> probe = ls.StabilityProbe(every=1)
            >>> _ = ls.fit(net, data, ls.TrainingConfig(epochs=1, optimizer="sgd"), observers=[probe])
            >>> probe.dataset().attrs["rule"]
            'SGD, momentum 0.9'
        """
        rule = {} if self._rule is None else {"rule": self._rule.name, "limit": self._rule.limit}
        adaptive = self._rule is not None and self._rule.adaptive
        attributes = {
            "kind": "stability",
            "title": "Edge of stability",
            "loss_name": self._loss_name,
            "stability_every": self.every,
            "hessian_of": self._hessian_of,
            "hessian_data": self._hessian_data,
            "tolerance": self._tracker.tolerance,
            "preconditioned": int(adaptive),
            **rule,
            **({"run": self._run} if self._run else {}),
            **(attrs or {}),
        }
        unit = loss_unit(self._loss_name)
        units = {"loss": unit, **({} if adaptive else {"sharpness": unit, "threshold": unit})}
        return xr.Dataset(
            {name: self._column(name, words, units.get(name, "1")) for name, words in _MEASURED.items()},
            coords={name: self._column(name, words, "1") for name, words in _TOLD.items()},
            attrs=attributes,
        )

    def _column(self, name: str, words: str, unit: str) -> tuple[str, NDArray[Any], dict[str, Any]]:
        values = np.array([values[name] for values in self._steps], dtype=np.float64)
        return "step", values.astype(_TYPES.get(name, np.float64)), labels(words, unit)

    @property
    def _hessian_of(self) -> str:
        return "the step's minibatch" if self._objective is None else f"{self._objective.n_samples} fixed samples"

    @property
    def _hessian_data(self) -> str:
        """Which samples these are; nothing for those of the step."""
        if self._objective is None:
            return ""
        made = self._objective.provenance()
        return f"{made['data_fingerprint']} {made['index_hash']}"

    def _measured(self, report: Any, rule: StabilityRule) -> dict[str, float]:
        loss = float(report.losses.double().mean())
        threshold = rule.limit / report.learning_rate
        missing = {"sharpness": math.nan, "ratio": math.nan, "residual": math.nan, "products": 0, "converged": 0}
        values = {**missing, "threshold": threshold, "loss": loss}
        if not math.isfinite(loss):
            return values
        objective = _of_step(report) if self._objective is None else self._objective
        operator = _Preconditioned(objective, report)
        try:
            found = self._tracker.of(operator, objective.theta.vector, report.step)
        except _NotFinite:
            return values
        size = abs(found.value)
        return {
            **values,
            "sharpness": found.value,
            "ratio": found.value / threshold,
            "residual": found.residual / size if size else 0.0,
            "products": found.products,
            "converged": found.converged,
        }

    def _take_up(self, resume: xr.Dataset) -> None:
        made = resume.attrs
        if made.get("kind") != "stability":
            raise InputError(f"resume: expected a result of kind 'stability', got kind {made.get('kind')!r}.")
        own = {"stability_every": self.every, "hessian_of": self._hessian_of, "hessian_data": self._hessian_data}
        for name, asked in own.items():
            if made.get(name) != asked:
                raise MismatchError(
                    f"resume: {name} was {made.get(name)!r} and is now {asked!r}. Probe as before, or start a new run."
                )
        names = (*_MEASURED, *_TOLD)
        self._steps = [{name: float(resume[name].values[i]) for name in names} for i in range(resume.sizes["step"])]
        self._loss_name = str(made["loss_name"])
        self._run = str(made.get("run", ""))
        if "rule" in made:
            self._rule = StabilityRule(made["rule"], made["limit"], bool(made["preconditioned"]))


class _NotFinite(Exception):
    """A Hessian product is NaN or infinite."""


class _Preconditioned:
    """v ↦ P^(−1/2) (H + decay) P^(−1/2) v, symmetric and with the eigenvalues of P⁻¹(H + decay); 0 where nothing is trained."""

    def __init__(self, objective: Objective, report: Any) -> None:
        self._objective = objective
        self._theta = objective.parameters_of(report.module)
        names = {id(parameter): name for name, parameter in report.module.named_parameters()}
        scales, decays = {}, {}
        for group, parameter in groups_of(report.optimizer):
            scale = preconditioner(report.optimizer, group, parameter).rsqrt()
            scales[names[id(parameter)]] = scale
            decays[names[id(parameter)]] = torch.full_like(scale, coupled_decay(report.optimizer, group))
        self._scale, self._decay = self._packed(scales), self._packed(decays)

    def __call__(self, vector: Tensor) -> Tensor:
        scaled = self._scale * vector
        product = self._scale * (self._objective.hessian_product(scaled, self._theta) + self._decay * scaled)
        if not bool(torch.isfinite(product).all()):
            raise _NotFinite
        return product

    def _packed(self, tensors: Mapping[str, Tensor]) -> Tensor:
        layout = self._theta.layout
        empty = {slot.name: torch.zeros(slot.shape) for slot in layout.slots}
        vector = self._theta.vector
        return layout.pack({**empty, **tensors}, dtype=vector.dtype, device=vector.device)


def _of_step(report: Any) -> Any:
    """The loss of the step's minibatch: the report's own, of a loop that has one, or an objective that is made of it."""
    own = getattr(report, "curvature", None)
    return _of_minibatch(report) if own is None else own()


def _of_minibatch(report: Any) -> Objective:
    """The loss of the step's minibatch over the parameters that are trained, on a private copy."""
    runner = report.runner
    return Objective(
        report.module,
        runner.loss,
        TensorData(report.inputs, report.targets),
        batch_norm="batch",
        batch_size=len(report.losses),
        engine="plain",
        precision=runner.precision,
        device=runner.device,
        parameters=[glob.escape(name) for name, p in report.module.named_parameters() if p.requires_grad],
        forward=runner.forward,
        metric=_no_metric,
    )


def _no_metric(outputs: Any, targets: Any) -> None:
    return None
