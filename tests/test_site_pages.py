"""Nothing public is undocumented, and nothing documented is missing: the reference beside the code and the files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import xarray as xr
from commands import run

import landscape
from landscape.places import VARIABLES
from landscape.registry import asked, probes
from landscape.results import load_result

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FROZEN = sorted((Path(__file__).parent / "frozen").rglob("*.h5"))


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    """The generated pages; long names of files are not looked for."""
    sys.path.insert(0, str(DOCS))
    try:
        from extension import commands, files, python_names, studies

        kept = tuple(map(load_result, FROZEN))
        files.samples = lambda: kept
        return {**python_names.pages(), **commands.pages(), **studies.pages(), **files.pages()}
    finally:
        sys.path.remove(str(DOCS))


def test_every_public_name_is_on_one_page(reference: dict[str, str]) -> None:
    shown = [
        name
        for page, text in reference.items()
        if page.startswith("python/")
        for name in re.findall(r"^ls\.(\w+)$", text, re.MULTILINE)
    ]
    assert sorted(shown) == sorted(set(landscape.__all__) - {"__version__"})


@pytest.mark.parametrize(
    "words", [*(["probe", probe.command] for probe in asked().values()), ["train"], ["compare"], ["plot"]]
)
def test_a_page_has_the_options_that_help_shows(
    words: list[str], reference: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    helped = run(capsys, *words, "--help").out
    shown = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", helped, re.MULTILINE))
    general = {"--help", "--quiet", "--verbose", "--debug"}
    page = reference[f"commands/{'-'.join(words)}"]
    documented = set(re.findall(r"^\.\. option:: (?:-\w, )?(--[\w-]+)", page, re.MULTILINE))
    assert documented - general == shown - general


@pytest.mark.parametrize("file", FROZEN, ids=lambda path: path.stem)
def test_a_file_holds_nothing_that_no_page_names(file: Path, reference: dict[str, str]) -> None:
    result = load_result(file)
    section = reference["files"].split(f"kind = {json.dumps(result.attrs['kind'])}")[1].partition("``kind = ")[0]
    assert set(map(str, result.variables)) <= set(re.findall(r"``(\w+)``", section))
    known = attributes() | settings_of(result)
    assert set(result.attrs) <= known, set(result.attrs) - known
    assert {name for variable in result.variables.values() for name in variable.attrs} <= known


def test_an_attribute_that_is_documented_is_written_somewhere() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "landscape").rglob("*.py"))
    assert not {name for name in attributes() if not re.search(rf"\b{name}\b", code)}


def test_every_key_of_a_study_is_on_its_page(reference: dict[str, str]) -> None:
    text = (ROOT / "landscape" / "studies" / "coursework.toml").read_text("utf-8")
    keys = set(re.findall(r"^([a-z]\w*) *=", text, re.MULTILINE))
    documented = set(re.findall(r"``(\w+)``", reference["study"]))
    assert keys <= documented | {"name"}, keys - documented


def test_nothing_on_a_generated_page_is_without_words(reference: dict[str, str]) -> None:
    sys.path.insert(0, str(DOCS))
    try:
        from extension.rst import without_words
    finally:
        sys.path.remove(str(DOCS))
    assert without_words("   * - a\n     - \n     - b\n.. option:: --c\n\n   \n") == ["a", "--c"]
    for page in reference.keys() - {"files"}:  # whose words are those of files that a build writes; it looks itself
        assert not without_words(reference[page]), page


def test_every_environment_variable_that_is_read_is_documented(reference: dict[str, str]) -> None:
    sources = [*(ROOT / "landscape").rglob("*.py"), *(ROOT / "cli").glob("*.py")]
    reading = r"environ(?:\.get\(|\.setdefault\(|\[)\"(\w+)\"(?!\] =)|\"(\w+)\" not in os\.environ"
    found = [name for path in sources for name in re.findall(reading, path.read_text("utf-8"))]
    read = {name for either in found for name in either if name}
    assert read <= set(VARIABLES), read - set(VARIABLES)
    assert all(f"``{name}``" in reference["commands/shell"] for name in VARIABLES)


def attributes() -> set[str]:
    text = (DOCS / "reference" / "attributes.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def settings_of(result: xr.Dataset) -> set[str]:
    """The names of the settings of the kind, of its training's, and of what is watched."""
    from landscape.registry import found
    from landscape.studies.run_settings import RunSettings

    names = set(RunSettings.model_fields)
    for probe in probes().values():
        if probe.of_file == result.attrs["kind"] and probe.settings:
            names |= set(found(probe.settings).model_fields)
    return names
