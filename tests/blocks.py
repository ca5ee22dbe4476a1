"""The blocks of code of the documents: found, parsed, run. ``python tests/blocks.py`` runs all and writes ``docs/blocks.json``.

It goes on where it was stopped: what ran today is left out. Pages that are named (``docs/report.md``) run in any case.

Python of a page runs block after block in one namespace, in a folder of its own. What a page takes for granted stands in it as an
``invisible-code-block``. Commands run in a shell beside it, each ``landscape`` smaller than it is written: fewer images, epochs and
points. Lines that install something or build the project are left out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import SkipTest

import warm
from sybil import Document, Example
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RECORD = DOCS / "blocks.json"
# Written by the build, the suite of another page, or by a study.
ELSEWHERE = {"extending.md", "changelog.md", "contributing.md", "gallery.md"}
SHELLS = ("sh", "bash")
# Seconds for the Python of a page, for a block of commands, and for each ``landscape`` in it.
LIMIT = 900
NOT_RUN = ("make", "pip", "python", "python3", "pytest", "export", ".ci/run", ".venv/bin/pip")
SMALL = {
    "images": "20",
    "x": "-1:1:3",
    "y": "-1:1:3",
    "draws": "2",
    "points": "5",
    "curve-steps": "3",
    "max-products": "20",
}


def pages() -> list[Path]:
    """Everything that people read."""
    written = [path for path in sorted(DOCS.rglob("*.md")) if not {"generated", "coursework"} & set(path.parts)]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(path for path in written if path.name not in ELSEWHERE)]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def installed(*modules: str) -> bool:
    """Whether all of them could be imported."""
    return all(importlib.util.find_spec(module) for module in modules)


def document(page: Path, shell: Any = None) -> Document:
    """A page with its blocks; ``shell`` runs commands, which are left alone without it."""
    parsers: list[Any] = [PythonCodeBlockParser(doctest_optionflags=0), SkipParser()]
    # Also where they do not run, or what is to be skipped of them would be the next block of Python.
    parsers += [CodeBlockParser(language, shell or (lambda _: None)) for language in SHELLS]
    return Document.parse(str(page), *parsers)


def run_page(page: Path, folder: Path, path: Path | None = None, *, slow: bool = False) -> dict[str, int]:
    """Run the blocks of a page in a folder, commands too where ``path`` has a ``landscape``; how many there were of each."""
    counts = {"python": 0, "commands": 0}

    def shell(example: Example) -> None:
        counts["commands"] += run_commands(str(example.parsed), folder, path)

    made = document(page, None if path is None else shell)
    made.namespace.update(__name__="__main__", installed=installed, slow=slow)
    with chdir(folder):
        for example in made.examples():
            with suppress(SkipTest):
                example.evaluate()
            counts["python"] += "python" in str(example.region.lexemes.get("arguments"))
    return counts


def commands_of(text: str) -> list[str]:
    """The lines of a block, those that go on joined."""
    return [
        line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.strip().startswith("#")
    ]


def calls_of(line: str) -> Iterator[list[str]]:
    """The words after each ``landscape`` of a line."""
    within = re.findall(r"\$\((landscape [^)]*)\)", line)
    line = re.sub(r"\$\(landscape [^)]*\)", "FILE", line)
    words: list[str] | None = None
    for word in shlex.split(line, comments=True):
        if words is not None and (word in ("|", "||", "&&", ";", "&") or word.startswith(">")):
            yield words
            words = None
        elif words is not None:
            words.append(word)
        elif word == "landscape":
            words = []
    if words is not None:
        yield words
    for inner in within:
        yield from calls_of(inner)


def run_commands(text: str, folder: Path, path: Path | None) -> int:
    """Run a block's lines in a shell that ends at the first that fails; how many there were."""
    lines = [line for line in commands_of(text) if line.split()[0] not in NOT_RUN and "COMMAND" not in line]
    if lines:
        assert path is not None
        ended = subprocess.run(
            ["bash", "-e"],
            input="\n".join(lines),
            cwd=folder,
            env=with_landscape(path),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
    return len(lines)


def with_landscape(path: Path) -> dict[str, str]:
    """The environment in which ``landscape`` is the one of a folder."""
    return {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}


def smaller(words: list[str]) -> list[str]:
    """The same command over fewer images, epochs and points; what is said last counts."""
    if words[:1] == ["train"]:
        return [*words, "--train-images", "60", *([] if "--updates" in words else ["--epochs", "2"])]
    of_study = words[:1] == ["report"] and (words[1] == "quick" or words[1].endswith(".toml"))
    if of_study or (words[:1] == ["study"] and "--plan" not in words):
        return [*words, "--scale", "0.01"]
    if words[:1] == ["probe"] and "--list" not in words:
        from landscape_cli.settings_options import options_of

        from landscape.registry import asked, found

        kinds = [name for name, probe in asked().items() if {name, probe.command} & set(words)]
        settings = found(asked()[kinds[0] if kinds else "plane"].settings)
        known = {flag for option in options_of(settings) for flag in option.opts}
        return [*words, *(f"--{name}={value}" for name, value in SMALL.items() if f"--{name}" in known)]
    return words


def main() -> None:
    """Run every block of every page that did not run today, or of those that are named, and write down how each page went."""
    import taken

    written = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    today = datetime.now(UTC).date().isoformat()
    left = [page for page in pages() if written.get(name_of(page), {}).get("run") != today]
    failed = False
    with tempfile.TemporaryDirectory() as place, warm.commands(Path(place), smaller, LIMIT) as path:
        (there := path / "taken").mkdir()
        taken.make(there, with_landscape(path))
        for page in [ROOT / name for name in sys.argv[1:]] or left:
            began = time.monotonic()
            written.pop(name_of(page), None)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    taken.lay(there, Path(folder), page.read_text("utf-8"))
                    counts = run_page(page, Path(folder), path, slow=True)
            except Exception as error:
                failed = True
                print(f"{name_of(page)}: {error}", file=sys.stderr, flush=True)
                counts = {}
            if any(counts.values()):
                written[name_of(page)] = {"run": today, **counts, "seconds": round(time.monotonic() - began)}
                print(name_of(page), written[name_of(page)], flush=True)
            RECORD.write_text(json.dumps(dict(sorted(written.items())), indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
