"""What files of planes and lines hold, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import xarray as xr

from landscape.results.schema import Schema
from landscape.results.words import (
    at_checkpoint,
    dead,
    grid_words,
    measured_words,
    nonfinite,
    over_seeds,
    quantity,
    span,
    unit_of,
    with_error,
)


class Status(IntEnum):
    """How the value at a point of a plane came to be: the variables ``status`` and ``loss_status``."""

    MISSING = 0
    MEASURED = 1  # over all samples
    INTERPOLATED = 2
    ABOVE = 3  # over enough samples to tell that it lies above what an adaptive plane shows
    LOST = 4  # every worker that took the point died


MISSING, MEASURED, INTERPOLATED, ABOVE, LOST = Status
HEIGHT = "height"  # the attribute of variables that can be drawn in place of the loss
POINTS = (
    "loss(grid) status(grid)? loss_standard_error(grid)? accuracy(grid)? predicted_loss(grid)? "
    "interpolation_bound(grid)? samples(grid)?"
)
# What belongs together where a plane was measured adaptively.
ADAPTIVE = ("@tolerance | @loss_max", "@picture_error | @tolerance @loss_max @measured_points")
# What every result over the directions of a plane has besides.
FRAME = """
    checkpoint_loss()? checkpoint_loss_standard_error()? checkpoint_accuracy()? parameter_norm()?
    gradient_norm()? direction_norm([seed] direction)? direction_cosine([seed])? direction(direction):text?
    index(sample)? seed([seed])?
"""


def heights_of(dataset: xr.Dataset) -> list[str]:
    """What can be drawn of a plane in place of the loss: metrics and terms that were measured with it."""
    return [str(name) for name, variable in dataset.data_vars.items() if variable.attrs.get(HEIGHT)]


def plausible(dataset: xr.Dataset) -> Iterator[str]:
    """A status is missing, measured, interpolated, above the clip or lost."""
    for name in ("status", "loss_status"):
        if name in dataset and not dataset[name].isin([*Status]).all():
            yield f"{name!r} holds values that stand for nothing"


SCHEMA = Schema(
    variables=f"{POINTS} {FRAME}",
    together=ADAPTIVE,
    plausible=plausible,
)
SMOOTHNESS = Schema(
    variables="""
    seed(seed) curvature_mean(seed)? roughness(seed)? convex_fraction(seed)? known_points(seed)? points(seed)?
""",
)


_SMOOTHNESS = {"curvature_mean": "larger |curvature|, mean over the plane", "roughness": "roughness"}


def words(dataset: xr.Dataset) -> list[str]:
    """The checkpoint's loss and the grid's, how much was measured and how well, along which directions."""
    if not {"loss", "status"} <= {*dataset}:
        return []
    plane = over_seeds(dataset)
    measured = plane["status"].isin([MEASURED, ABOVE])
    finite = measured & np.isfinite(plane["loss"].values)
    return [
        *at_checkpoint(plane),
        *_losses(plane, finite),
        *_origin(plane),
        grid_words(plane, "loss"),
        measured_words(plane, measured),
        *([f"lost: {plane.attrs['lost_points']}"] if "lost_points" in plane.attrs else []),
        *_deviation(plane),
        *_directions(plane),
        *nonfinite(int(measured.sum()) - int(finite.sum())),
        *dead(plane),
        *_one_sample(plane),
    ]


def smoothness_words(dataset: xr.Dataset) -> list[str]:
    """Curvature, roughness and convexity for each direction seed."""
    needed = {*_SMOOTHNESS, "convex_fraction", "known_points", "points"}
    if not needed <= {*dataset}:
        return []
    lines = []
    for seed in dataset["seed"].values:
        one = dataset.sel(seed=seed)
        said = ", ".join(f"{words} {quantity(one, name)}" for name, words in _SMOOTHNESS.items())
        lines.append(
            f"seed {seed}: {said}, convex on {100 * float(one['convex_fraction']):.3g} %; "
            f"{float(one['known_points']):.0f} of {int(one['points'])} points known"
        )
    return [*lines, *dead(dataset)]


def _losses(plane: xr.Dataset, finite: xr.DataArray) -> list[str]:
    if not finite.any():
        return []
    loss = plane["loss"].where(finite)
    lowest = plane["loss"].isel(loss.argmin(...))
    where = ", ".join(f"{name} = {float(lowest[name]):g}" for name in reversed(plane["loss"].dims) if name != "seed")
    seed = f", seed {int(lowest['seed'])}" if plane.sizes["seed"] > 1 else ""
    return [f"loss on the grid {span(loss)}{unit_of(plane['loss'])}, lowest at {where}{seed}"]


def _origin(plane: xr.Dataset) -> list[str]:
    """The loss at the grid's origin, where that is not the checkpoint's own."""
    names = [name for name in plane["loss"].dims if name != "seed"]
    if not all((plane[name] == 0).any() for name in names):
        return []
    here = plane.sel(dict.fromkeys(names, 0.0)).isel(seed=0)
    own = "checkpoint_loss" in here and np.isclose(here["loss"], here["checkpoint_loss"], rtol=1e-4, equal_nan=True)
    if int(here["status"]) != 1 or own:
        return []
    value = with_error(here["loss"], here.get("loss_standard_error"))
    return [f"loss at the origin {value}{unit_of(plane['loss'])}"]


def _deviation(plane: xr.Dataset) -> list[str]:
    """How far values in bf16, or by compiled code, are from fp32."""
    made = plane.attrs
    if "precision_deviation_max" not in made:
        return [f"precision: {made['precision_deviation_note']}"] if "precision_deviation_note" in made else []
    largest, typical = 100 * made["precision_deviation_max"], 100 * made["precision_deviation_rms"]
    return [f"precision: at most {largest:.2g} %, root mean square {typical:.2g} %: {made['precision_deviation_note']}"]


def _directions(plane: xr.Dataset) -> list[str]:
    made = [f"{plane.attrs['directions']}"] if "directions" in plane.attrs else []
    made += [f"normalisation {plane.attrs['normalization']}"] if "normalization" in plane.attrs else []
    said = [f"directions: {', '.join(made)}"] if made else []
    if "direction_cosine" in plane:
        cosines = (f"{float(c):.4f} (seed {int(c['seed'])})" for c in plane["direction_cosine"])
        said.append(f"cosine of x and y: {', '.join(cosines)}")
    return ["; ".join(said)] if said else []


def _one_sample(plane: xr.Dataset) -> list[str]:
    if plane.sizes["seed"] > 1 or plane.attrs.get("directions") != "random":
        return []
    what = "plane" if len(plane["loss"].dims) > 2 else "line"
    return [f"One random {what} is one sample: --seeds 0,1,2 shows the spread, and --images makes every value surer."]
