"""Options of a command, made of what its settings say of themselves, under headings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Union, get_args, get_origin, get_type_hints

import click

from .options import key_values, listed, whole_numbers

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from landscape.checking import Option

# Type of one value among several -> what it is called in a message and in help.
_SEVERAL = {int: ("a whole number", "INTEGER,…"), float: ("a number", "FLOAT,…"), str: ("a name", "TEXT,…")}


class GroupedOption(click.Option):
    """An option under a heading."""

    heading = ""


class DescribedOption(click.Option):
    """Its help is what the key of its name says of itself, in the settings that an import path leads to."""

    def __init__(self, names: Sequence[str], *, settings: str, **more: Any) -> None:
        self._settings, self._shows_default = settings, "default" in more
        super().__init__(names, **more)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from landscape.checking import option_of
        from landscape.registry import found

        said = option_of(found(self._settings).model_fields[self.name])
        assert said is not None
        self.help = said.words() + (f"  [default: {said.default}]" if said.default and not self._shows_default else "")
        return super().get_help_record(ctx)


class SettingsCommand(click.Command):
    """Has the options of some settings besides its own, and shows all under headings."""

    rest: ClassVar[str] = "Result and places"
    """The heading of its own options."""
    last: ClassVar[tuple[str, ...]] = ("Samples", "Running", "What is watched and kept")
    """Headings that stand behind the others, in this order, before ``rest``."""

    def made(self, ctx: click.Context) -> list[GroupedOption]:
        """The options of its settings."""
        raise NotImplementedError

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *self.made(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "heading", "") or self.rest, []).append(record)
        last = (*self.last, self.rest)
        for heading in sorted(groups, key=lambda name: last.index(name) if name in last else -1):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])


@cache
def options_of(settings: type, *, several: bool = False) -> list[GroupedOption]:
    """An option for every field that a command line can say; one that is not given is None.

    Args:
        settings: :class:`landscape.checking.Settings` or a dataclass, with fields that carry an ``Option``.
        several: whether a field of one value takes several, separated by commas, which are then a list.
    """
    return [_option(name, field, said, several) for name, field, said in _said(settings)]


@cache
def part_options() -> list[GroupedOption]:
    """Model, data and loss, called as a training calls them; without defaults, since a checkpoint says them."""
    from landscape.studies.run_settings import PARTS, RunSettings

    fields = [(name, field, said) for name, field, said in _said(RunSettings) if said.group == PARTS]
    return [_option(name, field, said, several=False, defaults=False) for name, field, said in fields]


def _said(settings: type) -> Iterator[tuple[str, FieldInfo, Option]]:
    from landscape.checking import option_of

    for name, field in _fields(settings).items():
        said = option_of(field)
        if said is not None and not said.study:
            yield name, field, said


def _fields(settings: Any) -> dict[str, FieldInfo]:
    from pydantic.fields import FieldInfo

    if not dataclasses.is_dataclass(settings):
        return dict(settings.model_fields)
    hints = get_type_hints(settings, include_extras=True)
    every = dataclasses.fields(settings)
    return {field.name: FieldInfo.from_annotated_attribute(hints[field.name], field.default) for field in every}


def _option(name: str, field: FieldInfo, said: Option, several: bool, defaults: bool = True) -> GroupedOption:
    kind: Any = _without_none(field.annotation)
    more: dict[str, Any] = {}
    if kind is bool:
        more = {"is_flag": True}
    elif get_origin(kind) is dict:
        more = {"multiple": True, "metavar": "KEY=VALUE", "callback": _key_values}
    elif get_args(kind)[:1] == (int,):
        more = {"callback": _whole_numbers, "metavar": "N,…"}
    elif several and kind in _SEVERAL:
        what, metavar = _SEVERAL[kind]
        more = {"callback": listed(kind, what), "metavar": metavar}
    elif kind in (int, float):
        more = {"type": kind}
    default = (said.default or _words(field.default)) if defaults else ""
    help_text = f"{said.words()}  [default: {default}]" if default else said.words()
    flag = said.flag or f"--{name.replace('_', '-')}"
    option = GroupedOption([flag, name], default=None, help=help_text, show_default=False, **more)
    option.heading = said.group
    return option


def _whole_numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    return None if text is None else whole_numbers(text, parameter.opts[0])


def _key_values(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    return key_values(pairs, parameter.opts[0])


def _words(default: Any) -> str:
    """A default as it would be typed; nothing for none."""
    from pydantic_core import PydanticUndefined

    if default in (None, (), PydanticUndefined) or isinstance(default, bool):
        return ""
    if isinstance(default, tuple):
        return ",".join(map(_words, default))
    if isinstance(default, float) and math.isfinite(default):
        return f"{default:g}"
    return str(default)


def _without_none(annotation: Any) -> Any:
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return parts[0] if get_origin(annotation) in (Union, UnionType) and len(parts) == 1 else annotation
