"""Attributes of results that hold more than a number or a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from landscape.errors import InputError


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A mapping that an attribute holds, as it is or as JSON text; empty where there is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise InputError(
                f"attribute {name}: expected the settings as JSON, got {value[:60]!r} ({error})."
            ) from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"attribute {name}: expected a mapping of settings, got {value!r}.")
    return dict(value)
