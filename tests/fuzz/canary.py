"""A function that no file may call."""

from __future__ import annotations

from pathlib import Path

sung: list[object] = []


def sing(*heard: object) -> None:
    sung.append(heard)


def dead(path: Path) -> bool:
    """Whether code of a file was run since the last call: this function was called, or a file has appeared."""
    found = bool(sung) or path.exists()
    sung.clear()
    path.unlink(missing_ok=True)
    return found
