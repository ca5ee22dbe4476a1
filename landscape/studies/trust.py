"""What a file may name to be run: built-in models, data and losses; a user's own code only where the user says it too."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from landscape.errors import CheckpointError, InputError
from landscape.models import FACTS, is_own_code
from landscape.numerics.references import is_reference
from landscape.store import Checkpoint

Spec = Mapping[str, Any]
_TAKEN = {"model": ("name", "seed"), "data": ("name", "root", "download"), "loss": ()}


def allowed(checkpoint: Checkpoint, asked: Mapping[str, Spec | None], *, trust: bool) -> Checkpoint:
    """The checkpoint, whose model, data and loss may now be used where ``asked`` does not say them.

    What the user asks for stands as a whole: no option of the file is added to it.

    Args:
        checkpoint: of a file, which anybody may have written.
        asked: name and options of the ``model``, ``data`` and ``loss`` that the user says; None where he does not.
        trust: whether functions may be run that only the file names.

    Raises:
        InputError: for a function that only the file names, without ``trust``; and where the user repeats the file's name
            without the options that the file has beside it.
        CheckpointError: where what the file says is no name with options.
    """
    said = {part: _said(checkpoint, part, needed=asked[part] is None) for part in asked}
    unasked = {
        part: spec
        for part, spec in said.items()
        if spec is not None and asked[part] is None and runs_code(part, spec["name"])
    }
    if unasked and not trust:
        raise InputError(_untrusted(checkpoint.path, unasked))
    for part, spec in said.items():
        _check_whole(checkpoint.path, part, asked[part], spec)
    return replace(checkpoint, model=said["model"], data=said["data"])


def runs_code(part: str, name: str) -> bool:
    """Whether a ``model``, ``data`` or ``loss`` of this name is code that is not ours."""
    return is_own_code(name) if part == "model" else is_reference(name)


def _said(checkpoint: Checkpoint, part: str, *, needed: bool) -> Spec | None:
    """Name and options that the file has; None where it has none, or has something else that nobody needs."""
    given = getattr(checkpoint, part)
    if given is None:
        return None
    spec = {"name": given} if part == "loss" else given
    name = spec.get("name") if isinstance(spec, Mapping) else None
    options = spec.get("options", {}) if isinstance(spec, Mapping) else None
    if not isinstance(name, str) or not isinstance(options, Mapping) or not all(isinstance(k, str) for k in options):
        if not needed:
            return None
        raise CheckpointError(
            f"{checkpoint.path}: its {part} is {given!r:.200}; expected a name, with options by name. Say it with --{part}."
        )
    taken = [option for option in _TAKEN[part] if option in options]
    if taken and needed:
        raise CheckpointError(
            f"{checkpoint.path}: its {part} has the option {taken[0]!r}, which no file decides. Say the {part} with --{part}."
        )
    return {"name": name, "options": dict(options)}


def _check_whole(path: Path, part: str, asked: Spec | None, said: Spec | None) -> None:
    """Refuse a name that is repeated without its options: the defaults would be another network, or other data."""
    if asked is None or said is None or asked["options"] or not _same(asked["name"], said["name"]):
        return
    others = {key: value for key, value in said["options"].items() if part != "model" or key not in FACTS}
    if others:
        raise InputError(
            f"{path}: has its {part} with options. Repeat them, {_typed(part, {**said, 'options': others})}, or others."
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
