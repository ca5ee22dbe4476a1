"""Where things are on this machine, and whom to tell: what no result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Reporter(Protocol):
    """Who watches: a terminal, a log file, nobody."""

    def message(self, text: str) -> None:
        """One line about what has happened or comes next."""

    def progress(self, task: str, done: int, total: int, unit: str = "points") -> None:
        """``done`` of ``total`` parts of ``task``, which are ``unit``; called often, with ``done == total`` at its end."""

    def training_observers(self, task: str) -> tuple[Any, ...]:
        """Observers that show a training as it goes."""


class Silent:
    """A reporter for scripts and tests: says nothing."""

    def message(self, text: str) -> None: ...

    def progress(self, task: str, done: int, total: int, unit: str = "points") -> None: ...

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
    """

    checkpoints: Path = Path("checkpoints")
    outputs: Path = Path("outputs")
    data_root: Path | None = None
    download: bool = False
    device: str = "auto"
    save_every: float = 10.0
    reporter: Reporter = field(default_factory=Silent)


def short_hash(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that tell settings apart in a file name."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
