"""reStructuredText by hand: the few forms that the generated pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """Words that came from the code, none of which mean markup."""
    return re.sub(r"([\\*`|]|_(?=\W|$))", r"\\\1", text)


def code(text: str) -> str:
    """A name as it is typed."""
    return f"``{text}``" if text else ""


def title(text: str, sign: str = "=") -> str:
    """A heading; the signs are ``=``, ``-`` and ``~`` from the top."""
    return f"{text}\n{sign * len(text)}\n"


def toctree(names: Iterable[str], depth: int = 1) -> str:
    """The pages below this one."""
    return f".. toctree::\n   :maxdepth: {depth}\n\n" + "".join(f"   {name}\n" for name in names)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows whose cells are reStructuredText already."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (headings, *rows):
        for place, cell in enumerate(row):
            lines.append(f"   {'* -' if not place else '  -'} {' '.join(cell.split())}")
    return "\n".join(lines) + "\n"


def without_words(text: str) -> list[str]:
    """The rows of tables, and the options, of which nothing is said."""
    rows = re.findall(r"^   \* - (.*)(?:\n     - .*)*?\n     - *$", text, re.MULTILINE)
    return rows + re.findall(r"^\.\. option:: (.*)\n\n *\n", text, re.MULTILINE)


def indented(text: str, by: str = "   ") -> str:
    """A block under what stands above it."""
    return "".join(f"{by}{line}\n" if line else "\n" for line in text.splitlines())
