"""A module, its optimiser and its loss on one device: what a training step and an evaluation do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.accuracy import Accuracy, as_metric, counts_of, per_sample_accuracy
from landscape.objective.batches import map_tensors
from landscape.objective.convolutions import filtered_convolutions, has_filterable
from landscape.objective.flat_module import converted, has_convolutions
from landscape.objective.losses import Parts, SampleLoss
from landscape.objective.runner import Forward, Runner, agree, with_graph_if_needed
from landscape.training.config import TrainingConfig


class Learner:
    """Trains ``module`` itself, on ``device``, with weights in fp32. It is to :meth:`rehearse` before the first step.

    Where the module has 2-D convolutions, weights and images are laid out channels-last, in which a step of VGG38 takes two
    thirds of the time on a CPU; a module that cannot work so (one that calls ``.view`` on its features, say) keeps the
    usual layout. The layout shows in the rounding, so it follows from module and data alone.
    """

    def __init__(
        self, module: nn.Module, config: TrainingConfig, loss: SampleLoss, forward: Forward, device: torch.device
    ) -> None:
        self.module = converted(module, device, torch.float32)
        self.device = device
        metric = as_metric(per_sample_accuracy, loss, counting=loss.own or loss.count is not None)
        self.runner = Runner(module, loss, metric, forward, config.precision, device)
        self._steps = self.runner.of(torch.compile(module)) if config.compile else self.runner
        self.optimizer = make_optimizer(module, config)
        self._precision = config.precision
        self._filters = config.engine == "auto"
        self.engine = ""
        self.updates = 0
        self.channels_last = has_convolutions(module)

    def rehearse(self, inputs: Any) -> Any:
        """The outputs for a first batch in evaluation mode, settling on the memory format that the module can take."""

        def tried(runner: Runner) -> Any:
            return runner.tried(map_tensors(torch.clone, self.place(inputs)))  # which a module may write into

        try:
            if has_convolutions(self.module):
                self.module.to(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)
            with self._evaluating():
                self.runner, outputs = with_graph_if_needed(self.runner, tried)
                return outputs
        except RuntimeError:
            if not self.channels_last:
                raise
            self.channels_last = False
            return self.rehearse(inputs)

    @contextmanager
    def filtered(self, inputs: Any) -> Iterator[None]:
        """Faster convolutions while open, where recipe and module allow them (tried on ``inputs``); ``engine`` tells of them."""
        half = self._precision == "bf16"
        if not self._filters or not has_filterable(self.module, half=half):
            yield
            return
        plain = self.rehearse(inputs) if has_filterable(self.module) else None  # what agrees() is asked of, if anything

        def agrees(_: nn.Module) -> bool:
            return agree(self.rehearse(inputs), plain, self._precision)

        with filtered_convolutions(self.module, agrees, half=half) as self.engine:
            yield

    def backward(self, inputs: Any, targets: Any, tally: Tally) -> Tensor:
        """Set the gradients of the minibatch's loss, and add it to the ``tally``; the samples' shares in it ``(B,)``, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self._steps.wide_outputs(inputs)
        parts, right = self._steps.scored(outputs, targets)
        shares = self._steps.loss.shares(parts)
        shares.mean().backward()  # type: ignore[no-untyped-call]
        tally.add(parts, right, outputs, targets)
        return shares.detach()

    def update(self, learning_rate: float) -> None:
        """Let the optimiser move the parameters along the gradients that are set."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.updates += 1

    def evaluate(self, batches: Iterable[tuple[Any, Any]]) -> tuple[float, float | None]:
        """The loss, and the accuracy or None, over all samples of ``batches`` in evaluation mode."""
        tally = self.tally()
        with self._evaluating(), torch.no_grad(), self.runner.own_randomness():
            for outputs, targets in self.runner.passes(batches):
                tally.add(*self.runner.scored(outputs, targets), outputs, targets)
        return tally.means()

    def tally(self) -> Tally:
        """An empty one for this loss."""
        return Tally(self.runner)

    def place(self, value: Any) -> Any:
        """Tensors in nested ``value`` on the device, floating-point ones in fp32, images in the module's memory format."""
        return map_tensors(self._placed, value)

    def _placed(self, tensor: Tensor) -> Tensor:
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        tensor = tensor.to(self.device, dtype, non_blocking=True)
        if self.channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode; afterwards training mode again."""
        self.module.eval()
        try:
            yield
        finally:
            self.module.train()


@contextmanager
def training_mode(module: nn.Module) -> Iterator[None]:
    """Training mode while open; afterwards each layer has the mode it had before."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.train()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


class Tally:
    """What samples put into a loss, and right answers. They stay on the device until :meth:`means`, so that adding never waits."""

    def __init__(self, runner: Runner) -> None:
        self._loss = runner.loss
        self._accuracy = runner.metric if isinstance(runner.metric, Accuracy) and runner.metric.counting else None
        self._numerators: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._right: list[Tensor] = []
        self._counts: list[Tensor] = []

    def add(self, parts: Parts, right: Tensor | None, outputs: Any, targets: Any) -> None:
        """What a batch is scored as, from these outputs and targets."""
        self._numerators.append(parts.numerators.detach())
        if parts.weights is not None:
            self._weights.append(parts.weights.detach())
        if right is not None:
            self._right.append(right)
            classes = None if self._accuracy is None else self._accuracy.classes(outputs, targets)
            if classes is not None:
                self._counts.append(counts_of(targets, parts.counted, classes))

    def means(self) -> tuple[float, float | None]:
        """The loss, and the accuracy or None, over all samples added: float64, on the CPU, because MPS has none."""
        weights = torch.cat(self._weights).cpu() if self._weights else None
        numerators = torch.cat(self._numerators).cpu()
        loss, _ = mean_and_standard_error(numerators, weights)
        if self._loss.divisor == "nothing" and weights is None:
            loss *= len(numerators)
        if not self._right:
            return loss, None
        counts = torch.cat(self._counts).cpu() if self._counts else None
        return loss, mean_and_standard_error(torch.cat(self._right).cpu(), counts)[0]


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser of a recipe over the parameters that require a gradient, at its beginning.

    Raises:
        InputError: for a module that has none.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise InputError(
            f"module: {type(module).__name__} has no parameter that requires a gradient, so nothing to train."
        )
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=config.momentum, weight_decay=decay)
    adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return adam(parameters, lr=rate, betas=(0.9, 0.999), weight_decay=decay)
