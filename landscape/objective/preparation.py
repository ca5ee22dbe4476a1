"""A module made ready to be measured: its private copy, the batches that it takes, and the loss over them, tried."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils._pytree import tree_map

from landscape.data import Data
from landscape.errors import InputError, LandscapeError, unknown_choice
from landscape.numerics.parameters import ParameterVector
from landscape.objective.agreement import elsewhere
from landscape.objective.batch_loss import MODEL, BatchLoss
from landscape.objective.batch_norm import use_batch_statistics
from landscape.objective.batches import PreparedBatches, evenly, map_tensors, split_batch
from landscape.objective.convolutions import unfilter_convolutions
from landscape.objective.coupling import loss_couples, module_couples, of_batches, refuse_weighted
from landscape.objective.draws import MODES
from landscape.objective.engines import ENGINES
from landscape.objective.flat_module import FlatModule, Patterns, has_convolutions
from landscape.objective.labels import check_fit, check_labels
from landscape.objective.losses import MOVED, Parts, samples_of
from landscape.objective.runner import PRECISIONS, Runner, with_graph_if_needed
from landscape.objective.sizing import Footprint, evaluation_batch, footprint
from landscape.objective.spread import settled
from landscape.objective.torch_losses import LOSSES
from landscape.objective.trial import (
    copied,
    not_run,
    refuse_kept,
    refuse_other_sources,
    refuse_own,
    refuse_written,
    try_loss,
    try_metric,
)
from landscape.objective.values import drawn_head
from landscape.objective.watched import Reads

T = TypeVar("T")

# Where batches are part of the result, this does not follow the machine.
FIXED_BATCH = 128
SEVERAL, MANY = 8, 16  # samples by which it is seen whether they act on each other: at least, and at most


class Preparation:
    """What an objective is made of, once its module and its loss were run on a first batch.

    Args:
        module: the user's, which is copied.
        run: how it is run.
        data: one split, on the device.
        indices: the samples ``(N,)``.
        batch_size: samples a forward pass, None for as many as fit; 128 where batches are part of the result.
        statistics: whether BatchNorm takes each batch's own statistics.
        parameters: those of θ; see :class:`landscape.objective.flat_module.FlatModule`.
        mode: ``train``: the module runs as in training, but for layers that keep running statistics.

    Attributes:
        flat: the private copy, channels-last where it has convolutions and takes that.
        runner: with the private copy, and a loss that knows what all samples weigh together.
        spread: how the samples make a mean.
        couples: ``the loss`` or ``the module``, where that couples the samples of a batch, so that batches are part of the
            result; otherwise empty.
        batches: all samples, in batches of ``batch_size``, the ``head`` before the rest.
        head: places of the samples that a ceiling is judged by; none where batches are part of the result.
        outputs: of the first batch, at the checkpoint.
        footprint: bytes that a forward pass handles.
        as_given: whether batches are those in which the data was given.
        whole: whether a batch is never cut, as what is made of it depends on all that is in it.
        fixed: parameters that stay as they are although nobody said so.

    Raises:
        InputError: for a module that cannot be copied or run, or a loss that does not fit it and the data.
    """

    def __init__(
        self,
        module: nn.Module,
        run: Runner,
        data: Data,
        indices: Tensor,
        *,
        batch_size: int | None,
        statistics: bool,
        parameters: Patterns,
        mode: str = "eval",
    ) -> None:
        self._data, self._indices, self._statistics = data, indices, statistics
        # Batch statistics depend on the batches, which are then left as they are.
        draws = run.draw is not None
        grouped = getattr(data, "groups", None) is not None
        given = getattr(data, "given", None)
        self.as_given, self._mode = False, mode
        self.head = drawn_head(0 if statistics or draws or grouped else len(indices))
        self.batch_size = batch_size or (FIXED_BATCH if statistics or draws else 0)
        self.runner = run
        self._module = module
        for self.channels_last in (True, False) if has_convolutions(module) else (False,):
            self.flat = self._private_copy(module, run, parameters)
            try:
                with_graph_if_needed(run.of(self.flat.module), self._run_first)
                break
            except LandscapeError:
                raise
            except Exception as error:  # of any kind: it is the user's code
                # Some modules call .view() on their weights or features, which the channels-last layout does not allow.
                if not self.channels_last or not isinstance(error, RuntimeError):
                    raise not_run(module, *data.batch(indices[: 1 if grouped else 2]), error) from error
        self._of_batches = False
        self._try()
        self.couples = self._coupled()
        if self.couples:
            self.head, self.batch_size = self.head[:0], batch_size or FIXED_BATCH
            if batch_size is None and given is not None:
                self.as_given, self.batch_size = True, int(torch.bincount(given).max())
            self.batches, self.outputs = self._batches()
        self.whole = bool(self.couples) or draws or getattr(data, "of_batches", False)
        self.fixed: dict[str, Tensor] = {}
        if self._of_batches and self.batches.count > 1:
            warnings.warn(
                f"loss: gives one number for a whole batch; measured is its mean over {self.batches.count} fixed batches of "
                f"{self.batch_size} samples, which is not its value for all samples together where that is no plain mean. Where it "
                "is a weighted mean return (values, weights).",
                stacklevel=4,
            )
        wide = self.runner.widened(self.outputs)
        self.runner, self.spread = settled(self.runner, self.batches, wide, coupled=bool(self.couples))
        if parameters is None and "requires_grad" in self.flat.selection:
            said = f"parameters: {self.flat.selection}. Say parameters='trainable' or parameters='all'."
            self.fixed = self.flat.fixed
            warnings.warn(said, stacklevel=4)  # points to whoever makes the objective

    def prepared(
        self, data: Data, indices: Tensor, batch_size: int, head: Tensor | None = None, *, as_given: bool = False
    ) -> PreparedBatches:
        """Batches of these samples of any data, as the module takes them."""
        return PreparedBatches(
            data,
            indices,
            batch_size=batch_size,
            device=self.runner.device,
            dtype=PRECISIONS[self.runner.precision],
            channels_last=self.channels_last,
            head=head,
            as_given=as_given,
        )

    def _private_copy(self, module: nn.Module, run: Runner, parameters: Patterns) -> FlatModule:
        dtype = PRECISIONS[run.precision]
        flat = FlatModule(
            module, device=run.device, dtype=dtype, channels_last=self.channels_last, parameters=parameters
        )
        unfilter_convolutions(flat.module)
        if self._mode == "train":
            train_but_statistics(flat.module)
        if self._statistics:
            use_batch_statistics(flat.module)
        return flat

    def _run_first(self, runner: Runner) -> None:
        self.runner = runner
        self.footprint = self._footprint()
        self.batch_size = self.batch_size or evaluation_batch(self.footprint, runner.device)
        self.batches, self.outputs = self._batches()

    def _footprint(self) -> Footprint:
        """From two samples; two, because batch statistics need them.

        Of a module that takes no two, such as one over the nodes of a graph, from a batch of the size that was asked for.
        """
        try:
            return self._footprint_of(2)
        except LandscapeError:
            raise
        except Exception:  # of any kind: it is the user's code
            if self.batch_size <= 2 or self._statistics:
                raise
            found = self._footprint_of(self.batch_size)
            self.head = self.head[:0]
            return found

    def _footprint_of(self, count: int) -> Footprint:
        """Run twice, as what the module keeps from the first time would make another point of every other."""
        few, theta = self._indices[:count], self.flat.vector.clone()
        inputs, targets = next(iter(self.prepared(self._data, few, count)))
        few = few[: samples_of(targets)] if getattr(self._data, "groups", None) is not None else few
        before = [parameter._version for parameter in self.flat.parameters]
        found, made = footprint(self.runner, map_tensors(torch.clone, inputs), len(few))
        refuse_written(self.flat, theta, before)
        refuse_kept(self._module, made, self.runner.tried(map_tensors(torch.clone, inputs)))
        return found

    def _batches(self) -> tuple[PreparedBatches, Any]:
        """All batches, and the outputs for the first."""
        batches = self.prepared(self._data, self._indices, self.batch_size, self.head, as_given=self.as_given)
        return batches, self.runner.tried(next(iter(batches))[0])

    def _try(self) -> None:
        """Try loss and metric on the first batch."""
        runner, (_, targets), outputs = self.runner, next(iter(self.batches)), self.outputs
        with torch.no_grad(), runner.own_randomness():
            loss = runner.loss.with_terms(*tree_map(copied, (runner.widened(outputs), targets)))
        runner = self.runner = replace(runner, loss=loss)
        try:
            check_fit(runner.loss, outputs, targets)
        except InputError as error:
            if self._data.name != LISTED:
                raise
            raise InputError(f"{error} A list is one of samples: of a list of batches give iter(batches).") from None
        check_labels(runner.loss, outputs, self.batches)
        outputs = runner.widened(outputs)
        with torch.no_grad(), runner.own_randomness():
            parts = try_loss(runner.loss, outputs, targets, self.batches.sizes[0])
            try_metric(runner.metric, outputs, targets, parts)
        if runner.loss.own:
            self._refuse_moving_weights(parts)
            named = dict(self._module.named_parameters())
            moving = {name: named[name].detach() for name in self.flat.layout.names}
            if runner.own_loss:
                with Reads(moving) as reads:
                    self.runner.tried(map_tensors(torch.clone, next(iter(self.batches))[0]))
                refuse_own(reads.names)
            self._of_batches = of_batches(runner.loss, outputs, targets)
            with runner.own_randomness():
                refuse_other_sources(runner.loss, outputs, targets, parts, moving)

    def _refuse_moving_weights(self, here: Parts) -> None:
        """Refuse weights that are others at other parameters: a loss and an accuracy, say, that were meant as two values."""
        if here.weights is None or self.runner.draw is not None:
            return
        inputs, targets = next(iter(self.batches))

        def weights() -> Tensor | None:
            outputs = self.runner.widened(self.runner.tried(map_tensors(torch.clone, inputs)))
            with torch.no_grad(), self.runner.own_randomness():
                return self.runner.loss.parts(outputs, targets).weights

        theta = self.flat.snapshot()
        for there in self._at(theta, (elsewhere(theta.vector, theta.layout), -theta.vector), weights):
            if there is not None and not torch.allclose(there, here.weights, rtol=MOVED, atol=0, equal_nan=True):
                raise InputError(
                    "loss: what it returns was taken for (values, weights), and these weights are others at other parameters. "
                    "Weights depend on targets alone; of several values return the loss alone (metrics={…} takes the others), or "
                    "a mapping of terms."
                )

    def _coupled(self) -> str:
        """What couples the samples of a batch: tried on a few that are spread over the data, which is often sorted."""
        runner = replace(self.runner, precision="fp32") if self.runner.precision == "bf16" else self.runner
        some = max(SEVERAL, min(MANY, self.batches.sizes[0]))
        if getattr(self._data, "of_batches", False):
            return "the loss" if self._of_batches else ""
        places = self._spread(some)
        inputs, targets = next(iter(self.prepared(self._data, self._indices[places], some)))
        if not self._statistics and self._module_couples(runner, inputs):
            return "the module"
        if not runner.loss.own:
            return ""
        outputs = runner.tried(map_tensors(torch.clone, inputs))
        if self._of_batches:
            with torch.no_grad(), runner.own_randomness():
                refuse_weighted(runner.loss, runner.widened(outputs), targets)
            return "the loss"
        if self.runner.draw is not None:
            return ""  # who is beside a sample decides what is drawn for it
        # Bf16 rounds by how many samples run together, so that its first batch says nothing.
        first = [] if runner is not self.runner else [(*next(iter(self.batches)), self.outputs)]
        tried = any(self._loss_couples(runner, *batch) for batch in ((inputs, targets, outputs), *first))
        return "the loss" if tried else ""

    def _spread(self, count: int) -> Tensor:
        """Places of a few samples over the data; of the commonest form, where there are several."""
        groups = getattr(self._data, "groups", None)
        places = torch.arange(len(self._indices))
        if groups is not None:
            own = groups[self._indices.cpu()]
            places = (own == own.mode().values).nonzero().flatten()
        return places[evenly(len(places), count)].to(self._indices.device)

    def _module_couples(self, runner: Runner, inputs: Any) -> bool:
        """Elsewhere than at the checkpoint, whose last layer may still be zero, unless it cannot run there."""
        theta = self.flat.snapshot()
        points = (elsewhere(theta.vector, theta.layout), theta.vector)
        found = self._at(theta, points, lambda: module_couples(runner, inputs))
        return next(found, True)  # it takes the first batch, and not these samples

    def _at(self, theta: ParameterVector, points: Iterable[Tensor], ask: Callable[[], T]) -> Iterator[T]:
        """What is found at each of some points, but for those where it cannot run; the module comes back to ``theta``."""
        for point in points:
            try:
                self.flat.load(point)
                found = ask()
            except Exception:  # of any kind: the user's code, at weights that it was not made for
                continue
            finally:
                self.flat.load(theta.vector)
            yield found

    def _loss_couples(self, runner: Runner, inputs: Any, targets: Any, outputs: Any) -> bool:
        def again(count: int) -> Any:
            return runner.widened(runner.tried(next(split_batch((inputs, targets), count))[0]))

        with torch.no_grad(), runner.own_randomness():
            return loss_couples(runner.loss, runner.widened(outputs), targets, None if self._statistics else again)


LISTED = list.__name__  # what a list that is given as data is called


def train_but_statistics(module: nn.Module) -> None:
    """Training mode for all layers but those that would change what they keep: running statistics, parametrisations."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, _NormBase | ParametrizationList):
            layer.eval()


def check_choices(precision: str | None, engine: str, batch_size: int | None, mode: str, forward: Any) -> None:
    """Refuse arguments of an objective that are not usable, whatever the module."""
    if precision is not None and precision not in PRECISIONS:
        raise unknown_choice("precision", precision, PRECISIONS)
    if engine not in ENGINES:
        raise unknown_choice("engine", engine, ENGINES)
    if mode not in MODES:
        raise unknown_choice("mode", mode, MODES)
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise InputError(
            f"batch_size: expected at least 1, as a whole number, or None for what fits, got {batch_size!r}."
        )
    if forward is not None and not callable(forward):
        raise InputError(f"forward: expected a function (module, inputs) that gives the outputs, got {forward!r:.60}.")


def check_data(data: Any, whole: BatchLoss | None, forward: Any, metrics: Any) -> None:
    """Refuse data that is missing, and what a loss over model and batch leaves no place for."""
    if data is None and whole is None:
        raise InputError("data: expected a data set, a pair of tensors or anything indexable, got None.")
    if isinstance(data, str) and data in (*LOSSES, MODEL):
        raise InputError(f"data: {data!r} is a loss. The order is ls.Objective(module, loss, data).")
    if whole is None:
        return
    for name, given in (("forward", forward), ("metrics", metrics)):
        if given is not None:
            raise InputError(
                f"{name}: a loss over model and batch calls the model itself. Let it return a mapping, {{'loss': …, 'f1': …}}, of "
                "which every entry is measured."
            )


def fixed_batches(batches: PreparedBatches, couples: str) -> str:
    """What a result says where ``couples``, the loss or the module, couples the samples of a batch."""
    count = batches.count
    return (
        f"{couples} couples the samples of a batch: measured over {count} fixed batch{'es' * (count > 1)} of "
        f"{min(batches.batch_size, len(batches))} samples, in their order; standard errors are those over the batches"
    )
