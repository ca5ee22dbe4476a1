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

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

QUANTITIES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "loss_standard_error": "standard error of the loss",
}
NORMS = {
    "none": "no BatchNorm",
    "input": "BatchNorm at the input",
    "blocks": "BatchNorm in blocks",
    "batch": "BatchNorm",
}
# A measurement that was stopped, rather than one with a few holes: its coarsest complete mesh says more than its points.
STOPPED_EARLY = 0.1


@dataclass(frozen=True)
class Field:
    """The values of one picture: one direction seed's, or the mean over several.

    Attributes:
        values: ``(y, x)`` or ``(x,)``; NaN where missing.
        missing: where a seed that it is made of has not been measured.
        standard_error: of each value over the samples; of a mean over seeds, which share their samples, the mean one.
        spread: standard deviation (N − 1) over the seeds, if it is a mean.
        seeds: the direction seeds it is made of.
    """

    values: Floats
    missing: Mask
    standard_error: Floats | None
    spread: Floats | None
    seeds: tuple[int, ...]

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
    missing: Mask
    standard_error: Floats | None
    dataset: xr.Dataset
    mesh_note: str

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
        return Field(self.values[index], self.missing[index], error, None, (self.seeds[index],))

    def _mean(self) -> Field:
        missing = np.asarray(self.missing.any(axis=0))
        # inf − inf in the spread is NaN, which is the truth about it
        with np.errstate(invalid="ignore"):
            values = np.where(missing, np.nan, self.values.mean(axis=0))
            spread = np.where(missing, np.nan, self.values.std(axis=0, ddof=1))
        error = None if self.standard_error is None else self.standard_error.mean(axis=0)
        return Field(values, missing, error, spread, self.seeds)


def checked(datasets: xr.Dataset | Sequence[xr.Dataset], labels: Sequence[str] | None) -> list[xr.Dataset]:
    """The data sets as a list, all of one kind that can be drawn.

    Raises:
        InputError: for none, for something else, for kinds that cannot share a picture, or for too few labels.
    """
    several = [datasets] if isinstance(datasets, xr.Dataset) else datasets
    if not isinstance(several, Sequence) or not all(isinstance(d, xr.Dataset) for d in several):
        raise InputError(f"datasets: expected an xarray.Dataset or a sequence of them, got {_types(datasets)}.")
    if not several:
        raise InputError("datasets: expected at least one xarray.Dataset, got none.")
    kinds = [str(dataset.attrs.get("kind")) for dataset in several]
    for kind in kinds:
        if kind not in ("plane", "history"):
            raise unknown_choice("datasets: attribute kind", kind, ("plane", "history"))
    dimensions = {len(_grid_dims(d)) if kind == "plane" else 0 for d, kind in zip(several, kinds, strict=True)}
    if len(dimensions) > 1:
        words = [_KIND_WORDS[len(_grid_dims(d)) if k == "plane" else 0] for d, k in zip(several, kinds, strict=True)]
        raise InputError(f"datasets: these cannot share one picture: {', '.join(words)}. Draw each kind by itself.")
    if labels is not None and (isinstance(labels, str) or len(labels) != len(several)):
        raise InputError(f"labels: expected one for each of the {len(several)} data set(s), got {labels!r}.")
    return list(several)


_KIND_WORDS = {0: "a training history", 1: "a line", 2: "a plane"}


def _types(given: object) -> str:
    if isinstance(given, Sequence) and not isinstance(given, str):
        return f"a sequence of {', '.join(sorted({type(one).__name__ for one in given}))}"
    return type(given).__name__


def _grid_dims(dataset: xr.Dataset) -> list[str]:
    """The grid's dimensions, x last.

    Raises:
        InputError: unless they are x, or y and x.
    """
    if "loss" not in dataset:
        raise InputError(
            f"datasets: expected a variable 'loss' in a plane, got {', '.join(map(str, dataset)) or 'none'}."
        )
    dims = sorted((str(d) for d in dataset["loss"].dims if d != "seed"), reverse=True)
    if dims not in (["x"], ["y", "x"]):
        raise InputError(
            f"datasets: expected the loss over x, or over y and x, got the dimensions {', '.join(dims) or 'none'}. "
            "Choose a slice first, such as dataset.isel(z=0)."
        )
    return dims


def loss_clip(datasets: Sequence[xr.Dataset], quantity: str, loss_max: float | None) -> float | None:
    """Where the loss is clipped: as asked, or where adaptively measured planes stop being known.

    Raises:
        InputError: if no loss is drawn, or for a maximum beyond what an adaptive plane knows.
    """
    if loss_max is not None and quantity not in ("loss", "all"):
        raise InputError(f"loss_max: clips the loss, and the quantity is {quantity!r}. Leave it out.")
    known = [float(d.attrs["loss_max"]) for d in datasets if "tolerance" in d.attrs]
    if quantity != "loss" or not known:
        return loss_max
    if loss_max is not None and loss_max > min(known):
        raise InputError(
            f"loss_max: {loss_max:g} is more than an adaptively measured plane knows; it was refined for losses up to "
            f"{min(known):g}. Draw up to that, or measure every point."
        )
    return min(known) if loss_max is None else loss_max


def labels_of(datasets: Sequence[xr.Dataset], labels: Sequence[str] | None) -> list[str]:
    """A title for each: the user's, or model and norm, with the checkpoint or a number where those repeat."""
    if labels is not None:
        return [str(label) for label in labels]
    for parts in (("model", "norm"), ("model", "norm", "data"), ("model", "norm", "checkpoint")):
        names = [_name(dataset, parts) for dataset in datasets]
        if len(set(names)) == len(names):
            return names
    return [f"{_name(d, ('model', 'norm'))} ({number})" for number, d in enumerate(datasets, 1)]


def _name(dataset: xr.Dataset, parts: Sequence[str]) -> str:
    words = [str(dataset.attrs[part]) for part in parts if dataset.attrs.get(part)]
    if "norm" in parts and dataset.attrs.get("norm"):
        norm = str(dataset.attrs["norm"])
        words = [NORMS.get(norm, norm) if word == norm else word for word in words]
    return ", ".join(words) or str(dataset.attrs.get("title") or "untitled")


def read_planes(
    datasets: Sequence[xr.Dataset], quantity: str = "loss", labels: Sequence[str] | None = None
) -> list[PlaneData]:
    """The quantity over each plane or line.

    Raises:
        InputError: for a quantity that does not exist or that a data set does not have.
    """
    if quantity not in QUANTITIES:
        raise unknown_choice("quantity", quantity, QUANTITIES)
    return [_read(d, quantity, label) for d, label in zip(datasets, labels_of(datasets, labels), strict=True)]


def _read(dataset: xr.Dataset, quantity: str, label: str) -> PlaneData:
    dims = _grid_dims(dataset)
    if quantity not in dataset:
        have = ", ".join(name for name in QUANTITIES if name in dataset)
        raise InputError(f"quantity: {label!r} has no {quantity!r}. It has: {have}.")
    if "seed" not in dataset.dims:
        dataset = dataset.expand_dims("seed") if "seed" in dataset.coords else dataset.expand_dims(seed=[0])
    ordered = dataset.sortby(dims)
    ordered, note = _complete_mesh(ordered, dims)
    values = ordered[quantity].transpose("seed", *dims)
    errors = ordered.get("loss_standard_error") if quantity == "loss" else None
    missing = _missing(ordered, dims)
    axes = {
        name: AxisData(ordered[name].values.astype(float), str(ordered[name].attrs.get("long_name") or name))
        for name in dims
    }
    unit = str(values.attrs.get("units", "1"))
    return PlaneData(
        label=label,
        quantity=quantity,
        unit="" if unit == "1" else unit,
        x=axes["x"],
        y=axes.get("y"),
        seeds=tuple(int(s) for s in ordered["seed"].values),
        values=np.where(missing, np.nan, values.values.astype(float)),
        missing=missing,
        standard_error=None if errors is None else errors.transpose("seed", *dims).values.astype(float),
        dataset=ordered,
        mesh_note=note,
    )


def _missing(dataset: xr.Dataset, dims: Sequence[str]) -> Mask:
    if "status" not in dataset:
        return np.zeros(tuple(dataset.sizes[d] for d in ("seed", *dims)), dtype=bool)
    return np.asarray(dataset["status"].transpose("seed", *dims).values == 0)


def _complete_mesh(dataset: xr.Dataset, dims: Sequence[str]) -> tuple[xr.Dataset, str]:
    """Of a measurement stopped early, the finest mesh that is complete, and a sentence that says so.

    Grids are measured coarse to fine, so the points of a stopped run are a whole picture with fewer points.
    """
    missing = np.asarray(_missing(dataset, dims).any(axis=0))
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


def counts(values: Floats, missing: Mask) -> dict[str, int]:
    """How many points are not numbers, by what they are."""
    found = {
        "NaN": int((np.isnan(values) & ~missing).sum()),
        "+∞": int((values == np.inf).sum()),
        "−∞": int((values == -np.inf).sum()),
    }
    return {name: count for name, count in found.items() if count}
