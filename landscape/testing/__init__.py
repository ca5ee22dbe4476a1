"""The kit: is this objective what its user means, and does this file hold what its picture will claim?

Names are loaded when first used, so that checking a result does not import torch.

Example:
    >>> report = ls.testing.check_objective(net, "cross_entropy", data)
    >>> report.ok
    True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landscape.testing.checkpoint import check_checkpoint
    from landscape.testing.objective import check_objective
    from landscape.testing.report import Finding, Report
    from landscape.testing.result import check_file, check_result

__all__ = ["check_objective", "check_result", "check_checkpoint", "check_file", "Report", "Finding"]

_HOMES = {
    "check_objective": "objective",
    "check_result": "result",
    "check_checkpoint": "checkpoint",
    "check_file": "result",
    "Report": "report",
    "Finding": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
