"""The values over a grid as arrays, and as the labelled data set that is stored and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import MismatchError
from landscape.numerics.directions import cosine
from landscape.numerics.grids import Grid
from landscape.objective.losses import loss_unit
from landscape.objective.values import Evaluation, PointValues
from landscape.probes.plane.result import ABOVE, HEIGHT, INTERPOLATED, LOST, MEASURED, MISSING
from landscape.probes.plane.spans import Span
from landscape.probes.provenance import VERSIONS, checkpoint_variables
from landscape.results.attributes import flags, labels

_STATUSES = {
    MISSING: "missing",
    MEASURED: "measured",
    INTERPOLATED: "interpolated",
    ABOVE: "above_the_clip_by_part_of_the_samples",
}
ERROR, DRAW_ERROR = "_standard_error", "loss_draw_error"
_LOST = {LOST: "lost_with_every_worker_that_took_it"}
NAMED = 20  # points that were lost
BOUND_WORDS = (
    "bound, which 95 % of the interpolated points keep, of the interpolation error of what they were chosen by, "
    "in parts of the displayed range"
)
_QUANTITIES = ("loss", "loss_standard_error", "accuracy", "predicted_loss", "interpolation_bound")


@dataclass
class Surface:
    """Arrays of one shape ``(seed, …, y, x)``; where ``status`` is not MEASURED the values mean nothing and are NaN."""

    loss: NDArray[np.float64]
    loss_standard_error: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    status: NDArray[np.int8]
    predicted_loss: NDArray[np.float64]
    interpolation_bound: NDArray[np.float64]
    samples: NDArray[np.int64]
    others: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # by the names of their variables

    @classmethod
    def empty(cls, shape: tuple[int, ...], others: Sequence[str] = ()) -> Surface:
        values = [np.full(shape, np.nan) for _ in _QUANTITIES]
        status, samples = np.full(shape, MISSING, dtype=np.int8), np.zeros(shape, dtype=np.int64)
        more = {name: np.full(shape, np.nan) for name in others}
        return cls(values[0], values[1], values[2], status, values[3], values[4], samples, more)

    @classmethod
    def of(cls, dataset: xr.Dataset, grid: Grid, seeds: tuple[int, ...], others: Sequence[str] = ()) -> Surface:
        """The arrays of an earlier result over the same grid and seeds.

        Raises:
            MismatchError: if its coordinates or seeds are others, or it lacks one of ``others``.
        """
        if missing := [name for name in others if name not in dataset]:
            raise MismatchError(
                f"resume: the earlier result has no {missing[0]!r}, which is measured now; measure anew."
            )
        same = dataset["status"].dims == ("seed", *grid.dims) and np.array_equal(dataset["seed"].values, seeds)
        for name, axis in zip(grid.names, grid.axes, strict=True):
            same = same and name in dataset.coords and np.array_equal(dataset[name].values, axis.coordinates)
        if not same:
            raise MismatchError("resume: the earlier result has other seeds or another grid; write to another file.")
        shape = (len(seeds), *grid.shape)
        arrays = [np.array(dataset[n].values) if n in dataset else np.full(shape, np.nan) for n in _QUANTITIES]
        status = np.array(dataset["status"].values, dtype=np.int8)
        samples = np.array(dataset["samples"].values) if "samples" in dataset else np.zeros(shape, dtype=np.int64)
        more = {name: np.array(dataset[name].values) for name in others}
        return cls(arrays[0], arrays[1], arrays[2], status, arrays[3], arrays[4], samples, more)

    def part(self, number: int) -> Surface:
        """The arrays of one seed, as views."""
        own: dict[str, Any] = {f.name: getattr(self, f.name)[number] for f in fields(self) if f.name != "others"}
        return Surface(**own, others={name: array[number] for name, array in self.others.items()})

    def named(self, quantity: str) -> NDArray[np.float64]:
        """The array of the loss, the accuracy, or another height."""
        found: NDArray[np.float64] = self.others[quantity] if quantity in self.others else getattr(self, quantity)
        return found

    def known(self) -> NDArray[np.bool_]:
        """Where something was measured: over all samples, or enough of them to tell that it lies above the clip."""
        return np.isin(self.status, (MEASURED, ABOVE))

    def forget_above(self) -> None:
        """Let points that were given up above a clip be measured again: above another one they may not lie."""
        self.status[self.status == ABOVE] = MISSING

    def lose(self, lost: NDArray[np.bool_]) -> None:
        """Say of points that nobody knows them; what was interpolated there is no value."""
        self.status[lost] = LOST
        for name in (*_QUANTITIES, *self.others):
            self.named(name)[lost] = np.nan

    def passes(self, n_samples: int) -> NDArray[np.float64]:
        """Passes over all samples that each known point took. Files of planes that were not refined do not say it: whole ones."""
        taken: NDArray[np.float64] = np.where(self.samples == 0, n_samples, self.samples) * self.known() / n_samples
        return taken

    def fill(self, flat: NDArray[np.int64], values: PointValues, n_samples: int) -> None:
        """Keep measured values at flat indices; those over fewer than ``n_samples`` are known to lie above the clip."""
        self.loss.flat[flat] = values.loss
        self.loss_standard_error.flat[flat] = values.standard_error
        self.accuracy.flat[flat] = values.accuracy
        self.samples.flat[flat] = values.n_samples
        for name, array in values_of(values).items():
            self.others[name].flat[flat] = array
        # A mean that is not finite over a part is not finite over the whole.
        early = (values.n_samples < n_samples) & np.isfinite(values.loss)
        self.status.flat[flat] = np.where(early, ABOVE, MEASURED)


def values_of(values: PointValues) -> dict[str, NDArray[np.float64]]:
    """What is measured beside the loss, by the names of its variables."""
    found: dict[str, NDArray[np.float64]] = {}
    for name, (height, error) in values.heights.items():
        found |= {name: height, f"{name}{ERROR}": error}
    return found if values.draw_error is None else {**found, DRAW_ERROR: values.draw_error}


def surface_dataset(
    values: Surface,
    grid: Grid,
    span: Span,
    checkpoint: Evaluation,
    attributes: dict[str, Any],
    samples: dict[str, xr.Variable],
) -> xr.Dataset:
    """The labelled data set of kind ``plane``; every variable and coordinate has units and a long name."""
    unit = loss_unit(attributes["loss_name"])
    refined, accurate = "tolerance" in attributes, checkpoint.accuracy is not None
    dataset = xr.Dataset(
        {
            **_measured(values, ("seed", *grid.dims), unit, refined=refined, accurate=accurate),
            **_others(values, ("seed", *grid.dims), unit),
            **_checkpoint(checkpoint, span, unit),
            **_checkpoint_others(checkpoint, unit),
            **_directions(span),
            **samples,
        },
        coords={
            "seed": ("seed", np.array(span.seeds, dtype=np.int64), labels("direction seed")),
            "direction": ("direction", list(grid.names), labels("axis that the direction belongs to")),
            **{
                name: (name, axis.coordinates, labels(label))
                for name, axis, label in zip(grid.names, grid.axes, span.axis_labels, strict=True)
            },
        },
        attrs={
            "kind": "plane",
            "title": "loss surface",
            **{key: value for key, value in attributes.items() if value is not None},
            **_lost_points(values, grid, span),
            **VERSIONS,
        },
    )
    return dataset.assign(_over_seeds(dataset)) if len(span.seeds) > 1 else dataset


def _lost_points(values: Surface, grid: Grid, span: Span) -> dict[str, str]:
    """The points that took their workers with them, by name."""
    places = np.argwhere(values.status == LOST)
    if not len(places):
        return {}
    named = []
    for number, *index in places[:NAMED].tolist():
        at = [f"{n} = {a.coordinates[k]:g}" for n, a, k in zip(grid.names, grid.axes, index[::-1], strict=True)]
        named.append(", ".join(at) + (f" of seed {span.seeds[number]}" if len(span.seeds) > 1 else ""))
    more = f", and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return {"lost_points": f"{'; '.join(named)}{more}: every worker that took the point died"}


def _measured(
    values: Surface, dims: tuple[str, ...], unit: str, *, refined: bool, accurate: bool
) -> dict[str, xr.Variable]:
    """What there is at every point of the grid."""
    error = "standard error of the mean loss over the samples"
    statuses = _STATUSES | _LOST if (values.status == LOST).any() else _STATUSES
    found: dict[str, tuple[np.ndarray[Any, Any], dict[str, Any]]] = {
        "loss": (values.loss, labels("mean loss over the samples", unit)),
        "loss_standard_error": (values.loss_standard_error, labels(error, unit)),
        "status": (values.status, {**labels("how the value at the point came to be"), **flags(statuses)}),
    }
    if refined:
        predicted = "loss that was predicted before the point was measured"
        found["predicted_loss"] = (values.predicted_loss, labels(predicted, unit))
        found["interpolation_bound"] = (values.interpolation_bound, labels(BOUND_WORDS))
        found["samples"] = (values.samples, labels("number of samples behind the value"))
    if accurate:
        found["accuracy"] = (values.accuracy, labels("fraction of samples classified rightly"))
    return {name: xr.Variable(dims, array.copy(), said) for name, (array, said) in found.items()}


def _others(values: Surface, dims: tuple[str, ...], unit: str) -> dict[str, xr.Variable]:
    """Metrics and terms of the loss, and the error over draws."""
    found = {}
    for name, array in values.others.items():
        if name == DRAW_ERROR:
            said = labels("standard error of the mean loss over the draws", unit)
        elif name.endswith(ERROR):
            said = labels(f"standard error of {name.removesuffix(ERROR)} over the samples")
        else:
            said = {**labels(name.replace("_", " ")), HEIGHT: 1}
        found[name] = xr.Variable(dims, array.copy(), said)
    return found


def _checkpoint_others(checkpoint: Evaluation, unit: str) -> dict[str, xr.Variable]:
    found = {}
    for name, (value, error) in checkpoint.heights.items():
        words = f"{name.replace('_', ' ')} of the checkpoint itself"
        found[f"checkpoint_{name}"] = xr.Variable((), value, labels(words))
        found[f"checkpoint_{name}{ERROR}"] = xr.Variable((), error, labels(f"standard error of the {words}"))
    if checkpoint.draw_error is not None:
        said = labels("standard error of the checkpoint's mean loss over the draws", unit)
        found[f"checkpoint_{DRAW_ERROR}"] = xr.Variable((), checkpoint.draw_error, said)
    return found


def _checkpoint(checkpoint: Evaluation, span: Span, unit: str) -> dict[str, xr.Variable]:
    """The origin of every plane: the checkpoint itself."""
    values = {
        "parameter_norm": span.subspaces[0].origin.norm,
        "checkpoint_loss": checkpoint.loss,
        "checkpoint_loss_standard_error": checkpoint.standard_error,
        "checkpoint_accuracy": checkpoint.accuracy,
    }
    return checkpoint_variables(unit, values)


def _directions(span: Span) -> dict[str, xr.Variable]:
    """How long the directions are, and the cosine between the first two."""
    norms = np.array([[d.norm for d in subspace.directions] for subspace in span.subspaces])
    found = {"direction_norm": xr.Variable(("seed", "direction"), norms, labels("Euclidean norm of the direction"))}
    if norms.shape[1] > 1:
        between = np.array([cosine(s.directions[0], s.directions[1]) for s in span.subspaces])
        words = labels("cosine between directions x and y")
        found["direction_cosine"] = xr.Variable("seed", between, words)
    return found


def _over_seeds(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Mean and standard deviation (N − 1) of the loss over direction seeds, where it is known for every seed."""
    everywhere = (~dataset["status"].isin([MISSING, LOST])).all("seed")
    loss, unit = dataset["loss"], dataset["loss"].attrs["units"]
    mean = loss.mean("seed", skipna=False).where(everywhere)
    spread = loss.std("seed", ddof=1, skipna=False).where(everywhere)
    return {
        "loss_mean": mean.assign_attrs(labels("mean over direction seeds of the mean loss", unit)),
        "loss_spread": spread.assign_attrs(labels("standard deviation over direction seeds of the mean loss", unit)),
    }
