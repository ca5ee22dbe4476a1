"""Whether the samples of a batch act on each other, in a module's outputs or in a loss: a few alone against the same in company.

Where they do, a value depends on how samples are batched, and batches are part of the result.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from landscape.errors import InputError
from landscape.objective.batches import batch_rows, map_tensors, split_batch, tensors_in
from landscape.objective.flat_module import converted
from landscape.objective.losses import SampleLoss
from landscape.objective.runner import Runner
from landscape.objective.trial import alike, copied, shapes
from landscape.objective.watched import Broadcasts, Draws

PAIR = 2


def module_couples(runner: Runner, inputs: Any) -> bool:
    """Whether the outputs for pairs of samples are others than those of the same samples in the batch ``inputs``.

    Where they are, rounding may be the cause, of which some functions make much: then they are so in float64 as well.
    Of a module that draws it cannot be told: who is beside a sample decides what is drawn for it.
    """
    if not _act_on_each_other(runner, inputs):
        return False
    if runner.precision == "fp64" or runner.device.type == "mps" or not isinstance(runner.module, nn.Module):
        return True
    try:
        wide = converted(copy.deepcopy(runner.module), runner.device, torch.float64)
        return _act_on_each_other(replace(runner, module=wide, precision="fp64"), map_tensors(_widened, inputs))
    except Exception:  # of any kind: the user's code, which may take one type alone
        return True


def _act_on_each_other(runner: Runner, inputs: Any) -> bool:
    count = batch_rows((inputs, ()))
    if count <= PAIR:
        return False
    with torch.no_grad(), runner.own_randomness(), Draws() as draws:
        whole = runner.outputs(tree_map(copied, inputs))
    if draws.any:
        return False
    for number, (pair, _) in enumerate(split_batch((inputs, ()), PAIR)):
        if batch_rows((pair, ())) < PAIR:
            break  # one sample alone is more often than two something that a module does not take
        try:
            alone = runner.tried(tree_map(copied, pair))
        except Exception:  # of any kind: it is the user's code; whatever it needs, it needs more than these samples
            return True
        if not _as_inside(alone, whole, PAIR * number, count):
            return True
    return False


def _as_inside(alone: Any, whole: Any, start: int, count: int) -> bool:
    """Whether tensors for a few samples are those from ``start`` on in the tensors for all ``count``.

    Tensors without a dimension of samples, such as a penalty for the whole batch, are left to the loss that takes them.
    """
    for part, among in zip(tensors_in((alone,)), tensors_in((whole,)), strict=False):
        if part.ndim != among.ndim:
            return False
        axes = [axis for axis in range(part.ndim) if part.shape[axis] != among.shape[axis]]
        few = part.shape[axes[0]] if axes else 0
        if len(axes) != 1 or among.shape[axes[0]] != count or few > PAIR:
            continue
        if not alike(part, among.narrow(axes[0], start, few), among.dtype, among):
            return False
    return True


def _widened(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def loss_couples(loss: SampleLoss, outputs: Any, targets: Any, again: Callable[[int], Any] | None) -> bool:
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
    inside = loss.parts(*tree_map(copied, whole))
    try:
        found = loss.parts(*tree_map(copied, alone))
    except Exception:  # of any kind: it is the user's code; whatever it needs, it needs more than these samples
        return True
    if (found.weights is None) != (inside.weights is None):
        return True
    pairs = [(found.numerators, inside.numerators)]
    if found.weights is not None and inside.weights is not None:
        pairs.append((found.weights, inside.weights))
    return not all(a.shape == b[part].shape and alike(a, b[part], b.dtype, b) for a, b in pairs)


def _refuse_pairs(loss: SampleLoss, outputs: Any, targets: Any, samples: int) -> None:
    refuse_broadcast(loss, outputs, targets)
    values, alone = _values(loss, outputs, targets), (_cut(outputs, slice(0, 2)), _cut(targets, slice(0, 2)))
    if values.ndim < 2 or values.shape[1] != samples or _values(loss, *alone).shape[1:2] != (2,):
        return
    given = f"loss: outputs {shapes(outputs)} and targets {shapes(targets)} make values {tuple(values.shape)}"
    if len(_values(loss, *alone)) != 2:
        raise InputError(f"{given} with the samples in the second dimension. Expected them in the first: values.T.")
    raise InputError(f"{given}, each sample's of the others' too. Return one value a sample.")


def refuse_broadcast(loss: SampleLoss, outputs: Any, targets: Any) -> None:
    """Refuse a loss in which outputs ``(B, 1)`` meet targets ``(B,)``, or the other way round, and make ``(B, B)``.

    Raises:
        InputError: with both shapes and the line that mends it.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return
    if outputs.shape == targets.shape or outputs.numel() != targets.numel():
        return
    with Broadcasts(outputs.shape, targets.shape) as broadcasts:
        loss.function(outputs.clone(), targets.clone())
    if broadcasts.any:
        mend = "targets[:, None]" if outputs.ndim > targets.ndim else "targets.squeeze(1)"
        raise InputError(
            f"loss: outputs {shapes(outputs)} and targets {shapes(targets)} were broadcast to all pairs of samples. Give {mend} "
            "as targets."
        )


def _values(loss: SampleLoss, outputs: Any, targets: Any) -> Tensor:
    made = loss.function(*tree_map(copied, (outputs, targets)))
    values: Tensor = made[0] if isinstance(made, tuple | list) else made
    return values


def _can_be_cut(outputs: Any, samples: int) -> bool:
    leaves = tree_flatten(outputs)[0]
    return bool(leaves) and all(isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == samples for leaf in leaves)


def _cut(value: Any, part: slice) -> Any:
    return tree_map(lambda leaf: leaf[part] if isinstance(leaf, Tensor) and leaf.ndim else leaf, value)


def _rolled(leaf: Tensor) -> Tensor:
    return leaf.roll(1, 0)
