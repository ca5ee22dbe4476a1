"""Any function of parameters as an objective: no module, no data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.errors import GradientError, InputError, first_line
from landscape.objective.batch_loss import BatchLoss
from landscape.objective.objective import Objective

_ALONE = "theta"


def function(f: Callable[[Any], Any], theta: Any, *, draws: int | None = None, draw_seed: int = 0) -> Objective:
    """L(θ) = the mean of what ``f(θ)`` gives, as an objective that every probe takes.

    Args:
        f: is given θ in the form of ``theta``, and returns one number, or values ``(N,)`` of which L is the mean and which give the
            standard error. With PyTorch it is differentiated; with NumPy, JAX or anything else inside, it has values alone.
        theta: where the landscape is looked at: a NumPy array, a tensor, or a mapping of these by name. An array of one dimension
            is one filter to directions that are normalised by filters.
        draws: how often f is asked at a point, where it draws; see :class:`Objective`.
        draw_seed: likewise.

    Raises:
        InputError: for a θ that holds no floating-point numbers, and where f fails or gives something else at θ.

    Example:
        >>> valley = ls.function(lambda theta: (theta**2 * np.array([1.0, 100.0])).sum(), np.array([1.0, 0.1]))
        >>> valley.evaluate().loss
        2.0
        >>> ls.plane(valley, x=(-1, 1, 3), y=(-1, 1, 3))["loss"].shape
        (1, 3, 3)
    """
    if not callable(f):
        raise InputError(f"f: expected a function of θ that returns numbers, got {f!r:.80}.")
    module = _Function(f, theta)
    with torch.random.fork_rng(devices=[]):
        count = len(module(None))
    return Objective(
        module,
        BatchLoss(_Asked(f)),
        torch.arange(count),
        batch_size=count,
        device="cpu",
        draws=draws,
        draw_seed=draw_seed,
    )


class _Asked:
    """The values of a function's module for the places asked for; called as f is."""

    def __init__(self, f: Callable[[Any], Any]) -> None:
        self.__module__ = getattr(f, "__module__", __name__)
        self.__qualname__ = getattr(f, "__qualname__", type(f).__name__)

    def __call__(self, module: Any, places: Tensor) -> Tensor:
        values: Tensor = module(None)
        return values[places]


class _Function(nn.Module):
    """f with θ as its parameters, those of one dimension as a row."""

    def __init__(self, f: Callable[[Any], Any], theta: Any) -> None:
        super().__init__()
        self.f, self._mapped = f, isinstance(theta, Mapping)
        given = dict(theta) if isinstance(theta, Mapping) else {_ALONE: theta}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._arrays = not all(isinstance(value, Tensor) for value in given.values())
        for name, value in given.items():
            tensor = _as_tensor(name, value)
            self._shapes[name] = tuple(tensor.shape)
            key = str(name).replace(".", "_")
            self.register_parameter(key, nn.Parameter(tensor.reshape(1, -1) if tensor.ndim < 2 else tensor))
        with torch.inference_mode(False), torch.enable_grad():
            made = self._call()
        self.differentiable = isinstance(made, Tensor) and made.requires_grad

    def forward(self, _: Any) -> Tensor:
        made = self._call()
        if isinstance(made, Tensor) and made.requires_grad:
            return _values(made)
        values = _values(made)
        if not torch.is_grad_enabled() or getattr(self, "differentiable", True):
            return values
        found: Tensor = _WithoutGradient.apply(values, *self.parameters())
        return found

    def _call(self) -> Any:
        parameters = [p.reshape(shape) for p, shape in zip(self.parameters(), self._shapes.values(), strict=True)]
        held = [p.detach().cpu().numpy().copy() for p in parameters] if self._arrays else parameters
        given = dict(zip(self._shapes, held, strict=True)) if self._mapped else held[0]
        try:
            return self.f(given)
        except Exception as error:  # of any kind: it is the user's code
            raise InputError(f"f: raised {type(error).__name__} at θ: {first_line(error):.300}") from error


class _WithoutGradient(torch.autograd.Function):
    """Values that depend on the parameters by what PyTorch does not see."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, *parameters: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise GradientError(
            "f: is no function of PyTorch tensors, so it has no gradient here. Give θ as a tensor and compute with torch, or ask "
            "for what values are enough for: lines, planes, paths."
        )


def _as_tensor(name: object, value: Any) -> Tensor:
    try:
        tensor = value.detach().clone() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError) as error:
        raise InputError(f"theta: expected an array or a tensor of numbers, got {value!r:.80}.") from error
    if not tensor.is_floating_point() or not tensor.numel():
        what = f"{name} " if name != _ALONE else ""
        raise InputError(
            f"theta: expected floating-point numbers, got {what}of {tensor.dtype}, {tensor.numel()} entries."
        )
    return tensor


def _values(made: Any) -> Tensor:
    """What f gave as values ``(N,)``."""
    if made is None:
        raise InputError("f: expected a number or an array of them, got None. Does it return what it computes?")
    try:
        values = made if isinstance(made, Tensor) else torch.as_tensor(np.asarray(made, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"f: expected a number or an array of them, got {made!r:.80}.") from error
    if values.ndim > 1 or values.is_complex() or not values.numel():
        raise InputError(
            f"f: expected a number or values (N,), got an array of shape {tuple(values.shape)} of {values.dtype}."
        )
    return values.reshape(-1)
