"""Text that came from files, made safe for what it is shown in: a terminal, Markdown, CSV, HTML. One function a medium.

A name in a checkpoint or a result may hold anything. Here it becomes text that shows every character and does nothing.
"""

from __future__ import annotations

import html as _html
import json
import re
from typing import Any

_BREAKS = re.compile(r"\r\n|\r|\n")
# Only what acts: `p < 0.05`, `[0.1, 0.2]` and `train_loss` are read as they stand.
_MARKDOWN = re.compile(r"[\\`*|~$]|(?<!\w)_|_(?!\w)|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#|\w+;)")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}
# Spreadsheets run what starts so, also in full width; Python's strip takes the tabs, returns and spaces off that they skip.
_FORMULA = tuple("=+-@＝＋－＠")


def printable(text: object) -> str:
    r"""One line in which control characters, line breaks, marks that turn the direction of writing, and lone surrogates are
    written as escapes (``\x1b``, ``\n``, ``\u202e``); no-break spaces are spaces and stay.

    For a name in a sentence, a cell of a table, a label of a picture.
    """
    shown = str(text)
    return shown if shown.isprintable() else "".join(map(_shown, shown))


def printable_lines(text: object) -> str:
    """The same with its line breaks kept; lines after the first are indented, so that none passes for one of ours.

    For whole messages.
    """
    return "\n  ".join(printable(line) for line in _BREAKS.split(str(text)))


def printable_json(text: str) -> str:
    """JSON whose texts are :func:`printable`; what is no JSON list or mapping as :func:`printable` gives it."""
    if not text.startswith(("{", "[")):
        return printable(text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return printable(text)
    made = _leaves(content)
    return text if made == content and text.isprintable() else json.dumps(made, ensure_ascii=True)


def markdown(text: object) -> str:
    """:func:`printable`, with everything escaped that Markdown would take for markup, a cell's end or HTML."""
    return _MARKDOWN.sub(lambda sign: _ENTITIES.get(sign[0], f"\\{sign[0]}"), printable(text))


def html(text: object) -> str:
    """:func:`printable`, as the content of an element or an attribute."""
    return _html.escape(printable(text))


def csv_cell(value: object) -> object:
    """A number as it is. Text as :func:`printable`, with ``'`` before what a spreadsheet would take for a formula.

    A text that is a number, such as ``-0.5`` for a setting, is one to a spreadsheet too and stays.
    """
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if value.strip().startswith(_FORMULA) and not _is_number(value) else shown


def _shown(letter: str) -> str:
    if letter.isprintable() or letter in "\u00a0\u202f":
        return letter
    return letter.encode("unicode_escape").decode("ascii")


def _leaves(content: Any) -> Any:
    if isinstance(content, dict):
        return {printable(key): _leaves(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_leaves(value) for value in content]
    return printable(content) if isinstance(content, str) else content


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text
