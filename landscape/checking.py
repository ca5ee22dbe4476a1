"""What users write, held to its schema: the first complaint as one line that names place, key, expectation and value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from landscape.errors import InputError, unknown_choice

T = TypeVar("T")


class Settings(BaseModel):
    """A frozen table of settings without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def known_keys(model: type[BaseModel], table: Mapping[str, Any], where: str) -> None:
    """Raise InputError for the first key that ``model`` does not have."""
    for key in table:
        if key not in model.model_fields:
            raise unknown_choice(f"{where}key", key, model.model_fields)


def checked(build: Callable[[], T], where: str) -> T:
    """Run a pydantic validation and say its first complaint as one line: place, key, what was expected, what arrived."""
    try:
        return build()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            message = str(cause)
            raise InputError(
                f"{where}{message}" if not key or message.startswith(key) else f"{where}{key}: {message}"
            ) from None
        raise InputError(f"{where}{key}: {first['msg'].lower()}, got {first['input']!r}.") from None
