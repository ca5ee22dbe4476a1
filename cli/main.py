"""The command ``landscape``: a lazy group, and one place that turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import io
import os
import shlex
import sys
from typing import NoReturn

import click

from landscape.stopping import asked, was_cut
from landscape.torch_state import share_free_memory

from .names import canonical, unknown_option
from .options import general_options
from .signals import Stopped, stoppable

# Threads that wait for each other asleep instead of spinning: on a shared machine one busy neighbour otherwise makes
# every parallel step wait for a whole time slice (nine times slower, measured). Read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# It draws into files alone. A notebook passes its own backend on, which matplotlib refuses where that is not installed.
os.environ["MPLBACKEND"] = "agg"

# Command name -> the line that --help shows. The modules, and torch with them, are imported when a command runs.
COMMANDS = {
    "train": "Train a network; continues by itself where a killed run stopped.",
    "probe": "Measure the loss around a checkpoint or along the steps from it.",
    "list": "List runs and results, with filters.",
    "compare": "Compare runs by one setting, with the uncertainty of every difference.",
    "topology": "Find the minima and saddles of a measured plane, and how deep they are.",
    "plot": "Draw results: PNG, SVG, PDF or an interactive page.",
    "report": "One page over a study, runs or results: tables, figures, comparisons.",
    "check": "Check a result, a checkpoint, or your model with data and loss.",
    "info": "Say what is in checkpoints, results and runs' folders.",
    "study": "Do everything that a study file names and that is missing.",
    "convert": "Read or write surfaces of the original tool, and meshes and tables for other programs.",
}


# What the command ends with.
EXIT_STATUSES = {
    0: "It is done, or a reader of its output went away.",
    1: "A part of it failed, something is wrong with what landscape check looked at, or an error was not foreseen.",
    2: "What was asked for is not possible: an option, a name or a value.",
    129: "The terminal was closed (SIGHUP); what was measured is saved.",
    130: "Ctrl-C (SIGINT); what was measured is saved.",
    143: "A termination signal (SIGTERM), as schedulers send it; what was measured is saved.",
}

_GENERAL = general_options()


class LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is called, so that ``--help`` is immediate."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        command.params += [option for option in _GENERAL if option not in command.params]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from landscape.errors import unknown_choice
            from landscape.registry import asked as asked_of_checkpoints

            if args[0].replace("-", "_") in asked_of_checkpoints():
                message = f"{args[0]}: is no command, but a kind of probe: landscape probe {args[0]} …"
                raise click.UsageError(message, ctx) from None
            raise click.UsageError(str(unknown_choice("command", args[0], COMMANDS)), ctx) from None


def _version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from .version import lines

        click.echo("\n".join(lines()))
        context.exit()


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "token_normalize_func": canonical,
    },
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Versions, device and threads: what a report needs.",
)
def landscape() -> None:
    """Train networks, measure the shape of their loss, and show it.

    Start with: landscape study quick
    """


landscape.params += _GENERAL


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; it ends with one of :data:`EXIT_STATUSES`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    share_free_memory()
    with stoppable():
        _run(arguments)


def _run(arguments: list[str]) -> None:
    try:
        landscape.main(args=arguments, prog_name="landscape", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        _stopped(KeyboardInterrupt, arguments)
    except Stopped as stop:
        _stopped(type(stop), arguments)
    except click.NoSuchOption as error:
        _misused(unknown_option(error, arguments))
    except click.ClickException as error:
        _misused(error)
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if "--debug" in arguments:
            raise
        _fail(error, arguments)


def _misused(error: click.ClickException) -> NoReturn:
    from landscape.printable import printable

    error.show(said := io.StringIO())
    click.echo("\n".join(map(printable, said.getvalue().splitlines())), err=True)
    sys.exit(error.exit_code)


def _stopped(stop: type[BaseException], arguments: list[str]) -> NoReturn:
    word, status = (stop.word, 128 + stop.number) if issubclass(stop, Stopped) else ("Interrupted", 130)
    kept = "saved before" if was_cut() else "measured"
    _stop(f"{word}; what was {kept} is kept. To go on: landscape {shlex.join(arguments)}", status)


def _fail(error: Exception, arguments: list[str]) -> None:
    from landscape.errors import InputError, LandscapeError

    if isinstance(error, LandscapeError):
        _stop(f"Error: {error}", 2 if isinstance(error, InputError) else 1)
    stop = asked()
    if stop is not None:  # what a signal does to processes that load the user's data, say, which are sent it too
        _stopped(stop, arguments)
    name = type(error).__name__
    _stop(f"Error: {name}: {error}\nThis was not foreseen; run again with 'landscape --debug …' to see where.", 1)


def _stop(message: str, status: int) -> NoReturn:
    from landscape.printable import printable_lines

    click.echo(printable_lines(message), err=True)
    sys.exit(status)
