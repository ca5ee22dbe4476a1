"""What a picture reads from data sets: values over axes, what is missing or not finite, and the words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import InputError, unknown_choice
from landscape.numerics.grids import Axis
from landscape.pictures.arrays import Floats, Mask, grid_dims
from landscape.pictures.labels import labels_of
from landscape.pictures.options import Options
from landscape.probes.plane.result import ABOVE, HEIGHT, INTERPOLATED, LOST, MEASURED, MISSING, heights_of

Status = NDArray[np.int8]

QUANTITIES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "loss_standard_error": "standard error of the loss",
    "curvature_ratio": "ratio λ_min/λ_max of the Hessian",
}


def is_linear(quantity: str) -> bool:
    """Whether a quantity is drawn on a linear scale where nothing else is asked for: the accuracy, and other heights."""
    return quantity == "accuracy" or quantity not in (*QUANTITIES, "spread")


# A measurement that was stopped, rather than one with a few holes: its coarsest complete mesh says more than its points.
STOPPED_EARLY = 0.1


@dataclass(frozen=True)
class Field:
    """The values of one picture: one direction seed's, or the mean over several.

    Attributes:
        values: ``(y, x)`` or ``(x,)``; NaN where missing.
        status: how each came to be; of a mean, how the least certain of its seeds did.
        standard_error: of each value over the samples; of a mean over seeds, which share their samples, the mean one.
        spread: standard deviation (N − 1) over the seeds, if it is a mean.
        seeds: the direction seeds it is made of.
    """

    values: Floats
    status: Status
    standard_error: Floats | None
    spread: Floats | None
    seeds: tuple[int, ...]

    @property
    def missing(self) -> Mask:
        return np.asarray(self.status == MISSING)

    @property
    def measured(self) -> Mask:
        """Over all samples."""
        return np.asarray(self.status == MEASURED)

    @property
    def above(self) -> Mask:
        """Over part of the samples, which told that the value lies above what an adaptive plane shows."""
        return np.asarray(self.status == ABOVE)

    @property
    def nonfinite(self) -> Mask:
        """Measured, and NaN or infinite: a result, and no number."""
        return np.asarray(~self.missing & ~np.isfinite(self.values))

    @property
    def flat(self) -> bool:
        """Whether all finite values agree to a part in a million, so that any shape would be rounding noise."""
        finite = self.values[np.isfinite(self.values)]
        return finite.size > 1 and float(np.ptp(finite)) <= 1e-6 * float(np.abs(finite).max())


@dataclass(frozen=True)
class AxisData:
    """Coordinates and what they mean."""

    values: Floats
    label: str


@dataclass(frozen=True)
class PlaneData:
    """One data set of kind ``plane``, ready to draw: arrays ``(seed, y, x)`` or ``(seed, x)``, axes in ascending order."""

    label: str
    quantity: str
    unit: str
    x: AxisData
    y: AxisData | None
    seeds: tuple[int, ...]
    values: Floats
    status: Status
    standard_error: Floats | None
    dataset: xr.Dataset
    mesh_note: str

    @property
    def missing(self) -> Mask:
        return np.asarray(self.status == MISSING)

    @property
    def attrs(self) -> dict[str, Any]:
        return {str(key): value for key, value in self.dataset.attrs.items()}

    @property
    def dead(self) -> bool:
        return bool(self.attrs.get("dead", 0))

    @property
    def between_checkpoints(self) -> bool:
        return self.attrs.get("directions") == "checkpoints"

    def scalar(self, name: str) -> float | None:
        """A scalar variable's value; None where the data set has none."""
        return float(self.dataset[name].item()) if name in self.dataset and self.dataset[name].size == 1 else None

    @property
    def words(self) -> str:
        """What the quantity is called."""
        if self.quantity == "loss":
            return str(self.attrs.get(HEIGHT, QUANTITIES["loss"]))
        return QUANTITIES.get(self.quantity, self.quantity.replace("_", " "))

    @property
    def checkpoint_value(self) -> float | None:
        """The quantity at the checkpoint itself."""
        return self.scalar(f"checkpoint_{self.quantity}")

    def field(self, seed: int | str | None) -> Field:
        """One seed's values, or ``"mean"``, the mean over all; None means the mean where there are several.

        Raises:
            InputError: for a seed that was not measured.
        """
        if seed is None or seed == "mean":
            return self._mean() if len(self.seeds) > 1 else self._one(0)
        if isinstance(seed, str) or seed not in self.seeds:
            have = ", ".join(map(str, self.seeds))
            raise InputError(f"seed: expected 'mean' or one of the measured seeds {have}, got {seed!r}.")
        return self._one(self.seeds.index(seed))

    def _one(self, index: int) -> Field:
        error = None if self.standard_error is None else self.standard_error[index]
        return Field(self.values[index], self.status[index], error, None, (self.seeds[index],))

    def _mean(self) -> Field:
        status = np.full(self.status.shape[1:], INTERPOLATED, dtype=np.int8)
        status[(self.status == MEASURED).all(axis=0)] = MEASURED
        status[(self.status == ABOVE).any(axis=0)] = ABOVE
        missing = (self.status == MISSING).any(axis=0)
        status[missing] = MISSING
        # inf − inf in the spread is NaN, which is the truth about it
        with np.errstate(invalid="ignore"):
            values = np.where(missing, np.nan, self.values.mean(axis=0))
            spread = np.where(missing, np.nan, self.values.std(axis=0, ddof=1))
        error = None if self.standard_error is None else self.standard_error.mean(axis=0)
        return Field(values, status, error, spread, self.seeds)


def scale_asked(options: Options) -> str:
    """The scale that was asked for; linear where none was, and the quantity is drawn on one."""
    return "linear" if options.scale == "auto" and is_linear(options.quantity) else options.scale


def read_planes(
    datasets: Sequence[xr.Dataset], quantity: str = "loss", labels: Sequence[str] | None = None
) -> list[PlaneData]:
    """The quantity over each plane or line.

    Raises:
        InputError: for a quantity that does not exist or that a data set does not have.
    """
    others = {name for dataset in datasets for name in heights_of(dataset)}
    if quantity not in QUANTITIES and quantity not in others:
        raise unknown_choice("quantity", quantity, {*QUANTITIES, *others})
    return [_read(d, quantity, label) for d, label in zip(datasets, labels_of(datasets, labels), strict=True)]


def _read(dataset: xr.Dataset, quantity: str, label: str) -> PlaneData:
    dims = grid_dims(dataset)
    if quantity not in dataset:
        have = ", ".join([*(name for name in QUANTITIES if name in dataset), *heights_of(dataset)])
        raise InputError(f"quantity: {label!r} has no {quantity!r}. It has: {have}.")
    if "seed" not in dataset.dims:
        dataset = dataset.expand_dims("seed") if "seed" in dataset.coords else dataset.expand_dims(seed=[0])
    ordered = dataset.sortby(dims)
    ordered, note = _complete_mesh(ordered, dims)
    values = ordered[quantity].transpose("seed", *dims)
    errors = ordered.get(f"{quantity}_standard_error")
    status = _status(ordered, dims)
    axes = {
        name: AxisData(ordered[name].values.astype(float), str(ordered[name].attrs.get("long_name") or name))
        for name in dims
    }
    unit = str(values.attrs.get("units", "1"))
    if values.attrs.get(HEIGHT) and label == dataset.attrs.get("title"):
        label = f"{quantity.replace('_', ' ')} surface"
    return PlaneData(
        label=label,
        quantity=quantity,
        unit="" if unit == "1" else unit,
        x=axes["x"],
        y=axes.get("y"),
        seeds=tuple(int(s) for s in ordered["seed"].values),
        values=np.where(status == MISSING, np.nan, values.values.astype(float)),
        status=status,
        standard_error=None if errors is None else errors.transpose("seed", *dims).values.astype(float),
        dataset=ordered,
        mesh_note=note,
    )


def _status(dataset: xr.Dataset, dims: Sequence[str]) -> Status:
    """How each value came to be, ``(seed, y, x)``; all measured where the data set does not say. What was lost is missing."""
    if "status" not in dataset:
        return np.full(tuple(dataset.sizes[d] for d in ("seed", *dims)), MEASURED, dtype=np.int8)
    status = np.asarray(dataset["status"].transpose("seed", *dims).values, dtype=np.int8)
    return np.where(status == LOST, np.int8(MISSING), status)


def _complete_mesh(dataset: xr.Dataset, dims: Sequence[str]) -> tuple[xr.Dataset, str]:
    """Of a measurement stopped early, the finest mesh that is complete, and a sentence that says so.

    Grids are measured coarse to fine, so the points of a stopped run are a whole picture with fewer points.
    """
    missing = np.asarray((_status(dataset, dims) == MISSING).any(axis=0))
    if missing.mean() <= STOPPED_EARLY:
        return dataset, ""
    levels = [Axis(0.0, float(dataset.sizes[d] - 1), dataset.sizes[d]).levels for d in dims]
    for level in range(max(int(axis.max()) for axis in levels) - 1, -1, -1):
        chosen = {d: np.flatnonzero(axis <= level) for d, axis in zip(dims, levels, strict=True)}
        if not missing[np.ix_(*chosen.values())].any():
            mesh = " × ".join(str(chosen[d].size) for d in reversed(dims))
            note = f"{int((~missing).sum()):,} of {missing.size:,} points measured; drawn on the finest complete mesh, {mesh}"
            return dataset.isel(chosen), note
    return dataset, ""
