"""The barriers between all pairs of several networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.objective.ends import an_objective
from landscape.objective.losses import loss_unit
from landscape.objective.objective import Objective
from landscape.probes.path.measure import POINTS, path
from landscape.probes.provenance import provenance
from landscape.results.attributes import labels


def barriers(
    objectives: Sequence[Objective] | Mapping[str, Objective],
    *,
    kind: str = "linear",
    points: int = POINTS,
    names: Sequence[str] = (),
) -> xr.Dataset:
    """The barrier on the way between each two of n networks, as a symmetric matrix; see :func:`path` for what a barrier is.

    Args:
        objectives: one for each network, perhaps by name, of one architecture and, for the barriers to be of one loss, over the
            same samples. With BatchNorm each has the policy ``reestimated``, ``batch`` or ``interpolated``.
        kind: ``linear``, or ``aligned``: straight to the second of a pair with its hidden units permuted.
        points: on every way.
        names: of the networks; by default their numbers.

    Returns:
        A data set of kind ``barriers`` with the dimensions ``(model, other)``: ``barrier``, ``barrier_standard_error``,
        ``distance`` in parameter space, and by ``model`` its ``loss``; NaN on the diagonal of the first two.

    Raises:
        InputError: for fewer than two, another number of names, and what :func:`path` refuses.

    Example:
        >>> nets = [torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)) for _ in range(3)]
        >>> found = ls.barriers([ls.Objective(one, "cross_entropy", data, device="cpu") for one in nets], points=5)
        >>> found["barrier"].shape, bool((found["barrier"] == found["barrier"].T).sum() == 6)
        ((3, 3), True)
    """
    if isinstance(objectives, Mapping):
        names, objectives = names or list(objectives), list(objectives.values())
    for one in objectives:
        an_objective(one)
    count = len(objectives)
    if count < 2 or (names and len(names) != count):
        raise InputError(
            f"barriers: expected at least two networks and a name for each, got {count} and {list(names)!r}."
        )
    if kind not in ("linear", "aligned"):
        raise InputError(
            f"kind: expected 'linear' or 'aligned', got {kind!r}. Curves are trained pair by pair: ls.path."
        )
    called = list(names) or [str(number) for number in range(count)]
    height, error, apart = (np.full((count, count), np.nan) for _ in range(3))
    np.fill_diagonal(apart, 0.0)
    for first, second in combinations(range(count), 2):
        found = path(
            objectives[first],
            objectives[second],
            kinds=[kind],
            points=points,
            name=called[second],
        ).isel(path=0)
        for matrix, name in ((height, "barrier"), (error, "barrier_standard_error"), (apart, "end_distance")):
            matrix[first, second] = matrix[second, first] = float(found[name])
    losses = [one.evaluate() for one in objectives]
    unit = loss_unit(objectives[0].loss_name)
    pairs = ("model", "other")
    return xr.Dataset(
        {
            "barrier": (pairs, height, labels("largest loss on the way minus the mean of its ends", unit)),
            "barrier_standard_error": (
                pairs,
                error,
                labels("standard error of the barrier over the samples, which are paired", unit),
            ),
            "distance": (pairs, apart, labels("Euclidean distance between the networks' parameters")),
            "loss": ("model", [one.loss for one in losses], labels("mean loss over the samples", unit)),
            "loss_standard_error": (
                "model",
                [one.standard_error for one in losses],
                labels("standard error of the mean loss over the samples", unit),
            ),
        },
        coords={name: (name, called, labels("network")) for name in pairs},
        attrs={**provenance("barriers", "barriers between networks", objectives[0], losses[0].loss, {}), "path": kind},
    )
