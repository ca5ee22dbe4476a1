"""Points of an earlier result measured again: what an edit of a user's code changes may lie only away from the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.numerics.parameters import ParameterVector
from landscape.objective.objective import Objective
from landscape.objective.signature import ALIKE, RESUME_ADVICE, Numbers, Signature, few_outputs, nudged, rounding_of
from landscape.objective.subspace import Subspace

_RIGHT = 1.5  # samples whose two best scores are as good as equal, by which an accuracy may differ


@dataclass(frozen=True)
class Held:
    """A point of an earlier result, and what the result holds of it.

    Attributes:
        name: what the point is called.
        subspace: in which it lies.
        coefficients: where, shape ``(K,)``.
        loss: the mean loss over all samples.
        accuracy: likewise; NaN where there is none.
        heights: what was measured beside them, by name.
    """

    name: str
    subspace: Subspace
    coefficients: NDArray[np.float64]
    loss: float
    accuracy: float = math.nan
    heights: Mapping[str, float] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, float]:
        """What there is besides the loss, by name."""
        return {name: v for name, v in {"accuracy": self.accuracy, **self.heights}.items() if math.isfinite(v)}


def telling(
    losses: NDArray[np.float64], distances: NDArray[np.float64], measured: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Flat indices of at most two of the measured points: of the largest finite loss, and, besides, farthest from the origin.

    A loss that is cut off, or weights that saturate a network, show there first. The arrays are of one shape.
    """
    left, chosen = measured.ravel().copy(), []
    for size in (np.where(np.isfinite(losses), losses, -math.inf).ravel(), distances.ravel()):
        usable = np.where(left, size, -math.inf)
        if usable.size and np.isfinite(usable.max()):
            chosen.append(int(usable.argmax()))
            left[chosen[-1]] = False
    return np.array(chosen, dtype=np.int64)


def check_points(
    objective: Objective, points: Sequence[Held], what: str = "resume", advice: str = RESUME_ADVICE
) -> None:
    """Refuse an earlier result if the objective gives another loss, accuracy or height at one of its points, by more than rounding.

    One evaluation a point. Only where the values differ, a few more tell how much rounding makes of the loss there, and what
    lies within that is accepted, as in :mod:`landscape.objective.signature`. Losses that are not finite are equal.

    Raises:
        MismatchError: naming the point and both values; ``what`` is the result called, and ``advice`` is what to try.
    """
    for point in points:
        loss, *others = _measured(objective, point)
        if not math.isfinite(loss) and not math.isfinite(point.loss):
            continue
        alike, one = ALIKE[objective.precision], _RIGHT / objective.n_samples
        found = {f"loss at {point.name}": Numbers((loss,), alike, said=True)}
        stored = {f"loss at {point.name}": [point.loss]}
        for (name, before), now in zip(point.known.items(), others, strict=True):
            found[f"{name} at {point.name}"] = Numbers((now,), alike, one, said=True)
            stored[f"{name} at {point.name}"] = [before]
        content = {"numbers": stored}
        if Signature({}, found).unlike(content):
            Signature({}, _as_known(objective, point, found)).check(content, what, advice)


def _measured(objective: Objective, point: Held) -> tuple[float, ...]:
    """The loss, and whatever else the point holds."""
    found = objective.evaluate_points(point.subspace, point.coefficients[None])
    values = {"accuracy": found.accuracy[0], **{name: both[0, 0] for name, both in found.heights.items()}}
    return float(found.loss[0]), *(float(values.get(name, math.nan)) for name in point.known)


def _as_known(objective: Objective, point: Held, found: dict[str, Numbers]) -> dict[str, Numbers]:
    """The values as well as they are known: to what a nudge, or fp32 in place of bf16, changes them by.

    Nothing is known where these make a finite loss of one that is not, or the other way round.
    """
    subspace = point.subspace
    # Origin and directions by the same roundings, and so every point of theirs.
    origin = ParameterVector(nudged(subspace.origin.vector), subspace.origin.layout)
    close = Subspace(origin, [replace(one, vector=nudged(one.vector)) for one in subspace.directions])
    others = [_measured(objective, replace(point, subspace=close))]
    if not objective.is_reference:
        others.append(_measured(objective.reference(), point))
    here = next(iter(found.values())).values[0]
    if any(math.isfinite(other[0]) != math.isfinite(here) for other in others):
        return {}
    for other in others:
        pairs = zip(found.items(), other, strict=False)
        found = {name: numbers.loosened((value,)) for (name, numbers), value in pairs}
    name, of_loss = next(iter(found.items()))
    outputs = few_outputs(objective, subspace.point(torch.from_numpy(point.coefficients)), "there")
    known = max(of_loss.absolute, rounding_of(outputs, subspace.origin.vector.dtype))
    return {**found, name: replace(of_loss, absolute=known)}
