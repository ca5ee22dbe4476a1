"""The errors a user can mend: each one's text is the whole message, naming the thing, what was expected and what to try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LandscapeError(Exception):
    """Base of every error that landscape raises on purpose.

    Example:
        >>> try:
        ...     ls.load("nowhere.h5")
        ... except ls.LandscapeError as error:
        ...     print(error)
        nowhere.h5: no such file. Check the path, or make the file first.
    """


class InputError(LandscapeError, ValueError):
    """An argument, option or settings file is not usable as given (exit status 2)."""


class GradientError(InputError):
    """A loss has values alone, and no derivative in its parameters."""


class CheckpointError(LandscapeError):
    """A checkpoint cannot be read, or does not fit the model it is loaded into."""


class ResultFileError(LandscapeError):
    """A result file cannot be read or written."""


class MismatchError(LandscapeError):
    """A stored result or run was made with other settings than those asked for now, or by other code, weights or data."""


class LockedError(LandscapeError):
    """Another process is writing the same file."""


class ExecutionError(LandscapeError):
    """Workers that were to do the work cannot be reached, do not suit it, or are gone."""


class CheckError(LandscapeError):
    """A check of :mod:`landscape.testing` found something wrong."""


def unknown_choice(argument: str, given: object, choices: Iterable[str]) -> InputError:
    """An :class:`InputError` that lists what exists and suggests the nearest spelling."""
    names = sorted(choices)
    nearest = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return InputError(f"{argument}: unknown value {given!r}.{hint} Choose from: {', '.join(names)}.")


def first_line(error: BaseException) -> str:
    """What an error of somebody else's code says first, or its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
