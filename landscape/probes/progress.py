"""How far a measurement is, and how a person at a prompt is told and may stop it."""

from __future__ import annotations

import builtins
import functools
import inspect
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec

import xarray as xr

from landscape.errors import InputError
from landscape.objective.ends import an_objective
from landscape.results import load_result

P = ParamSpec("P")
OFTEN = 0.2  # seconds between two lines


@dataclass(frozen=True)
class Progress:
    """What an observer of a measurement hears.

    Attributes:
        done, total: parts of the work; the total may be a guess.
        dataset: the result as it stands, made when asked for.
        unit: what the parts are, such as points, draws or Hessian products.
    """

    done: int
    total: int
    dataset: Callable[[], xr.Dataset]
    unit: str = "points"


ProgressObserver = Callable[[Progress], None]


def interactive_session() -> bool:
    """Whether somebody sits at a prompt or a notebook, rather than a script that runs to its end."""
    return hasattr(builtins, "__IPYTHON__") or hasattr(sys, "ps1")


def shown(measure: Callable[P, xr.Dataset]) -> Callable[P, xr.Dataset]:
    """The measurement of an objective, its first argument, that shows its progress at a prompt and in a notebook.

    Ctrl-C there returns what is measured by then, which ``resume=`` goes on with, as it does with a file. In a script, or with
    an observer, it is an exception as ever.

    Raises:
        InputError: for something else where the objective is to be.
    """

    @functools.wraps(measure)
    def call(*given: P.args, **named: P.kwargs) -> xr.Dataset:
        an_objective(given[0] if given else named.get("objective"))
        resume = named.get("resume")
        if isinstance(resume, str | os.PathLike):
            named["resume"] = load_result(resume)
        _check_config(measure, given, named)
        if named.get("observer") is not None or not interactive_session():
            return measure(*given, **named)
        line = _Line(measure.__name__)
        named["observer"] = line
        try:
            return measure(*given, **named)
        except KeyboardInterrupt:
            if line.last is None:
                raise
            line.say(
                f"stopped at {line.last.done} of {line.last.total}: go on with resume=, or use what there is", end=True
            )
            return line.last.dataset().assign_attrs(complete=0)
        finally:
            line.close()

    return call


class _Line:
    """One line on the standard error that is written over, which terminals and notebooks both show."""

    def __init__(self, name: str) -> None:
        self.last: Progress | None = None
        self._name, self._begun, self._told, self._width = name, time.monotonic(), 0.0, 0

    def __call__(self, progress: Progress) -> None:
        self.last = progress
        now = time.monotonic()
        if now - self._told < OFTEN and progress.done < progress.total:
            return
        self._told = now
        left = (now - self._begun) * (progress.total - progress.done) / max(progress.done, 1)
        self.say(f"{progress.done} of {progress.total}, {int(left) // 60}:{int(left) % 60:02d} left")

    def say(self, words: str, *, end: bool = False) -> None:
        text = f"{self._name}: {words}"
        sys.stderr.write("\r" + text.ljust(self._width) + ("\n" if end else ""))
        sys.stderr.flush()
        self._width = 0 if end else len(text)

    def close(self) -> None:
        if self._width:
            sys.stderr.write("\n")
            sys.stderr.flush()


def _check_config(measure: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Refuse a configuration that is a class, or of another measurement."""
    names = list(inspect.signature(measure).parameters)
    if "config" not in names:
        return
    place = names.index("config")
    config = given[place] if len(given) > place else named.get("config")
    wanted = str(measure.__annotations__["config"]).partition(" ")[0]
    if isinstance(config, type):
        raise InputError(f"config: {config.__name__} is a class. Give one of it: ls.{config.__name__}(…).")
    if config is not None and type(config).__name__ != wanted:
        raise InputError(
            f"config: expected an ls.{wanted}, got {config!r}. Try {measure.__name__}(objective, ls.{wanted}(…))."
        )
