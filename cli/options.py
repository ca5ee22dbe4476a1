"""Options that several commands share, and what they make of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
# How much a command says, and under which name its context knows it.
QUIET, NORMAL, VERBOSE = -1, 0, 1
VERBOSITY = "landscape.verbosity"


def chain(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several decorators as one, listed in the order in which help shows them."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def general_options() -> list[click.Parameter]:
    """What is said before or after a command's name."""
    return [
        click.Option(
            ["--quiet", "-q"],
            is_flag=True,
            expose_value=False,
            callback=_quiet,
            help="Paths of results and errors alone.",
        ),
        click.Option(
            ["--verbose", "-v"],
            is_flag=True,
            expose_value=False,
            callback=_verbose,
            help="Say every setting, progress more often, and how long it took.",
        ),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error."),
    ]


def _quiet(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        _say_so_much(context, QUIET)


def _verbose(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given and _say_so_much(context, VERBOSE):
        began = time.monotonic()
        context.call_on_close(lambda: click.echo(f"took {time.monotonic() - began:.1f} s", err=True))


def _say_so_much(context: click.Context, much: int) -> bool:
    """Whether it is said for the first time."""
    before = context.meta.setdefault(VERBOSITY, much)
    if before != much:
        raise click.UsageError("--quiet, --verbose: say opposite things; give one of them.", context)
    first = not context.meta.get(f"{VERBOSITY}.said", False)
    context.meta[f"{VERBOSITY}.said"] = True
    return first


def place_options() -> Callable[[F], F]:
    """Device, folders and downloads: what no result depends on."""
    return chain(
        click.option("--device", default="auto", help="auto, cpu, cuda or mps."),
        click.option("--data-root", type=click.Path(path_type=Path), help="Folder of data set files."),
        click.option("--download", is_flag=True, help="Fetch a missing data set."),
    )


def worker_options() -> Callable[[F], F]:
    """Who does the work; see :func:`landscape_cli.workers.team_asked`."""
    return chain(
        click.option(
            "--workers",
            type=int,
            metavar="N",
            help="Work in N processes of this machine: each with a GPU, or a share of the cores.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Work on a Dask cluster that is up: tcp://HOST:PORT, or the scheduler's file.",
        ),
        click.option(
            "--threads",
            type=int,
            metavar="N",
            help="Of each worker. Values are the same bit for bit with as many.  [default: the cores' share, or this process's]",
        ),
    )


def json_option() -> Callable[[F], F]:
    """For commands that can answer another program."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON document instead; its keys are in docs/command.md."
    )


def picture_option() -> Callable[[F], F]:
    """For commands whose summary shows a small picture."""
    return click.option("--no-picture", is_flag=True, help="Leave out the small picture in plain text.")


def trust_option() -> Callable[[F], F]:
    """For commands that open a checkpoint."""
    return click.option(
        "--trust",
        is_flag=True,
        default=None,
        help="Run the functions that the checkpoint names as model, data and loss, without their being repeated here.",
    )


def checkpoint_key_option(also: str = "") -> Callable[[F], F]:
    """For commands that open a checkpoint; ``also`` says of which other files."""
    return click.option(
        "--checkpoint-key",
        metavar="KEY",
        help=f"Which weights of a file that holds several, such as state_dict_ema, or a prefix of their names{also}.",
    )


def named_parts(options: dict[str, Any]) -> dict[str, Any]:
    """Model, data, loss and trust out of a command's ``options``, as :class:`landscape.probes.subjects.Subject` takes them."""
    from landscape.errors import InputError

    model, norm, data = (options.pop(name) for name in ("model", "norm", "data"))
    builder = {**given(norm=norm), **options.pop("model_options")}
    reader = options.pop("data_options")
    if norm is not None and model is None:
        raise InputError("--norm: belongs to --model; give both, or neither for a checkpoint that says its model.")
    return {
        "model": None if model is None else {"name": model, "options": builder},
        "data": None if data is None else {"name": data, "options": reader},
        "loss": options.pop("loss"),
        "trust": bool(options.pop("trust")),
    }


def key_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """``KEY=VALUE`` pairs as a mapping; values are read as JSON where they are JSON, as text otherwise."""
    from landscape.errors import InputError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise InputError(f"{option}: expected KEY=VALUE, got {pair!r}.")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """``0,1,2`` as numbers."""
    from landscape.errors import InputError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option}: expected whole numbers separated by commas, such as 0,1,2, got {text!r}."
        ) from None


def listed(convert: Callable[[str], Any], what: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """An option's callback: one value, or several separated by commas as a list. The name of a file or folder may have commas."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        from landscape.errors import InputError

        if text is None:
            return None
        try:
            files = (text, text.rpartition(":")[0])  # a file, or what stands in one
            whole = convert is str and any("," in file and Path(file).exists() for file in files)
            values = [convert(part.strip()) for part in ([text] if whole else text.split(","))]
        except ValueError:
            raise InputError(
                f"--{(parameter.name or '').replace('_', '-')}: expected {what}, or several separated by commas, got {text!r}."
            ) from None
        return values[0] if len(values) == 1 else values

    return read


def given(**options: Any) -> dict[str, Any]:
    """The options that the user gave: those that are not None, and no empty mappings."""
    return {key: value for key, value in options.items() if value is not None and value != {}}
