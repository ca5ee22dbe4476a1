"""A module made ready to be measured: its private copy, the batches that it takes, and the loss over them, tried."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape.data import Data
from landscape.errors import LandscapeError
from landscape.objective.batch_norm import use_batch_statistics
from landscape.objective.batches import PreparedBatches, split_batch
from landscape.objective.convolutions import unfilter_convolutions
from landscape.objective.flat_module import FlatModule, Patterns, has_convolutions
from landscape.objective.labels import check_fit, check_labels
from landscape.objective.runner import PRECISIONS, Runner
from landscape.objective.sizing import Footprint, evaluation_batch, footprint
from landscape.objective.spread import settled
from landscape.objective.trial import couples, not_run, try_loss, try_metric
from landscape.objective.values import drawn_head

# Where batches are part of the result, this does not follow the machine.
FIXED_BATCH = 128
SEVERAL = 8  # samples that a batch has to have at least to see whether a loss couples them


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

    Attributes:
        flat: the private copy, channels-last where it has convolutions and takes that.
        runner: with the private copy, and a loss that knows what all samples weigh together.
        spread: how the samples make a mean.
        couples: whether the loss couples the samples of a batch, so that batches are part of the result.
        batches: all samples, in batches of ``batch_size``, the ``head`` before the rest.
        head: places of the samples that a ceiling is judged by; none where batches are part of the result.
        outputs: of the first batch, at the checkpoint.
        footprint: bytes that a forward pass handles.
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
    ) -> None:
        self._data, self._indices, self._statistics = data, indices, statistics
        # Batch statistics depend on the batches, which are then left as they are.
        self.head = drawn_head(0 if statistics else len(indices))
        self.batch_size = batch_size or (FIXED_BATCH if statistics else 0)
        for self.channels_last in (True, False) if has_convolutions(module) else (False,):
            self.flat = self._private_copy(module, run, parameters)
            self.runner = run.of(self.flat.module)
            try:
                self._run_first()
                break
            except LandscapeError:
                raise
            except Exception as error:  # of any kind: it is the user's code
                # Some modules call .view() on their weights or features, which the channels-last layout does not allow.
                if not self.channels_last or not isinstance(error, RuntimeError):
                    raise not_run(module, *data.batch(indices[:2]), error) from error
        self.couples = self._tried()
        if self.couples:
            self.head, self.batch_size = self.head[:0], batch_size or FIXED_BATCH
            self.batches, self.outputs = self._batches()
        self.fixed: dict[str, Tensor] = {}
        wide = self.runner.widened(self.outputs)
        self.runner, self.spread = settled(self.runner, self.batches, wide, coupled=self.couples)
        if parameters is None and "requires_grad" in self.flat.selection:
            said = f"parameters: {self.flat.selection}. Say parameters='trainable' or parameters='all'."
            self.fixed = self.flat.fixed
            warnings.warn(said, stacklevel=4)  # points to whoever makes the objective

    def prepared(self, data: Data, indices: Tensor, batch_size: int, head: Tensor | None = None) -> PreparedBatches:
        """Batches of these samples of any data, as the module takes them."""
        return PreparedBatches(
            data,
            indices,
            batch_size=batch_size,
            device=self.runner.device,
            dtype=PRECISIONS[self.runner.precision],
            channels_last=self.channels_last,
            head=head,
        )

    def _private_copy(self, module: nn.Module, run: Runner, parameters: Patterns) -> FlatModule:
        dtype = PRECISIONS[run.precision]
        flat = FlatModule(
            module, device=run.device, dtype=dtype, channels_last=self.channels_last, parameters=parameters
        )
        unfilter_convolutions(flat.module)
        if self._statistics:
            use_batch_statistics(flat.module)
        return flat

    def _run_first(self) -> None:
        """A first batch; with a graph where the module or ``forward`` takes derivatives of its own and fails without."""
        try:
            self.footprint = self._footprint()
            self.batch_size = self.batch_size or evaluation_batch(self.footprint, self.runner.device)
            self.batches, self.outputs = self._batches()
        except RuntimeError as error:
            if self.runner.differentiates:
                raise
            self.runner = replace(self.runner, differentiates=True)
            try:
                self._run_first()
            except RuntimeError:
                raise error from None

    def _footprint(self) -> Footprint:
        """From two samples; two, because batch statistics need them."""
        few = self._indices[:2]
        inputs, _ = next(iter(self.prepared(self._data, few, 2)))
        return footprint(self.runner, inputs, len(few))

    def _batches(self) -> tuple[PreparedBatches, Any]:
        """All batches, and the outputs for the first."""
        batches = self.prepared(self._data, self._indices, self.batch_size, self.head)
        return batches, self.runner.tried(next(iter(batches))[0])

    def _tried(self) -> bool:
        """Whether the loss couples the samples of a batch, once loss and metric were tried on the first one."""
        runner, (inputs, targets), outputs = self.runner, next(iter(self.batches)), self.outputs
        check_fit(runner.loss, outputs, targets)
        check_labels(runner.loss, outputs, self.batches)
        with torch.no_grad(), runner.own_randomness():
            parts = try_loss(runner.loss, runner.widened(outputs), targets, self.batches.sizes[0])
            try_metric(runner.metric, runner.widened(outputs), targets, parts)
        if not runner.loss.own:
            return False
        if self.batches.sizes[0] < SEVERAL <= len(self._indices):
            inputs, targets = next(iter(self.prepared(self._data, self._indices[:SEVERAL], SEVERAL)))
            outputs = runner.tried(inputs)
        if runner.precision == "bf16":  # whose rounding depends on how many samples run together
            runner = replace(runner, precision="fp32")
            outputs = runner.tried(inputs)

        def again(count: int) -> Any:
            return runner.widened(runner.tried(next(split_batch((inputs, targets), count))[0]))

        with torch.no_grad(), runner.own_randomness():
            return couples(runner.loss, runner.widened(outputs), targets, None if self._statistics else again)


def fixed_batches(batches: PreparedBatches) -> str:
    """What a result says of a loss that couples the samples of a batch."""
    count = batches.count
    return (
        f"the loss couples the samples of a batch: measured over {count} fixed batch{'es' * (count > 1)} of "
        f"{min(batches.batch_size, len(batches))} samples, in their order; standard errors are those over the batches"
    )
