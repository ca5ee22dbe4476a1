"""The keys of a study file, from the settings that read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, get_type_hints

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from extension.rst import code, escaped, table, title
from landscape.checking import Option, option_of
from landscape.probes.settings import ProbeSettings, kinds
from landscape.registry import asked
from landscape.studies.parts import PARTS
from landscape.studies.run_settings import RunSettings
from landscape.studies.settings import StudySettings
from landscape.training import TrainingConfig

# What a study file says in another way, or what it cannot say.
LEFT_OUT = {"groups", "training", "note", "runs", "probes", *PARTS}


def pages() -> dict[str, str]:
    """One page for all tables of the file."""
    parts = [
        title("Keys of a study file"),
        "What each table may say, and what holds where it does not. How they work together: :doc:`/studies`.\n",
        title("The file itself", "-"),
        keys((name, field) for name, field in StudySettings.model_fields.items() if name not in LEFT_OUT),
        title("[[runs]], and [defaults]", "-"),
        "``name`` is the group that the table's runs form.\n",
        keys([*of(RunSettings), *of(TrainingConfig)]),
        title("[[probes]]", "-"),
        "Every kind:\n",
        keys(of(ProbeSettings)),
    ]
    for name, settings in kinds().items():
        parts += [title(f'kind = "{asked()[name].command}"', "~"), keys(of(settings, ProbeSettings.model_fields))]
    for name, settings in PARTS.items():
        parts += [title(f"[[{name}]]", "-"), keys(of(settings))]
    return {"study": "\n".join(parts)}


def of(settings: Any, without: Iterable[str] = ()) -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a table with what is known of each."""
    if dataclasses.is_dataclass(settings):
        hints = get_type_hints(settings, include_extras=True)
        for field in dataclasses.fields(settings):
            yield field.name, FieldInfo.from_annotated_attribute(hints[field.name], field.default)
        return
    for name, field in settings.model_fields.items():
        if name not in {*without, *LEFT_OUT} or (name == "runs" and name not in without):
            yield name, field


def keys(fields: Iterable[tuple[str, FieldInfo]]) -> str:
    """A table of them."""
    return table(["key", "is", "without it"], [_row(name, field) for name, field in fields])


def _row(name: str, field: FieldInfo) -> list[str]:
    said = option_of(field) or Option("")
    default = said.default or _default(field)
    return [code(name), escaped(said.words()), escaped(default)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.default if field.default is not PydanticUndefined else field.default_factory()  # type: ignore[misc, call-arg]
    if value in (None, "", (), {}):
        return "none"
    return (
        ", ".join(map(str, value))
        if isinstance(value, tuple)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )
