"""Data sets. Splits that live on a device, the built-in sets, and adapters for a user's own."""

from __future__ import annotations

from landscape.data.adapters import as_data, as_whole
from landscape.data.catalog import DATA_SETS, NAMED_FACTS, TRAIN_IMAGES, load_data
from landscape.data.images import ImageData
from landscape.data.indexed import IndexedData
from landscape.data.splits import Data, DataSet, subset
from landscape.data.tensors import TensorData

__all__ = [
    "DATA_SETS",
    "NAMED_FACTS",
    "TRAIN_IMAGES",
    "Data",
    "DataSet",
    "ImageData",
    "IndexedData",
    "TensorData",
    "as_data",
    "as_whole",
    "load_data",
    "subset",
]
