"""One step of a user's own loop, told as :func:`landscape.fit` tells its own: a loss over a batch, at any parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.parameters import ParameterVector
from landscape.numerics.seeds import generator
from landscape.objective.batches import map_tensors
from landscape.objective.runner import call
from landscape.objective.torch_losses import per_sample_loss
from landscape.torch_state.devices import wide_type
from landscape.torch_state.isolation import isolated
from landscape.training.step_objective import StepObjective

# (module, batch) -> the loss, or one value a sample
LossFunction = Callable[[nn.Module, Any], Any]
_SHORT, _LONG = (1e-7, 1e-5), (1e-3, 1e-4)  # of ‖θ‖: lengths of differences that a product is held against


@dataclass(frozen=True)
class BatchRunner:
    """A loss over a whole batch, run as observers run a minibatch: its values ``(B,)``, or the one that it has ``(1,)``."""

    module: nn.Module
    function: LossFunction
    device: torch.device

    def of(self, module: nn.Module) -> BatchRunner:
        """The same of another module."""
        return BatchRunner(module, self.function, self.device)

    @property
    def loss(self) -> BatchRunner:
        """What makes shares of what was scored."""
        return self

    def losses(self, inputs: Any, targets: Any) -> tuple[Tensor, None]:
        """The loss of the batch, which is ``inputs``; there are no ``targets`` beside it."""
        return self.scored(self.wide_outputs(inputs), targets)

    def wide_outputs(self, inputs: Any) -> tuple[Tensor]:
        """What the loss function gave, and no outputs: those of the module stay within it."""
        return (values_of(self.function(self.module, inputs)),)

    def scored(self, outputs: tuple[Tensor], targets: Any) -> tuple[Tensor, None]:
        """The values ``(B,)``, and no metric."""
        return outputs[0], None

    def shares(self, values: Tensor) -> Tensor:
        """The values themselves, whose mean is the loss."""
        return values


def values_of(given: Any) -> Tensor:
    """What a loss function gave as values ``(B,)``: a number, one a sample or more, or what holds it as ``loss``.

    Raises:
        InputError: for anything else.
    """
    found = given
    if isinstance(found, Mapping):
        found = found.get("loss")
    elif not isinstance(found, Tensor):
        found = getattr(found, "loss", found)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise InputError(
            f"loss_fn: expected the loss as a tensor (or what has it as .loss or ['loss']), got {type(given).__name__}. "
            "Give a function (model, batch) -> loss, as in watch.step(lambda model, batch: …, batch)."
        )
    return found.reshape(1) if found.ndim == 0 else found if found.ndim == 1 else found.flatten(1).mean(1)


def as_loss_function(given: Any, device: torch.device, dtype: torch.dtype) -> LossFunction:
    """A function of module and batch, from one, or from a loss of outputs and targets that ``torch.nn`` or its name gives.

    None: the module computes its loss itself from a batch that is a mapping, as those of transformers do.

    Raises:
        InputError: for what is none of these.
    """
    if given is None:
        return call
    if isinstance(given, str | nn.Module) or getattr(given, "__module__", "") == "torch.nn.functional":
        loss = per_sample_loss(given, device, dtype)

        def of_pair(module: nn.Module, batch: Any) -> Tensor:
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise InputError(
                    f"batch: {loss.words} takes outputs and targets, so it is to be (inputs, targets), got {type(batch).__name__}. "
                    "Give a function instead: watch.step(lambda model, batch: …, batch)."
                )
            return loss(call(module, batch[0]), batch[1])

        return of_pair
    if not callable(given):
        raise InputError(
            f"loss_fn: expected a function (model, batch) -> loss, or a torch.nn loss with batch (inputs, targets), got {given!r}."
        )
    function: LossFunction = given
    return function


@dataclass(frozen=True)
class WatchedConfig:
    """What observers ask of a recipe: from which step on they watch, and that losses at θ are to be taken anew.

    A loop drew its dropout masks before it was watched, so that these are others here.
    """

    first: int
    compile: bool = True

    def updates_after(self, epoch: int, steps_per_epoch: int) -> int:
        return self.first


@dataclass(frozen=True)
class WatchedStart:
    """What observers are told before the first step, as :class:`landscape.training.StartReport` does it."""

    module: nn.Module
    config: WatchedConfig
    loss_name: str
    history: tuple[Any, ...] = ()
    steps_per_epoch: int = 1
    run: str = ""


@dataclass(frozen=True, eq=False)
class WatchedStep:
    """What observers are told of a step, as :class:`landscape.training.StepReport` does it; ``inputs`` is the whole batch."""

    epoch: int
    step: int
    seed: int
    learning_rate: float
    module: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: Any
    losses: Tensor
    runner: BatchRunner
    clipped: Callable[[Any], Any] = dict
    targets: None = None
    rates_are_set: bool = True
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        return len(self.losses)

    def curvature(self) -> StepCurvature:
        """The Hessian of the step's loss."""
        return StepCurvature(self, self.made.setdefault("step", StepObjective(self.module)))


class StepCurvature:
    """H of a step's loss by two reverse passes over a private copy, held against differences of gradients once a step.

    PyTorch's second derivatives are wrong for some operations and say nothing.
    """

    def __init__(self, report: WatchedStep, objective: StepObjective) -> None:
        self._report, self._objective = report, objective
        self.theta = self.parameters_of(report.module)
        self._checked = False

    def parameters_of(self, module: nn.Module) -> ParameterVector:
        """θ of a module."""
        return ParameterVector(self._objective.theta(module), self._objective.layout)

    def hessian_product(self, vector: Tensor, theta: ParameterVector) -> Tensor:
        """H v ``(n,)``.

        Raises:
            InputError: for a loss without second derivatives, or with other ones than its gradients say.
        """
        with isolated(self._objective.device):
            try:
                found = self._objective.hessian_product(self._report, vector, theta.vector)
            except RuntimeError as error:
                raise InputError(
                    f"stability: the loss of the step has no second derivative in PyTorch ({str(error).splitlines()[0]}). Leave "
                    "'stability' out, or switch a fused attention off: attn_implementation='eager'."
                ) from None
            if not self._checked:
                self._check()
                self._checked = True
        return found

    def _check(self) -> None:
        """Raise InputError where products along drawn vectors do not agree with differences of gradients.

        In double precision, so that the differences are too short for a kink (ReLU) between their ends; the longer ones are for
        a softmax that is taken in single precision all the same. A loss that cannot be taken so is held against longer ones yet,
        of which one has to agree in half of its size.
        """
        try:
            double = _in_double(self._report)
            apart, most = [_apart(*double, length, n) for length in _SHORT for n in range(2)], 1e-3
        except Exception:  # of any kind: it is the user's code
            apart = [_apart(self._report, self._objective, length, n) for length in _LONG for n in range(2)]
            most = 0.5
        if min(apart) > most:
            raise InputError(
                "stability: PyTorch's second derivative of this loss is not that of its gradients (they differ by "
                f"{min(apart):.2g} of their size). Leave 'stability' out."
            )


def _in_double(report: WatchedStep) -> tuple[WatchedStep, StepObjective]:
    """The step of a copy in double precision.

    Raises:
        TypeError: for a loss that is taken in another precision all the same.
    """

    def wide(tensor: Tensor) -> Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor

    module = copy.deepcopy(report.module).double()
    report = replace(report, module=module, inputs=map_tensors(wide, report.inputs))
    objective = StepObjective(module)
    if report.runner.of(module).losses(report.inputs, None)[0].dtype != torch.float64:
        raise TypeError
    return report, objective


def _apart(report: WatchedStep, objective: StepObjective, length: float, number: int) -> float:
    """By how much of its size a product differs from a difference of gradients, beyond what rounding can do."""
    theta = objective.theta(report.module)
    drawn = torch.randn(theta.numel(), generator=generator(0, "step curvature", number)).to(theta)
    nudge = drawn * (length * (float(theta.norm()) or 1.0) / drawn.norm())
    ends = [objective.evaluate(report, theta + sign * nudge)[1].double().clone() for sign in (1, -1)]
    difference = (ends[0] - ends[1]) / 2
    product = objective.hessian_product(report, nudge, theta).double()
    rounding = 64 * torch.finfo(theta.dtype).eps * float(ends[0].norm() + ends[1].norm())
    size = max(float(difference.norm()), float(product.norm()))
    apart = max(float((product - difference).norm()) - rounding, 0.0)
    return apart / size if size > 0 and math.isfinite(apart) else 0.0


def check_copy(report: WatchedStep, objective: StepObjective) -> None:
    """Refuse a loss that does not use the module it is given, or gradients that are another's.

    Raises:
        InputError: where the loss is the same at other parameters of the copy, although the module has gradients, as where a
            forward is bound to another module; or where the module's gradients are far larger than those of the batch, as a
            scaler for half precision makes them.
    """
    wide, theta = wide_type(objective.device), objective.theta(report.module)
    own = float(objective.gradient(report.module).norm(dtype=wide))
    with isolated(objective.device):
        # Without a graph: a loss of another module would add its gradients to that one's.
        here = objective.losses(report, theta)
        drawn = torch.randn(theta.numel(), generator=generator(0, "watched copy")).to(theta)
        beside = objective.losses(report, theta + 0.01 * theta.norm() * drawn / drawn.norm())
        if own > 0 and torch.equal(here, beside) and bool(torch.isfinite(here).all()):
            raise InputError(
                "loss_fn: its loss does not depend on the model that it is given. Use its first argument, (model, batch) -> loss, "
                "and no other model; of a model whose forward was wrapped (mixed precision), give the unwrapped one."
            )
        size = float(objective.evaluate(report, theta)[1].norm(dtype=wide))
    if math.isfinite(own) and size > 0 and own > 30 * size:
        raise InputError(
            f"step: the gradients that are set are {own / size:.3g} times as large as those of this batch's loss. Where a "
            "GradScaler scales them, call scaler.unscale_(optimizer) first; where batches are summed, divide the loss by their "
            "number."
        )


def step_size(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the first group of parameters."""
    return float(optimizer.param_groups[0].get("lr", math.nan))


def clip_by_norm(most: float) -> Callable[[Mapping[Any, Tensor]], dict[Any, Tensor]]:
    """Gradients as ``torch.nn.utils.clip_grad_norm_`` leaves them, as copies."""

    def clipped(gradients: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
        total = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients.values()]))
        factor = torch.clamp(most / (total + 1e-6), max=1.0)
        return {parameter: g * factor for parameter, g in gradients.items()}

    return clipped


def clip_by_value(most: float) -> Callable[[Mapping[Any, Tensor]], dict[Any, Tensor]]:
    """Gradients as ``torch.nn.utils.clip_grad_value_`` leaves them, as copies."""
    return lambda gradients: {parameter: g.clamp(-most, most) for parameter, g in gradients.items()}


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict on the CPU that later steps do not change."""
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in state.items()
    }
