"""A module and a loss tried on a first batch: whether they run, are the user's own, and follow from nothing else."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from landscape.errors import GradientError, InputError, LandscapeError, first_line
from landscape.numerics.parameters import Layout
from landscape.objective.accuracy import Metric
from landscape.objective.agreement import elsewhere
from landscape.objective.batches import tensors_in
from landscape.objective.flat_module import FlatModule
from landscape.objective.labels import check_loss_count
from landscape.objective.losses import Parts, SampleLoss
from landscape.objective.watched import Reads, leaves_of

BROADCAST = "Using a target size"  # how torch's own warning begins
CLOSE = {torch.float64: 1e-9, torch.complex128: 1e-9}  # relative; of narrower types:
CLOSE_ENOUGH = 1e-4
HALF, CLOSE_OF_HALF = (torch.bfloat16, torch.float16), 2e-2


def try_loss(loss: SampleLoss, outputs: Any, targets: Any, samples: int) -> Parts:
    """What the loss makes of a batch of ``samples`` samples; without gradients, the caller's generators.

    A loss module is held against its own value for the same batch, with its own reduction.

    Raises:
        InputError: where the loss fails, broadcasts, gives not one value a sample, or is another than its own value.
    """
    parts: Parts = _called(loss.parts, loss, outputs, targets)
    check_loss_count(parts.numerators, samples)
    if loss.whole is not None:
        hold_against_own(loss, parts, outputs, targets)
    return parts


def hold_against_own(loss: SampleLoss, parts: Parts, outputs: Any, targets: Any) -> None:
    """Refuse a loss module whose own value for a batch is another than that of its ``parts``.

    Raises:
        InputError: with both values.
    """
    assert loss.whole is not None
    own = _called(loss.whole, loss, outputs, targets)
    found = loss.shares(parts).cpu().double().mean()
    expected = own.cpu().double().mean() if isinstance(own, Tensor) else math.nan
    if not alike(found, torch.as_tensor(expected), own.dtype if isinstance(own, Tensor) else torch.float32):
        raise InputError(
            f"loss: {loss.words} is {float(expected):.6g} for the first batch, and {float(found):.6g} where its values are taken "
            "one a sample (reduction='none') and averaged. Give a function that returns (values, weights), of which "
            "Σ weights·values / Σ weights is taken."
        )


def refuse_other_sources(
    loss: SampleLoss, outputs: Any, targets: Any, parts: Parts, moving: Mapping[str, Tensor]
) -> None:
    """Refuse a loss that follows from more than outputs and targets: from earlier calls, or from the parameters themselves.

    A loss with trainable tensors of its own is one of outputs and targets while they stay as they are; that is said by a warning.

    Args:
        parts: what the loss made of the same before.
        moving: the parameters of θ in the user's own module, which a loss may hold.

    Raises:
        InputError: naming the parameters, or both values.
    """
    outputs, targets = tree_map(_detached, (outputs, targets))
    with torch.enable_grad(), Reads(moving) as reads:
        again: Parts = _called(loss.parts, loss, outputs, targets)
    if reads.names:
        raise InputError(
            f"loss: reads parameters of the module itself ({_listed(list(reads.names))}), which stay at the checkpoint when θ "
            "moves. Expected a loss of outputs and targets alone; a penalty comes through the outputs: forward=lambda module, "
            "inputs: (module(inputs), sum(p.square().sum() for p in module.parameters())), and the loss takes outputs[0] and "
            "outputs[1]."
        )
    if not alike(again.numerators.detach(), parts.numerators, parts.numerators.dtype):
        before, after = (float(p.numerators.detach().double().mean()) for p in (parts, again))
        raise InputError(
            f"loss: {loss.words:.200} gives {before:.6g} for the first batch, and {after:.6g} when it is called again with the "
            "same: it keeps something between calls, such as a counter or a moving average. Expected a function that changes "
            "nothing that it reads; give it with that fixed."
        )
    if own := leaves_of([again.numerators]):
        names = {id(p): name for name, p in getattr(loss.function, "named_parameters", dict[str, Tensor]().items)()}
        said = [names.get(id(tensor), f"one of shape {tuple(tensor.shape)}") for tensor in own]
        warnings.warn(
            f"loss: has trainable tensors of its own ({_listed(said)}), which are no part of θ and stay as they are. Where they "
            "are to move, make them part of the module; with requires_grad_(False) this is not said.",
            stacklevel=6,  # points to whoever makes the objective
        )


def refuse_own(read: Mapping[str, None]) -> None:
    """Refuse a loss over model and batch that calls a model of its own, rather than the one that it is given.

    Raises:
        InputError: naming parameters that it ``read``.
    """
    if read:
        raise InputError(
            f"loss: reads the parameters of the module outside ({_listed(list(read))}), which stay at the checkpoint when θ moves. "
            "Call the model that the loss is given: its first argument."
        )


def refuse_unreached(value: Callable[[Tensor], float], theta: Tensor, layout: Layout) -> None:
    """Refuse the gradient of a loss that no gradient reaches the parameters of, unless the loss does not move with them.

    Raises:
        GradientError: where its ``value`` is another at another point.
    """
    here, there = value(theta), value(elsewhere(theta, layout))
    if abs(there - here) > CLOSE_ENOUGH * max(abs(here), abs(there)):
        raise GradientError(
            "loss: no gradient reaches the parameters, although the loss moves with them: a detach(), .item(), no_grad or NumPy "
            "stands between. Take that out, or ask for what values are enough for: lines, planes, paths."
        )


def refuse_written(flat: FlatModule, theta: Tensor, before: Sequence[int]) -> None:
    """Refuse a module whose forward writes into parameters of θ, which were ``theta`` and written to so often ``before``.

    Raises:
        InputError: naming them.
    """
    views = flat.layout.views(theta)
    written = [
        name
        for (name, view), parameter, version in zip(views.items(), flat.parameters, before, strict=True)
        if parameter._version != version or not torch.equal(parameter.data.nan_to_num(), view.nan_to_num())
    ]
    if written:
        raise InputError(
            f"module: forward writes into {_listed(written)}, so that another point is measured than the one asked for. Expected "
            "parameters that it leaves as they are. An embedding with max_norm does it: renormalise its weight once, and set "
            "max_norm to None."
        )


def refuse_kept(module: nn.Module, made: Any, again: Any) -> None:
    """Refuse a module that gives other outputs when it is called ``again``.

    Raises:
        InputError: naming it, with what may be the cause.
    """
    pairs = zip(tensors_in((made,)), tensors_in((again,)), strict=False)
    if not all(a.shape == b.shape and alike(b, a, a.dtype) for a, b in pairs):
        raise InputError(
            f"module: {type(module).__name__} gives other outputs when it is called again with the same samples, so that values "
            "would depend on what was measured before. Expected a forward that in evaluation mode keeps nothing for the next call "
            "(a hidden state, a moving average, a counter) and draws by PyTorch's generators alone."
        )


def _called(function: Callable[[Any, Any], Any], loss: SampleLoss, outputs: Any, targets: Any) -> Any:
    """What a function gives of its own copies, into which it may write."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="reduction: 'mean' divides"
            )  # of KLDivLoss, whose reduction is the user's
            warnings.filterwarnings("error", message=BROADCAST)
            return function(*tree_map(copied, (outputs, targets)))
    except LandscapeError:
        raise
    except Exception as error:  # of any kind: it may be the user's code
        raise InputError(
            f"loss: {loss.words:.200} raised {type(error).__name__} for outputs {shapes(outputs)} and targets {shapes(targets)}: "
            f"{first_line(error):.300}. Say with forward= which outputs it is taken of, and give targets as it takes them. A loss "
            "over model and batch is given as ls.batch_loss(function)."
        ) from error


def try_metric(metric: Metric, outputs: Any, targets: Any, parts: Parts) -> None:
    """Refuse a metric that fails, or gives not one value a sample.

    Raises:
        InputError: saying what it gave.
    """
    try:
        found = metric(outputs, targets, parts.counted)
    except LandscapeError:
        raise
    except Exception as error:  # of any kind: it is the user's code
        raise InputError(
            f"metric: raised {type(error).__name__} for outputs {shapes(outputs)} and targets {shapes(targets)}: "
            f"{first_line(error):.300}. Give metric=lambda outputs, targets: None for none."
        ) from error
    if found is not None and len(found) != len(parts.numerators):
        raise InputError(
            f"metric: expected one value a sample, {len(parts.numerators)} for a batch of as many, got {len(found)}."
        )


def not_run(module: object, inputs: Any, targets: Any, error: Exception) -> InputError:
    """What to say of a module that failed on its first samples; ``inputs`` and ``targets`` are some of them."""
    said = f"{type(module).__name__} raised {type(error).__name__}: {first_line(error):.300}"
    if (
        _are_integers(inputs)
        and isinstance(targets, Tensor)
        and targets.is_floating_point()
        and targets.ndim > inputs.ndim
    ):
        return InputError(
            f"data: expected (inputs, targets), got inputs of shape {shapes(inputs)} ({inputs.dtype}) and targets of shape "
            f"{shapes(targets)} ({targets.dtype}), which look swapped; {said}. Give (targets, inputs) the other way round."
        )
    return InputError(
        f"module: {said}; it was given inputs of shape {shapes(inputs)}. Say with forward=lambda module, inputs: … how it "
        "is called, and give data as it takes them."
    )


def _are_integers(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_floating_point() and not value.is_complex()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def alike(found: Tensor, expected: Tensor, dtype: torch.dtype, among: Tensor | None = None) -> bool:
    """Whether values agree to the rounding of ``dtype``, relative to themselves or to the mean size of ``among``."""
    if expected.is_complex() and found.is_complex():
        found, expected = torch.view_as_real(found), torch.view_as_real(expected)
        among = None if among is None else torch.view_as_real(among)
    tolerance = CLOSE.get(dtype, CLOSE_OF_HALF if dtype in HALF else CLOSE_ENOUGH)
    sizes = (expected if among is None else among).cpu().double().abs()
    finite = sizes[sizes.isfinite()]
    size = float(finite.mean()) if finite.numel() else 0.0
    return torch.allclose(
        found.cpu().double(), expected.cpu().double(), rtol=tolerance, atol=tolerance * size, equal_nan=True
    )


def shapes(value: Any) -> str:
    leaves = tree_flatten(value)[0]
    return ", ".join(str(tuple(leaf.shape)) if isinstance(leaf, Tensor) else type(leaf).__name__ for leaf in leaves)
