"""A module, its optimiser and its loss on one device: what a training step and an evaluation do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.statistics import mean_and_standard_error
from landscape.objective.batches import map_tensors
from landscape.objective.convolutions import filtered_convolutions, has_filterable
from landscape.objective.flat_module import converted, has_convolutions
from landscape.objective.losses import PerSampleLoss, per_sample_accuracy
from landscape.objective.runner import Forward, Runner, agree, with_graph_if_needed
from landscape.training.config import TrainingConfig


class Learner:
    """Trains ``module`` itself, on ``device``, with weights in fp32. It is to :meth:`rehearse` before the first step.

    Where the module has 2-D convolutions, weights and images are laid out channels-last, in which a step of VGG38 takes two
    thirds of the time on a CPU; a module that cannot work so (one that calls ``.view`` on its features, say) keeps the
    usual layout. The layout shows in the rounding, so it follows from module and data alone.
    """

    def __init__(
        self, module: nn.Module, config: TrainingConfig, loss: PerSampleLoss, forward: Forward, device: torch.device
    ) -> None:
        self.module = converted(module, device, torch.float32)
        self.device = device
        self.runner = Runner(module, loss, per_sample_accuracy, forward, config.precision, device)
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

    def backward(self, inputs: Any, targets: Any) -> tuple[Tensor, Tensor | None]:
        """Set the gradients of the mean loss; the losses ``(B,)`` and what is classified rightly ``(B,)`` or None, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        losses, right = self._steps.losses(inputs, targets)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        return losses.detach(), right

    def update(self, learning_rate: float) -> None:
        """Let the optimiser move the parameters along the gradients that are set."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.updates += 1

    def evaluate(self, batches: Iterable[tuple[Any, Any]]) -> tuple[float, float | None]:
        """The mean loss, and the accuracy or None, over all samples of ``batches`` in evaluation mode."""
        with self._evaluating():
            return means(*self.runner.measure(batches))

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
    """Losses and right answers of an epoch. They stay on the device until :meth:`means`, so that adding never waits for it."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._right: list[Tensor] = []

    def add(self, losses: Tensor, right: Tensor | None) -> None:
        self._losses.append(losses)
        if right is not None:
            self._right.append(right)

    def means(self) -> tuple[float, float | None]:
        """The mean loss, and the accuracy or None, over all samples added."""
        return means(torch.cat(self._losses), torch.cat(self._right) if self._right else None)


def means(losses: Tensor, right: Tensor | None) -> tuple[float, float | None]:
    """The mean loss, and the accuracy or None, over samples: float64, on the CPU, because MPS has none."""
    loss, _ = mean_and_standard_error(losses.cpu())
    return loss, None if right is None else mean_and_standard_error(right.cpu())[0]


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
