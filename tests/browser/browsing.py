"""Waiting in a page whose policy forbids that strings are run in it: it is asked again and again from here."""

from __future__ import annotations

import time
from typing import Any


def until(page: Any, expression: str, seconds: float = 180) -> None:
    """Return as soon as ``expression`` is true in the page."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"waited {seconds} s for {expression}"
        page.wait_for_timeout(50)
