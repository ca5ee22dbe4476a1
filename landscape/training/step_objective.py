"""A training step as a function of θ: its minibatch's loss and gradient on a private copy, and what the optimiser will do."""

from __future__ import annotations

import glob
from typing import Any

import torch
from torch import Tensor, nn

from landscape.numerics.parameters import Layout
from landscape.numerics.updates import next_changes
from landscape.objective.flat_module import FlatModule
from landscape.torch_state.devices import wide_type
from landscape.torch_state.isolation import seed_modules


class StepObjective:
    """The mean loss of a step's minibatch, and its gradient, at any θ: what the step itself computes at its own.

    θ is made of the parameters that require a gradient when this is made. The copy has the user's memory format; for every
    evaluation it takes over each layer's mode and every buffer, so that BatchNorm in training mode uses the statistics of
    the batch, layers that are frozen in evaluation mode their fixed ones, and nothing of one evaluation reaches the next. The
    module itself is only read.

    Raises:
        InputError: for a module that cannot be copied.
    """

    def __init__(self, module: nn.Module) -> None:
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        sample = next(iter(trained.values()))
        self.device = sample.device
        self._flat = FlatModule(
            module,
            device=sample.device,
            dtype=sample.dtype,
            channels_last=_is_channels_last(module),
            parameters=[glob.escape(name) for name in trained],
        )
        self._gradient = torch.zeros_like(self._flat.vector)
        # Backward passes add to a .grad that is there, so these views collect the flat gradient without a copy.
        for parameter, view in zip(
            self._flat.parameters, self._flat.layout.views(self._gradient).values(), strict=True
        ):
            parameter.grad = view

    def theta(self, module: nn.Module) -> Tensor:
        """The present θ of the user's module, a copy ``(n,)``."""
        return self._packed(dict(module.named_parameters()))

    def gradient(self, module: nn.Module) -> Tensor:
        """The gradients that are set in the user's module, a copy ``(n,)``; zero where there is none."""
        gradients = ((name, parameter, parameter.grad) for name, parameter in module.named_parameters())
        return self._packed({n: torch.zeros_like(p) if g is None else g.to_dense() for n, p, g in gradients})

    def evaluate(self, report: Any, theta: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mean loss and gradient ``(n,)`` of the step's minibatch at ``theta``, with the step's own dropout masks, and the outputs.

        Outputs ``(B, …)`` that are not one tensor are None. All stay on the device; the gradient's memory is that of the
        next call. PyTorch's global random state is left changed (see :func:`landscape.torch_state.isolation.isolated`).
        """
        self._flat.load(theta)
        self._take_over(report.module)
        self._gradient.zero_()
        seed_modules(self.device, report.seed)
        with torch.enable_grad():
            runner = report.runner.of(self._flat.module)
            outputs = runner.wide_outputs(report.inputs)
            losses = runner.loss.shares(runner.scored(outputs, report.targets)[0])
            losses.mean().backward()
        made = outputs.detach() if isinstance(outputs, Tensor) and outputs.ndim else None
        return losses.detach().to(wide_type(self.device)).mean(), self._gradient, made

    @torch.no_grad()
    def losses(self, report: Any, theta: Tensor) -> Tensor:
        """The samples' shares ``(B,)`` in the loss at ``theta``, by a forward pass alone; otherwise as :meth:`evaluate`."""
        self._flat.load(theta)
        self._take_over(report.module)
        seed_modules(self.device, report.seed)
        losses, _ = report.runner.of(self._flat.module).losses(report.inputs, report.targets)
        return losses.to(wide_type(self.device))

    def hessian_product(self, report: Any, vector: Tensor, theta: Tensor) -> Tensor:
        """H v ``(n,)`` of the step's loss at ``theta``, by two reverse passes; otherwise as :meth:`evaluate`.

        Raises:
            RuntimeError: for an operation without a second derivative, by PyTorch.
        """
        self._flat.load(theta)
        self._take_over(report.module)
        seed_modules(self.device, report.seed)
        parameters = self._flat.parameters
        views = list(self._flat.layout.views(vector).values())
        with torch.enable_grad():
            losses, _ = report.runner.of(self._flat.module).losses(report.inputs, report.targets)
            first = torch.autograd.grad(losses.mean(), parameters, create_graph=True, allow_unused=True)
            along = [(g, v) for g, v in zip(first, views, strict=True) if g is not None and g.requires_grad]
            slope = torch.stack([(g * v).sum() for g, v in along]).sum() if along else None
        if slope is None:
            return torch.zeros_like(vector)
        second = torch.autograd.grad(slope, parameters, allow_unused=True)
        found = {
            slot.name: torch.zeros_like(p) if g is None else g.detach()
            for slot, p, g in zip(self._flat.layout.slots, parameters, second, strict=True)
        }
        return self._packed(found)

    @property
    def layout(self) -> Layout:
        """That of θ."""
        return self._flat.layout

    def next_change(self, report: Any) -> Tensor:
        """The change of θ ``(n,)`` that the optimiser is about to make at the step's learning rate from the gradients set.

        In a loop of one's own the optimiser already has the rates of its step, which may differ between its groups.
        """
        parameters = dict(report.module.named_parameters())
        gradients = {p: p.grad for p in parameters.values() if p.grad is not None}
        rate = None if getattr(report, "rates_are_set", False) else report.learning_rate
        changes = next_changes(report.optimizer, getattr(report, "clipped", dict)(gradients), rate)
        return self._packed(
            {name: changes[p] if p in changes else torch.zeros_like(p) for name, p in parameters.items()}
        )

    def _packed(self, tensors: dict[str, Tensor]) -> Tensor:
        return self._flat.layout.pack(tensors, dtype=self._flat.vector.dtype, device=self.device)

    def _take_over(self, module: nn.Module) -> None:
        """Modes and buffers as the user's module has them now."""
        for layer, theirs in zip(self._flat.module.modules(), module.modules(), strict=True):
            layer.training = theirs.training
        buffers = dict(module.named_buffers())
        with torch.no_grad():
            for name, buffer in self._flat.module.named_buffers():
                buffer.copy_(buffers[name])


def _is_channels_last(module: nn.Module) -> bool:
    """Whether any 4-D parameter is stored channels-last, and so that it shows."""
    return any(
        p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in module.parameters()
    )
