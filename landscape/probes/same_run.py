"""Whether what an observer recorded before an interruption is of the training that goes on now."""

from __future__ import annotations

from typing import Any

from landscape.errors import MismatchError


def same_run(report: Any, recorded: str | None) -> str:
    """The name of the training that a ``StartReport`` tells of, for an observer that goes on from a result of ``recorded``.

    A loop of one's own may tell no name; None stands for an observer that begins.

    Raises:
        MismatchError: for a result of another training.
    """
    run = str(getattr(report, "run", ""))
    if recorded is not None and recorded != run:
        raise MismatchError(
            f"resume: was recorded in another training ({recorded or 'of no name'}) than the one that goes on "
            f"({run or 'of no name'}). Resume both from the same run, or start a new one."
        )
    return run
