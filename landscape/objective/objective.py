"""The objective: parameters -> loss, gradient, Hessian product over a fixed set of samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.data import as_data, as_whole
from landscape.data.parts import Targets
from landscape.errors import InputError
from landscape.numerics.parameters import ParameterVector
from landscape.objective.accuracy import as_metric, no_metric, per_sample_accuracy
from landscape.objective.agreement import Agreement, elsewhere
from landscape.objective.batch_loss import BatchLoss, as_batch_loss, taken
from landscape.objective.batch_norm import (
    RunningStatistics,
    applicable_policy,
    batch_norm_layers,
)
from landscape.objective.batches import PreparedBatches, chosen_indices
from landscape.objective.derivatives import Derivatives
from landscape.objective.description import provenance_of, summary_of
from landscape.objective.differentiation import Differentiation
from landscape.objective.draws import Draws
from landscape.objective.engines import choose_engine
from landscape.objective.flat_module import Patterns, a_module
from landscape.objective.heights import Heights, checked_metrics
from landscape.objective.losses import SampleLoss, loss_name
from landscape.objective.preparation import Preparation, check_choices, check_data
from landscape.objective.runner import PRECISIONS, Runner, call, own_precision
from landscape.objective.second_derivatives import CheckedDerivatives
from landscape.objective.side_by_side import side_by_side
from landscape.objective.spread import clusters
from landscape.objective.stacked import Stacked, may_stack, try_stacked
from landscape.objective.subspace import Subspace
from landscape.objective.torch_losses import described, per_sample_loss
from landscape.objective.values import Evaluation, PointValues
from landscape.torch_state.devices import resolve_device

# update_bn weighs batches equally, so the calibration batch is part of the result and is not tied to the evaluation batch.
CALIBRATION_BATCH = 128


class Objective(Differentiation):
    """L(θ): the user's own loss over a fixed set of samples, as a function of the parameters.

    The module is copied; it, its buffers, mode, ``requires_grad`` and the global random state stay as they are, also after
    an error. The samples are read once. Sums are taken in float64 over the samples in their order, so that values
    depend neither on the order of evaluations nor, to rounding, on the batch size.

    Args:
        module: any ``torch.nn.Module``. Called as ``module(inputs)``, ``module(*inputs)`` for tuples and ``module(**inputs)`` for
            mappings, or as ``forward`` says.
        loss: a name (``cross_entropy``, ``mse``), a ``torch.nn`` loss with its own reduction, or any callable
            ``(outputs, targets) -> values (B, …)`` or ``-> (values, weights)``; see
            :func:`landscape.objective.torch_losses.per_sample_loss`. One that couples the samples of a batch is recognised, as is a
            module that does, and measured over fixed batches of ``batch_size`` (128 by default), which are part of the result.
            One that gives a number for a whole batch needs a ``batch_size``; batches weigh by their samples. ``"model"``: what the
            module computes itself. A function ``(model, batch)`` is :func:`batch_loss`. A mapping of terms is their sum, or its
            entry ``loss``; every term is measured.
        data: a :class:`landscape.data.Data`, a pair ``(inputs, targets)``, a mapping or a frame of columns, a ``DataLoader`` or
            another iterable of batches, or anything with ``__len__`` and ``__getitem__``; see :func:`landscape.data.as_data`. Read
            once, without augmentation.
        targets: which part of a batch the targets are, such as ``"labels"``; ``"inputs"`` where what goes in is to come out.
        batch_norm: ``frozen``, ``interpolated``, ``reestimated`` or ``batch``; see :mod:`landscape.objective.batch_norm`. Always
            ``batch`` for a module whose BatchNorms keep no running statistics.
        samples: how many of the data's samples to use (drawn by ``sample_seed``), the indices themselves, or None for all.
        calibration: the data whose statistics ``reestimated`` takes; the evaluated samples by default.
        batch_size: samples a forward pass; by default as many as fit the cache (CPU) or memory (CUDA), see
            :mod:`landscape.objective.sizing`. Under ``batch`` it is part of the result, and 128 by default.
        engine: ``auto`` folds BatchNorm with fixed statistics into the layer before it, and on a CPU runs 3×3 convolutions by
            minimal filtering and several batches at the same time, where the module gives the same outputs; ``plain`` runs it
            as it is. :attr:`engine_note` says which.
        compile: run evaluations through ``torch.compile``; the first takes longer. Derivatives are taken without it.
        precision: ``fp32``, ``fp64`` or ``bf16`` (autocast over fp32 weights); None keeps the module's own dtype. On a GPU too
            fp32 is never TF32, PyTorch's default for convolutions: see :func:`landscape.torch_state.isolation.full_precision`.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or a ``torch.device``.
        parameters: those that make up θ: a shell pattern of names, several of them, ``"trainable"``, ``"adapters"`` (of peft) or
            ``"all"``. By default those with ``requires_grad``, with a warning where some have it not, and all where none has.
        forward: ``(module, inputs) -> outputs`` for modules that are called in another way. Where it takes derivatives itself (by
            the inputs, say) and fails without a graph, evaluations make one too, which takes the memory of a gradient.
        metric: ``(outputs, targets) -> (B,)``, whose mean is reported as accuracy; by default the top-1 accuracy where there are
            classes, over the labels among them to which the loss gives a weight; see :mod:`landscape.objective.accuracy`.
        metrics: what else is measured at every point, by name: functions ``(outputs, targets)`` that give one value a sample, or
            one number for all samples, and torchmetrics objects.
        draws: of an objective that draws (dropout in ``mode="train"``, noise in the loss or the module): how often every point is
            measured, each time with the same random numbers at all points, from ``draw_seed``. None: once.
        mode: ``eval``, or ``train``, in which the module runs as in training but for its BatchNorms, which ``batch_norm`` decides.

    Raises:
        InputError: for a choice that does not exist, an empty or unusable data set, a module that cannot be copied or run, a loss
            that does not fit outputs and targets or whose value over all samples does not follow from batches, or labels
            outside the module's classes.

    Example:
        >>> objective = ls.Objective(net, torch.nn.CrossEntropyLoss(), data, samples=40, precision="fp64")
        >>> objective
        <Objective of Sequential, 42 parameters moved: CrossEntropyLoss over 40 samples, ...>
        >>> objective.evaluate().n_samples
        40
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        module: nn.Module,
        loss: str | nn.Module | BatchLoss | Callable[[Any, Any], Any] = "cross_entropy",
        data: Any = None,
        *,
        targets: Targets = None,
        batch_norm: str = "frozen",
        samples: int | Tensor | Sequence[int] | None = None,
        sample_seed: int = 0,
        calibration: Any = None,
        batch_size: int | None = None,
        engine: str = "auto",
        compile: bool = False,
        precision: str | None = None,
        device: str | torch.device = "auto",
        parameters: Patterns = None,
        forward: Callable[[nn.Module, Any], Any] | None = None,
        metric: Callable[[Any, Any], Tensor | None] = per_sample_accuracy,
        metrics: Mapping[str, Any] | None = None,
        draws: int | None = None,
        draw_seed: int = 0,
        mode: str = "eval",
    ) -> None:
        a_module(module)
        whole = as_batch_loss(loss)
        check_choices(precision, engine, batch_size, mode, forward)
        check_data(data, whole, forward, metrics)
        self._given = {"loss": loss, "batch_norm": batch_norm, "calibration": calibration, "batch_size": batch_size}
        self._given |= {"engine": engine, "forward": forward, "metric": metric, "metrics": metrics, "mode": mode}
        self._given |= {"draws": draws, "draw_seed": draw_seed}
        self.device = resolve_device(device)
        self.precision = precision or own_precision(module)
        self.batch_norm = batch_norm = applicable_policy(batch_norm, module)
        self.loss_name = loss_name(loss)
        self._dtype = PRECISIONS[self.precision]
        self._wide = torch.float32 if self.device.type == "mps" else torch.float64  # MPS has no float64
        self.data = (as_data if whole is None else as_whole)(data, targets=targets).to(self.device)
        named, self._draws = checked_metrics(metrics), None if draws is None else Draws(draws, draw_seed)
        measured = _sample_loss(loss, whole, self.device, self._dtype, of_batches=batch_size is not None)
        called = forward if whole is None else whole.forward
        scored = no_metric if whole is not None or "accuracy" in named else as_metric(metric, measured)
        self._said = {
            "loss_function": measured.words,
            "forward": described(forward or call),
            "metric": described(metric if scored is not no_metric else no_metric),
        }
        run = Runner(module, measured, scored, called or call, self.precision, self.device)
        self._made = made = Preparation(
            module,
            replace(run, own_loss=whole is not None, draw=None if self._draws is None else self._draws.seeds[0]),
            self.data,
            chosen_indices(self.data, samples, sample_seed),
            batch_size=batch_size,
            statistics=batch_norm == "batch",
            parameters=parameters,
            mode=mode,
        )
        self._said["parameters_moved"] = made.flat.selection
        self._flat, self._runner, self.spread, self.couples = made.flat, made.runner, made.spread, made.couples
        self._heights = Heights(named, self._runner.loss)
        self._batches, self._head, self.batch_size = made.batches, made.head, made.batch_size
        self._of_head = self.spread.part(self._head)
        if named:
            self._runner.measure([next(iter(self._batches))], also=self._heights.begin())  # which refuses what is none
        self.bn_layers = len(batch_norm_layers(self._flat.module))
        self._statistics = RunningStatistics(self._flat.module)
        self._variances = self._statistics.variance_mask()
        self._checkpoint_statistics = self._statistics.vector.clone()
        self._theta = self._flat.snapshot()
        self._calibration = self._calibration_batches(calibration) if batch_norm == "reestimated" else None
        fixed = batch_norm in ("frozen", "interpolated") or not self.bn_layers
        own = partial(Agreement, self._runner, self._flat, self._statistics, self._batches, made.outputs)
        with self._runner.own_randomness():  # tracing runs the module
            self._engine, self.engine_note = choose_engine(
                "plain" if mode == "train" else engine,
                self._flat,
                self._statistics,
                own,
                fixed=fixed,
                half=self.precision == "bf16",
            )
        if self._engine.flat is not self._flat:
            self._theta = ParameterVector(self._flat.vector, self._flat.layout)  # which nothing is loaded into then
        self.compiled = compile
        self._fast = self._runner.of(torch.compile(self._engine.flat.module) if compile else self._engine.flat.module)
        if engine != "plain" and not compile:
            self._fast, shared_out = side_by_side(self._fast, self._batches, made.footprint.layer)
            self.engine_note = "; ".join(filter(None, (self.engine_note, shared_out)))
        del made.outputs  # which may be large
        derivatives = Derivatives(
            self._engine.flat.module,
            self._engine.tensors,
            self._runner,
            self._theta.layout,
            wide=self._wide,
            whole=made.whole or batch_size is not None or batch_norm == "batch",
        )
        self._derivatives = CheckedDerivatives(derivatives, self._flat.module)
        self._stacked = self._try_stacked()

    def __repr__(self) -> str:
        moved = f"{self._theta.layout.size:,} parameters moved"
        return f"<Objective of {type(self.structure).__name__}, {moved}: {summary_of(self)}; engine {self.engine_note}>"

    def _try_stacked(self) -> Stacked | None:
        simple = self.batch_norm == "frozen" and not self.compiled and self.precision != "bf16"
        simple = simple and not self._heights and self._draws is None and getattr(self.data, "groups", None) is None
        # A function's own weights are looked at in every pass, whether a parameter moves them.
        watched = self._runner.loss.own and self.spread.weights is not None
        if not simple or watched or self.n_samples > self.batch_size:
            return None
        flat = self._engine.flat
        if not may_stack(flat, self._made.footprint, self.n_samples, self.device):
            return None
        whole = next(iter(self._made.prepared(self.data, self.indices, self.n_samples)))
        stacked, note = try_stacked(flat, self._fast, whole, elsewhere(flat.vector, flat.layout))
        self.engine_note = f"{self.engine_note}; {note}"
        return stacked

    def _calibration_batches(self, calibration: Any) -> PreparedBatches:
        if calibration is None:
            return self._made.prepared(self.data, self.indices, CALIBRATION_BATCH)
        source = as_data(calibration).to(self.device)
        return self._made.prepared(source, torch.arange(len(source)), CALIBRATION_BATCH)

    @property
    def theta(self) -> ParameterVector:
        """θ of the module as it was given: the checkpoint."""
        return self._theta

    @property
    def structure(self) -> nn.Module:
        """The private copy of the module, for what it is made of: its weights are those of whichever point came last."""
        return self._flat.module

    @property
    def channels_last(self) -> bool:
        """Whether images, and with them 4-D parameters, are laid out so that the channels of a pixel stand together."""
        return self._made.channels_last

    @property
    def indices(self) -> Tensor:
        """Which samples of the data are used, in order."""
        return self._batches.indices

    def part(self, places: Tensor) -> Objective:
        """The same loss over some of its samples, named by their places ``(M,)`` in :attr:`indices`; shares the module's copy.

        A weighted mean is that of these samples. A loss that is a sum is N/M times theirs, which estimates the whole sum.
        Under ``reestimated`` the statistics stay those of the whole calibration set; under ``batch`` the part has batches of
        its own, one if it holds no more than :attr:`batch_size` samples, and so has it of a loss that couples them.

        Example:
            >>> few = objective.part(torch.arange(10))
            >>> torch.equal(few.per_sample(), objective.per_sample()[:10])
            True
        """
        part = copy.copy(self)
        part._head, part._stacked = self._head[:0], None
        part._batches = self._made.prepared(
            self.data, self.indices[places], self.batch_size, as_given=self._made.as_given
        )
        part.spread = self.spread.part(places, clusters(part._batches) if self.couples else None)
        return part

    @property
    def is_reference(self) -> bool:
        """Whether values are those of the parameters' own precision: neither bf16 nor compiled."""
        return self.precision != "bf16" and not self.compiled

    def reference(self) -> Objective:
        """The same in fp32 where this is in bf16, and without ``torch.compile``; shares the samples and the module's copy.

        Two objectives that share a copy of the module may be asked in turns, not by two threads at once.

        Example:
            >>> half = ls.Objective(net, "cross_entropy", data, precision="bf16")
            >>> half.reference().precision
            'fp32'
        """
        other = copy.copy(self)
        other.precision, other.compiled = "fp32" if self.precision == "bf16" else self.precision, False
        other._runner = replace(self._runner, precision=other.precision)
        other._fast = replace(self._fast, module=self._engine.flat.module, precision=other.precision)
        other._derivatives = self._derivatives.run_by(other._runner)
        return other

    def parameters_of(self, module: nn.Module | Mapping[str, Tensor]) -> ParameterVector:
        """θ of another checkpoint of the same architecture, given as a module or a state dict.

        Raises:
            InputError: naming the parameters that are missing or of another shape, or that differ and were left out of θ unasked.

        Example:
            >>> theta = objective.parameters_of(other)
            >>> objective.evaluate(theta) == ls.Objective(other, "cross_entropy", data, device="cpu").evaluate()
            True
        """
        state = _state(module)
        vector = self._theta.layout.pack(state, dtype=self._dtype, device=self.device)
        for name, ours in self._made.fixed.items():
            if name in state and not torch.equal(state[name].to(ours), ours):
                raise InputError(
                    f"parameters: {name} differs between the checkpoints and does not move, as it has not requires_grad. Give "
                    "parameters='all' to move it too, or parameters='trainable' to leave it as it is in the first."
                )
        return ParameterVector(vector, self._theta.layout)

    def statistics_of(self, module: nn.Module | Mapping[str, Tensor]) -> Tensor:
        """The BatchNorm running statistics of another checkpoint, flat, in the order of this objective's.

        Example:
            >>> normed = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
            >>> ls.Objective(normed, "cross_entropy", data, device="cpu").statistics_of(normed)  # means, then variances
            tensor([0., 0., 1., 1.])
        """
        return self._statistics.layout.pack(_state(module), dtype=self._dtype, device=self.device)

    @property
    def statistics(self) -> Tensor:
        """The BatchNorm running statistics of the checkpoint, flat; empty under the policy ``batch``."""
        return self._checkpoint_statistics

    def evaluate(
        self, theta: ParameterVector | Tensor | None = None, *, statistics: Tensor | None = None
    ) -> Evaluation:
        """The mean loss at θ (the checkpoint's by default) with its standard error over the samples, and the accuracy.

        A bare tensor is read in the layout of :attr:`theta`, whose 4-D tensors may be channels-last; :meth:`parameters_of` gives
        one of a module's. An objective works on one point at a time: two threads take one each.

        ``statistics`` are running statistics to use instead of the checkpoint's, such as :meth:`statistics_of` another one;
        under ``reestimated`` and ``batch`` they make no difference.

        Example:
            >>> objective.evaluate()
            Evaluation(loss=0.699..., standard_error=0.012..., accuracy=0.5, n_samples=60)
            >>> objective.evaluate(0 * objective.theta.vector).loss  # log 2: both classes are as likely
            0.693...
        """
        self._load(theta, statistics)
        return self._evaluation()

    def per_sample(self, theta: ParameterVector | Tensor | None = None, *, statistics: Tensor | None = None) -> Tensor:
        """Each sample's share in the loss at θ, float64, shape ``(N,)``, in the order of :attr:`indices`; else as :meth:`evaluate`.

        It is the sample's own loss where the loss is their plain mean; see :class:`landscape.objective.losses.SampleLoss`. What
        shares, or differences of them, come to over the samples is told by :attr:`spread`, with its standard error.

        Example:
            >>> losses = objective.per_sample()
            >>> losses.shape, abs(float(losses.mean()) - objective.evaluate().loss) < 1e-12
            (torch.Size([60]), True)
        """
        self._load(theta, statistics)
        return self._measured()[0]

    def evaluate_points(
        self, subspace: Subspace, coefficients: NDArray[np.float64], *, ceiling: float | None = None
    ) -> PointValues:
        """The values at the points θ + Σ cₖ dₖ for ``coefficients`` of shape ``(P, K)``.

        This is the one way in which probes ask for points: coefficients in, values with their uncertainty out.

        With ``ceiling``, a point is given up after an eighth of the samples (32 at least, drawn at random, the same for all
        points) if their mean loss lies more than :data:`~landscape.objective.values.CEILING_ERRORS` standard errors above it.

        Raises:
            InputError: under ``interpolated``, for directions that carry no running statistics.

        Example:
            >>> to_other = ls.Subspace(objective.theta, [ls.direction_between(objective.theta, objective.parameters_of(other))])
            >>> objective.evaluate_points(to_other, np.array([[0.0], [0.5], [1.0]])).loss.round(3)
            array([0.7  , 0.767, 1.054])
        """
        self._check_subspace(subspace)
        return PointValues.of(self._at_points(subspace, coefficients, ceiling))

    def first_inputs(self) -> Any:
        """The inputs of the first batch, as the module is given them.

        Example:
            >>> objective.first_inputs().shape[1:]
            torch.Size([2])
        """
        return next(iter(self._batches))[0]

    def better(self, name: str) -> str | None:
        """Which values of what is measured are better, ``lower`` or ``higher``; None where nobody says it.

        Lower for the loss and its terms, higher for the accuracy; of a torchmetrics object it is what that says of itself.

        Example:
            >>> objective.better("accuracy"), objective.better("loss")
            ('higher', 'lower')
        """
        return self._heights.better(name)

    def provenance(self) -> dict[str, Any]:
        """What a result must say about how its values came to be; every entry is text or a number.

        Example:
            >>> said = objective.provenance()
            >>> said["loss_name"], said["n_samples"], said["parameters_moved"]
            ('cross_entropy', 60, '42 of 42: all')
        """
        return provenance_of(self)


def _sample_loss(
    loss: Any, whole: BatchLoss | None, device: torch.device, dtype: torch.dtype, *, of_batches: bool
) -> SampleLoss:
    if whole is None:
        return replace(per_sample_loss(loss, device, dtype), of_batches=of_batches)
    return SampleLoss(taken, described(whole.function), own=True, of_batches=True)


def _state(module: nn.Module | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {**dict(module.named_parameters()), **module.state_dict()} if isinstance(module, nn.Module) else module
