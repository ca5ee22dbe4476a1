"""Permutations of hidden units that bring one network near another: weight matching (Ainsworth et al. 2022, arXiv 2209.04836)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from landscape.errors import InputError
from landscape.numerics.seeds import derive_seed

Permutation = NDArray[np.int64]
MOST_SWEEPS = 100


@dataclass(frozen=True)
class Place:
    """Where a group of units shows in a tensor: along ``axis``, each unit in ``repeat`` neighbouring entries.

    ``repeat`` is more than 1 where channels of images were flattened into features. ``incoming`` says that the tensor makes the
    units (its slices lead to them), rather than reads them. ``counts`` is False for buffers, such as running statistics, which
    are permuted with the units but do not decide how.
    """

    name: str
    axis: int
    repeat: int = 1
    incoming: bool = False
    counts: bool = True


@dataclass(frozen=True)
class Group:
    """``size`` hidden units that may change places without changing the network's function, and every place they show in.

    ``blocks``: they stand in so many blocks of neighbours (of a GroupNorm), and change places within a block, or with a whole one.
    """

    size: int
    places: tuple[Place, ...]
    blocks: int = 1


@dataclass(frozen=True)
class Alignment:
    """What :func:`match_weights` found.

    Attributes:
        permutations: for each group, unit i of the aligned network is unit ``permutation[i]`` of the other.
        tensors: the other network's tensors with its units in those places.
        similarity: Σ ⟨a, b⟩ over the matched tensors before and after, which the matching makes large.
        sweeps: over all groups, until one changed nothing.
    """

    permutations: tuple[Permutation, ...]
    tensors: dict[str, Tensor]
    similarity: tuple[float, float]
    sweeps: int

    @property
    def moved(self) -> int:
        """How many units changed places."""
        return int(sum((p != np.arange(p.size)).sum() for p in self.permutations))


def permute_units(
    tensors: Mapping[str, Tensor], groups: Sequence[Group], permutations: Sequence[Permutation]
) -> dict[str, Tensor]:
    """All tensors with the units of each group in the order of its permutation: bit for bit the same entries elsewhere."""
    made = dict(tensors)
    for group, permutation in zip(groups, permutations, strict=True):
        for place in group.places:
            if place.name in made:
                made[place.name] = _taken(made[place.name], place, permutation)
    return made


def match_weights(
    first: Mapping[str, Tensor], other: Mapping[str, Tensor], groups: Sequence[Group], *, seed: int = 0
) -> Alignment:
    """Permute the hidden units of ``other`` so that Σ ⟨a, b⟩ over the tensors is as large as coordinate ascent makes it.

    One group at a time is matched exactly, as a linear assignment, with the others held. The first sweep goes from the inputs on
    and looks only at what leads to the units, as what they lead to is not yet in place; that alone finds a permuted copy. Later
    sweeps look at everything, in an order drawn from ``seed``, until one of them changes nothing. All in float64.

    Args:
        first, other: tensors by name, such as state dicts; those that no group names do not matter.
        groups: in the order in which units follow upon each other.

    Raises:
        InputError: for tensors that are missing or differ in shape, or are not finite.
    """
    names = {place.name for group in groups for place in group.places if place.counts}
    a, b = _wide(first, names), _wide(other, names)
    for name in names:
        if a[name].shape != b[name].shape:
            raise InputError(f"tensors: {name} has the shapes {tuple(a[name].shape)} and {tuple(b[name].shape)}.")
    permutations = [np.arange(group.size) for group in groups]
    before = _similarity(a, b)
    for number, group in enumerate(groups):
        _match(a, b, group, permutations, number, incoming_only=True)
    draws = np.random.default_rng(derive_seed(seed, "alignment"))
    sweeps, changed = 1, True
    while changed and sweeps < MOST_SWEEPS:
        changed = False
        for number in draws.permutation(len(groups)):
            changed |= _match(a, b, groups[number], permutations, int(number), incoming_only=False)
        sweeps += 1
    tensors = permute_units(other, groups, permutations)
    return Alignment(tuple(permutations), tensors, (before, _similarity(a, b)), sweeps)


def _match(
    a: dict[str, Tensor],
    b: dict[str, Tensor],
    group: Group,
    permutations: list[Permutation],
    number: int,
    *,
    incoming_only: bool,
) -> bool:
    """Match one group, with ``b`` permuted in place of its old self; whether that brought the two nearer."""
    counted = [place for place in group.places if place.counts and (place.incoming or not incoming_only)]
    likeness = np.zeros((group.size, group.size))
    for place in counted:
        ours, theirs = (_by_unit(tensors[place.name], place, group.size) for tensors in (a, b))
        likeness += (ours @ theirs.T).numpy()
    chosen = assigned(likeness, group.blocks)
    units = np.arange(group.size)
    gain = float((likeness[units, chosen] - likeness[units, units]).sum())
    # Only what is more than rounding: otherwise equal units could change places forever.
    if not gain > 1e-12 * float(np.abs(likeness).sum()):
        return False
    names = {place.name for place in group.places if place.counts}
    moved = permute_units({name: b[name] for name in names}, [group], [chosen])
    # A tensor that reads the units it makes is not linear in their order, so what the assignment promised is checked.
    if not incoming_only and not _similarity(moved, a) > _similarity({name: b[name] for name in names}, a):
        return False
    permutations[number] = permutations[number][chosen]
    b.update(moved)
    return True


def assigned(likeness: NDArray[np.float64], blocks: int = 1) -> Permutation:
    """Which unit goes to each place so that the likeness ``(n, n)`` of places and units is largest, blocks staying together."""
    if blocks in (1, len(likeness)):
        _, chosen = linear_sum_assignment(likeness, maximize=True)
        return np.asarray(chosen, dtype=np.int64)
    size = len(likeness) // blocks
    parts = likeness.reshape(blocks, size, blocks, size).swapaxes(1, 2)
    inner = np.array([[linear_sum_assignment(part, maximize=True)[1] for part in row] for row in parts])
    places = np.arange(size)
    gains = np.array([[parts[i, j, places, inner[i, j]].sum() for j in range(blocks)] for i in range(blocks)])
    outer = linear_sum_assignment(gains, maximize=True)[1]
    return np.concatenate([outer[i] * size + inner[i, outer[i]] for i in range(blocks)]).astype(np.int64)


def _by_unit(tensor: Tensor, place: Place, size: int) -> Tensor:
    """A row for each unit."""
    return tensor.movedim(place.axis, 0).reshape(size, -1)


def _taken(tensor: Tensor, place: Place, permutation: Permutation) -> Tensor:
    entries = (permutation[:, None] * place.repeat + np.arange(place.repeat)).ravel()
    return tensor.index_select(place.axis, torch.from_numpy(entries).to(tensor.device))


def _wide(tensors: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    missing = sorted(names - set(tensors))
    if missing:
        raise InputError(f"tensors: {missing[0]} is missing, so the networks cannot be aligned.")
    wide = {name: tensors[name].detach().to("cpu", torch.float64) for name in sorted(names)}
    for name, tensor in wide.items():
        if not bool(tensor.isfinite().all()):
            raise InputError(f"tensors: {name} holds NaN or infinite entries, so the networks cannot be aligned.")
    return wide


def _similarity(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return float(sum(float((a[name] * b[name]).sum()) for name in a))
