"""A loss tried on a first batch: whether it runs, is the user's own, and whether it couples the samples of a batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from landscape.errors import InputError, LandscapeError, first_line
from landscape.objective.accuracy import Metric
from landscape.objective.batches import tensors_in
from landscape.objective.labels import check_loss_count
from landscape.objective.losses import Parts, SampleLoss

BROADCAST = "Using a target size"  # how torch's own warning begins
CLOSE = {torch.float64: 1e-9}  # relative; of narrower types:
CLOSE_ENOUGH = 1e-4


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
    if not _alike(found, torch.as_tensor(expected), own.dtype if isinstance(own, Tensor) else torch.float32):
        raise InputError(
            f"loss: {loss.words} is {float(expected):.6g} for the first batch, and {float(found):.6g} where its values are taken "
            "one a sample (reduction='none') and averaged. Give a function that returns (values, weights), of which "
            "Σ weights·values / Σ weights is taken."
        )


def _called(function: Callable[[Any, Any], Any], loss: SampleLoss, outputs: Any, targets: Any) -> Any:
    """What a function gives of its own copies, into which it may write."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="reduction: 'mean' divides"
            )  # of KLDivLoss, whose reduction is the user's
            warnings.filterwarnings("error", message=BROADCAST)
            return function(*tree_map(_copied, (outputs, targets)))
    except LandscapeError:
        raise
    except Exception as error:  # of any kind: it may be the user's code
        raise InputError(
            f"loss: {loss.words:.200} raised {type(error).__name__} for outputs {_shapes(outputs)} and targets {_shapes(targets)}: "
            f"{first_line(error):.300}. Say with forward= which outputs it is taken of, and give targets as it takes them."
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
            f"metric: raised {type(error).__name__} for outputs {_shapes(outputs)} and targets {_shapes(targets)}: "
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
            f"data: expected (inputs, targets), got inputs of shape {_shapes(inputs)} ({inputs.dtype}) and targets of shape "
            f"{_shapes(targets)} ({targets.dtype}), which look swapped; {said}. Give (targets, inputs) the other way round."
        )
    return InputError(
        f"module: {said}; it was given inputs of shape {_shapes(inputs)}. Say with forward=lambda module, inputs: … how it "
        "is called, and give data as it takes them."
    )


def _are_integers(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_floating_point() and not value.is_complex()


def couples(loss: SampleLoss, outputs: Any, targets: Any, again: Callable[[int], Any] | None) -> bool:
    """Whether a user's loss of one sample depends on the others of its batch.

    The loss of two samples alone is held against that of the same two inside a batch, for the first two and the last two, with
    each sample's own outputs and with those of its neighbour.

    Args:
        again: the module's outputs for the first so many samples, where outputs cannot be cut; None where they depend on the batch.

    Raises:
        InputError: for values of every pair of samples, as a broadcast of outputs ``(B, 1)`` and targets ``(B,)`` makes them.
    """
    samples = len(tensors_in(targets)[0])
    few = 2 if samples > 2 else 1
    if not loss.own or samples < 2:
        return False
    if not _can_be_cut(outputs, samples):
        return again is not None and _differ(
            loss, (outputs, targets), (again(few), _cut(targets, slice(0, few))), slice(0, few)
        )
    for given in (outputs, tree_map(_rolled, outputs)):
        for part in (slice(0, few), slice(samples - few, samples)):
            if _differ(loss, (given, targets), (_cut(given, part), _cut(targets, part)), part):
                _refuse_pairs(loss, outputs, targets, samples)
                return True
    return False


def _differ(loss: SampleLoss, whole: tuple[Any, Any], alone: tuple[Any, Any], part: slice) -> bool:
    inside = loss.parts(*tree_map(_copied, whole))
    try:
        found = loss.parts(*tree_map(_copied, alone))
    except Exception:  # of any kind: it is the user's code; whatever it needs, it needs more than these samples
        return True
    if (found.weights is None) != (inside.weights is None):
        return True
    pairs = [(found.numerators, inside.numerators)]
    if found.weights is not None and inside.weights is not None:
        pairs.append((found.weights, inside.weights))
    return not all(a.shape == b[part].shape and _alike(a, b[part], b.dtype, b) for a, b in pairs)


def _refuse_pairs(loss: SampleLoss, outputs: Any, targets: Any, samples: int) -> None:
    values, alone = _values(loss, outputs, targets), (_cut(outputs, slice(0, 2)), _cut(targets, slice(0, 2)))
    pairs = values.ndim > 1 and values.shape[1] == samples and _values(loss, *alone).shape[1:2] == (2,)
    unequal = isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.shape != targets.shape
    beside = unequal and outputs.numel() == targets.numel()
    if pairs or beside:
        mend = "targets[:, None]" if unequal and outputs.ndim > targets.ndim else "targets.squeeze(1)"
        raise InputError(
            f"loss: outputs {_shapes(outputs)} and targets {_shapes(targets)} make values {tuple(values.shape)}, each sample's "
            f"of the others' too. {f'They were broadcast: give {mend} as targets.' if beside else 'Return one value a sample.'}"
        )


def _values(loss: SampleLoss, outputs: Any, targets: Any) -> Tensor:
    made = loss.function(*tree_map(_copied, (outputs, targets)))
    values: Tensor = made[0] if isinstance(made, tuple | list) else made
    return values


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def _can_be_cut(outputs: Any, samples: int) -> bool:
    leaves = tree_flatten(outputs)[0]
    return bool(leaves) and all(isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == samples for leaf in leaves)


def _cut(value: Any, part: slice) -> Any:
    return tree_map(lambda leaf: leaf[part] if isinstance(leaf, Tensor) and leaf.ndim else leaf, value)


def _rolled(leaf: Tensor) -> Tensor:
    return leaf.roll(1, 0)


def _alike(found: Tensor, expected: Tensor, dtype: torch.dtype, among: Tensor | None = None) -> bool:
    """Whether values agree to the rounding of ``dtype``, relative to themselves or to the mean size of ``among``."""
    tolerance = CLOSE.get(dtype, CLOSE_ENOUGH)
    sizes = (expected if among is None else among).cpu().double().abs()
    finite = sizes[sizes.isfinite()]
    size = float(finite.mean()) if finite.numel() else 0.0
    return torch.allclose(
        found.cpu().double(), expected.cpu().double(), rtol=tolerance, atol=tolerance * size, equal_nan=True
    )


def _shapes(value: Any) -> str:
    leaves = tree_flatten(value)[0]
    return ", ".join(str(tuple(leaf.shape)) if isinstance(leaf, Tensor) else type(leaf).__name__ for leaf in leaves)
