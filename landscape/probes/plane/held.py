"""Which points of an earlier grid are measured again before it is taken over."""

from __future__ import annotations

import numpy as np
import xarray as xr

from landscape.objective.again import Held, telling
from landscape.probes.plane.result import MEASURED, heights_of
from landscape.probes.plane.spans import Span


def held_points(span: Span, earlier: xr.Dataset) -> list[Held]:
    """Two points of all planes of a result together, by their loss over all samples: see :func:`landscape.objective.again.telling`.

    Of a curvature map too it is the loss: an eigenvalue takes some fifty Hessian products.
    """
    loss = earlier["loss"]
    status = earlier["loss_status" if "loss_status" in earlier else "status"].values
    axes = [np.asarray(earlier[name].values, dtype=np.float64) for name in loss.dims[1:]]
    # The last dimension is the first axis.
    places = np.stack(np.meshgrid(*axes, indexing="ij")[::-1], axis=-1)
    extents = np.array([np.abs(axis).max() or 1.0 for axis in axes[::-1]])
    distances = np.broadcast_to(np.linalg.norm(places / extents, axis=-1), loss.shape)
    accuracy = earlier["accuracy"].values if "accuracy" in earlier else np.full(loss.shape, np.nan)
    found = []
    for flat in telling(loss.values, distances, status == MEASURED).tolist():
        number, *index = np.unravel_index(flat, loss.shape)
        place = np.ascontiguousarray(places[tuple(index)])
        named = [f"{name} = {value:g}" for name, value in zip(loss.dims[:0:-1], place, strict=True)]
        of = f" of seed {span.seeds[number]}" if len(span.seeds) > 1 else ""
        values = float(loss.values.flat[flat]), float(accuracy.flat[flat])
        heights = {name: float(earlier[name].values.flat[flat]) for name in heights_of(earlier)}
        found.append(Held(", ".join(named) + of, span.subspaces[number], place, *values, heights))
    return found
