"""Results of made-up trainings whose true differences are known, as the data sets and files that a comparison reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from landscape.comparison import compare

EPOCHS = 8


def training(**settings: Any) -> dict[str, Any]:
    """The flat settings that every result of a run carries."""
    options = {"norm": settings.pop("norm", "batch")}
    defaults = {
        "model": "vgg08",
        "data": "fashion-mnist-10k",
        "data_options": {},
        "loss": "cross_entropy",
        "epochs": EPOCHS,
    }
    return {**defaults, "model_options": options, "learning_rate": 1e-3, "batch_size": 100, "seed": 0, **settings}


def history(
    loss: float | Sequence[float] = 1.0, accuracy: float = 0.5, *, attrs: dict[str, Any] | None = None, **settings: Any
) -> xr.Dataset:
    """A finished training. ``loss`` is that of every epoch, or one value each; so is the validation accuracy."""
    curve = np.broadcast_to(np.asarray(loss, dtype=float), EPOCHS)
    return xr.Dataset(
        {
            "train_loss": ("epoch", curve, {"units": "nat", "long_name": "training loss"}),
            "validation_accuracy": ("epoch", np.full(EPOCHS, accuracy), {"units": "1", "long_name": "accuracy"}),
        },
        coords={"epoch": ("epoch", np.arange(1, EPOCHS + 1), {"units": "1", "long_name": "epoch"})},
        attrs={
            "kind": "history",
            "title": "training",
            "status": "complete",
            "loss_name": "cross_entropy",
            "data": "fashion-mnist-10k",
            "training": training(**settings),
            **(attrs or {}),
        },
    )


def steps(
    values: Sequence[float], *, every: int = 1, attrs: dict[str, Any] | None = None, **settings: Any
) -> xr.Dataset:
    """A step probe of two directions: ``values`` are the loss variation and, doubled, the effective β of every step."""
    along = np.stack([values, values], axis=1)
    at = every * np.arange(len(values))
    both = ("step", "along")
    return xr.Dataset(
        {
            "loss_variation": (both, along, {"units": "nat", "long_name": "range of the loss"}),
            "effective_beta": (both, 2 * along, {"units": "nat", "long_name": "effective β"}),
            "parameter_norm": ("step", np.full(len(values), 3.0), {"units": "1", "long_name": "‖θ‖"}),
        },
        coords={"step": at, "along": ["gradient", "update"], "eta": [0.5, 1.0, 2.0]},
        attrs={
            "kind": "steps",
            "title": "steps",
            "loss_name": "cross_entropy",
            "data": "fashion-mnist-10k",
            "training": training(**settings),
            **(attrs or {}),
        },
    )


def plane(
    curvatures: Sequence[float], *, n: int = 7, attrs: dict[str, Any] | None = None, **settings: Any
) -> xr.Dataset:
    """A plane f = c (x² + y²)/2 for each direction seed's curvature c."""
    x = np.linspace(-1, 1, n)
    bowl = np.add.outer(x**2, x**2) / 2
    ripple = 1e-4 * np.sin(40 * np.add.outer(x, 2 * x))  # so that no bowl is exact
    values = np.multiply.outer(np.asarray(curvatures, dtype=float), bowl + ripple)
    return xr.Dataset(
        {
            "loss": (("seed", "y", "x"), values, {"units": "nat"}),
            "status": (("seed", "y", "x"), np.ones(values.shape, np.int8)),
        },
        coords={"seed": np.arange(len(curvatures)), "x": x, "y": x},
        attrs={
            "kind": "plane",
            "title": "plane",
            "loss_name": "cross_entropy",
            "data": "fashion-mnist-10k/train",
            "index_hash": "aa",
            "bn_policy": "frozen",
            "normalization": "filter",
            "directions": "random",
            "checkpoint": "run-last",
            "training": training(**settings),
            **(attrs or {}),
        },
    )


def study(
    truth: dict[int, float], seeds: int, draws: np.random.Generator, *, noise: float = 0.05, shared: float = 0.2
) -> list[xr.Dataset]:
    """Trainings at several batch sizes whose expected loss and accuracy are ``truth``; a seed shifts all of its runs."""
    shift = shared * draws.standard_normal((seeds, 2))
    found = []
    for batch_size, expected in truth.items():
        for seed in range(seeds):
            loss, accuracy = expected + shift[seed] + noise * draws.standard_normal(2)
            found.append(history(loss, accuracy, batch_size=batch_size, seed=seed))
    return found


def sharpness(
    sam: float, adaptive: float, *, attrs: dict[str, Any] | None = None, rho: float = 0.05, **settings: Any
) -> xr.Dataset:
    """Two measures at three radii each, the middle one as given, and an average that may be negative."""
    values = np.multiply.outer([sam, adaptive, -sam], [0.1, 1.0, 7.0])
    radii = np.multiply.outer([rho, 10 * rho, rho], [0.5, 1.0, 2.0])
    row, both = ("measure",), ("measure", "radius")
    return xr.Dataset(
        {
            "sharpness": (both, values, {"units": "nat", "long_name": "rise of the mean loss"}),
            "status": (both, np.ones(values.shape, np.int8)),
            "lower_bound": (row, np.array([1, 1, 0], np.int8)),
            "parameter_norm": ((), 5.0, {"units": "1", "long_name": "‖θ‖"}),
        },
        coords={
            "measure": (row, np.array(["sam", "adaptive", "gaussian"], dtype=object)),
            "rho": (both, radii),
            "measure_name": (row, np.array(["SAM", "adaptive worst case", "average case"], dtype=object)),
            "measure_units": (row, np.array(["nat"] * 3, dtype=object)),
        },
        attrs={
            "kind": "sharpness",
            "title": "sharpness",
            "loss_name": "cross_entropy",
            "data": "fashion-mnist-10k/train",
            "index_hash": "aa",
            "bn_policy": "frozen",
            "precision": "fp32",
            "draw_seed": 0,
            "checkpoint": "run-last",
            "training": training(**settings),
            **(attrs or {}),
        },
    )


def curvature_map(
    largest: float, ratios: Sequence[float], *, attrs: dict[str, Any] | None = None, **settings: Any
) -> xr.Dataset:
    """λ_max of the checkpoint, and one ratio all over the plane of each direction seed."""
    ratio = np.broadcast_to(np.asarray(ratios, dtype=float)[:, None, None], (len(ratios), 3, 3))
    x = np.linspace(-1, 1, 3)
    return xr.Dataset(
        {
            "curvature_ratio": (("seed", "y", "x"), ratio.copy()),
            "eigenvalue_largest": (("seed", "y", "x"), np.full(ratio.shape, largest), {"units": "nat"}),
            "checkpoint_eigenvalue_largest": ((), largest),
            "checkpoint_curvature_ratio": ((), float(np.mean(ratios))),
            "status": (("seed", "y", "x"), np.ones(ratio.shape, np.int8)),
            "parameter_norm": ((), 5.0),
        },
        coords={"seed": np.arange(len(ratios)), "x": x, "y": x},
        attrs={
            "kind": "curvature_map",
            "title": "curvature map",
            "loss_name": "cross_entropy",
            "data": "fashion-mnist-10k/train",
            "index_hash": "aa",
            "bn_policy": "frozen",
            "directions": "random",
            "checkpoint": "run-last",
            "training": training(**settings),
            **(attrs or {}),
        },
    )


@cache
def batch_sizes(settings: int = 2) -> xr.Dataset:
    """Runs of several batch sizes, whose loss grows with it and whose accuracy does not, with step probes beside them."""
    draws = np.random.default_rng(3)
    found = []
    for number in range(settings):
        size = 50 * 2**number
        for seed in range(5):
            noise = 0.02 * draws.standard_normal(3)
            trained = history(1 + number + noise[0], 0.5 + noise[1], batch_size=size, seed=seed)
            probe = steps(
                (0.1 * 4**number * np.exp(noise[2] + 0.05 * draws.standard_normal(9))).tolist(),
                batch_size=size,
                seed=seed,
            )
            found += [trained, probe]
    return compare(found, by="batch_size").dataset()
