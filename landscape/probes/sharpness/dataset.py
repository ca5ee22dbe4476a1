"""The values of sharpness by measure and radius as arrays, and as the labelled data set that is stored and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import MismatchError
from landscape.probes.sharpness.config import MEASURES, SharpnessConfig
from landscape.probes.sharpness.formulas import Estimate
from landscape.probes.sharpness.result import MEASURED, MISSING, NOT_CONVERGED, NOT_FINITE, ZERO_GRADIENT
from landscape.results.attributes import flags, labels

_STATUSES = {
    MISSING: "missing",
    MEASURED: "measured",
    NOT_CONVERGED: "not_converged",
    ZERO_GRADIENT: "zero_gradient",
    NOT_FINITE: "not_finite",
}
# variable -> the estimate's attribute, and what it is
_VALUES = {
    "sharpness": ("value", "rise of the mean loss, as the measure defines it"),
    "standard_error": (
        "standard_error",
        "standard error of the sharpness over samples, batches or draws: see error_over",
    ),
    "sample_standard_error": (
        "sample_standard_error",
        "standard error of the sharpness over samples (of m-sharpness over batches), perturbations held fixed",
    ),
    "gap": ("gap", "by how much the linearised loss would rise further in the region, after several ascent steps"),
    "perturbation_norm": ("perturbation_norm", "Euclidean norm of the perturbation, root mean square of several"),
}
_WHY = {
    NOT_CONVERGED: "the ascent had not ended; more steps would give a higher value",
    ZERO_GRADIENT: "the gradient is zero, so there is no direction of ascent, and the value is NaN",
    NOT_FINITE: "a loss or gradient is NaN or infinite, and is kept as it is",
}

Place = tuple[int, int]


@dataclass(frozen=True)
class SharpnessTable:
    """Arrays of shape ``(measure, radius)``: every variable, NaN where nothing was measured, and where that is."""

    config: SharpnessConfig
    values: Mapping[str, NDArray[np.float64]]
    status: NDArray[np.int8]

    @classmethod
    def empty(cls, config: SharpnessConfig) -> SharpnessTable:
        shape = _radii(config).shape
        values = {name: np.full(shape, np.nan) for name in _VALUES}
        return cls(config, values, np.full(shape, MISSING, dtype=np.int8))

    @classmethod
    def of(cls, dataset: xr.Dataset, config: SharpnessConfig) -> SharpnessTable:
        """The arrays of an earlier result.

        Raises:
            MismatchError: if its measures or radii are others.
        """
        measures = tuple(dataset["measure"].values) if "measure" in dataset else ()
        if measures != config.measures or not np.array_equal(dataset["rho"].values, _radii(config)):
            raise MismatchError("resume: the earlier result has other measures or radii; write to another file.")
        values = {name: np.array(dataset[name].values, dtype=np.float64) for name in _VALUES}
        return cls(config, values, np.array(dataset["status"].values, dtype=np.int8))

    @property
    def done(self) -> int:
        """How many values there are."""
        return int((self.status != MISSING).sum())

    def missing(self) -> Iterator[tuple[Place, str, float]]:
        """Place, measure and ρ of every value that is still to be measured."""
        for row, measure in enumerate(self.config.measures):
            for column, rho in enumerate(self.config.radii(measure)):
                if self.status[row, column] == MISSING:
                    yield (row, column), measure, rho

    def fill(self, place: Place, found: Estimate) -> None:
        """Keep an estimate."""
        for name, (attribute, _) in _VALUES.items():
            self.values[name][place] = getattr(found, attribute)
        self.status[place] = found.status

    def dataset(self, unit: str) -> xr.Dataset:
        """The labelled arrays, where the loss is in ``unit``; with the attribute ``notes`` on values that are no plain numbers."""
        of_measures = [MEASURES[name] for name in self.config.measures]
        units = [measure.units or unit for measure in of_measures]
        shared = units[0] if len(set(units)) == 1 else "1"
        dims, row = ("measure", "radius"), ("measure",)

        def text(words: list[str]) -> NDArray[np.object_]:
            return np.array(words, dtype=object)

        dataset = xr.Dataset(
            {
                name: (dims, self.values[name].copy(), labels(words, "1" if name == "perturbation_norm" else shared))
                for name, (_, words) in _VALUES.items()
            },
            coords={
                "measure": (row, text([*self.config.measures]), labels("measure of sharpness")),
                "rho": (dims, _radii(self.config), labels("size ρ of the perturbation, as the measure defines it")),
                "measure_name": (row, text([m.words for m in of_measures]), labels("the measure in words")),
                "rho_name": (row, text([m.rho for m in of_measures]), labels("what the measure's ρ is the size of")),
                "measure_units": (row, text(units), labels("unit of the measure's sharpness, error and gap")),
                "error_over": (
                    row,
                    text([m.over for m in of_measures]),
                    labels("what the standard error is taken over"),
                ),
            },
        )
        dataset["status"] = (dims, self.status.copy(), {**labels("how the value came to be"), **flags(_STATUSES)})
        bounds = np.array([measure.bound for measure in of_measures], dtype=np.int8)
        dataset["lower_bound"] = (
            row,
            bounds,
            labels("whether the value is a lower bound of the maximum that is meant"),
        )
        return dataset.assign_attrs(notes="; ".join(self._notes()))

    def _notes(self) -> Iterator[str]:
        for row, measure in enumerate(self.config.measures):
            for status, why in _WHY.items():
                radii = np.array(self.config.radii(measure))[self.status[row] == status]
                if radii.size:
                    yield f"{measure} at ρ = {', '.join(f'{rho:g}' for rho in radii)}: {why}"


def _radii(config: SharpnessConfig) -> NDArray[np.float64]:
    """ρ by measure and radius; every measure has as many."""
    return np.array([config.radii(measure) for measure in config.measures], dtype=np.float64)
