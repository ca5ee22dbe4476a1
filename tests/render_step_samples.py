"""Data sets of gradient flow, probed steps, ranges over runs and comparisons, with values that are known in closed form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from render_samples import history

RUN: dict[str, Any] = {
    "model": "vgg38", "norm": "batch", "data": "cifar100", "learning_rate": 1e-3, "batch_size": 100, "seed": 0,
    "optimizer": "adam", "loss_name": "cross_entropy", "updates": 47500, "dead": 0, "dead_reason": "",
}  # fmt: skip
DEAD: dict[str, Any] = {"norm": "none", "dead": 1, "dead_reason": "loss 4.6053 is that of guessing, ln 100 = 4.6052"}


def labelled(dims: Sequence[str], values: Any, long_name: str, units: str = "1") -> tuple[Any, ...]:
    return (tuple(dims), np.asarray(values), {"long_name": long_name, "units": units})


def tensors(layers: int) -> list[tuple[str, int, str]]:
    """Name, depth and role of the tensors of a network: weight, γ and β of each convolution, then the head's two."""
    found = [("input.conv.weight", 1, "weight"), ("input.norm.weight", 1, "scale"), ("input.norm.bias", 1, "shift")]
    for depth in range(2, layers):
        block = f"stage{1 + 3 * (depth - 2) // (layers - 2)}.block{(depth // 2) % 5 + 1}.{depth % 2}"
        found.append((f"{block}.conv.weight", depth, "weight"))
        found += [(f"{block}.norm.weight", depth, "scale"), (f"{block}.norm.bias", depth, "shift")]
    return [*found, ("head.weight", layers, "weight"), ("head.bias", layers, "bias")]


def flow_value(epoch: Any, depth: Any, layers: int, decades: float) -> Any:
    """Mean |gradient|: falls by so many decades from the last layer to the first, and a little with the epochs."""
    return 2e-3 * 10.0 ** (
        -decades * (layers - depth) / max(layers - 1, 1) - 0.01 * epoch + 0.2 * np.sin(2 * depth + epoch)
    )


def flow(layers: int = 38, epochs: int = 100, *, decades: float = 1.0, per_epoch: int = 1, **attrs: Any) -> xr.Dataset:
    """A gradient flow of ``layers`` layers with ``per_epoch`` records an epoch."""
    names, depth, role = zip(*tensors(layers), strict=True)
    record = np.arange(epochs * per_epoch)
    epoch, depths = 1 + record // per_epoch, np.array(depth)
    values = flow_value(epoch[:, None], depths[None, :], layers, decades) * np.where(np.array(role) == "weight", 1, 7)
    sizes = 9.0 * 32 * np.where(depths > 1, 32, 3)
    dataset = xr.Dataset(
        {
            "mean_abs_gradient": labelled(("record", "tensor"), values, "mean over the tensor of |∂L/∂w|", "nat"),
            "gradient_norm": labelled(
                ("record", "tensor"), values * np.sqrt(np.pi / 2 * sizes), "Euclidean norm of ∂L/∂w", "nat"
            ),
        },
        coords={
            "epoch": labelled(["record"], epoch, "epoch"),
            "step": labelled(["record"], 475 * (record + 1) // per_epoch - 1, "updates made before the step"),
            "tensor": labelled(["tensor"], np.array(names, dtype=object), "name of the parameter"),
            "depth": labelled(["tensor"], depths, "place of the tensor's layer"),
            "role": labelled(["tensor"], np.array(role, dtype=object), "what the tensor does in its layer"),
        },
    )
    dataset.attrs = {"kind": "gradient_flow", "title": "Gradient flow", **RUN, **attrs}
    return dataset


def dead_flow(layers: int = 38, epochs: int = 100, *, zeros: int = 3, **attrs: Any) -> xr.Dataset:
    """Falls to 1e-20, and the first ``zeros`` weight tensors get exactly nothing from the second record on."""
    dataset = flow(layers, epochs, decades=17, **{**DEAD, **attrs})
    later = xr.DataArray(np.arange(dataset.sizes["record"]) > 0, dims="record")
    first = (dataset["depth"] <= zeros) & (dataset["role"] == "weight") & later
    for name in ("mean_abs_gradient", "gradient_norm"):
        dataset[name] = dataset[name].where(~first, 0.0).transpose("record", "tensor").assign_attrs(dataset[name].attrs)
    return dataset


def steps(
    count: int = 120,
    *,
    every: int = 10,
    rough: float = 1.0,
    along: Sequence[str] = ("gradient", "update"),
    **attrs: Any,
) -> xr.Dataset:
    """Steps of a falling loss; ``rough`` widens every range, and the update's are half the gradient's."""
    step, eta = every * np.arange(count), np.linspace(0.5, 4, 8)
    rng = np.random.default_rng(3)
    loss = 0.8 + 3.6 * np.exp(-step / (4 * every * 10)) + 0.12 * rng.standard_normal(count)
    part = np.array([1.0 if one == "gradient" else 0.5 for one in along])
    shape = (
        loss[:, None, None] * 0
        + part[None, :, None] * eta[None, None, :] * (1 + 0.3 * rng.random(count))[:, None, None]
    )
    norm, theta, gradient = part + 0 * loss[:, None], 40 + step / 100, 0.5 + 0.3 * rng.random(count)
    along_loss = loss[:, None, None] + rough * 0.12 * (shape - 0.8)
    distance, rate = rough * 0.2 * shape, 1e-3
    values: dict[str, tuple[Sequence[str], Any]] = {
        "loss": (["step"], loss),
        "parameter_norm": (["step"], theta),
        "gradient_norm": (["step"], gradient),
        "direction_norm": (["step", "along"], norm),
        "loss_along": (["step", "along", "eta"], along_loss),
        "gradient_distance": (["step", "along", "eta"], distance),
        "gradient_norm_along": (["step", "along", "eta"], gradient[:, None, None] + distance),
    }
    two = ["step", "along"]
    beta = (distance / (rate * eta * norm[..., None])).max(-1)
    rise = (abs(along_loss - loss[:, None, None]) / (rate * eta * norm[..., None])).max(-1)
    steepest = (gradient[:, None, None] + distance).max(-1)
    values |= {
        "loss_minimum": (two, along_loss.min(-1)),
        "loss_maximum": (two, along_loss.max(-1)),
        "loss_variation": (two, np.ptp(along_loss, axis=-1)),
        "gradient_distance_minimum": (two, distance.min(-1)),
        "gradient_distance_maximum": (two, distance.max(-1)),
        "gradient_predictiveness": (two, np.ptp(distance, axis=-1)),
        "gradient_predictiveness_normalized": (two, np.ptp(distance, axis=-1) / gradient[:, None]),
        "effective_beta": (two, beta),
        "effective_beta_normalized": (two, beta * theta[:, None] ** 2),
        "lipschitz_loss": (two, rise),
        "lipschitz_loss_normalized": (two, rise * theta[:, None]),
        "lipschitz_gradient": (two, steepest),
        "lipschitz_gradient_normalized": (two, steepest * theta[:, None]),
    }
    unitless = ("parameter_norm", "gradient_predictiveness_normalized")
    dataset = xr.Dataset(
        {
            name: labelled(dims, array, name.replace("_", " "), "1" if name in unitless else "nat")
            for name, (dims, array) in values.items()
        },
        coords={
            "step": labelled(["step"], step, "updates made before the step"),
            "epoch": labelled(["step"], 1 + step // 475, "epoch"),
            "learning_rate": labelled(["step"], np.full(count, rate), "learning rate"),
            "along": labelled(["along"], np.array(along, dtype=object), "direction"),
            "eta": labelled(["eta"], eta, "η in learning rates"),
        },
    )
    dataset.attrs = {"kind": "steps", "title": "Training steps", **RUN, **attrs}
    return dataset


def dead_steps(count: int = 120, **attrs: Any) -> xr.Dataset:
    """ln 100 at every point, and no gradient to speak of."""
    dataset = steps(count, rough=1e-19, **{**DEAD, **attrs})
    for name in ("loss", "loss_along", "loss_minimum", "loss_maximum"):
        dataset[name] = dataset[name] * 0 + np.log(100)
    return dataset


def stability(count: int = 5, **attrs: Any) -> xr.Dataset:
    """A ratio to the edge of stability that rises evenly to 1.2."""
    step = 10 * np.arange(count)
    ratio = np.linspace(0.2, 1.2, count)
    values = {
        "sharpness": (2000 * ratio, "nat"),
        "threshold": (np.full(count, 2000.0), "nat"),
        "ratio": (ratio, "1"),
        "residual": (np.full(count, 1e-3), "1"),
        "products": (np.full(count, 7), "1"),
        "converged": (np.ones(count, np.int8), "1"),
        "loss": (np.linspace(2.0, 0.5, count), "nat"),
    }
    dataset = xr.Dataset(
        {name: labelled(["step"], array, name, unit) for name, (array, unit) in values.items()},
        coords={"step": labelled(["step"], step, "updates made before the step")},
    )
    dataset.attrs = {
        "kind": "stability", "title": "Edge of stability", "rule": "gradient descent", "limit": 2.0,
        "hessian_of": "the step's minibatch", **RUN, **attrs,
    }  # fmt: skip
    return dataset


def run_range(count: int = 120, *, rough: float = 1.0, **attrs: Any) -> xr.Dataset:
    """The range over three runs whose losses lie ``rough`` apart."""
    step = 10 * np.arange(count)
    loss = 0.8 + 3.6 * np.exp(-step / 400)
    values = {
        "loss_minimum": loss,
        "loss_maximum": loss + rough * (0.3 + 0.1 * np.sin(step / 50)),
        "gradient_norm_minimum": 0.4 + 0 * loss,
        "gradient_norm_maximum": 0.4 + rough * (0.5 + 0.2 * np.cos(step / 70)),
    }
    dataset = xr.Dataset(
        {name: labelled(["step"], array, name.replace("_", " "), "nat") for name, array in values.items()},
        coords={"step": labelled(["step"], step, "updates made before the step")},
    )
    runs = json.dumps(["learning rate 1e-4", "learning rate 1e-3", "learning rate 1e-2"])
    dataset.attrs = {
        "kind": "run_range",
        "title": "Range over runs",
        "model": "vgg38",
        "norm": "batch",
        "runs": runs,
        **attrs,
    }
    return dataset


# name -> long name, units, scale, replication, a typical value
MEASURES: dict[str, tuple[str, str, str, str, float]] = {
    "validation_accuracy": ("validation accuracy, mean over the final 5 epochs", "1", "linear", "training seeds", 0.45),
    "validation_loss": ("validation loss, mean over the final 5 epochs", "nat", "linear", "training seeds", 1.98),
    "effective_beta": (
        "effective β-smoothness, median over steps", "nat", "log", "steps within one run (block bootstrap)", 40.0
    ),
    "sharpness": ("SAM sharpness at ρ = 0.05", "nat", "log", "training seeds", 0.07),
    "plane_range": ("mean rise of the loss over the plane", "nat", "log", "direction seeds", 5.0),
    "gradient_norm": ("gradient norm", "nat", "log", "training seeds", 0.5),
}  # fmt: skip


def comparison(
    settings: Mapping[str, float] | None = None,
    measures: Sequence[str] = tuple(MEASURES),
    *,
    by: str = "learning_rate",
    seeds: int = 3,
    dead: Sequence[str] = (),
    **attrs: Any,
) -> xr.Dataset:
    """Settings with a factor each, by which every measure differs from its typical value."""
    settings = (
        {"1e-4": 0.8, "5e-4": 0.95, "1e-3": 1.0, "5e-3": 1.1, "1e-2": 1.25, "5e-2": 1.6}
        if settings is None
        else settings
    )
    noise = np.random.default_rng(1).standard_normal((len(measures), len(settings), seeds))
    typical = np.array([MEASURES[name][4] for name in measures])
    factors = np.array(list(settings.values()))
    value = typical[:, None, None] * factors[None, :, None] * np.exp(0.06 * noise)
    is_dead = np.array([name in dead for name in settings])
    value[:, is_dead] *= 1e-6
    mean = np.exp(np.log(value).mean(-1))
    half = 4.3 * np.log(value).std(-1, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan * mean
    three, two = ("measure", "setting", "replicate"), ("measure", "setting")
    pairs = ["1e-3 vs 1e-4"]
    sentences = [[f"{MEASURES[name][0]}: higher at 1e-3 than at 1e-4 (ratio 1.25, p = 0.01)"] for name in measures]
    texts = {
        "replication": [MEASURES[name][3] for name in measures],
        "scale": [MEASURES[name][2] for name in measures],
        "long_name": [MEASURES[name][0] for name in measures],
        "measure_units": [MEASURES[name][1] for name in measures],
    }
    dataset = xr.Dataset(
        {
            "value": labelled(three, value, "value of each replicate"),
            "mean": labelled(two, mean, "mean"),
            "low": labelled(two, mean * np.exp(-half), "lower end of the interval"),
            "high": labelled(two, mean * np.exp(half), "upper end of the interval"),
            "n": labelled(two, np.full(mean.shape, float(seeds)), "number of independent units"),
            "dead": labelled(["setting"], is_dead.astype(np.int8), "whether the network is dead"),
            "sentence": labelled(("measure", "pair"), np.array(sentences, dtype=object), "the difference in words"),
            **{name: labelled(["measure"], np.array(words, dtype=object), name) for name, words in texts.items()},
        },
        coords={
            "measure": labelled(["measure"], np.array(measures, dtype=object), "measure"),
            "setting": labelled(["setting"], np.array(list(settings), dtype=object), "setting"),
            "pair": labelled(["pair"], np.array(pairs, dtype=object), "pair"),
        },
    )
    notes = ["With equal epochs, runs of another batch size make another number of updates.", "p-values are Holm's."]
    dataset.attrs = {"kind": "comparison", "title": "comparison by learning rate", "by": by, "confidence": 0.95,
                     "notes": json.dumps(notes), **attrs}  # fmt: skip
    return dataset


def sweep(
    setting: str = "learning_rate",
    values: Sequence[float] = (1e-3, 1e-4, 5e-2),
    seeds: Sequence[int] = (0, 1),
    epochs: int = 20,
) -> list[xr.Dataset]:
    """Histories of every value and seed; each further seed's loss lies 0.02 higher, each value's 0.07."""
    return [
        history(epochs, offset=0.07 * place + 0.02 * number, **{setting: value, "seed": seed})
        for place, value in enumerate(values)
        for number, seed in enumerate(seeds)
    ]


def adaptive(dataset: xr.Dataset, loss_max: float = 6.0) -> xr.Dataset:
    """A plane as if measured adaptively: every other point interpolated, points above the clip by part of the samples."""
    x, y = np.meshgrid(np.arange(dataset.sizes["x"]), np.arange(dataset.sizes["y"]))
    status = np.where((x + y) % 2 == 0, 1, 2)[None] * np.ones(dataset["loss"].shape, dtype=int)
    status = np.where(dataset["loss"].values > loss_max, 3, status)
    changed = dataset.assign(status=(dataset["status"].dims, status.astype(np.int8), dataset["status"].attrs))
    changed.attrs |= {
        "tolerance": 0.02, "loss_max": loss_max, "picture_error": 0.011, "measured_points": int((status != 2).sum())
    }  # fmt: skip
    return changed


def noise_scale(scale: float = 1200.0, *, error: float | None = None, resolved: int = 1, **attrs: Any) -> xr.Dataset:
    """A noise scale whose values without each of ten groups lie evenly around it, as far as its jackknife error says."""
    error = 0.1 * abs(scale) if error is None else error
    places = np.linspace(-1, 1, 10)
    parts = {"noise_trace": 6.0, "gradient_norm_squared": 6.0 / scale}
    values: dict[str, tuple[float, str]] = {"noise_scale": (scale, "1"), "noise_scale_standard_error": (error, "1")}
    for name, value in parts.items():
        values |= {name: (value, "nat^2"), f"{name}_standard_error": (0.1 * abs(value), "nat^2")}
    dataset = xr.Dataset({name: labelled([], value, name, unit) for name, (value, unit) in values.items()})
    dataset["resolved"] = labelled([], np.int8(resolved), "whether ‖G‖² lies two standard errors above zero")
    without = scale + places * error / np.sqrt(0.9 * (places**2).sum())
    dataset["noise_scale_without"] = labelled(["group"], without, "noise scale without the group")
    dataset.attrs = {
        "kind": "noise_scale", "title": "gradient noise scale", "model": "vgg38", "norm": "batch", "n_samples": 1000,
        "data": "fashion-mnist-10k/train", "bn_policy": "frozen", "bn_layers": 37, "checkpoint": "vgg38-batch-last",
        "small_batch": 10, "big_batch": 1000, "groups": 10, "dead": 0, "dead_reason": "", **attrs,
    }  # fmt: skip
    return dataset
