"""What a file may name to be run: built-in models, data and losses; a user's own code only where the user says it too."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape.errors import CheckpointError, InputError
from landscape.models import FACTS, is_own_code
from landscape.references import is_reference
from landscape.results import Checkpoint

Spec = Mapping[str, Any]
_TAKEN = {"model": ("name", "seed"), "data": ("name", "root", "download"), "loss": ()}


def settled(checkpoint: Checkpoint, asked: Mapping[str, Spec | None], *, trust: bool) -> dict[str, Spec | None]:
    """Name and options of the ``model``, ``data`` and ``loss``: those asked for, else the checkpoint's; None where neither says.

    What the user asks for stands as a whole: no option of the file is added to it.

    Args:
        checkpoint: the file, which anybody may have written.
        asked: by the same three names, what the user says.
        trust: whether functions may be run that only the file names.

    Raises:
        InputError: for a function that only the file names, without ``trust``; and where the user repeats the file's name
            without the options that the file has beside it.
        CheckpointError: where what the file says is no name with options.
    """
    stored = {part: _stored(checkpoint, part, needed=asked[part] is None) for part in asked}
    unasked = {
        part: spec
        for part, spec in stored.items()
        if spec is not None and asked[part] is None and runs_code(part, spec["name"])
    }
    if unasked and not trust:
        raise InputError(_untrusted(checkpoint.path, unasked))
    for part, spec in stored.items():
        _check_whole(checkpoint.path, part, asked[part], spec)
    return {part: stored[part] if spec is None else spec for part, spec in asked.items()}


def runs_code(part: str, name: str) -> bool:
    """Whether a ``model``, ``data`` or ``loss`` of this name is code that is not ours."""
    return is_own_code(name) if part == "model" else is_reference(name)


def _stored(checkpoint: Checkpoint, part: str, *, needed: bool) -> Spec | None:
    """Name and options that the file has; None where it has none, or has something else that nobody needs."""
    said = getattr(checkpoint, part)
    if said is None:
        return None
    spec = {"name": said} if part == "loss" else said
    name = spec.get("name") if isinstance(spec, Mapping) else None
    options = spec.get("options", {}) if isinstance(spec, Mapping) else None
    if not isinstance(name, str) or not isinstance(options, Mapping) or not all(isinstance(k, str) for k in options):
        if not needed:
            return None
        raise CheckpointError(
            f"{checkpoint.path}: its {part} is {said!r:.200}; expected a name, with options by name. Say it with --{part}."
        )
    taken = [option for option in _TAKEN[part] if option in options]
    if taken and needed:
        raise CheckpointError(
            f"{checkpoint.path}: its {part} has the option {taken[0]!r}, which no file decides. Say the {part} with --{part}."
        )
    return {"name": name, "options": dict(options)}


def _check_whole(path: Path, part: str, asked: Spec | None, stored: Spec | None) -> None:
    """Refuse a name that is repeated without its options: the defaults would be another network, or other data."""
    if asked is None or stored is None or asked["options"] or not _same(asked["name"], stored["name"]):
        return
    others = {key: value for key, value in stored["options"].items() if part != "model" or key not in FACTS}
    if others:
        raise InputError(
            f"{path}: has its {part} with options. Repeat them, {_typed(part, {**stored, 'options': others})}, or others."
        )


def _same(name: str, other: str) -> bool:
    """Whether two names mean one thing, however the path of a file is written."""
    (place, _, function), (place2, _, function2) = name.rpartition(":"), other.rpartition(":")
    if function != function2 or not (place.endswith(".py") and place2.endswith(".py")):
        return name == other
    return Path(place).expanduser().resolve() == Path(place2).expanduser().resolve()


def _untrusted(path: Path, unasked: Mapping[str, Spec]) -> str:
    named = ", ".join(f"{spec['name']!r} ({part})" for part, spec in unasked.items())
    typed = " ".join(_typed(part, spec) for part, spec in unasked.items())
    return (
        f"{path}: asks to run {named}. Code that only a file names is not run. If you know it, repeat it: {typed}. "
        "Or trust all that this file names: --trust, in Python Subject(…, trust=True)."
    )


def _typed(part: str, spec: Spec) -> str:
    """The options of the command line that say the same."""
    words = [f"--{part}", spec["name"]]
    for key, value in spec.get("options", {}).items():
        words += [f"--{part}-option", f"{key}={_value(value)}"]
    return shlex.join(words)


def _value(value: Any) -> str:
    """As :func:`landscape_cli.options.key_values` reads it back: JSON, or text that is none."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False, default=str)
