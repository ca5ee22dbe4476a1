"""What is sent to workers, as bytes: with the user's own code, which workers need not have."""

from __future__ import annotations

import contextlib
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from landscape.errors import InputError, first_line

_INSTALLED = ("site-packages", "dist-packages")
_ADVICE = " pip install 'landscape-lab[cluster]' brings cloudpickle, which sends more kinds of code."
_OURS = ("landscape", "landscape_cli")


def packed(what: Any) -> bytes:
    """A pickle that :func:`pickle.loads` reads elsewhere.

    With cloudpickle, which comes with the extra ``cluster``, functions and classes of the user's own travel with it: those of a
    script, a notebook, or a file that is not installed. Without it they have to be importable where it is read.

    Raises:
        InputError: for what cannot be pickled.
    """
    try:
        import cloudpickle
    except ImportError:
        return _dumped(
            pickle.dumps,
            what,
            _ADVICE,
        )
    with _by_value(cloudpickle), contextlib.suppress(InputError):
        return _dumped(cloudpickle.dumps, what, "")
    return _dumped(cloudpickle.dumps, what, "")  # importable where it is read, perhaps


def _dumped(dump: Any, what: Any, advice: str) -> bytes:
    try:
        made: bytes = dump(what, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # of any kind: it is the user's objects that are asked
        raise InputError(
            f"executor: model, loss or data cannot be sent to other processes ({type(error).__name__}: {first_line(error):.200}). "
            f"Expected what pickle takes, without open files, locks or sockets.{advice}"
        ) from error
    return made


@contextlib.contextmanager
def _by_value(cloudpickle: Any) -> Iterator[None]:
    """While open, modules that are not installed are sent along with what is of them."""
    known = cloudpickle.list_registry_pickle_by_value()
    own = [module for name, module in list(sys.modules.items()) if _is_own(name, module) and name not in known]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(name: str, module: object) -> bool:
    file = getattr(module, "__file__", None)
    # A script is sent along anyway.
    if not isinstance(module, ModuleType) or not isinstance(file, str) or module.__name__ != name or name == "__main__":
        return False
    return name.partition(".")[0] not in _OURS and not _is_installed(file)


@cache  # a process has thousands of modules, and is asked for each work
def _is_installed(file: str) -> bool:
    path = Path(file)
    return any(part in _INSTALLED for part in path.parts) or path.is_relative_to(sysconfig.get_path("stdlib"))
