"""The texts of a data set as a picture can show them: a file decides what they say, never what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape.printable import printable, printable_json


def with_printable_texts(dataset: xr.Dataset) -> xr.Dataset:
    """The data set with all names, titles, units and notes made printable: SVG cannot hold a control character."""
    clean = dataset.copy(deep=False)
    clean.attrs = _texts_of(dataset.attrs)
    for name in dataset.variables:
        if dataset[name].dtype.kind in "OUT":
            shown = np.array([_text_of(value) for value in dataset[name].values.flat], dtype=object)
            made = (dataset[name].dims, shown.reshape(dataset[name].shape), dataset[name].attrs)
            clean = clean.assign_coords({name: made}) if name in dataset.coords else clean.assign({name: made})
        clean[name].attrs = _texts_of(dataset[name].attrs)
    return clean


def printable_labels(labels: Sequence[object] | None) -> tuple[str, ...] | None:
    """The user's own words for data sets, which may have several lines."""
    return None if labels is None else tuple("\n".join(map(printable, str(label).split("\n"))) for label in labels)


def _texts_of(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: _text_of(value) for name, value in attributes.items()}


def _text_of(value: Any) -> Any:
    if isinstance(value, str):
        return printable_json(value)
    if isinstance(value, Mapping):
        return _texts_of(value)
    return [_text_of(one) for one in value] if isinstance(value, list | tuple) else value
