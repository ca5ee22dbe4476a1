"""What is told to a logger of experiments: numbers and figures by name, and a step."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from landscape.errors import InputError

# (name -> number or figure, step) -> None
Log = Callable[[Mapping[str, Any], int], None]
# kind of data set -> the variables of its last step that are told as numbers
_TOLD = {
    "steps": ("loss", "gradient_norm", "loss_variation", "gradient_predictiveness", "effective_beta"),
    "stability": ("loss", "sharpness", "threshold", "ratio"),
    "critical_steps": ("loss", "critical_sharpness", "critical_sharpness_standard_error", "threshold"),
}


def as_log(given: Any) -> Log | None:
    """A function of a mapping and a step, from what the usual loggers are.

    Taken are a function ``(mapping, step)``; what has ``log(mapping, step=…)``, as a run of wandb or trackio and their modules; a
    ``SummaryWriter`` of TensorBoard; mlflow, the module; and a logger of Lightning. Figures go where a logger takes them.

    Raises:
        InputError: for anything else.
    """
    if given is None:
        return None
    if hasattr(given, "add_scalar") and hasattr(given, "add_figure"):
        return _TensorBoard(given)
    if hasattr(given, "log_metrics") and hasattr(given, "log_figure"):
        return _MLflow(given)
    if hasattr(given, "log_metrics") and hasattr(given, "experiment"):
        return _Lightning(given)
    if hasattr(given, "log") and callable(given.log):
        return _Run(given)
    if callable(given):
        function: Log = given
        return function
    raise InputError(
        f"log: expected a function (mapping, step), a run of wandb or trackio, a SummaryWriter, or mlflow, got {given!r}. "
        "Try log=lambda values, step: print(step, values)."
    )


def numbers(name: str, dataset: xr.Dataset) -> dict[str, float]:
    """What the last measured step of a data set comes to, by names that begin with ``name``; what is not finite is left out."""
    kind = str(dataset.attrs.get("kind"))
    found = _flow(dataset) if kind == "gradient_flow" else _last(dataset, _TOLD.get(kind, ()))
    return {f"{name}/{what}": value for what, value in found.items() if math.isfinite(value)}


def _last(dataset: xr.Dataset, variables: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    if not dataset.sizes.get("step"):
        return found
    last = dataset.isel(step=-1)
    for name in variables:
        if name in last and last[name].ndim == 0:
            found[name] = float(last[name])
        elif name in last and last[name].dims == ("along",):
            found |= {f"{name}/{way}": float(last[name].sel(along=way)) for way in last["along"].values}
    return found


def _flow(dataset: xr.Dataset) -> dict[str, float]:
    """The norm of the whole gradient, and the mean |∂L/∂w| of the weight tensors where it is least and where it is largest."""
    if not dataset.sizes["record"]:
        return {}
    last = dataset.isel(record=-1)
    means = last["mean_abs_gradient"].values[last["role"].values == "weight"]
    whole = {"gradient_norm": float(np.sqrt(np.square(last["gradient_norm"].values).sum()))}
    return {**whole, "least_mean": float(means.min()), "largest_mean": float(means.max())} if means.size else whole


def is_figure(value: Any) -> bool:
    """Whether a value is a figure of matplotlib."""
    return hasattr(value, "savefig")


def pixels(figure: Any) -> Any:
    """A figure as an array ``(height, width, 3)`` of bytes."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        for name, value in values.items():
            if is_figure(value):
                self._writer.add_image(name, pixels(value), step, dataformats="HWC")
            else:
                self._writer.add_scalar(name, value, step)


class _MLflow:
    def __init__(self, module: Any) -> None:
        self._module = module

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        for name, value in values.items():
            if is_figure(value):
                self._module.log_figure(value, f"{name}-{step}.png")
        plain = {name: value for name, value in values.items() if not is_figure(value)}
        if plain:
            self._module.log_metrics(plain, step=step)


class _Lightning:
    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        figures = {name: value for name, value in values.items() if is_figure(value)}
        plain = {name: value for name, value in values.items() if name not in figures}
        if plain:
            self._logger.log_metrics(plain, step=step)
        experiment = self._logger.experiment
        if figures and (hasattr(experiment, "add_figure") or hasattr(experiment, "log")):
            log = as_log(experiment)
            assert log is not None
            log(figures, step)


class _Run:
    def __init__(self, run: Any) -> None:
        self._run = run

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        self._run.log({name: self._shown(value) for name, value in values.items()}, step=step)

    def _shown(self, value: Any) -> Any:
        """A figure as the logger's own picture, where it has such a thing."""
        if not is_figure(value):
            return value
        owner = getattr(self._run, "__name__", type(self._run).__module__).partition(".")[0]
        image = getattr(sys.modules.get(owner), "Image", None)
        return value if image is None else image(pixels(value))
