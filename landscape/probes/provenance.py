"""What every measurement at a checkpoint says of it: the objective, whether the network is dead, its own loss, the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr

from landscape.objective.objective import Objective
from landscape.probes.health import network_health
from landscape.results.attributes import LOSS, VERSION, labels

VERSIONS = {**VERSION, "torch_version": str(torch.__version__)}
# variable -> what it is, and its unit
_CHECKPOINT = {
    "checkpoint_loss": ("mean loss of the checkpoint itself", LOSS),
    "checkpoint_loss_standard_error": ("standard error of the checkpoint's mean loss", LOSS),
    "checkpoint_accuracy": ("accuracy of the checkpoint itself", "1"),
    "parameter_norm": ("Euclidean norm of the checkpoint's parameters", "1"),
    "gradient_norm": ("Euclidean norm of the gradient at the checkpoint", LOSS),
}


def provenance(kind: str, title: str, objective: Objective, loss: float, own: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a result of ``kind``; ``loss`` is the checkpoint's, ``own`` what its kind says besides."""
    return {
        "kind": kind,
        "title": title,
        **objective.provenance(),
        **own,
        **network_health(objective, loss).attributes(),
        **VERSIONS,
    }


def checkpoint_variables(unit: str, values: Mapping[str, float | None]) -> dict[str, xr.Variable]:
    """Values of the checkpoint itself by name, in the order in which they are given; None is left out."""
    return {
        name: xr.Variable((), value, labels(*_CHECKPOINT[name], loss=unit))
        for name, value in values.items()
        if value is not None
    }


def samples_variable(objective: Objective) -> dict[str, xr.Variable]:
    """Which samples the values are over."""
    indices = objective.indices.cpu().numpy().astype(np.int64)
    return {"index": xr.Variable("sample", indices, labels("index of each sample in the data"))}
