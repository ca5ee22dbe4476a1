"""Files only. Checkpoints, results, and the original tool's files; every write replaces its file at once.

Names are loaded when first used, so that reading a result does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landscape.results.atomic import atomic_write, check_writable
    from landscape.results.checkpoints import Checkpoint, inspect_checkpoint, load_checkpoint, save_checkpoint
    from landscape.results.description import describe, summary
    from landscape.results.fingerprints import fingerprint
    from landscape.results.fitting import check_fits, deduced_size, fitted, load_into
    from landscape.results.legacy_directions import read_directions, write_directions
    from landscape.results.legacy_surfaces import export_surface, import_surface
    from landscape.results.results import ResultFile, check_result_path, load_result, save_result

__all__ = [
    # files
    "atomic_write",
    "check_writable",
    "describe",
    "summary",
    # checkpoints
    "Checkpoint",
    "load_checkpoint",
    "inspect_checkpoint",
    "save_checkpoint",
    "check_fits",
    "deduced_size",
    "fitted",
    "load_into",
    # results
    "ResultFile",
    "check_result_path",
    "load_result",
    "save_result",
    "fingerprint",
    # the original tool's files
    "read_directions",
    "write_directions",
    "import_surface",
    "export_surface",
]

_HOMES = {
    "atomic": ("atomic_write", "check_writable"),
    "description": ("describe", "summary"),
    "checkpoints": ("Checkpoint", "inspect_checkpoint", "load_checkpoint", "save_checkpoint"),
    "fitting": ("check_fits", "deduced_size", "fitted", "load_into"),
    "results": ("ResultFile", "check_result_path", "load_result", "save_result"),
    "fingerprints": ("fingerprint",),
    "legacy_directions": ("read_directions", "write_directions"),
    "legacy_surfaces": ("export_surface", "import_surface"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
