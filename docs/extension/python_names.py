"""The public names, in the groups of the front door's stub, each with the docstring that it has."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import landscape
from extension.rst import indented, title, toctree

STUB = Path(landscape.__file__).with_suffix(".pyi")
# Modules that are public as a whole: their own names stand under them.
MODULES = ("testing",)


def groups() -> dict[str, list[str]]:
    """The comments of the stub, and the names below each."""
    text = STUB.read_text("utf-8")
    headings = {n: line[2:] for n, line in enumerate(text.splitlines(), 1) if re.match(r"# (?!ruff)", line)}
    found: dict[str, list[str]] = {heading: [] for heading in headings.values()}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            heading = headings[max(line for line in headings if line < node.lineno)]
            found[heading] += [alias.asname or alias.name for alias in node.names]
    return found


def pages() -> dict[str, str]:
    """A page for each group."""
    front = ".. code-block:: text\n\n" + indented(inspect.getdoc(landscape) or "")
    made = {"python/index": "\n".join([title("Python"), front, toctree(map(slug, groups()), 2)])}
    for heading, names in groups().items():
        parts = [title(heading[0].upper() + heading[1:])]
        parts += [
            one for name in names if name != "__version__" for one in (title(f"ls.{name}", "-"), documented(name))
        ]
        made[f"python/{slug(heading)}"] = "\n".join(parts)
    return made


def slug(heading: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in heading)


def documented(name: str) -> str:
    """The directive that shows a name."""
    if name in MODULES:
        return _module(name)
    one = getattr(landscape, name)
    kind = "exception" if isinstance(one, type) and issubclass(one, BaseException) else ""
    kind = kind or ("class" if inspect.isclass(one) else "function")
    return f".. currentmodule:: landscape\n\n.. auto{kind}:: {name}\n" + ("   :members:\n" if kind == "class" else "")


def _module(name: str) -> str:
    module: Any = getattr(landscape, name)
    below = [f".. automodule:: landscape.{name}\n"]
    for one in module.__all__:
        what = getattr(module, one)
        kind = "class" if inspect.isclass(what) else "function" if callable(what) else "data"
        below.append(f".. auto{kind}:: landscape.{name}.{one}\n" + ("   :members:\n" if kind == "class" else ""))
    return "\n".join(below)
