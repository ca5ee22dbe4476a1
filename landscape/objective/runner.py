"""A module, a loss and a metric run over prepared batches: one value a sample, in index order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils._pytree import tree_map

from landscape.numerics.seeds import derive_seed
from landscape.objective.accuracy import Metric
from landscape.objective.convolutions import widened_convolutions
from landscape.objective.heights import Collected
from landscape.objective.losses import Parts, SampleLoss
from landscape.torch_state.isolation import isolated, seed_modules, seeded_numpy

PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.float32}
Forward = Callable[[Any, Any], Any]
T = TypeVar("T")
_ALIKE = {"fp64": 1e-9, "fp32": 1e-4, "bf16": 5e-2}


def call(module: nn.Module, inputs: Any) -> Any:
    """``module(inputs)``; ``module(*inputs)`` for tuples and lists, ``module(**inputs)`` for mappings."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    if isinstance(inputs, tuple | list):
        return module(*inputs)
    return module(inputs)


def is_model_output(made: Any) -> bool:
    """Whether it is the output of a model of transformers, which need not be installed."""
    return any(
        kind.__name__ == "ModelOutput" and kind.__module__.startswith("transformers") for kind in type(made).__mro__
    )


def agree(found: Any, expected: Any, precision: str) -> bool:
    """Whether two outputs of a module are the same, to 1e-4 of their size (1e-9 in fp64, 5e-2 in bf16); never, if no tensors."""
    if not isinstance(found, Tensor) or not isinstance(expected, Tensor):
        return False
    return bool((found - expected).abs().max() <= _ALIKE[precision] * expected.abs().max())


def own_precision(module: nn.Module) -> str:
    """The precision of a module's own parameters: ``fp64`` where all are, otherwise ``fp32``."""
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()} if isinstance(module, nn.Module) else set()
    return "fp64" if dtypes == {torch.float64} else "fp32"


@dataclass(frozen=True)
class Runner:
    """How a module is run. ``precision`` bf16 is autocast: weights stay fp32, losses are taken in fp32.

    ``differentiates``: its forward takes derivatives of its own (by its inputs, say), which need a graph also where no gradient is
    asked for. ``draw``: the seed of what is drawn in a pass, of a stochastic objective; None: the same for all. ``own_loss``:
    whether the outputs are the loss itself, of a :class:`landscape.objective.batch_loss.BatchLoss`.
    """

    module: nn.Module | Callable[..., Any]
    loss: SampleLoss
    metric: Metric
    forward: Forward
    precision: str
    device: torch.device
    differentiates: bool = False
    draw: int | None = None
    own_loss: bool = False

    def of(self, module: nn.Module | Callable[..., Any]) -> Runner:
        """The same for another module."""
        return replace(self, module=module)

    def outputs(self, inputs: Any) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if not self.differentiates or torch.is_grad_enabled():
                return self._scores(self.forward(self.module, inputs))
            with torch.inference_mode(False), torch.enable_grad():
                made = self._scores(self.forward(self.module, inputs))
            return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, made)

    def _scores(self, made: Any) -> Any:
        """The logits of what a model of transformers returns, where the loss is one of scores; else as it is."""
        if isinstance(made, Tensor) or not self.loss.of_scores or not is_model_output(made):
            return made
        return made if getattr(made, "logits", None) is None else made.logits

    def tried(self, inputs: Any) -> Any:
        """The outputs for a first batch, by which ways of running are compared: without gradients, the generators left alone.

        They do not wait for PyTorch's loop for bf16 convolutions where the processor has no such products: with it an objective of
        VGG38 took five seconds more to set up.
        """
        half = self.precision == "bf16"
        with torch.no_grad(), self.own_randomness(), widened_convolutions(self.module, half=half):
            return self.outputs(inputs)

    def wide_outputs(self, inputs: Any) -> Any:
        """The outputs as the loss takes them: fp32 where the module runs in bf16."""
        return self.widened(self.outputs(inputs))

    def widened(self, outputs: Any) -> Any:
        """Outputs in fp32 where the module runs in bf16."""
        return outputs.float() if self.precision == "bf16" and isinstance(outputs, Tensor) else outputs

    def losses(self, inputs: Any, targets: Any) -> tuple[Tensor, Tensor | None]:
        """Each sample's share in the loss, and its metric, each ``(B,)``."""
        parts, metric = self.scored(self.wide_outputs(inputs), targets)
        return self.loss.shares(parts), metric

    def scored(self, outputs: Any, targets: Any) -> tuple[Parts, Tensor | None]:
        """What the samples of a batch put into the loss, and their metric ``(B,)``, from what the loss takes of the module."""
        parts = self.loss.parts(outputs, targets)
        return parts, self.metric(outputs, targets, parts.counted)

    def passes(self, batches: Iterable[tuple[Any, Any]], look_at: int = 0) -> Generator[tuple[Any, Any]]:
        """What the loss takes of the module for every batch, with the targets.

        No batch is begun before it is asked for, or at least not before the first ``look_at`` samples were looked at.
        """
        return ((self.wide_outputs(inputs), targets) for inputs, targets in batches)

    def measure(
        self,
        batches: Iterable[tuple[Any, Any]],
        enough: Callable[[Tensor], bool] | None = None,
        look_at: int = 0,
        also: Collected | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Share in the loss and metric of every sample, float64 on the CPU; nothing waits for the device before the end.

        With ``enough`` the losses so far are shown to it once, after ``look_at`` samples; where it says yes, the rest is left out.
        ``also`` is shown what the loss takes of every batch.
        """
        losses: list[Tensor] = []
        metrics: list[Tensor] = []
        weights: list[Tensor] = []
        seen = 0
        passes = self.passes(batches, 0 if enough is None else look_at)
        with torch.no_grad(), self.own_randomness(), contextlib.closing(passes):
            for outputs, targets in passes:
                parts, metric = self.scored(outputs, targets)
                losses.append(self.loss.shares(parts))
                if also is not None:
                    also.add(outputs, targets, len(losses[-1]))
                if metric is not None:
                    metrics.append(metric)
                if parts.weights is not None:
                    weights.append(parts.weights)
                before, seen = seen, seen + len(losses[-1])
                if enough is not None and before < look_at <= seen and enough(torch.cat(losses)):
                    break
                del outputs, parts  # or they would be held while the next batch is run
            else:
                if weights:
                    self.loss.refuse_moved(torch.cat(weights))
        # Wide on the host: not every device has float64.
        return torch.cat(losses).cpu().double(), torch.cat(metrics).cpu().double() if metrics else None

    @contextlib.contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Layers that draw in evaluation mode draw the same at every point, and leave the global state alone."""
        with isolated(self.device), contextlib.ExitStack() as held:
            seed_modules(self.device, derive_seed(0, "evaluation") if self.draw is None else self.draw)
            if self.draw is not None:
                held.enter_context(seeded_numpy(self.draw))
            yield


def with_graph_if_needed(runner: Runner, run: Callable[[Runner], T]) -> tuple[Runner, T]:
    """``run(runner)``, and where that fails the same with a graph, if that is what its forward needs; and which runner it was."""
    try:
        return runner, run(runner)
    except RuntimeError as error:
        try:
            graphed = replace(runner, differentiates=True)
            return graphed, run(graphed)
        except RuntimeError:
            raise error from None


class Functional:
    """A runner's outputs and losses as functions of the tensors of its module, for derivatives and several points at once."""

    def __init__(self, runner: Runner, module: nn.Module) -> None:
        self._called = _Called(module, runner.forward)
        self._runner = replace(runner, forward=lambda _, inputs: self._called(inputs))

    def losses(self, tensors: Mapping[str, Tensor], inputs: Any, targets: Any) -> tuple[Tensor, Tensor | None]:
        """As :meth:`Runner.losses`, with the module's named tensors replaced."""
        with self.at(tensors) as runner:
            return runner.losses(inputs, targets)

    @contextlib.contextmanager
    def at(self, tensors: Mapping[str, Tensor]) -> Iterator[Runner]:
        """The runner with the module's named tensors replaced while open.

        :func:`torch.func.functional_call` gives them back as soon as the module has run; a backward pass that runs parts of it
        again (``torch.utils.checkpoint``) would meet other weights.
        """
        replaced = {f"inner.{name}": tensor for name, tensor in tensors.items()}
        with _reparametrize_module(self._called, replaced, tie_weights=True):
            yield self._runner


class _Called(nn.Module):
    """A module called in the user's way, so that all its tensors can be replaced by their names."""

    def __init__(self, inner: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.inner = inner
        self._call: Callable[[Any, Any], Any] = forward

    def forward(self, inputs: Any) -> Any:
        return self._call(self.inner, inputs)
