"""``{n}`` reads a number of the gallery from what its script wrote: {n}`sam:sgd.test_accuracy.mean:.3f`."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes

FOLDER = Path(__file__).parents[1] / "gallery"
FORM = re.compile(r"(?P<script>\w+):(?P<keys>[\w.@]+)(?::(?P<form>.+))?")


@cache
def written(script: str) -> dict[str, Any]:
    """What a script wrote."""
    made: dict[str, Any] = json.loads((FOLDER / f"{script}.json").read_text("utf-8"))
    return made


def shown(text: str) -> str:
    """The number that ``script:key.key:format`` leads to; an @ in a key is a dot of it.

    ``mean`` of values over seeds is followed by ± their standard deviation where the format begins with ``±``.

    Raises:
        KeyError, ValueError: where it leads to none.
    """
    parts = FORM.fullmatch(text)
    if parts is None:
        raise ValueError(f"expected script:key.key:format, got {text!r}")
    made = written(parts["script"])
    *above, last = (key.replace("@", ".") for key in parts["keys"].split("."))
    value: Any = made["numbers"] if above or last not in made else made
    for key in above:
        value = value[key]
    form = parts["form"] or ""
    if form.startswith("±"):
        spread = value[last]
        return f"{_number(spread['mean'], form[1:])} ± {_number(spread['sd'], form[1:])}"
    value = value[int(last)] if isinstance(value, list) else value[last]
    return value if isinstance(value, str) else _number(value, form)


def _number(value: float, form: str) -> str:
    if form.endswith("%"):
        return f"{100 * value:{form[:-1]}} %"
    return f"{value:{form}}".replace("-", "−")


def _role(name, rawtext, text, lineno, inliner, options=None, content=None):
    try:
        return [nodes.inline(rawtext, shown(text), classes=["number"])], []
    except (KeyError, IndexError, ValueError, OSError) as error:
        said = inliner.reporter.error(f"{rawtext}: {type(error).__name__}: {error}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, said)], [said]


def setup(app):
    app.add_role("n", _role)
    return {"version": "1", "parallel_read_safe": True}
