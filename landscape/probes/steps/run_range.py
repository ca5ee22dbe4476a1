"""The range over separately trained runs at the same step: what many re-implementations of Santurkar et al. plot."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from landscape.errors import InputError
from landscape.results import attributes

_NAMES = {"loss": "minibatch loss", "gradient_norm": "minibatch gradient norm"}


def run_range(datasets: Sequence[xr.Dataset], labels: Sequence[str]) -> xr.Dataset:
    """Smallest and largest loss and gradient norm over runs, usually one a learning rate, at each step that all have.

    This is not the loss variation of Santurkar et al. (:func:`landscape.probes.steps.measure.step_ranges`), which stays at one θ:
    here each run has a θ, and often a minibatch, of its own. It shows how far runs lie apart.

    Args:
        datasets: results of kind ``steps``.
        labels: the name of each run.

    Returns:
        A Dataset of kind ``run_range`` over ``step``: ``loss_minimum``, ``loss_maximum``, ``gradient_norm_minimum``,
        ``gradient_norm_maximum``; attribute ``runs``, a JSON list of the labels. A NaN of one run is a NaN of the range.

    Raises:
        InputError: for fewer than two runs, a label too few or too many, another kind, or no step that all have.

    Example:
        >>> def run(rate):
        ...     probe, model = ls.StepProbe(ls.StepProbeConfig(every=1)), ls.build_model("mlp", inputs=2, classes=2, seed=0)
        ...     _ = ls.fit(model, data, ls.TrainingConfig(epochs=1, batch_size=20, learning_rate=rate), observers=[probe])
        ...     return probe.dataset()
        >>> ls.run_range([run(0.01), run(0.1)], ["0.01", "0.1"])["loss_maximum"].shape
        (3,)
    """
    if len(datasets) < 2:
        raise InputError(f"datasets: expected at least two runs to take a range over, got {len(datasets)}.")
    if len(labels) != len(datasets):
        raise InputError(f"labels: expected {len(datasets)}, one for each run, got {list(labels)!r}.")
    for label, dataset in zip(labels, datasets, strict=True):
        if dataset.attrs.get("kind") != "steps":
            raise InputError(
                f"datasets: expected results of kind 'steps', but {label} is of kind {dataset.attrs.get('kind')!r}."
            )
    steps = functools.reduce(np.intersect1d, [dataset["step"].values for dataset in datasets])
    if steps.size == 0:
        raise InputError(
            f"datasets: {', '.join(labels)} have no step in common. Measure them with the same probe_every."
        )
    coordinate = ("step", steps.astype(np.int64), attributes.labels("updates made before the step"))
    result = xr.Dataset(coords={"step": coordinate})
    for name, what in _NAMES.items():
        values = np.stack([dataset[name].sel(step=steps).values for dataset in datasets])
        units = {str(dataset[name].attrs["units"]) for dataset in datasets}
        unit = units.pop() if len(units) == 1 else "1"
        result[f"{name}_minimum"] = (
            "step",
            values.min(0),
            attributes.labels(f"smallest {what} of the runs", unit),
        )
        result[f"{name}_maximum"] = ("step", values.max(0), attributes.labels(f"largest {what} of the runs", unit))
    result.attrs = {
        "kind": "run_range",
        "title": "Range over runs",
        "runs": json.dumps(list(labels), ensure_ascii=False),
    }
    return result
