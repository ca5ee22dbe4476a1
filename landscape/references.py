"""References to a user's own code, ``module:function`` or ``path/to/file.py:function``, and the options they are called with."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from landscape.errors import InputError, LandscapeError, unknown_choice

_OF_A_FILE = "landscape_reference_"


def is_reference(name: str) -> bool:
    """Whether ``name`` is written like a reference rather than like a built-in's name."""
    return ":" in name


def resolve_reference(argument: str, reference: str) -> Callable[..., Any]:
    """The function that ``module:function`` or ``path/to/file.py:function`` names.

    Modules are looked for on Python's path and then in the working folder; a file may import its neighbours. A file is run
    once a version, so that references to two of its functions share one module.

    Args:
        argument: what an error calls the reference, e.g. ``"model"``.
        reference: the text after ``--model`` or ``--data``.

    Raises:
        InputError: where the reference has no two parts, the module or file is not found or fails while it is imported, or
            what it names is missing or cannot be called.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise InputError(
            f"{argument}: expected 'module:function' or 'path/to/file.py:function', got {reference!r}; "
            f"the part {'before' if not place else 'after'} the colon is empty."
        )
    module = _run_file(argument, Path(place)) if place.endswith(".py") else _import_module(argument, place)
    if not hasattr(module, name):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise unknown_choice(f"{argument} {reference!r}, function in {place}", name, functions)
    function: object = getattr(module, name)
    if not callable(function):
        raise InputError(f"{argument}: {reference!r} is {_described(function)}; expected something that can be called.")
    return function


def call_reference(argument: str, reference: str, options: Mapping[str, Any]) -> Any:
    """What the referenced function returns for ``options``.

    Raises:
        InputError: as :func:`resolve_reference`, for options that the function does not take, and where it raises; its
            own exception is the cause. A :class:`LandscapeError` that it raises is passed on as it is.
    """
    function = resolve_reference(argument, reference)
    check_options(f"{argument} {reference!r}", function, options)
    try:
        return function(**options)
    except LandscapeError:
        raise
    except Exception as error:
        raise InputError(f"{argument}: {reference!r} raised {_described(error)}") from error


def accepted_options(function: Callable[..., Any]) -> dict[str, bool] | None:
    """The keyword options a function takes and whether each is required; None where it takes any or does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    by_keyword = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {parameter.name: parameter.default is parameter.empty for parameter in by_keyword}


def check_options(owner: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that ``function`` does not take, and missing ones that it needs.

    Raises:
        InputError: naming the option, the nearest accepted one, and all that are accepted.
    """
    accepted = accepted_options(function)
    if accepted is None:
        return
    for option in options:
        if option not in accepted:
            if not accepted:
                raise InputError(f"{owner}: unknown option {option!r}; it takes none.")
            raise unknown_choice(f"{owner}, option", option, accepted)
    missing = [name for name, required in accepted.items() if required and name not in options]
    if missing:
        raise InputError(
            f"{owner}: expected the option{'s' * (len(missing) > 1)} {', '.join(missing)}, got {dict(options)!r}."
        )


def json_options(owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` as they come back from JSON (tuples as lists), so that what a checkpoint stores builds the same thing.

    Raises:
        InputError: naming the option whose value JSON cannot carry.
    """
    checked = {}
    for name, value in options.items():
        try:
            checked[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{owner}, option {name!r}: expected numbers, text, booleans, None, or lists and mappings of them, "
                f"which a checkpoint can record; got {value!r}."
            ) from error
    return checked


def _import_module(argument: str, name: str) -> ModuleType:
    with _importable(Path.cwd()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise _import_failed(argument, name, error) from error
            raise InputError(
                f"{argument}: no module named {error.name!r} on Python's path or in the working folder {Path.cwd()}. "
                "Install it, change to its folder, or give the file as path/to/file.py:function."
            ) from error
        except Exception as error:
            raise _import_failed(argument, name, error) from error


def module_name(name: str | None) -> str:
    """What people call a module: a file that was referred to by its own name, which another version of it has too.

    None is the module of a function that was made by ``exec`` where nothing said a name.
    """
    if name is None:
        return "__main__"
    return f"{name.removeprefix(_OF_A_FILE).rpartition('_')[0]}.py" if name.startswith(_OF_A_FILE) else name


def _run_file(argument: str, path: Path) -> ModuleType:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise InputError(f"{argument}: no file {str(path)!r}; expected path/to/file.py:function.")
    try:
        written = f"{path}{path.stat().st_mtime_ns}".encode()
        version = hashlib.sha256(written + path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{argument}: {str(path)!r} cannot be read: {error.strerror}.") from error
    name = f"{_OF_A_FILE}{path.stem}_{version}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    if spec is None or spec.loader is None:
        raise InputError(f"{argument}: {str(path)!r} cannot be imported as Python code.")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickling look their module up by name while it runs.
    sys.modules[name] = module
    with _importable(path.parent):
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, Exception):
                raise _import_failed(argument, str(path), error) from error
            raise
    return module


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles what the file holds: bytecode is told from older one by length and second alone, and an edit may change neither."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """``folder`` at the end of Python's path, so that nothing in it can stand in for an installed module."""
    entry = str(folder)
    added = entry not in sys.path
    if added:
        sys.path.append(entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if added and entry in sys.path:
            sys.path.remove(entry)


def _import_failed(argument: str, place: str, error: Exception) -> InputError:
    return InputError(f"{argument}: importing {place!r} raised {_described(error)}")


def _described(value: object) -> str:
    return f"{type(value).__name__}: {value}" if isinstance(value, Exception) else f"{type(value).__name__} {value!r}"
