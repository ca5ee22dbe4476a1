"""Settings as one canonical text, its hash, and what differs between two of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape.errors import InputError


def canonical_json(settings: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces; tuples are lists, paths text, and floats the shortest text that is exact.

    Raises:
        InputError: naming the setting that JSON cannot hold.
    """
    return _dumps({str(key): _plain(value, str(key)) for key, value in settings.items()})


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of :func:`canonical_json`: equal exactly for equal settings.

    Raises:
        InputError: naming the setting that JSON cannot hold.
    """
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:16]


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """One phrase for each setting that differs, nested ones by their dotted name: ``"images: 500 stored, 1000 asked"``."""
    before, now = _flat(json.loads(canonical_json(stored))), _flat(json.loads(canonical_json(asked)))
    return [
        f"{name}: {before.get(name, 'nothing')} stored, {now.get(name, 'nothing')} asked"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{name}[{i}]") for i, inner in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InputError(
        f"{name}: expected text, a number, true, false, None, or lists and mappings of these, got {value!r}."
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = _dumps(value)
    return flat


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
