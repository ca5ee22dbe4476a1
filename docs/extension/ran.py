"""Which blocks of the documents ran when: from what ``python tests/blocks.py`` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from extension.rst import code, table, title

WRITTEN = Path(__file__).parents[1] / "blocks.json"


def pages() -> dict[str, str]:
    """One page."""
    made = json.loads(WRITTEN.read_text("utf-8")) if WRITTEN.exists() else {}
    rows = [
        [code(page), ran["run"], str(ran["python"]), str(ran["commands"]), str(ran["seconds"])]
        for page, ran in made.items()
    ]
    said = (
        "Blocks of Python run with every run of the suite, which also sees whether each command has the options that it is "
        "shown with. ``python tests/blocks.py`` runs everything, commands too: over fewer images, epochs and points than they "
        "are written with, and without the lines that install something or build the project. Its last results:\n"
    )
    headings = ["page", "last run", "blocks of Python", "command lines", "seconds"]
    return {"blocks": "\n".join([title("Which code of these pages ran"), said, table(headings, rows) if rows else ""])}
