"""What results and their variables say of themselves: labels, meanings of flags, who wrote the file, what was made of what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from landscape._version import __version__
from landscape.errors import InputError

CREATION = ("created_at", "creation_library", "creation_library_version")
LOSS = "of the loss"  # stands for the loss's own unit in tables of variables
VERSION = {"landscape_version": __version__}
_OF_ONE_RESULT = ("kind", "title", "settings", "fingerprint", *CREATION)


def a_dataset(given: object, name: str) -> None:
    """Refuse what is given in place of a result.

    Raises:
        InputError: calling it ``name``.
    """
    if not hasattr(given, "data_vars"):
        raise InputError(
            f"{name}: expected a result, an xarray.Dataset such as ls.plane(…) or ls.load(…) gives, got a {type(given).__name__}."
        )


def labels(long_name: str, units: str = "1", *, loss: str = "1") -> dict[str, Any]:
    """The attributes that every variable has; ``1`` is the unit of what has none, ``loss`` that of what is in :data:`LOSS`."""
    return {"long_name": long_name, "units": loss if units == LOSS else units}


def flags(meanings: Mapping[Any, str]) -> dict[str, Any]:
    """What the numbers of a variable of statuses mean, as the CF conventions have it."""
    return {"flag_values": np.array([*meanings], dtype=np.int8), "flag_meanings": " ".join(meanings.values())}


def inherited(attributes: Mapping[Any, Any], *without: str) -> dict[Any, Any]:
    """What the attributes of a result also say of one that is made of it: all but those of one file, and ``without``."""
    return {key: value for key, value in attributes.items() if key not in (*_OF_ONE_RESULT, *without)}


def creation() -> dict[str, str]:
    """When a file is written, in UTC by ISO 8601, and by what; the names are ArviZ's.

    They are set where a file is saved, so that values do not depend on the clock, and set anew whenever it is saved again: a
    result that was resumed says when it was last written. Nothing that tells results apart reads them.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return dict(zip(CREATION, (now, "landscape", __version__), strict=True))


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
