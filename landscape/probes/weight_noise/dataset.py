"""Rises of the loss by noise, σ and draw as arrays, and as the labelled data set that is stored and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import MismatchError
from landscape.numerics.statistics import mean_and_standard_error
from landscape.probes.weight_noise.config import NOISES, WeightNoiseConfig
from landscape.probes.weight_noise.result import Status

Place = tuple[int, int]


@dataclass(frozen=True)
class NoiseTable:
    """The rise of the mean loss of every draw ``(noise, level, draw)``, and the standard error of their mean over the samples
    ``(noise, level)``; NaN, with the status ``MISSING``, where nothing was measured.
    """

    config: WeightNoiseConfig
    rises: NDArray[np.float64]
    sample_errors: NDArray[np.float64]
    status: NDArray[np.int8]

    @classmethod
    def empty(cls, config: WeightNoiseConfig) -> NoiseTable:
        shape = _sigmas(config).shape
        rises = np.full((*shape, config.draws), np.nan)
        return cls(config, rises, np.full(shape, np.nan), np.full(shape, Status.MISSING, dtype=np.int8))

    @classmethod
    def of(cls, dataset: xr.Dataset, config: WeightNoiseConfig) -> NoiseTable:
        """The arrays of an earlier result.

        Raises:
            MismatchError: if its noises, σ or number of draws are others.
        """
        same = tuple(dataset["noise"].values) == config.noise and dataset.sizes["draw"] == config.draws
        if not same or not np.array_equal(dataset["sigma"].values, _sigmas(config)):
            raise MismatchError("resume: the earlier result has other noises, σ or draws; write to another file.")
        rises, errors, status = (
            np.array(dataset[name].values) for name in ("draw_rise", "sample_standard_error", "status")
        )
        return cls(config, rises, errors, status.astype(np.int8))

    @property
    def done(self) -> int:
        """How many σ there are values for."""
        return int((self.status != Status.MISSING).sum())

    def missing(self) -> Iterator[tuple[Place, str, float]]:
        """Place, noise and σ of every value that is still to be measured."""
        for row, noise in enumerate(self.config.noise):
            for column, sigma in enumerate(self.config.sigmas(noise)):
                if self.status[row, column] == Status.MISSING:
                    yield (row, column), noise, sigma

    def fill(self, place: Place, rises: list[float], sample_error: float) -> None:
        """Keep the rise of every draw."""
        self.rises[place], self.sample_errors[place] = rises, sample_error
        self.status[place] = Status.MEASURED if np.isfinite(rises).all() else Status.NOT_FINITE

    def dataset(self, unit: str) -> xr.Dataset:
        """The labelled arrays, where the loss is in ``unit``; with the attribute ``notes`` on values that are no plain numbers."""
        known = self.status != Status.MISSING
        found = np.full((*self.status.shape, 2), math.nan)
        for place in zip(*np.nonzero(known), strict=True):
            found[place] = mean_and_standard_error(torch.from_numpy(self.rises[place]))
        noises, dims = list(self.config.noise), ("noise", "level")
        flags = {
            "flag_values": np.array([*Status], dtype=np.int8),
            "flag_meanings": " ".join(status.name.lower() for status in Status),
        }
        over_samples = "standard error of the rise over samples, the draws held fixed"
        return xr.Dataset(
            {
                "rise": (dims, found[..., 0], _labels("rise of the mean loss, mean over draws of the noise", unit)),
                "standard_error": (dims, found[..., 1], _labels("standard error of the rise over draws", unit)),
                "sample_standard_error": (dims, self.sample_errors.copy(), _labels(over_samples, unit)),
                "draw_rise": ((*dims, "draw"), self.rises.copy(), _labels("rise of the mean loss by one draw", unit)),
                "status": (dims, self.status.copy(), {**_labels("how the value came to be"), **flags}),
            },
            coords={
                "noise": ("noise", np.array(noises, dtype=object), _labels("noise")),
                "noise_name": (
                    "noise",
                    np.array([NOISES[name][0] for name in noises], dtype=object),
                    _labels("the noise in words"),
                ),
                "sigma": (dims, _sigmas(self.config), _labels("size σ of the noise, as the noise defines it")),
            },
            attrs={"notes": "; ".join(self._notes())},
        )

    def _notes(self) -> Iterator[str]:
        for row, noise in enumerate(self.config.noise):
            sigmas = np.array(self.config.sigmas(noise))[self.status[row] == Status.NOT_FINITE]
            if sigmas.size:
                yield f"{noise} at σ = {', '.join(f'{s:g}' for s in sigmas)}: a loss is NaN or infinite, and is kept as it is"


def _sigmas(config: WeightNoiseConfig) -> NDArray[np.float64]:
    """σ by noise and level; every noise has as many."""
    return np.array([config.sigmas(noise) for noise in config.noise], dtype=np.float64)


def _labels(long_name: str, units: str = "1") -> dict[str, Any]:
    return {"long_name": long_name, "units": units}
