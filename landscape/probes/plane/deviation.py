"""How far values in bf16, or by compiled code, are from those in fp32: measured, at a few points of the same grid."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.numerics.grids import Grid
from landscape.objective.objective import Objective
from landscape.probes.plane.dataset import Surface
from landscape.probes.plane.result import MEASURED
from landscape.probes.plane.spans import Span
from landscape.results.attributes import labels

CHECKS = 5


def checked(
    dataset: xr.Dataset, objective: Objective, span: Span, grid: Grid, values: Surface, ceiling: float
) -> xr.Dataset:
    """``dataset`` with the values of :meth:`Objective.reference` at :func:`check_points`, beside those of ``objective``.

    Adds the variables ``check_seed``, ``check_x``, …, ``check_loss`` and ``check_loss_reference`` over the dimension ``check``,
    and as attributes the relative deviation δ = |L − L'| / |L'| of the loss L from the reference's L': ``precision_deviation_max``,
    ``precision_deviation_rms`` (root mean square), and ``precision_deviation_note``, which says this. Without a point to check,
    the note alone.
    """
    seeds, flat = check_points(values, grid, ceiling)
    reference = objective.reference()
    way = f"{reference.precision} without torch.compile"
    if not len(flat):
        return dataset.assign_attrs(
            precision_deviation_note=f"not compared with {way}: no finite loss below {ceiling:g}"
        )
    places = grid.coefficients(flat)
    fast = np.array([values.part(seed).loss.flat[point] for seed, point in zip(seeds, flat, strict=True)])
    slow = np.concatenate(
        [
            reference.evaluate_points(span.subspaces[seed], place[None]).loss
            for seed, place in zip(seeds, places, strict=True)
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.where(fast == slow, 0.0, np.abs(fast - slow) / np.abs(slow))
    unit = dataset["loss"].attrs["units"]
    found = {
        "check_seed": (np.array(span.seeds)[seeds], labels("direction seed of the checked point")),
        **{f"check_{n}": (places[:, k], labels(f"{n} of the checked point")) for k, n in enumerate(grid.names)},
        "check_loss": (fast, labels("mean loss over the samples, as on the grid", unit)),
        "check_loss_reference": (slow, labels(f"mean loss over the samples in {way}", unit)),
    }
    return dataset.assign({name: ("check", array, said) for name, (array, said) in found.items()}).assign_attrs(
        precision_deviation_max=float(deviation.max()),
        precision_deviation_rms=float(np.sqrt(np.mean(deviation**2))),
        precision_deviation_note=f"relative deviation |L - L'| / |L'| of the loss from that in {way}, at {len(flat)} points",
    )


def check_points(values: Surface, grid: Grid, ceiling: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """:data:`CHECKS` measured points of a finite loss below ``ceiling``: numbers of the seeds, and flat indices into the grid.

    The first is the one nearest to the origin; each next one, of the next seed, lies farthest from all before it. They follow
    from the values alone, so a resumed measurement checks the same ones.
    """
    usable = (values.status == MEASURED) & np.isfinite(values.loss) & (values.loss < ceiling)
    usable = usable.reshape(len(usable), -1)
    index = np.stack(np.unravel_index(np.arange(len(grid)), grid.shape), axis=-1)
    extent = np.maximum(np.array(grid.shape) - 1, 1)
    origin = np.array(grid.nearest((0.0,) * len(grid.axes)))
    distance = -np.linalg.norm((index - origin) / extent, axis=-1)  # largest at the origin
    seeds: list[int] = []
    points: list[int] = []
    for number in range(CHECKS):
        seed = number % len(usable)
        if not usable[seed].any():
            continue
        point = int(np.where(usable[seed], distance, -np.inf).argmax())
        away = np.linalg.norm((index - index[point]) / extent, axis=-1)
        distance = np.minimum(distance, away) if points else away
        usable[seed, point] = False
        seeds.append(seed)
        points.append(point)
    return np.array(seeds, dtype=np.int64), np.array(points, dtype=np.int64)
