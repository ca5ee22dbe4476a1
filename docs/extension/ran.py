"""Which blocks of the documents ran when: from what ``python tests/blocks.py`` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from extension.rst import code, table, title

WRITTEN = Path(__file__).parents[1] / "blocks.json"


def pages() -> dict[str, str]:
    """One page."""
    made = json.loads(WRITTEN.read_text("utf-8"))
    rows = [
        [code(page), str(counts["python"]), str(counts["commands"]), str(counts["seconds"])]
        for page, counts in made["pages"].items()
    ]
    total = [sum(counts[what] for counts in made["pages"].values()) for what in ("python", "commands")]
    return {
        "blocks": "\n".join(
            [
                title("Which code of these pages ran"),
                f"All of it, last on {made['run']}: {total[0]} blocks of Python and {total[1]} command lines, by ``python tests/blocks.py``. "
                "Commands ran over fewer images, epochs and points than they are written with; lines that install something or "
                "build the project were left out. Python blocks, and whether each command has the options that it is shown with, "
                "are part of every run of the suite.\n",
                table(["page", "blocks of Python", "command lines", "seconds"], rows),
            ]
        )
    }
