"""Checks that the built-in models share."""

from __future__ import annotations

from landscape.errors import InputError


def check_counts(**counts: object) -> None:
    """Refuse what is no whole number of at least 1.

    Raises:
        InputError: naming the argument.
    """
    for argument, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"{argument}: expected a whole number of at least 1, got {count!r}.")
