"""Where things are on this machine, and whom to tell: what no result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# The environment variables that are read, beside those of PyTorch and Python.
VARIABLES = {
    "LANDSCAPE_DATA": "The folder of data set files, where no --data-root is given. Without it ~/.cache/landscape/data.",
    "LANDSCAPE_CACHE": "The folder of compiled kernels; off compiles them in every process. Without it landscape/kernels in "
    "XDG_CACHE_HOME, or in ~/.cache.",
    "XDG_CACHE_HOME": "See LANDSCAPE_CACHE.",
    "CC": "The C compiler, with arguments. Without it cc, gcc or clang; without any, convolutions are PyTorch's.",
    "COLUMNS": "How wide tables are, also in a pipe. Without it as wide as the terminal.",
    "OMP_NUM_THREADS": "PyTorch's number of threads. Values are the same bits for the same number.",
    "OMP_WAIT_POLICY": "Set to passive by the command, unless it is set: threads wait asleep.",
    "CUDA_VISIBLE_DEVICES": "The graphics processors that there are; local workers take one each of them in turn.",
    "MALLOC_ARENA_MAX": "Where it is set, the command leaves the C library's allocator as it is.",
}


class Reporter(Protocol):
    """Who watches: a terminal, a log file, nobody."""

    def message(self, text: str) -> None:
        """One line about what has happened or comes next."""

    def progress(self, task: str, done: int, total: int, unit: str = "points", workers: int | None = None) -> None:
        """``done`` of ``total`` parts of ``task``, which are ``unit``; called often, with ``done == total`` at its end.

        ``workers``: how many are at work on it, where it is not this process.
        """

    def training_observers(self, task: str) -> tuple[Any, ...]:
        """Observers that show a training as it goes."""


class Silent:
    """A reporter for scripts and tests: says nothing."""

    def message(self, text: str) -> None: ...

    def progress(self, task: str, done: int, total: int, unit: str = "points", workers: int | None = None) -> None: ...

    def training_observers(self, task: str) -> tuple[Any, ...]:
        return ()


@dataclass(frozen=True)
class Places:
    """Folders, device and reporter of a session.

    Attributes:
        checkpoints: where runs are kept, a folder each.
        outputs: where results and pictures go.
        data_root: where downloaded data sets lie; None for the default.
        download: whether a missing data set may be fetched.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        save_every: seconds between saves of an unfinished result, more where one takes long.
        executor: who measures and trains, a :class:`landscape.execution.team.Team`; None for this process.
    """

    checkpoints: Path = Path("checkpoints")
    outputs: Path = Path("outputs")
    data_root: Path | None = None
    download: bool = False
    device: str = "auto"
    save_every: float = 10.0
    reporter: Reporter = field(default_factory=Silent)
    executor: Any = None


def short_hash(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that tell settings apart in a file name."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
