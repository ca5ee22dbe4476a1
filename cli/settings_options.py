"""Options of a command, made of what its settings say of themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import click

from .options import whole_numbers

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from landscape.checking import Option, Settings


class GroupedOption(click.Option):
    """An option under a heading."""

    heading = ""


def options_of(settings: type[Settings]) -> list[GroupedOption]:
    """An option for every field that a command line can say; one that is not given is None."""
    return [_option(name, field, said) for name, field, said in _said(settings)]


def _said(settings: type[Settings]) -> Iterator[tuple[str, FieldInfo, Option]]:
    from landscape.checking import option_of

    for name, field in settings.model_fields.items():
        said = option_of(field)
        if said is not None and not said.study:
            yield name, field, said


def _option(name: str, field: FieldInfo, said: Option) -> GroupedOption:
    kind = _without_none(field.annotation)
    flag = f"--{name.replace('_', '-')}"
    more: dict[str, Any] = {}
    if kind is bool:
        more = {"is_flag": True}
    elif kind in (int, float):
        more = {"type": kind}
    elif get_args(kind)[:1] == (int,):
        more = {"callback": _whole_numbers, "metavar": "N,…"}
    default = said.default or _words(field.default)
    help_text = f"{said.help}  [default: {default}]" if default else said.help
    option = GroupedOption([said.flag or flag, name], default=None, help=help_text, show_default=False, **more)
    option.heading = said.group
    return option


def _whole_numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    return None if text is None else whole_numbers(text, parameter.opts[0])


def _words(default: Any) -> str:
    """A default as it would be typed; nothing for none."""
    if default is None or isinstance(default, bool) or default == ():
        return ""
    if isinstance(default, tuple):
        return ",".join(map(_words, default))
    if isinstance(default, float) and math.isfinite(default):
        return f"{default:g}"
    return str(default)


def _without_none(annotation: Any) -> Any:
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return parts[0] if get_origin(annotation) in (Union, UnionType) and len(parts) == 1 else annotation
