"""What is written is true: blocks of Python run, commands have the options that they are shown with, links lead somewhere."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import click
import pytest
from blocks import DOCS, ROOT, SHELLS, calls_of, commands_of, name_of, pages, run_page
from landscape_cli.main import landscape

from landscape.registry import asked

PAGES = {name_of(page): page for page in pages()}
TEXTS = {name: page.read_text("utf-8") for name, page in PAGES.items()}
WITH_PYTHON = [name for name, text in TEXTS.items() if "```python" in text]
# They import for seconds what are other packages.
OTHERS = ("docs/howto/lightning.md", "docs/howto/hugging-face.md", "docs/doors.md", "docs/loops.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def calls(text: str) -> list[list[str]]:
    blocks = [block for language, block in BLOCK.findall(text) if language in SHELLS]
    return [call for block in blocks for line in commands_of(block) for call in calls_of(line)]


def heading_marks(text: str) -> set[str]:
    """The anchors that headings have, as GitHub and the site name them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in OTHERS else name for name in WITH_PYTHON]
)
def test_python_of_a_page_runs(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_page(PAGES[name], tmp_path)


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if calls(text)])
def test_a_command_has_the_options_that_it_is_shown_with(name: str) -> None:
    for words in calls(TEXTS[name]):
        if {"COMMAND", "KIND"} & set(words[:2]) or words in (["--version"], ["--help"]):
            continue
        with click.Context(landscape, info_name="landscape") as context:
            command_name, command, rest = landscape.resolve_command(context, list(words))
            assert command is not None
            if "--list" in rest or "--help" in rest or "--plan" in rest:
                continue
            command.make_context(command_name, rest, parent=context)


def test_an_option_that_is_named_in_a_sentence_exists() -> None:
    known: set[str] = set()
    with click.Context(landscape, info_name="landscape") as context:
        for command_name in landscape.list_commands(context):
            command = landscape.get_command(context, command_name)
            assert command is not None
            for kind in asked() if command_name == "probe" else [""]:
                made = click.Context(command, parent=context)
                made.meta["kind"] = kind or "plane"
                known |= {one for option in command.get_params(made) for one in (*option.opts, *option.secondary_opts)}
    others = {"--editable", "--max-children", "--help", "--version", "--device"}
    for name, text in TEXTS.items():
        said = [span for span in re.findall(r"`([^`\n]+)`", text) if span.startswith(("landscape", "--"))]
        for span in said:
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", span):
                assert option in known | others or name in ALIASES, (name, span)


# Pages that name options of other programs.
ALIASES = ("README.md", "docs/command.md", "docs/clusters.md")


def test_links_lead_to_files_and_headings_that_there_are() -> None:
    for name, text in TEXTS.items():
        prose = re.sub(BLOCK, "", text)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", target) or "generated/" in target:
                continue
            path, _, mark = target.partition("#")
            file = (PAGES[name].parent / path).resolve() if path else PAGES[name]
            assert file.exists(), (name, target)
            if mark:
                assert mark in heading_marks(file.read_text("utf-8")), (name, target)


@pytest.mark.parametrize(
    "clicks",
    [
        ("Is my minimum flat",),
        ("Why does it not train",),
        ("Why does my plot look weird",),
        ("May I claim this",),
        ("Lightning module", "a Lightning module"),
        ("Hugging Face model", "a Hugging Face model"),
        ("own loop", "a loop of your own"),
        ("that paper for my network",),
    ],
    ids=" > ".join,
)
def test_a_question_is_answered_three_clicks_from_the_front_page_at_most(clicks: tuple[str, ...]) -> None:
    page = DOCS / "index.md"
    for words in clicks:
        row = next(line for line in page.read_text("utf-8").splitlines() if words in line and "](" in line)
        page = (page.parent / re.findall(r"\]\(([^)#]+\.md)", row)[-1]).resolve()
    assert len(clicks) <= 3
    assert re.search(r"^```(python|sh)$", page.read_text("utf-8"), re.MULTILINE), page


def test_every_page_of_the_site_is_in_its_tree() -> None:
    trees = {}
    for path in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    trees[(path.parent / f"{line}.md").resolve()] = path
    for path in DOCS.rglob("*.md"):
        if "generated" not in path.parts and path.parent.name != "coursework" and path.name != "index.md":
            assert path.resolve() in trees, path.relative_to(ROOT)
