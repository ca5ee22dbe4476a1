"""The curvature over a plane as arrays, and as the labelled data set that is stored and drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.numerics.eigenvalues import Extremes
from landscape.numerics.refinement import Refined
from landscape.probes.plane.dataset import BOUND_WORDS
from landscape.probes.plane.result import INTERPOLATED, MEASURED, MISSING
from landscape.results.attributes import LOSS, flags, labels

RATIO_LIMIT = 1.0  # the ratio is displayed from −1 to 1
RATIO = "curvature_ratio"
_ENDS = ("largest", "smallest")


def _of_end(end: str, sign: str) -> dict[str, tuple[str, str]]:
    name = f"eigenvalue_{end}"
    return {
        name: (LOSS, f"{sign}, the {end} eigenvalue of the Hessian"),
        f"{name}_residual": (LOSS, f"‖H v − λ v‖₂ of {sign}"),
        f"{name}_error_bound": (LOSS, f"estimated bound of the error of {sign}"),
        f"{name}_converged": ("1", f"whether the residual of {sign} is within the tolerance"),
    }


# name -> unit, long name: what there is of every point, and of the checkpoint
POINT: dict[str, tuple[str, str]] = {
    RATIO: ("1", "ratio λ_min/λ_max of the Hessian"),
    f"{RATIO}_error_bound": ("1", "bound of the ratio's error from the residuals of λ_min and λ_max"),
    **_of_end("largest", "λ_max"),
    **_of_end("smallest", "λ_min"),
    "products": ("1", "Hessian products that the two eigenvalues took"),
}
PREDICTED, BOUND = "predicted_ratio", "interpolation_bound"
_COUNTS = ("products",)
_STATUSES = {MISSING: "missing", MEASURED: "measured", INTERPOLATED: "interpolated"}


def of_ends(found: Extremes) -> dict[str, float]:
    """What :data:`POINT` names, from one largest and one smallest eigenvalue."""
    values = {f"eigenvalue_{end}": float(found.values[k]) for k, end in enumerate(_ENDS)}
    residuals = {f"eigenvalue_{end}_residual": float(found.residuals[k]) for k, end in enumerate(_ENDS)}
    bounds = {f"eigenvalue_{end}_error_bound": float(found.error_bounds[k]) for k, end in enumerate(_ENDS)}
    converged = {f"eigenvalue_{end}_converged": float(found.converged[k]) for k, end in enumerate(_ENDS)}
    ratio, bound = _ratio(*found.values.tolist(), *found.residuals.tolist())
    made = {RATIO: ratio, f"{RATIO}_error_bound": bound, "products": float(found.products)}
    return {**made, **values, **residuals, **bounds, **converged}


def _ratio(largest: float, smallest: float, error_largest: float, error_smallest: float) -> tuple[float, float]:
    """λ_min/λ_max and how far the true one may lie from it: without limit where λ_max may be 0."""
    if largest == 0:
        return math.nan, math.nan
    ratio, left = smallest / largest, abs(largest) - error_largest
    return ratio, (error_smallest + abs(ratio) * error_largest) / left if left > 0 else math.inf


@dataclass
class CurvatureValues:
    """Arrays of one shape ``(seed, y, x)``; NaN where ``status`` is not MEASURED, the ratio's where it is MISSING."""

    status: NDArray[np.int8]
    arrays: dict[str, NDArray[np.float64]]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> CurvatureValues:
        arrays = {name: np.full(shape, 0.0 if name in _COUNTS else math.nan) for name in (*POINT, PREDICTED, BOUND)}
        return cls(np.full(shape, MISSING, dtype=np.int8), arrays)

    @classmethod
    def of(cls, dataset: xr.Dataset) -> CurvatureValues:
        """Those of an earlier result."""
        values = cls.empty(dataset["status"].shape)
        values.status[...] = dataset["status"].values
        for name, array in values.arrays.items():
            if name in dataset:
                array[...] = dataset[name].values
        return values

    @property
    def measured(self) -> int:
        return int((self.status == MEASURED).sum())

    def known(self, number: int) -> NDArray[np.bool_]:
        return np.asarray(self.status[number].ravel() == MEASURED)

    def shown(self, number: int) -> NDArray[np.float64]:
        """The ratio as it is displayed."""
        return np.asarray(np.clip(self.arrays[RATIO][number].ravel(), -RATIO_LIMIT, RATIO_LIMIT))

    def fill(self, number: int, point: int, found: dict[str, float]) -> None:
        """Keep what was found at a point; what is not there was not finite."""
        for name, value in found.items():
            self.arrays[name][number].flat[point] = value
        self.status[number].flat[point] = MEASURED

    def settle(self, number: int, refined: Refined) -> None:
        """Keep what is interpolated between the measured points of a plane, and what was predicted of these."""
        unmeasured = np.flatnonzero(~refined.measured)
        between = np.clip(refined.values[unmeasured], -RATIO_LIMIT, RATIO_LIMIT)
        self.arrays[RATIO][number].flat[unmeasured] = between
        self.status[number].flat[unmeasured] = INTERPOLATED
        self.arrays[PREDICTED][number].flat[:] = refined.predicted
        self.arrays[BOUND][number].flat[:] = refined.bounds

    def dataset(self, plane: xr.Dataset, checkpoint: dict[str, float], *, refined: bool) -> xr.Dataset:
        """``plane`` with the curvature beside the loss, as a data set of kind ``curvature_map``."""
        unit = plane["loss"].attrs["units"]
        made: dict[str, Any] = {
            "status": (self.status.copy(), {**labels("how the curvature at the point came to be"), **flags(_STATUSES)})
        }
        for name, (units, words) in POINT.items():
            made[name] = (_typed(name, self.arrays[name]), labels(words, units, loss=unit))
        if refined:
            words = "ratio that was predicted before the point was measured"
            made[PREDICTED] = (self.arrays[PREDICTED].copy(), labels(words))
            made[BOUND] = (self.arrays[BOUND].copy(), labels(BOUND_WORDS))
        dims = plane["loss"].dims
        dataset = plane.rename(status="loss_status").assign({name: (dims, *each) for name, each in made.items()})
        for name, (units, words) in POINT.items():
            said = labels(f"{words}, of the checkpoint itself", units, loss=unit)
            value = np.array(checkpoint.get(name, 0.0 if name in _COUNTS else math.nan))
            dataset[f"checkpoint_{name}"] = ((), _typed(name, value), said)
        return dataset.assign_attrs(kind="curvature_map", title="curvature map")


def _typed(name: str, array: NDArray[np.float64]) -> NDArray[Any]:
    """A copy; counts are whole numbers, and flags 0 or 1, 0 also where nothing was found."""
    if name in _COUNTS:
        return array.astype(np.int64)
    return np.nan_to_num(array).astype(np.int8) if name.endswith("_converged") else array.copy()
