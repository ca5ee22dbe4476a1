"""Data sets as the probes and the training make them, with shapes that are known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

LONG_NAMES = {
    "loss": ("mean loss over the samples", "nat"),
    "loss_standard_error": ("standard error of the mean loss over the samples", "nat"),
    "accuracy": ("fraction of samples classified rightly", "1"),
    "status": ("whether the point has been measured", "1"),
}

PROVENANCE: dict[str, Any] = {
    "kind": "plane",
    "title": "loss surface",
    "model": "vgg38",
    "norm": "batch",
    "checkpoint": "vgg38-batch-1f2e3d4c-last",
    "checkpoint_hash": "1f2e3d4c5b6a",
    "data": "fashion-mnist-10k/train",
    "data_fingerprint": "0123456789abcdef",
    "index_hash": "fedcba",
    "n_samples": 1000,
    "bn_policy": "frozen",
    "bn_layers": 37,
    "directions": "random",
    "normalization": "filter",
    "precision": "fp32",
    "evaluation_batch_size": 500,
    "device": "cpu",
    "threads": 2,
    "loss_name": "cross_entropy",
    "dead": 0,
    "dead_reason": "",
    "range_note": "range as given",
    "fingerprint": "00",
    "settings": "{}",
}


def walls(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A VGG-like bowl with a steep, lopsided wall: 0.5 at its bottom, about 10⁴ at a far corner."""
    turn = 0.4 * seed
    u = x * np.cos(turn) + y * np.sin(turn)
    v = -x * np.sin(turn) + y * np.cos(turn)
    bowl = 0.5 + 3 * (u - 0.05) ** 2 + 5 * (v + 0.04) ** 2
    return np.asarray(bowl + np.exp(np.clip(6.5 * (np.hypot(u, 1.2 * v) - 0.1 * u) - 2.2, -20, 40)))


def plane(
    nx: int = 51,
    ny: int = 51,
    *,
    seeds: tuple[int, ...] = (0,),
    extent: tuple[float, float, float, float] = (-1.0, 1.0, -1.0, 1.0),
    surface: Any = walls,
    **attrs: Any,
) -> xr.Dataset:
    """A plane of kind ``plane`` with dimensions ``(seed, y, x)`` whose loss is ``surface(x, y, seed)``."""
    x, y = np.linspace(*extent[:2], nx), np.linspace(*extent[2:], ny)
    loss = np.stack([surface(x[None, :], y[:, None], seed) + np.zeros((ny, nx)) for seed in seeds])
    dataset = _dataset(loss, ("seed", "y", "x"), seeds, attrs)
    dataset = dataset.assign_coords(
        x=("x", x, {"long_name": "distance along random direction 1, in filter norms", "units": "1"}),
        y=("y", y, {"long_name": "distance along random direction 2, in filter norms", "units": "1"}),
    )
    dataset["checkpoint_loss"][...] = float(surface(np.zeros(1), np.zeros(1), 0)[0])
    cosines = 0.01 * np.array([seed + 1 for seed in seeds]) * (-1) ** np.arange(len(seeds))
    dataset["direction_cosine"] = ("seed", cosines, {"long_name": "cosine between directions x and y", "units": "1"})
    return dataset


def line(
    nx: int = 51, *, seeds: tuple[int, ...] = (0, 1, 2), extent: tuple[float, float] = (-1.0, 1.0), **attrs: Any
) -> xr.Dataset:
    """A line of kind ``plane`` with dimensions ``(seed, x)``."""
    x = np.linspace(*extent, nx)
    surface = attrs.pop("surface", walls)
    loss = np.stack([surface(x, 0.1 * seed * x, seed) + np.zeros(nx) for seed in seeds])
    label = attrs.pop("x_label", "distance along random direction 1, in filter norms")
    dataset = _dataset(loss, ("seed", "x"), seeds, attrs)
    dataset["checkpoint_loss"][...] = float(surface(np.zeros(1), np.zeros(1), 0)[0])
    return dataset.assign_coords(x=("x", x, {"long_name": label, "units": "1"}))


def dead_plane(nx: int = 51, ny: int = 51, **options: Any) -> xr.Dataset:
    """A network that guesses: ln 10 everywhere, to a part in 10⁹."""

    def flat(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        return np.asarray(np.log(10) + 1e-9 * np.sin(7 * x + seed) * np.cos(5 * y))

    reason = "loss 2.3026 is that of guessing, ln 10 = 2.3026, and the median weight tensor has mean |gradient| 3e-20"
    return plane(
        nx, ny, surface=flat, norm="none", bn_layers=0, bn_policy="none (the model has no BatchNorm)", dead=1,
        **{"dead_reason": reason, "checkpoint": "vgg38-none-77aa88bb-last", **options},
    )  # fmt: skip


def with_holes(dataset: xr.Dataset) -> xr.Dataset:
    """NaN right of x = 0.6 and above y = 0.2, +inf left of x = −0.8, a few points not measured."""
    x, y = dataset["x"], dataset["y"]
    loss = dataset["loss"].where(~((x > 0.6) & (y > 0.2)), np.nan).where(x > -0.8, np.inf)
    missing = (abs(x + 0.2) < 0.06) & (abs(y + 0.6) < 0.1)
    holes = dataset.assign(
        loss=loss.where(~missing, np.nan), status=dataset["status"].where(~missing, 0).astype(np.int8)
    )
    for name in ("loss", "status"):
        holes[name] = holes[name].transpose(*dataset[name].dims).assign_attrs(dataset[name].attrs)
    return holes


def history(epochs: int = 20, *, learns: bool = True, offset: float = 0.0, **attrs: Any) -> xr.Dataset:
    """Training curves: exponential learning, or none at all."""
    epoch = np.arange(1, epochs + 1)
    fall = np.exp(-epoch / 8.0) if learns else np.ones(epochs)
    rate = 2e-5 + (1e-3 - 2e-5) * (1 + np.cos(np.pi * (epoch - 1) / epochs)) / 2
    columns = {
        "train_loss": (0.25 + offset + 2.05 * fall, "training loss", "nat"),
        "validation_loss": (0.40 + offset + 1.90 * fall + 0.004 * epoch, "validation loss", "nat"),
        "train_accuracy": (0.1 + (0.83 - offset) * (1 - fall), "training accuracy", "1"),
        "validation_accuracy": (0.1 + (0.78 - offset) * (1 - fall), "validation accuracy", "1"),
        "learning_rate": (rate, "learning rate", "1"),
    }
    variables = {k: ("epoch", v, {"long_name": n, "units": u}) for k, (v, n, u) in columns.items()}
    dataset = xr.Dataset(variables, coords={"epoch": ("epoch", epoch, {"long_name": "epoch", "units": "1"})})
    dataset["test_loss"] = ((), 0.62 + offset, {"long_name": "test loss", "units": "nat"})
    dataset["test_accuracy"] = ((), 0.79 - offset if learns else 0.1, {"long_name": "test accuracy", "units": "1"})
    dataset.attrs = {
        "kind": "history", "title": "training history", "model": "vgg38", "norm": "batch", "data": "fashion-mnist-10k",
        "status": "complete", "learning_rate": 1e-3, "batch_size": 100, "seed": 0, "optimizer": "adam",
        "loss_name": "cross_entropy", "settings": "{}", **attrs,
    }  # fmt: skip
    return dataset


def _dataset(loss: np.ndarray, dims: tuple[str, ...], seeds: tuple[int, ...], attrs: dict[str, Any]) -> xr.Dataset:
    values = {
        "loss": loss,
        "loss_standard_error": 0.01 + 0.04 * loss,
        "accuracy": np.clip(0.1 + 0.8 * np.exp(0.5 - loss), 0, 1),
        "status": np.ones(loss.shape, dtype=np.int8),
    }
    variables = {
        name: (dims, array, {"long_name": LONG_NAMES[name][0], "units": LONG_NAMES[name][1]})
        for name, array in values.items()
    }
    coords = {"seed": ("seed", np.array(seeds, dtype=np.int64), {"long_name": "direction seed", "units": "1"})}
    dataset = xr.Dataset(variables, coords=coords)
    dataset["checkpoint_loss"] = ((), 0.52, {"long_name": "mean loss of the checkpoint itself", "units": "nat"})
    dataset["checkpoint_loss_standard_error"] = ((), 0.021, {"long_name": "its standard error", "units": "nat"})
    dataset["checkpoint_accuracy"] = ((), 0.88, {"long_name": "accuracy of the checkpoint itself", "units": "1"})
    dataset.attrs = {**PROVENANCE, **attrs}
    return dataset
