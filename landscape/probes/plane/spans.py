"""Where a plane lies: sets of directions from seeds, between checkpoints or as given, and how far to go along them."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from landscape.checking import check_counts
from landscape.errors import InputError, unknown_choice
from landscape.numerics.directions import (
    Direction,
    given_direction,
    random_direction,
    scale_to_weights,
)
from landscape.numerics.directions import orthogonalize as orthogonalized
from landscape.numerics.parameters import ParameterVector
from landscape.objective.ends import State, an_objective, direction_to
from landscape.objective.objective import Objective
from landscape.objective.signature import Numbers, vector_numbers
from landscape.objective.subspace import Subspace
from landscape.probes.plane.along import gradient_direction
from landscape.probes.plane.changes import EXAMPLES, change_direction, is_change, is_drawn, restricted

NAMED = ("gradient", "random", *EXAMPLES)  # directions that an objective and a seed are enough for
# Those that lead somewhere, or are as long as they should be, as they are.
KEPT = ("difference", "random", "quantization", "bitsandbytes", "pruning", "decay", "low rank", "LoRA")
# Half-widths that an automatic range tries: the smallest of axes that are alike, of axes that are not, and the widest.
Along = Direction | Objective | nn.Module | Mapping[str, Tensor] | Tensor | ParameterVector | str
SHARED_FROM, OWN_FROM, WIDEST = 2.0**-4, 2.0**-12, 4.0


@dataclass(frozen=True)
class Span:
    """One subspace for each seed, with what the result says of it.

    Attributes:
        kind: ``random``, ``checkpoints``, ``file``, or the kinds of its directions, such as ``gradient, random``.
        normalization: ``filter``, ``layer``, ``none``, or how the file or the checkpoints were scaled.
        seeds: a number for each subspace; coordinates of the result's dimension ``seed``.
        axis_labels: what each coefficient multiplies, in words.

    Example:
        >>> span = ls.random_span(objective, seeds=[0, 1], axes=2)
        >>> span.seeds, span.subspaces[0].basis.shape
        ((0, 1), torch.Size([2, 42]))
    """

    kind: str
    normalization: str
    seeds: tuple[int, ...]
    subspaces: tuple[Subspace, ...] = field(repr=False)  # too long to print
    axis_labels: tuple[str, ...]


def random_span(objective: Objective, seeds: Sequence[int], axes: int, normalization: str = "filter") -> Span:
    """Gaussian directions, normalised against the checkpoint's θ; seed s and axis k always give the same direction.

    Raises:
        InputError: for no seeds, or a seed given twice: a repeat that reuses a seed is not a second sample.

    Example:
        >>> span = ls.random_span(objective, seeds=[0, 1, 2], axes=1, normalization="layer")
        >>> dict(ls.surface(objective, span, ["-1:1:3"])["loss"].sizes)
        {'seed': 3, 'x': 3}
    """
    an_objective(objective)
    check_counts(axes=axes)
    seeds, theta = checked_seeds(seeds), objective.theta
    subspaces = tuple(
        Subspace(
            theta, [random_direction(theta, seed=seed, axis=axis, normalization=normalization) for axis in range(axes)]
        )
        for seed in seeds
    )
    labels = tuple(_label(direction, axis) for axis, direction in enumerate(subspaces[0].directions))
    return Span("random", normalization, tuple(seeds), subspaces, labels)


def checkpoint_span(objective: Objective, ends: Sequence[State], names: Sequence[str] = ()) -> Span:
    """The line or plane from the objective's checkpoint (0) through one or two others (x = 1, y = 1).

    The running statistics travel with the directions, for the policy ``interpolated``.

    Raises:
        InputError: for checkpoints of another architecture, or with the same parameters as the first.

    Example:
        >>> span = ls.checkpoint_span(objective, [other], ["the other network"])
        >>> span.axis_labels
        ('from the first checkpoint (0) to the other network (1)',)
    """
    an_objective(objective)
    theta = objective.theta
    called = [names[k] if k < len(names) else f"checkpoint {k + 2}" for k in range(len(ends))]
    directions = [direction_to(objective, end, name) for end, name in zip(ends, called, strict=True)]
    labels = tuple(_label(direction, axis) for axis, direction in enumerate(directions))
    return Span("checkpoints", "none", (0,), (Subspace(theta, directions),), labels)


def along_span(
    objective: Objective,
    along: Sequence[Along],
    *,
    seeds: Sequence[int] = (0,),
    normalization: str = "filter",
    orthogonalize: bool = False,
) -> Span:
    """The subspace along given directions, one for each axis; one for each seed where some of them are random.

    Random directions are normalised as :func:`random_span` does it, and the one on axis k is that span's on axis k. The others keep
    their way: unless ``normalization`` is ``none``, the whole vector is scaled to the norm of θ's weights, which is also that of
    a filter-normalised direction; a difference of checkpoints keeps its length too, so that 1 is the other checkpoint.

    Args:
        objective: gives θ, and the gradient.
        along: each a :class:`~landscape.numerics.directions.Direction` of θ's layout; ``"gradient"``, ``"random"``, or another
            name of :mod:`landscape.probes.plane.changes`; another objective of the same parameters, for its gradient; a module or
            a state dict, for the way to it.
        seeds: of the random directions.
        normalization: ``filter``, ``layer`` or ``none``.
        orthogonalize: take from each direction its parts along those before it; see
            :func:`landscape.numerics.directions.orthogonalize`.

    Raises:
        InputError: for no directions, a name that does not exist, several seeds without a random direction, directions of
            another model, and, where they are to be orthogonal, for directions that depend on each other.
    """
    an_objective(objective)
    if isinstance(along, str) or not isinstance(along, Sequence) or not along:
        raise InputError(f"along: expected a list of directions, such as ['gradient', 'random'], got {along!r:.80}.")
    drawn = [isinstance(one, str) and is_drawn(one.partition(":")[0]) for one in along]
    seeds = checked_seeds(seeds)
    if len(seeds) != 1 and not any(drawn):
        raise InputError(f"seeds: none of the directions is random, so there is one plane alone; got {list(seeds)!r}.")
    theta = objective.theta
    fixed = [
        None if by_seed else _fixed(objective, one, normalization) for by_seed, one in zip(drawn, along, strict=True)
    ]
    subspaces = []
    for seed in seeds:
        directions = [
            _drawn(theta, str(along[axis]), seed, axis, normalization) if one is None else one
            for axis, one in enumerate(fixed)
        ]
        subspaces.append(Subspace(theta, orthogonalized(directions) if orthogonalize else directions))
    first = subspaces[0].directions
    kinds = [str(direction.provenance.get("kind", "given")) for direction in first]
    labels = tuple(_label(direction, axis) for axis, direction in enumerate(first))
    kind = "random" if set(kinds) == {"random"} else ", ".join(kinds)
    return Span(kind, normalization, tuple(seeds), tuple(subspaces), labels)


def _fixed(objective: Objective, one: Along, normalization: str) -> Direction:
    """A direction that no seed decides, at the length that it has on an axis."""
    pattern = ""
    if isinstance(one, str):
        one, _, pattern = one.partition(":")
    made = _made(objective, one)
    made = restricted(made, pattern) if pattern else made
    keeps = normalization == "none" or made.provenance.get("kind") in KEPT
    return made if keeps else scale_to_weights(made, objective.theta)


def _made(objective: Objective, one: Along) -> Direction:
    if isinstance(one, Direction):
        return one
    if isinstance(one, Objective):
        found = one.gradient()
        return given_direction(found.vector, objective.theta, kind="gradient", loss=found.loss, of=one.loss_name)
    if isinstance(one, nn.Module | Mapping):
        return direction_to(objective, one, "the other model")
    if isinstance(one, Tensor | ParameterVector):
        return given_direction(one, objective.theta, kind="given")
    if one == "gradient":
        return gradient_direction(objective)
    if isinstance(one, str) and is_change(one):
        return change_direction(one, objective.theta)
    if not isinstance(one, str):
        what = f"the class {one.__name__}" if isinstance(one, type) else f"{type(one).__name__} {one!r:.40}"
        raise InputError(
            f"along: expected a name, such as {NAMED[0]!r}, an ls.Direction, a flat tensor, a model or an objective, got {what}."
        )
    raise unknown_choice("along", one, NAMED)


def _drawn(theta: ParameterVector, name: str, seed: int, axis: int, normalization: str) -> Direction:
    """A direction that a seed decides; the random one of a part of the tensors is the part of that of all."""
    kind, _, pattern = name.partition(":")
    if kind == "random":
        made = random_direction(theta, seed=seed, axis=axis, normalization=normalization)
    else:
        made = change_direction(kind, theta, seed=seed, axis=axis)
    return restricted(made, pattern) if pattern else made


def checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Direction seeds as plain numbers.

    Raises:
        InputError: for none, one that is given twice, and what is no list of whole numbers.
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        raise InputError(
            f"seeds: expected a list of direction seeds, got {seeds!r}. Try seeds=[{seeds}] for that one, or "
            f"seeds=range({seeds}) for so many."
        )
    try:
        found = [one for one in seeds if not isinstance(one, bool)]
        numbers = tuple(operator.index(one) for one in found)
        if len(found) < len(tuple(seeds)):
            raise TypeError
    except TypeError:
        raise InputError(
            f"seeds: expected a list of direction seeds, which are whole numbers, such as [0, 1, 2], got {seeds!r:.80}."
        ) from None
    return _distinct(numbers)


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds:
        raise InputError("seeds: expected at least one direction seed, such as 0.")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds: each may occur once, got {list(seeds)!r}; a seed used twice is not a second sample.")
    return seeds


ENDS = {
    "quantization": "its weights in {bits} bits",
    "bitsandbytes": "its weights in {rounding} of bitsandbytes",
    "pruning": "its weights without the smallest {share:.0%}",
    "decay": "zero",
    "LoRA": "the adapter merged",
}


def _label(direction: Direction, axis: int) -> str:
    """What an axis is, and what 1 on it is, in words."""
    said = direction.provenance
    kind = said.get("kind")
    others = f", within {said['within']}" if "within" in said else ""
    others += ", orthogonalised" if said.get("orthogonalized") else ""
    if kind in ENDS:
        return f"from the checkpoint (0) to {ENDS[kind].format(**said)} (1{others})"
    if kind == "random":
        scale = {"filter": "filter norms", "layer": "layer norms", "none": "unit Gaussians"}[said["normalization"]]
        return f"random direction {axis + 1} ({scale}{others})"
    if kind == "difference":
        return f"from the first checkpoint (0) to {said.get('to', 'another')} (1{others})"
    scale = "norms of the weights" if said.get("normalization") == "weights" else "as it is"
    scale = "layer norms" if kind == "low rank" else scale
    names = {
        "gradient": f"gradient of {said['of']}, another objective" if "of" in said else "gradient of the loss",
        "low rank": f"random direction {axis + 1} of rank {said.get('rank', '')}",
        "update": f"next update of {said.get('optimizer', 'the optimiser')}",
        "eigenvector": f"eigenvector {said.get('number', '')} of the Hessian",
        "component": f"principal component {said.get('number', '')}",
        "file": f"direction {axis + 1} of the file",
    }
    return f"{names.get(str(kind), 'given direction')} ({scale}{others})"


def span_numbers(span: Span, precision: str) -> dict[str, Numbers]:
    """By which the directions of a span are told from those of another, however they were made."""
    theta = span.subspaces[0].origin
    each = {
        f"direction {axis} of seed {seed}": direction
        for seed, subspace in zip(span.seeds, span.subspaces, strict=True)
        for axis, direction in zip("xyzuvw", subspace.directions, strict=False)
    }
    found = vector_numbers({name: direction.vector for name, direction in each.items()}, theta.layout, precision)
    for name, direction in each.items():
        if direction.statistics is not None:
            changes = direction.statistics.cpu().double()
            values = (float(changes.norm()), float(changes.sum()))
            found[f"change of the statistics along {name}"] = Numbers(values, found[name].relative)
    return found


@dataclass(frozen=True)
class AutomaticRange:
    """The half-width chosen for each axis, and the sentence that says how."""

    half_widths: tuple[float, ...]
    note: str


def automatic_range(objective: Objective, span: Span) -> AutomaticRange:
    """The smallest half-widths r, powers of two up to 4, whose ends have left the basin.

    Random directions are alike, so their axes share one r from 1/16 on; those of other spans, such as the gradient and a
    random one, have each its own from 1/4096 on. The ends are ±r along the directions of the first subspace. They have left the
    basin when their median loss is at least the loss of guessing, ln(classes), or, where there are no classes or the
    checkpoint is no better than guessing, at least L + max(2 |L|, 20 standard errors) for the checkpoint's L. If none is, r = 1,
    the default of Li et al. 2018.
    """
    target, what = _outside(objective)
    subspace = span.subspaces[0]
    axes = range(len(subspace.directions))
    if span.kind == "random":
        shared = _half_width(objective, subspace, axes, SHARED_FROM, target)
        chosen = [shared for _ in axes]
    else:
        chosen = [_half_width(objective, subspace, (axis,), OWN_FROM, target) for axis in axes]
    said = " and ".join(f"±{1.0 if r is None else r:g}" for r in dict.fromkeys(chosen))
    note = f"range {said} chosen automatically: the first power of two where the median loss at the ends reaches {what}"
    if None in chosen:
        note = f"range {said}; ±1 by default where the median loss at the ends stays below {what} up to ±{WIDEST:g}"
    return AutomaticRange(tuple(1.0 if r is None else r for r in chosen), note)


def _outside(objective: Objective) -> tuple[float, str]:
    """The loss at which a basin is left, and what it is in words."""
    centre = objective.evaluate()
    classes = objective.data.classes
    by_guessing = math.log(classes) if classes and classes > 1 and objective.loss_name == "cross_entropy" else math.nan
    if centre.loss < 0.9 * by_guessing:
        return by_guessing, f"the loss of guessing, {by_guessing:.3g}"
    error = 0.0 if math.isnan(centre.standard_error) else centre.standard_error
    risen = centre.loss + max(2 * abs(centre.loss), 20 * error)
    return risen, f"{risen:.3g}"


def _half_width(
    objective: Objective, subspace: Subspace, axes: Sequence[int], first: float, target: float
) -> float | None:
    """The first of ``first``, 2 ``first``, … at whose ends along ``axes`` the median loss reaches ``target``, if any does."""
    steps = np.eye(len(subspace.directions))[list(axes)]
    for r in first * 2.0 ** np.arange(math.log2(WIDEST / first) + 1):
        ends = objective.evaluate_points(subspace, np.concatenate([r * steps, -r * steps]))
        if not np.median(np.nan_to_num(ends.loss, nan=np.inf)) < target:
            return float(r)
    return None
