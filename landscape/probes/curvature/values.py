"""What is known so far of the curvature of every block, as arrays, with the space of the block that is under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from landscape.errors import MismatchError
from landscape.numerics.eigenvalues import Extremes
from landscape.numerics.lanczos import Floats, Krylov
from landscape.numerics.parameters import Layout
from landscape.probes.curvature.config import CurvatureConfig
from landscape.probes.curvature.result import MEASURED, MISSING
from landscape.probes.curvature.traces import Deflation
from landscape.results.attributes import labels

EIGENVALUES, TRACE, DENSITY = "eigenvalues", "trace", "density"
# variable -> its dimensions after block
_ARRAYS = {
    "eigenvalues": ("rank",),
    "residuals": ("rank",),
    "error_bounds": ("rank",),
    "trace_samples": ("trace_probe", "moment"),
    "known_traces": ("moment",),
    "asymmetry": (),
    "nodes": ("density_probe", "node"),
    "weights": ("density_probe", "node"),
}
_COUNTS: dict[str, tuple[str, ...]] = {"converged": ("rank",), "products": ()}


@dataclass
class CurvatureTable:
    """Arrays whose first dimension is the block, NaN where nothing is known.

    Attributes:
        config: what was asked for.
        blocks: the parameters of every block by its name.
        layout: of θ.
        arrays: by the names and further dimensions of ``_ARRAYS`` and ``_COUNTS``.
        eigenvectors: ``(rank, n)``; of several blocks, each fills its own parameters.
        status: of every block and quantity.
        space: the Krylov space of the eigenvalue search that is under way, or what the trace that follows deflates by.
    """

    config: CurvatureConfig
    blocks: Mapping[str, tuple[str, ...]]
    layout: Layout
    arrays: dict[str, NDArray[Any]]
    eigenvectors: NDArray[Any]
    status: NDArray[np.int8]
    space: Krylov | Deflation | None = field(default=None)

    @classmethod
    def empty(
        cls, config: CurvatureConfig, blocks: Mapping[str, tuple[str, ...]], layout: Layout, dtype: torch.dtype
    ) -> CurvatureTable:
        sizes = {
            "rank": config.wanted,
            "trace_probe": config.trace_probes,
            "density_probe": config.density_probes,
            "node": min(config.density_steps, max(layout.part(names).size for names in blocks.values())),
            "moment": 2,
        }
        arrays: dict[str, NDArray[Any]] = {
            name: np.full((len(blocks), *(sizes[dim] for dim in dims)), np.nan) for name, dims in _ARRAYS.items()
        }
        for name, dims in _COUNTS.items():
            arrays[name] = np.zeros((len(blocks), *(sizes[dim] for dim in dims)), dtype=np.int64)
        vectors = np.full((config.wanted, layout.size), np.nan, dtype=torch.empty(0, dtype=dtype).numpy().dtype)
        status = np.zeros((len(blocks), len(quantities(config))), dtype=np.int8)
        return cls(config, blocks, layout, arrays, vectors, status)

    def take_up(self, dataset: xr.Dataset) -> None:
        """Go on from an earlier, incomplete result of the same call.

        Raises:
            MismatchError: if it is of other blocks or of another extent.
        """
        made = dataset if "block" in dataset.dims else dataset.expand_dims("block")
        # Vectors are of the whole θ, and have no block.
        stored = {name: made[name].values for name in (*self.arrays, "status") if name in made}
        fits = {name: array.shape == stored[name].shape for name, array in self.arrays.items() if name in stored}
        blocks = tuple(made["block"].values) if "block" in made.coords else tuple(self.blocks)
        if (
            len(fits) < len(self.arrays)
            or not all(fits.values())
            or stored["status"].shape != self.status.shape
            or blocks != tuple(self.blocks)
        ):
            raise MismatchError("resume: the earlier result is of other blocks or quantities; write to another file.")
        for name in self.arrays:
            self.arrays[name] = stored[name].astype(self.arrays[name].dtype)
        self.status = stored["status"].astype(np.int8)
        self.eigenvectors = np.array(dataset["eigenvectors"].values, dtype=self.eigenvectors.dtype)
        self.space = stored_space(dataset)

    @property
    def done(self) -> int:
        """How many quantities of blocks there are."""
        return int((self.status != MISSING).sum())

    def finish(self, block: int, quantity: str, status: int = MEASURED) -> None:
        self.status[block, quantities(self.config).index(quantity)] = status

    def is_missing(self, block: int, quantity: str) -> bool:
        return bool(self.status[block, quantities(self.config).index(quantity)] == MISSING)

    def keep_extremes(self, block: int, found: Extremes, krylov: Krylov) -> None:
        """The eigenpairs of a block, by their ranks, and how unsymmetric the products were that they come from."""
        config, names = self.config, list(self.blocks.values())[block]
        ranks = list(ranks_of(config))
        places = [ranks.index(int(rank)) for rank in found.ranks]
        for name in ("eigenvalues", "residuals", "error_bounds"):
            self.arrays[name][block, places] = found.values if name == "eigenvalues" else getattr(found, name)
        self.arrays["converged"][block, places] = found.converged
        self.arrays["products"][block] = found.products
        size = float(np.linalg.norm(krylov.projection))
        skew = float(np.linalg.norm(krylov.projection - krylov.projection.T))
        self.arrays["asymmetry"][block] = skew / size if size else 0.0
        vectors = found.vectors.cpu().numpy()
        own = {slot.name: slot for slot in self.layout.part(names).slots}
        for slot in self.layout.slots:
            if slot.name in own:
                inside = slice(own[slot.name].offset, own[slot.name].offset + slot.size)
                self.eigenvectors[places, slot.offset : slot.offset + slot.size] = vectors[:, inside]

    def traces_of(self, block: int) -> Floats:
        """The trace samples of a block so far, ``(probes, 2)``."""
        samples: Floats = self.arrays["trace_samples"][block]
        return samples[np.isfinite(samples).all(axis=1)]


def quantities(config: CurvatureConfig) -> tuple[str, ...]:
    """What is measured of every block, in order."""
    wanted = {EIGENVALUES: config.wanted, TRACE: config.trace_probes, DENSITY: config.density_probes}
    return tuple(name for name, count in wanted.items() if count)


def ranks_of(config: CurvatureConfig) -> NDArray[np.int64]:
    """1, 2, … from the largest eigenvalue down, −1, −2, … from the smallest up."""
    return np.concatenate([np.arange(1, config.top + 1), -np.arange(1, config.bottom + 1)])


def array_dims() -> dict[str, tuple[str, ...]]:
    """The dimensions of every array, block first."""
    return {name: ("block", *dims) for name, dims in {**_ARRAYS, **_COUNTS}.items()}


def space_variables(space: Krylov | Deflation | None) -> dict[str, tuple[Sequence[str], Any, dict[str, str]]]:
    """The space under way as variables of a data set: what a search or a trace goes on from, bit for bit."""
    if space is None:
        return {}
    basis: dict[str, Any] = {"space_basis": (("space", "space_parameter"), space.basis.cpu().numpy())}
    if isinstance(space, Deflation):
        own: dict[str, Any] = {"space_shares": (("moment",), np.array([space.trace, space.squares]))}
    else:
        own = {
            "space_projection": (("space", "space_column"), space.projection),
            "space_coupling": (("space",), space.coupling),
            "space_following": (("space_parameter",), space.following.cpu().numpy()),
            "space_counts": (("count",), np.array([space.products, space.retained])),
        }
    label = labels("of the measurement that is under way, to go on from")
    return {name: (dims, values, label) for name, (dims, values) in {**basis, **own}.items()}


def stored_space(dataset: xr.Dataset) -> Krylov | Deflation | None:
    """What :func:`space_variables` stored."""
    if "space_basis" not in dataset:
        return None
    basis = torch.from_numpy(dataset["space_basis"].values.copy())
    if "space_shares" in dataset:
        return Deflation(basis, *map(float, dataset["space_shares"].values))
    products, retained = map(int, dataset["space_counts"].values)
    return Krylov(
        basis,
        dataset["space_projection"].values.astype(np.float64),
        torch.from_numpy(dataset["space_following"].values.copy()),
        dataset["space_coupling"].values.astype(np.float64),
        products,
        retained,
    )
