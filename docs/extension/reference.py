"""All generated pages of the reference, and their writing before Sphinx reads them."""

from __future__ import annotations

from pathlib import Path

from extension import commands, files, python_names, ran, studies
from extension.rst import without_words


def pages() -> dict[str, str]:
    """Path below ``docs/reference``, without its ending -> reStructuredText."""
    return {**python_names.pages(), **commands.pages(), **studies.pages(), **files.pages(), **ran.pages()}


def write(folder: Path) -> None:
    """Write them; a page that is there already and the same is left alone, so that it need not be read again.

    Raises:
        ValueError: for a page with a row of which nothing is said.
    """
    made = {folder / f"{name}.rst": text for name, text in pages().items()}
    for path, text in made.items():
        if unsaid := without_words(text):
            raise ValueError(f"{path.name}: expected words for every row, got none for {', '.join(unsaid)}.")
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    for path in folder.rglob("*.rst"):
        if path not in made:
            path.unlink()
