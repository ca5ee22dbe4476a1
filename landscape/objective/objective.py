"""The objective: parameters -> loss, gradient, Hessian product over a fixed set of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.data import as_data, subset
from landscape.errors import InputError, unknown_choice
from landscape.numerics.devices import resolve_device
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.batch_norm import (
    POLICIES,
    RunningStatistics,
    batch_norm_layers,
    moved_statistics,
    use_batch_statistics,
)
from landscape.objective.batches import PreparedBatches
from landscape.objective.derivatives import Derivatives
from landscape.objective.engines import ENGINES, choose_engine
from landscape.objective.flat_module import FlatModule, has_convolutions
from landscape.objective.labels import are_labels, check_label_range, ignored_label
from landscape.objective.losses import loss_name, per_sample_accuracy, per_sample_loss
from landscape.objective.runner import PRECISIONS, Runner, call
from landscape.objective.sizing import batch_size_for, working_set
from landscape.objective.subspace import Subspace

# Batch statistics are part of the result, so this does not follow the machine.
BATCH_STATISTICS = 128
# update_bn weighs batches equally, so the calibration batch is part of the result and is not tied to the evaluation batch.
CALIBRATION_BATCH = 128
SMALLEST_HEAD = 32
# One-sided: by chance, a point below a ceiling is given up once in 740 times at most.
CEILING_ERRORS = 3.0


@dataclass(frozen=True)
class Evaluation:
    """The mean loss over the samples, its standard error s/√N, the accuracy (fraction; None where there is none), and N."""

    loss: float
    standard_error: float
    accuracy: float | None
    n_samples: int


@dataclass(frozen=True)
class Gradient:
    """The mean loss and its gradient ∇L(θ) of the mean over the samples, in θ's layout."""

    loss: float
    vector: ParameterVector


@dataclass(frozen=True)
class PointValues:
    """Values at P points, each of shape ``(P,)``.

    ``loss``, ``standard_error`` and ``accuracy`` (NaN where there is none) over ``n_samples`` samples: all of them, or the first
    part where that was enough to tell that the loss lies above a ceiling.
    """

    loss: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    n_samples: NDArray[np.int64]


class Objective:
    """L(θ): the mean of a per-sample loss over a fixed set of samples, as a function of the parameters.

    The module is copied; it, its buffers, mode, ``requires_grad`` and the global random state stay as they are, also after
    an error. The samples are read once. Sums are taken in float64 over the samples in their order, so that values
    depend neither on the order of evaluations nor, to rounding, on the batch size.

    Args:
        module: any ``torch.nn.Module``. Called as ``module(inputs)``, ``module(*inputs)`` for tuples and ``module(**inputs)`` for
            mappings, or as ``forward`` says.
        loss: a name (``cross_entropy``, ``mse``), a ``torch.nn`` loss, or any callable ``(outputs, targets) -> (B, …)``.
        data: a :class:`landscape.data.Data`, a pair of tensors ``(inputs, targets)``, or anything with ``__len__`` and
            ``__getitem__``. Used without augmentation.
        batch_norm: ``frozen``, ``interpolated``, ``reestimated`` or ``batch``; see :mod:`landscape.objective.batch_norm`.
        samples: how many of the data's samples to use (drawn by ``sample_seed``), the indices themselves, or None for all.
        calibration: the data whose statistics ``reestimated`` takes; the evaluated samples by default.
        batch_size: samples a forward pass; by default as many as fit the cache (CPU) or memory (CUDA), see
            :mod:`landscape.objective.sizing`. Under ``batch`` it is part of the result, and 128 by default.
        engine: ``auto`` folds BatchNorm with fixed statistics into the layer before it, where the module can be traced and
            gives the same outputs; ``plain`` runs the module as it is. :attr:`engine_note` says which it is and why.
        compile: run evaluations through ``torch.compile``; the first takes longer. Derivatives are taken without it.
        precision: ``fp32``, ``fp64`` or ``bf16`` (autocast over fp32 weights); None keeps the module's own dtype.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or a ``torch.device``.
        parameters: shell patterns naming the parameters that make up θ; all by default.
        forward: ``(module, inputs) -> outputs`` for modules that are called in another way.
        metric: ``(outputs, targets) -> (B,)`` reported as accuracy; by default the top-1 accuracy where there are classes.

    Raises:
        InputError: for a choice that does not exist, an empty or unusable data set, a module that cannot be copied, or labels
            outside the module's classes.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: str | nn.Module | Callable[[Any, Any], Tensor] = "cross_entropy",
        data: Any = None,
        *,
        batch_norm: str = "frozen",
        samples: int | Tensor | Sequence[int] | None = None,
        sample_seed: int = 0,
        calibration: Any = None,
        batch_size: int | None = None,
        engine: str = "auto",
        compile: bool = False,
        precision: str | None = None,
        device: str | torch.device = "auto",
        parameters: Sequence[str] | None = None,
        forward: Callable[[nn.Module, Any], Any] | None = None,
        metric: Callable[[Any, Any], Tensor | None] = per_sample_accuracy,
    ) -> None:
        if batch_norm not in POLICIES:
            raise unknown_choice("batch_norm", batch_norm, POLICIES)
        if precision is not None and precision not in PRECISIONS:
            raise unknown_choice("precision", precision, PRECISIONS)
        if engine not in ENGINES:
            raise unknown_choice("engine", engine, ENGINES)
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size: expected at least 1, got {batch_size!r}.")
        if data is None:
            raise InputError("data: expected a data set, a pair of tensors or anything indexable, got None.")
        self.device = resolve_device(device)
        self.precision = precision or _own_precision(module)
        self.batch_norm = batch_norm
        self.loss_name = loss_name(loss)
        self._dtype = PRECISIONS[self.precision]
        self._wide = torch.float32 if self.device.type == "mps" else torch.float64  # MPS has no float64
        self.batch_size = BATCH_STATISTICS if batch_size is None and batch_norm == "batch" else batch_size or 0
        self.data = as_data(data).to(self.device)
        self._indices = _chosen(self.data, samples, sample_seed)
        # What a ceiling is judged by. Batch statistics depend on the batches, which are then left as they are.
        head = max(SMALLEST_HEAD, len(self._indices) // 8)
        self._head = head if batch_norm != "batch" and head < len(self._indices) else 0
        run = Runner(module, per_sample_loss(loss, self.device), metric, forward or call, self.precision, self.device)
        outputs = self._prepare(module, parameters, run)
        self._check_labels(loss, outputs)
        self._calibration = self._calibration_batches(calibration) if batch_norm == "reestimated" else None
        wanted = "plain" if batch_norm in ("reestimated", "batch") else engine
        self._engine, self.engine_note = choose_engine(wanted, self._flat, self._statistics, self._agrees_with(outputs))
        self.compiled = compile
        self._fast = self._runner.of(torch.compile(self._engine.module) if compile else self._engine.module)
        self._derivatives = Derivatives(self._engine, self._runner, self._theta.layout, self.n_samples, self._wide)

    def _prepare(self, module: nn.Module, parameters: Sequence[str] | None, run: Runner) -> Any:
        """Build the private copy and the batches, channels-last where the module has convolutions and takes it."""
        for channels_last in (True, False) if has_convolutions(module) else (False,):
            self.channels_last = channels_last
            self._flat = FlatModule(
                module, device=self.device, dtype=self._dtype, channels_last=channels_last, parameters=parameters
            )
            if self.batch_norm == "batch":
                use_batch_statistics(self._flat.module)
            self._runner = run.of(self._flat.module)
            try:
                self.batch_size = self.batch_size or self._fitting_batch_size()
                self._batches = self._prepared(self.data, self._indices, self.batch_size, self._head)
                outputs = self._first_outputs(self._runner)
                break
            except RuntimeError:
                # Some modules call .view() on their weights or features, which the channels-last layout does not allow.
                if not channels_last:
                    raise
        self.bn_layers = len(batch_norm_layers(self._flat.module))
        self._statistics = RunningStatistics(self._flat.module)
        self._variances = self._statistics.variance_mask()
        self._checkpoint_statistics = self._statistics.vector.clone()
        self._theta = self._flat.snapshot()
        return outputs

    def _fitting_batch_size(self) -> int:
        """From the working set of two samples; two, because batch statistics need them."""
        few = self._indices[:2]
        inputs, _ = next(iter(self._prepared(self.data, few, 2)))
        return batch_size_for(working_set(self._runner, inputs, len(few)), self.device)

    def _first_outputs(self, runner: Runner) -> Any:
        with torch.no_grad(), runner.own_randomness():
            return runner.outputs(next(iter(self._batches))[0])

    def _agrees_with(self, outputs: Any) -> Callable[[nn.Module], bool]:
        """Whether another module gives the same first outputs, to 1e-4 of their size (1e-9 in fp64, 5e-2 in bf16)."""
        tolerance = {"fp64": 1e-9, "fp32": 1e-4, "bf16": 5e-2}[self.precision]

        def agrees(other: nn.Module) -> bool:
            found = self._first_outputs(self._runner.of(other))
            if not isinstance(found, Tensor) or not isinstance(outputs, Tensor):
                return False
            return bool((found - outputs).abs().max() <= tolerance * outputs.abs().max())

        return agrees

    def _calibration_batches(self, calibration: Any) -> PreparedBatches:
        if calibration is None:
            return self._prepared(self.data, self._indices, CALIBRATION_BATCH)
        source = as_data(calibration).to(self.device)
        return self._prepared(source, torch.arange(len(source)), CALIBRATION_BATCH)

    def _prepared(self, data: Any, indices: Tensor, batch_size: int, head: int = 0) -> PreparedBatches:
        return PreparedBatches(
            data,
            indices,
            batch_size=batch_size,
            device=self.device,
            dtype=self._dtype,
            channels_last=self.channels_last,
            head=head,
        )

    def _check_labels(self, loss: object, outputs: Any) -> None:
        if are_labels(loss, outputs, next(iter(self._batches))[1]):
            labels = torch.cat([targets.flatten() for _, targets in self._batches])
            labels = labels[labels != ignored_label(loss)]
            if labels.numel():
                check_label_range(self.data.name, int(labels.min()), int(labels.max()), outputs.shape[1])

    @property
    def theta(self) -> ParameterVector:
        """θ of the module as it was given: the checkpoint."""
        return self._theta

    @property
    def n_samples(self) -> int:
        return len(self._batches)

    @property
    def indices(self) -> Tensor:
        """Which samples of the data are used, in order."""
        return self._batches.indices

    def parameters_of(self, module: nn.Module | Mapping[str, Tensor]) -> ParameterVector:
        """θ of another checkpoint of the same architecture, given as a module or a state dict.

        Raises:
            InputError: naming the parameters that are missing or of another shape.
        """
        vector = self._theta.layout.pack(_state(module), dtype=self._dtype, device=self.device)
        return ParameterVector(vector, self._theta.layout)

    def statistics_of(self, module: nn.Module | Mapping[str, Tensor]) -> Tensor:
        """The BatchNorm running statistics of another checkpoint, flat, in the order of this objective's."""
        return self._statistics.layout.pack(_state(module), dtype=self._dtype, device=self.device)

    @property
    def statistics(self) -> Tensor:
        """The BatchNorm running statistics of the checkpoint, flat; empty under the policy ``batch``."""
        return self._checkpoint_statistics

    def evaluate(self, theta: ParameterVector | Tensor | None = None) -> Evaluation:
        """The mean loss at θ (the checkpoint's by default) with its standard error over the samples, and the accuracy."""
        self._load(theta)
        return self._evaluation()

    def per_sample(self, theta: ParameterVector | Tensor | None = None) -> Tensor:
        """The loss of every sample at θ, float64, shape ``(N,)``, in the order of :attr:`indices`."""
        self._load(theta)
        return self._fast.measure(self._batches)[0]

    def evaluate_points(
        self, subspace: Subspace, coefficients: NDArray[np.float64], *, ceiling: float | None = None
    ) -> PointValues:
        """The values at the points θ + Σ cₖ dₖ for ``coefficients`` of shape ``(P, K)``.

        This is the one way in which probes ask for points: coefficients in, values with their uncertainty out.

        With ``ceiling``, a point is given up after the first eighth of the samples (32 at least) if their mean loss lies more
        than :data:`CEILING_ERRORS` standard errors above it.

        Raises:
            InputError: under ``interpolated``, for directions that carry no running statistics.
        """
        self._check_subspace(subspace)
        found = [self._evaluate_at(subspace, torch.from_numpy(row), ceiling) for row in coefficients]
        return PointValues(
            loss=np.array([e.loss for e in found]),
            standard_error=np.array([e.standard_error for e in found]),
            accuracy=np.array([math.nan if e.accuracy is None else e.accuracy for e in found]),
            n_samples=np.array([e.n_samples for e in found]),
        )

    def gradient(self, theta: ParameterVector | Tensor | None = None) -> Gradient:
        """∇L(θ) of the mean loss over the samples, batch gradients summed in float64.

        Under ``reestimated`` the recomputed statistics are held constant; under ``batch`` the gradient flows through them.
        """
        vector = self._load(theta)
        losses, total = self._derivatives.gradient(vector, self._batches)
        loss, _ = mean_and_standard_error(losses.cpu())
        return Gradient(loss, ParameterVector(total.to(self._dtype), self._theta.layout))

    def hessian_product(self, vector: Tensor, theta: ParameterVector | Tensor | None = None) -> Tensor:
        """H(θ) v for the Hessian H of the mean loss over the samples: shape ``(n,)``; see :mod:`landscape.objective.derivatives`.

        Under ``reestimated`` the recomputed statistics are held constant; under ``batch`` H flows through them.
        """
        point = self._load(theta)
        along = vector.to(self.device, self._dtype)
        return self._derivatives.hessian_product(point, along, self._batches).to(self._dtype)

    def provenance(self) -> dict[str, Any]:
        """What a result must say about how its values came to be; every entry is text or a number."""
        return {
            "data": self.data.name,
            "data_fingerprint": self.data.fingerprint(),
            "index_hash": self._batches.index_hash(),
            "n_samples": self.n_samples,
            "bn_policy": self.batch_norm if self.bn_layers else "none (the model has no BatchNorm)",
            "bn_layers": self.bn_layers,
            "loss_name": self.loss_name,
            "precision": self.precision,
            "batch_size": self.batch_size,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "engine": f"{self.engine_note}; compiled" if self.compiled else self.engine_note,
            "memory_format": "channels_last" if self.channels_last else "contiguous",
        }

    def _check_subspace(self, subspace: Subspace) -> None:
        if self.batch_norm == "interpolated" and self._statistics.layout.size and subspace.statistics is None:
            raise InputError(
                "batch_norm: 'interpolated' moves the running statistics with the direction, and these directions have "
                "none, because they do not lead from one checkpoint to another. Choose frozen or reestimated."
            )

    def _evaluate_at(self, subspace: Subspace, coefficients: Tensor, ceiling: float | None) -> Evaluation:
        if self._calibration is not None:
            self._load(subspace.point(coefficients))
            return self._evaluation(ceiling)
        statistics = None
        if self.batch_norm == "interpolated" and subspace.statistics is not None and self._statistics.layout.size:
            moved = coefficients.to(subspace.statistics)
            statistics = moved_statistics(self._checkpoint_statistics, subspace.statistics, moved, self._variances)
        self._engine.load_point(subspace, coefficients, statistics)
        return self._evaluation(ceiling)

    def _evaluation(self, ceiling: float | None = None) -> Evaluation:
        """The values at the point that is loaded."""

        def above(losses: Tensor) -> bool:
            mean, error = mean_and_standard_error(losses)
            return ceiling is not None and not mean - CEILING_ERRORS * error <= ceiling

        losses, right = self._fast.measure(self._batches, None if ceiling is None else above, self._head)
        loss, error = mean_and_standard_error(losses)
        return Evaluation(loss, error, None if right is None else float(right.mean()), losses.numel())

    def _load(self, theta: ParameterVector | Tensor | None) -> Tensor:
        """Put θ into the engine's module, under ``reestimated`` recompute the statistics there, and give θ's vector."""
        vector = self._vector(theta)
        self._engine.load(vector, self._checkpoint_statistics)
        self._reestimate()
        return vector

    def _vector(self, theta: ParameterVector | Tensor | None) -> Tensor:
        vector = self._theta.vector if theta is None else theta.vector if isinstance(theta, ParameterVector) else theta
        if vector.shape != self._theta.vector.shape:
            raise InputError(f"theta: expected shape {tuple(self._theta.vector.shape)}, got {tuple(vector.shape)}.")
        return vector

    def _reestimate(self) -> None:
        if self._calibration is None:
            return
        with torch.no_grad(), self._statistics.reestimation(), self._runner.own_randomness():
            for inputs, _ in self._calibration:
                self._runner.outputs(inputs)


def _own_precision(module: nn.Module) -> str:
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()} if isinstance(module, nn.Module) else set()
    return "fp64" if dtypes == {torch.float64} else "fp32"


def _state(module: nn.Module | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {**dict(module.named_parameters()), **module.state_dict()} if isinstance(module, nn.Module) else module


def _chosen(data: Any, samples: int | Tensor | Sequence[int] | None, seed: int) -> Tensor:
    if samples is None or isinstance(samples, int):
        if samples is not None and samples < 1:
            raise InputError(f"samples: expected at least 1, got {samples!r}.")
        return subset(data, samples, seed)
    indices = torch.as_tensor(samples, dtype=torch.int64)
    if indices.ndim != 1 or (indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= len(data))):
        raise InputError(f"samples: expected indices from 0 to {len(data) - 1} of {data.name}, got {samples!r}.")
    return indices
