"""The command line, from click: a page for each command, and for each kind of probe."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import click
from landscape_cli.main import COMMANDS, EXIT_STATUSES, general_options

from extension.rst import code, escaped, indented, table, title, toctree
from landscape.places import VARIABLES
from landscape.registry import asked, probes

REST = "Options"


def pages() -> dict[str, str]:
    """The commands, ``landscape probe`` by its kinds, and what a shell sees of them."""
    kinds = [f"probe-{probe.command}" for probe in asked().values()]
    index = [
        title("Commands"),
        "What ``landscape COMMAND --help`` says. Names of options, and what other programs call them: "
        ":doc:`/command`.\n",
        table(["command", "does"], [[f":doc:`{name}`", escaped(line)] for name, line in COMMANDS.items()]),
        title("Before or after a command's name", "-"),
        *(option(one, click.Context(click.Command("landscape"))) for one in general_options()),
        toctree([*COMMANDS, *kinds]),
    ]
    made = {"commands/index": "\n".join(index), "commands/shell": shell()}
    made["commands/index"] += "   shell\n"
    for name in COMMANDS:
        made[f"commands/{name}"] = page(name)
    for probe in asked().values():
        made[f"commands/probe-{probe.command}"] = page("probe", probe.name)
    return made


def context_of(name: str, kind: str = "") -> click.Context:
    """A command as if it were about to run, of one kind where there are several."""
    command: click.Command = importlib.import_module(f"landscape_cli.{name}").command
    context = click.Context(command, info_name=f"landscape {name}")
    if kind:
        context.meta["kind"] = kind
        command.kind = kind  # type: ignore[attr-defined]
    return context


def page(name: str, kind: str = "") -> str:
    """Usage, what it does, and every option under its heading."""
    context = context_of(name, kind)
    words = f"{name} {probes()[kind].command}" if kind else name
    parts = [title(f"landscape {words}"), f".. program:: landscape {words}\n"]
    if kind:
        probe = probes()[kind]
        parts.append(f"{escaped(probe.question)} Takes {escaped(probe.cost)}.\n")
        examples = "".join(f"landscape probe {probe.command} {example}\n" for example in probe.examples)
        parts.append(".. code-block:: sh\n\n" + indented(examples))
    else:
        usage = context.command.collect_usage_pieces(context)
        parts.append(f"``landscape {name} {' '.join(usage)}``\n")
        parts.append(escaped(inspect.cleandoc(context.command.help or COMMANDS[name])) + "\n")
    if name == "probe" and not kind:
        parts.append("Every kind has options of its own:\n")
        rows = [[f":doc:`probe-{probe.command}`", escaped(probe.question)] for probe in asked().values()]
        return "\n".join([*parts, table(["kind", "answers"], rows)])
    for heading, options in grouped(context):
        parts += [title(heading, "-"), *options]
    return "\n".join(parts)


def grouped(context: click.Context) -> Iterator[tuple[str, list[str]]]:
    """The options of a command under their headings, those of every command left out."""
    general = {*(one.name for one in general_options()), "help"}
    groups: dict[str, list[str]] = {}
    for parameter in context.command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden and parameter.name not in general:
            heading = getattr(parameter, "heading", "") or getattr(context.command, "rest", REST)
            groups.setdefault(heading, []).append(option(parameter, context))
    last = [*getattr(context.command, "last", ()), getattr(context.command, "rest", REST)]
    yield from sorted(groups.items(), key=lambda group: last.index(group[0]) if group[0] in last else -1)


def option(parameter: click.Parameter, context: click.Context) -> str:
    """One option: its names, and what help says."""
    record = parameter.get_help_record(context)
    names, help_text = record if record is not None else (parameter.opts[0], "")
    return f".. option:: {names.replace(' / ', ', ')}\n\n   {escaped(' '.join(help_text.split()))}\n"


def shell() -> str:
    """Exit statuses and environment variables."""
    statuses = [[code(str(status)), escaped(words)] for status, words in EXIT_STATUSES.items()]
    variables = [[code(name), escaped(words)] for name, words in VARIABLES.items()]
    return "\n".join(
        [
            title("Exit statuses and environment variables"),
            table(["status", "means"], statuses),
            table(["variable", "is"], variables),
        ]
    )
