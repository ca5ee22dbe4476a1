"""What measurements of the loss at a checkpoint must share to be comparable, whatever their kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import xarray as xr

from landscape.probes.comparable import NOT_SAID
from landscape.results.attributes import mapping

_ROLE = re.compile(r"(?:^|-)(last|best|epoch-\d+)$")


def sampled_conditions(dataset: xr.Dataset) -> dict[str, Any]:
    """Data, samples, loss, BN policy with what it is taken over, precision, and which checkpoint of its run it was measured at."""
    attributes: Mapping[Any, Any] = dataset.attrs
    role = _ROLE.search(str(attributes.get("checkpoint", "")))
    facts = mapping(mapping(attributes.get("made_by"), "made_by").get("facts"), "made_by")
    without_bn = str(attributes.get("bn_policy", "")).startswith("none")
    return {
        "data": attributes.get("data_fingerprint", attributes.get("data", NOT_SAID)),
        "samples": attributes.get("index_hash", NOT_SAID),
        "loss": attributes.get("loss_function", attributes.get("loss_name", NOT_SAID)),
        "BatchNorm policy": None if without_bn else attributes.get("bn_policy", NOT_SAID),
        "batch size": facts.get("batch_size"),
        "calibration samples": facts.get("calibration"),
        "precision": attributes.get("precision", NOT_SAID),
        "checkpoint": role[1] if role else "another",
    }
