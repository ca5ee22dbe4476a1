"""Where a plane lies: sets of directions from seeds or between checkpoints, and how far to go along them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.numerics.directions import direction_between, random_direction
from landscape.objective.objective import Objective
from landscape.objective.subspace import Subspace

HALF_WIDTHS = tuple(2.0**k for k in range(-4, 3))


@dataclass(frozen=True)
class Span:
    """One subspace for each seed, with what the result says of it.

    Attributes:
        kind: ``random``, ``checkpoints`` or ``file``.
        normalization: ``filter``, ``layer``, ``none``, or how the file or the checkpoints were scaled.
        seeds: a number for each subspace; coordinates of the result's dimension ``seed``.
        axis_labels: what each coefficient multiplies, in words.
    """

    kind: str
    normalization: str
    seeds: tuple[int, ...]
    subspaces: tuple[Subspace, ...]
    axis_labels: tuple[str, ...]


def random_span(objective: Objective, seeds: Sequence[int], axes: int, normalization: str = "filter") -> Span:
    """Gaussian directions, normalised against the checkpoint's θ; seed s and axis k always give the same direction.

    Raises:
        InputError: for no seeds, or a seed given twice: a repeat that reuses a seed is not a second sample.
    """
    if not seeds:
        raise InputError("seeds: expected at least one direction seed, such as 0.")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds: each may occur once, got {list(seeds)!r}; a seed used twice is not a second sample.")
    theta = objective.theta
    subspaces = tuple(
        Subspace(
            theta, [random_direction(theta, seed=seed, axis=axis, normalization=normalization) for axis in range(axes)]
        )
        for seed in seeds
    )
    scale = {"filter": "filter norms", "layer": "layer norms", "none": "unit Gaussians"}[normalization]
    labels = tuple(f"random direction {axis + 1} ({scale})" for axis in range(axes))
    return Span("random", normalization, tuple(seeds), subspaces, labels)


def checkpoint_span(
    objective: Objective, ends: Sequence[nn.Module | Mapping[str, Tensor]], names: Sequence[str] = ()
) -> Span:
    """The line or plane from the objective's checkpoint (0) through one or two others (x = 1, y = 1).

    The running statistics travel with the directions, for the policy ``interpolated``.

    Raises:
        InputError: for checkpoints of another architecture, or with the same parameters as the first.
    """
    theta = objective.theta
    directions = [
        direction_between(
            theta,
            objective.parameters_of(end),
            statistics=(objective.statistics, objective.statistics_of(end)),
        )
        for end in ends
    ]
    called = [names[k] if k < len(names) else f"checkpoint {k + 2}" for k in range(len(ends))]
    labels = tuple(f"from the first checkpoint (0) to {name} (1)" for name in called)
    return Span("checkpoints", "none", (0,), (Subspace(theta, directions),), labels)


@dataclass(frozen=True)
class AutomaticRange:
    """The half-width chosen for every axis, and the sentence that says how."""

    half_width: float
    note: str


def automatic_range(objective: Objective, span: Span) -> AutomaticRange:
    """The smallest half-width r of 1/16, 1/8, …, 4 whose ends have left the basin.

    The ends are ±r along each direction of the first subspace. They have left the basin when their median loss is at least
    the loss of guessing, ln(classes), or, where there are no classes or the checkpoint is no better than guessing, at
    least L + max(2 |L|, 20 standard errors) for the checkpoint's L. If none is, r = 1, the default of Li et al. 2018.
    """
    centre = objective.evaluate()
    classes = objective.data.classes
    by_guessing = math.log(classes) if classes and classes > 1 and objective.loss_name == "cross_entropy" else math.nan
    error = 0.0 if math.isnan(centre.standard_error) else centre.standard_error
    risen = centre.loss + max(2 * abs(centre.loss), 20 * error)
    guessing = centre.loss < 0.9 * by_guessing
    target = by_guessing if guessing else risen
    subspace = span.subspaces[0]
    count = len(subspace.directions)
    for r in HALF_WIDTHS:
        ends = objective.evaluate_points(subspace, np.concatenate([r * np.eye(count), -r * np.eye(count)]))
        if not np.median(np.nan_to_num(ends.loss, nan=np.inf)) < target:
            what = f"the loss of guessing, {target:.3g}" if guessing else f"{target:.3g}"
            return AutomaticRange(
                r,
                f"range ±{r:g} chosen automatically: the first of 1/16 … 4 where the median loss at the ends reaches {what}",
            )
    return AutomaticRange(1.0, f"range ±1 by default: up to ±4 the median loss at the ends stays below {target:.3g}")
