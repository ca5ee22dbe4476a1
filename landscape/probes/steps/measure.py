"""Loss and gradient along the direction of a training step (Santurkar et al. 2018, arXiv 1805.11604, Fig. 4).

At θ with the minibatch's loss L and gradient g, and for a direction d, the loss and the gradient are taken at θ + η d. η are
multiples ("factors") of the learning rate. What is measured (:func:`measure_along`) and what is made of it
(:func:`step_ranges`) are apart, so that the latter can be redone from a stored file.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import AfterValidator
from torch import Tensor

from landscape.errors import InputError, unknown_choice
from landscape.probes.steps.result import RELATIVE
from landscape.results.attributes import labels
from landscape.torch_state.devices import wide_type

ALONG = ("gradient", "update")
DIRECTIONS = (*ALONG, RELATIVE)
RELATIVE_LENGTH = 0.25  # ‖ε/θ‖₂ of a relative segment at η of one learning rate; adaptive sharpness looks as far
SPACINGS = ("linear", "log")

# θ (n,) -> L(θ), ∇L(θ) (n,), which the next call may overwrite, and the outputs f(θ) (B, …) where they are one tensor.
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor, Tensor | None]]
# Name of a raw variable -> its values at one step.
StepValues = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class StepProbeConfig:
    """When a step is measured, where along it, and in which directions.

    Args:
        every: measure every so many steps, those whose number of updates made before is a multiple.
        eta: (low, high, count): η from low to high times the learning rate, both included. Santurkar et al. use [1/2, 4] and
            say neither how many nor how they are spaced.
        spacing: ``linear`` or ``log``.
        along: ``gradient`` (d = −g), ``update`` (the optimiser's own next change of θ divided by the learning rate), ``relative``
            (:func:`relative_direction`: the same segment for networks that are one function), or several. Under plain SGD the first
            two are the same; under momentum, weight decay or Adam they are not.

    Raises:
        InputError: naming ``probe_every``, ``probe_eta``, ``probe_spacing`` or ``probe_along``.

    Example:
        >>> ls.StepProbeConfig(every=5, eta=(0.5, 4.0, 3), along=("gradient",)).factors()
        array([0.5 , 2.25, 4.  ])
    """

    every: int = 10
    eta: tuple[float, float, int] = (0.5, 4.0, 8)
    spacing: str = "linear"
    along: tuple[str, ...] = ALONG

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", _every(self.every))
        object.__setattr__(self, "eta", _range(self.eta))
        if self.spacing not in SPACINGS:
            raise unknown_choice("probe_spacing", self.spacing, SPACINGS)
        object.__setattr__(self, "along", _along(self.along))

    @classmethod
    def parse(
        cls, every: int = 10, eta: str = "0.5:4:8", spacing: str = "linear", along: str | Sequence[str] = ALONG
    ) -> Self:
        """The same with ``eta`` as text, ``low:high:count``, and ``along`` as names with + between them."""
        parts = eta.split(":")
        try:
            low, high, count = parts
            return cls(every, (float(low), float(high), int(count)), spacing, _names(along))
        except InputError:
            raise
        except ValueError:
            raise _bad_range("low:high:count with a whole count", eta) from None

    def factors(self) -> NDArray[np.float64]:
        """η / learning rate, ascending, shape ``(count,)``."""
        low, high, count = self.eta
        return np.geomspace(low, high, count) if self.spacing == "log" else np.linspace(low, high, count)


def relative_direction(theta: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    """−θ²⊙g, of the length ‖d/θ‖₂ = 0.25 / learning rate: steepest descent where each weight is measured in units of itself.

    Rescaling weights in a way that leaves the function as it is takes θᵢ to cᵢθᵢ, gᵢ to gᵢ/cᵢ and so d as θ; θ + ηd is the
    same function then, with each cᵢ whatever it may be, and whatever the learning rate. A weight that is 0 does not move. Zero
    where θ⊙g is.

    References:
        Kwon, Kim, Park, Choi, "ASAM: Adaptive Sharpness-Aware Minimization", ICML 2021, arXiv 2102.11600, ascends along it.

    Example:
        >>> d = relative_direction(torch.tensor([1.0, 10.0]), torch.tensor([3.0, 0.4]), learning_rate=0.1)
        >>> d.tolist()
        [-1.5, -20.0]
    """
    slope = theta * gradient
    norm = _norm(slope)
    scale = torch.where(norm > 0, RELATIVE_LENGTH / (learning_rate * norm), torch.zeros_like(norm))
    return -theta * slope * scale.to(theta.dtype)


def measure_along(
    evaluate: Evaluate,
    theta: Tensor,
    loss: Tensor,
    gradient: Tensor,
    directions: Sequence[Tensor],
    etas: Sequence[float],
    *,
    relative: bool = False,
) -> StepValues:
    """What ``evaluate`` gives at θ + η d for every direction d ``(n,)`` and every η, compared with ``loss`` and ``gradient`` at θ.

    Args:
        relative: also compare gradients weight by weight in units of the weights, and the outputs, which costs one more
            evaluation, at θ.

    Returns:
        ``loss``, ``parameter_norm`` ‖θ‖₂, ``gradient_norm`` ‖g‖₂, shape ``()``; ``direction_norm`` ‖d‖₂, shape ``(A,)``;
        ``loss_along`` L(θ + ηd), ``gradient_distance`` ‖∇L(θ + ηd) − g‖₂ and ``gradient_norm_along`` ‖∇L(θ + ηd)‖₂, shape
        ``(A, M)``, for A directions and M values of η. Norms are summed in float64 (float32 on MPS, which has no other); the
        values leave the device once, at the end. NaN and ±inf are kept.

        If ``relative``, also ``relative_gradient_norm`` ‖θ⊙g‖₂, shape ``()``, and, shape ``(A, M)``, ``relative_gradient_distance``
        ‖θ⊙(∇L(θ + ηd) − g)‖₂ and ``function_distance``, the root mean square over samples of ‖f(θ + ηd) − f(θ)‖₂, NaN where the
        outputs f are not one tensor.
    """
    wide = wide_type(theta.device)
    found = [loss.to(wide), _norm(theta), _norm(gradient), *(_norm(d) for d in directions)]
    start = evaluate(theta)[2] if relative else None
    start = None if start is None else start.clone()  # outputs may be a view of θ
    for direction in directions:
        for eta in etas:
            value, slope, outputs = evaluate(torch.add(theta, direction, alpha=eta))
            change = slope - gradient
            found += [value.to(wide), _norm(change), _norm(slope)]
            if relative:
                found += [_norm(theta * change), _function_distance(start, outputs, theta.device)]
    if relative:
        found.append(_norm(theta * gradient))
    values = torch.stack(found).cpu().double().numpy()
    count, each = len(directions), 5 if relative else 3
    along = values[3 + count : 3 + count + count * len(etas) * each].reshape(count, len(etas), each)
    more = (
        {
            "relative_gradient_norm": values[-1],
            "relative_gradient_distance": along[..., 3],
            "function_distance": along[..., 4],
        }
        if relative
        else {}
    )
    return {
        "loss": values[0],
        "parameter_norm": values[1],
        "gradient_norm": values[2],
        "direction_norm": values[3 : 3 + count],
        "loss_along": along[..., 0],
        "gradient_distance": along[..., 1],
        "gradient_norm_along": along[..., 2],
        **more,
    }


def step_ranges(measured: xr.Dataset) -> xr.Dataset:
    """``measured``, of kind ``steps``, with all that follows from its raw variables (anew where it has them already).

    Each over the η of one step and direction, so with the dimensions ``(step, along)``:

    - ``loss_minimum``, ``loss_maximum`` and ``loss_variation``, their difference, of L(θ + ηd);
    - ``gradient_distance_minimum``, ``…_maximum`` and ``gradient_predictiveness``, their difference, of ‖∇L(θ + ηd) − g‖₂;
    - ``effective_beta`` = max ‖∇L(θ + ηd) − g‖₂ / (η‖d‖₂);
    - ``lipschitz_loss`` = max |L(θ + ηd) − L(θ)| / (η‖d‖₂) and ``lipschitz_gradient`` = max ‖∇L(θ + ηd)‖₂. These two and β
      are lower bounds of the true constants: a maximum over a few points of one segment.

    Weights before a BatchNorm can be multiplied by any c > 0 without changing the function; gradients shrink by c then, β by
    c², which makes the landscape look smoother and says nothing of the network. The variants
    ``effective_beta_normalized`` = β‖θ‖², ``lipschitz_loss_normalized`` and ``lipschitz_gradient_normalized`` = ·‖θ‖ and
    ``gradient_predictiveness_normalized`` = ·/‖g‖ do not change when all of θ is so scaled and η with it (by c², which makes
    the same step in relation to θ); ``loss_variation`` does not either. Where θ holds other parameters as well (a last
    layer), ‖θ‖ makes up for the scale as far as the scale-free weights make up the norm.

    Where the relative direction was looked along: ``relative_predictiveness``, the range of ‖θ⊙(∇L(θ + ηd) − g)‖₂ over ‖θ⊙g‖₂, and
    ``function_change``, the largest root mean square over samples of ‖f(θ + ηd) − f(θ)‖₂. Along that direction these two and
    ``loss_variation`` are those of the function: equal for all weights that rescaling makes of each other.

    A NaN among the values makes NaN of what is taken over them, and a direction of no length leaves the quotients undefined.
    """
    loss, distance, norm = measured["loss_along"], measured["gradient_distance"], measured["gradient_norm_along"]
    theta, gradient = measured["parameter_norm"], measured["gradient_norm"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        length = measured["learning_rate"] * measured["eta"] * measured["direction_norm"]
        low, high = _ends(loss)
        nearest, farthest = _ends(distance)
        beta = (distance / length).max("eta", skipna=False)
        rate = (abs(loss - measured["loss"]) / length).max("eta", skipna=False)
        steepest = norm.max("eta", skipna=False)
        derived = {
            "loss_minimum": low,
            "loss_maximum": high,
            "loss_variation": high - low,
            "gradient_distance_minimum": nearest,
            "gradient_distance_maximum": farthest,
            "gradient_predictiveness": farthest - nearest,
            "gradient_predictiveness_normalized": (farthest - nearest) / gradient,
            "effective_beta": beta,
            "effective_beta_normalized": beta * theta**2,
            "lipschitz_loss": rate,
            "lipschitz_loss_normalized": rate * theta,
            "lipschitz_gradient": steepest,
            "lipschitz_gradient_normalized": steepest * theta,
        }
        if "relative_gradient_distance" in measured:
            nearest, farthest = _ends(measured["relative_gradient_distance"])
            derived["relative_predictiveness"] = (farthest - nearest) / measured["relative_gradient_norm"]
            derived["function_change"] = measured["function_distance"].max("eta", skipna=False)
    unit = str(measured["loss"].attrs["units"])
    return measured.assign(
        {
            name: (("step", "along"), array.transpose("step", "along").values, _labels(name, unit))
            for name, array in derived.items()
        }
    )


_BOUND = "a lower bound of the constant"
_LONG_NAMES = {
    "loss_minimum": "smallest loss along the step",
    "loss_maximum": "largest loss along the step",
    "loss_variation": "range of the loss along the step",
    "gradient_distance_minimum": "smallest distance of the gradient along the step from the step's own",
    "gradient_distance_maximum": "largest distance of the gradient along the step from the step's own",
    "gradient_predictiveness": "range of the gradient's distance along the step from the step's own",
    "gradient_predictiveness_normalized": "gradient predictiveness divided by the gradient's norm",
    "effective_beta": f"effective β-smoothness along the step, {_BOUND}",
    "effective_beta_normalized": f"effective β-smoothness times ‖θ‖², {_BOUND}",
    "lipschitz_loss": f"Lipschitz estimate from losses along the step, {_BOUND}",
    "lipschitz_loss_normalized": f"Lipschitz estimate from losses times ‖θ‖, {_BOUND}",
    "lipschitz_gradient": f"Lipschitz estimate from gradient norms along the step, {_BOUND}",
    "lipschitz_gradient_normalized": f"Lipschitz estimate from gradient norms times ‖θ‖, {_BOUND}",
    "relative_predictiveness": "range of ‖θ⊙(∇L(θ + ηd) − g)‖₂ along the step, divided by ‖θ⊙g‖₂",
    "function_change": "largest root mean square change of the outputs along the step",
}


def _labels(name: str, unit: str) -> dict[str, Any]:
    units = (
        "1" if name in ("gradient_predictiveness_normalized", "relative_predictiveness", "function_change") else unit
    )
    return labels(_LONG_NAMES[name], units)


def _ends(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    return array.min("eta", skipna=False), array.max("eta", skipna=False)


def _norm(vector: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vector, dtype=wide_type(vector.device))
    return norm


def _function_distance(start: Tensor | None, outputs: Tensor | None, device: torch.device) -> Tensor:
    if start is None or outputs is None or start.shape != outputs.shape or not start.numel():
        return torch.full((), math.nan, dtype=wide_type(device), device=device)
    wide = wide_type(device)
    return _norm(outputs.to(wide) - start.to(wide)) / math.sqrt(len(start))


def _every(value: Any) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"probe_every: expected a whole number of steps of at least 1, got {value!r}. Try 10.")
    return number


def _range(value: Any) -> tuple[float, float, int]:
    try:
        low, high, count = float(value[0]), float(value[1]), operator.index(value[2])
        if len(value) != 3:
            raise ValueError
    except (TypeError, ValueError, IndexError):
        raise _bad_range("(low, high, count) with a whole count", value) from None
    if not (math.isfinite(low) and math.isfinite(high) and low > 0):
        raise _bad_range("finite multiples of the learning rate above 0", value)
    if count < 1:
        raise _bad_range("a count of at least 1", value)
    if low > high or (count > 1 and low == high):
        raise _bad_range("low < high", value)
    return low, high, count


def _bad_range(expected: str, value: object) -> InputError:
    return InputError(
        f"probe_eta: expected {expected}, got {value!r}. Try 0.5:4:8, eight points from half to four times the learning rate."
    )


def along_text(along: str) -> str:
    """``along`` as text, in the order that results have, so that one choice is written in one way.

    Raises:
        InputError: naming ``probe_along``.

    Example:
        >>> along_text("update+gradient")
        'gradient+update'
    """
    return "+".join(_along(_names(along)))


DEFAULT_ALONG = "+".join(ALONG)
ALONG_HELP = "gradient, update, relative (equal segments beside each weight), or several: gradient+relative."
# A setting that holds such text.
Along = Annotated[str, AfterValidator(along_text)]


def _names(along: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(along.split("+") if isinstance(along, str) else along)


def _along(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if name not in DIRECTIONS:
            raise unknown_choice("probe_along", name, DIRECTIONS)
    if not names:
        raise InputError("probe_along: expected gradient, update, relative or several, got none. Try gradient.")
    return tuple(name for name in DIRECTIONS if name in names)
