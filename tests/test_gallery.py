"""The gallery: every number of a page is one that its script wrote, every figure has claim and limits, and scripts run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "shared")
FIGURES = sorted(path.stem for path in GALLERY.glob("*.md"))
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "{n}`" in path.read_text("utf-8")]


def keys(value: object, above: str = "") -> set[str]:
    """Every path through nested mappings; lists are values."""
    if not isinstance(value, dict):
        return {above}
    return {path for key, one in value.items() for path in keys(one, f"{above}.{key}")}


@pytest.fixture(scope="module")
def shown() -> object:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from extension.numbers import shown
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return shown


def test_there_are_eleven_figures_each_by_one_script() -> None:
    assert len(FIGURES) == 11
    assert {name.replace("-", "_") for name in FIGURES} <= set(SCRIPTS)
    for script in SCRIPTS:
        assert (GALLERY / f"{script}.json").exists() and (GALLERY / f"{script}.png").exists(), script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_numbers_of_a_page_are_those_that_its_script_wrote(page: Path, shown) -> None:
    for reference in re.findall(r"\{n\}`([^`]+)`", page.read_text("utf-8")):
        assert re.search(r"\w", shown(reference)), reference


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_its_claim_its_command_what_came_out_and_what_it_cannot_show(name: str) -> None:
    text = (GALLERY / f"{name}.md").read_text("utf-8")
    script = name.replace("-", "_")
    for part in (
        "**The claim.**",
        "**What came out.**",
        "**What this scale cannot show.**",
        f"python examples/{script}.py",
    ):
        assert part in text
    assert f"({script}.png)" in text
    assert (ROOT / "docs" / "gallery.md").read_text("utf-8").count(f"gallery/{name}\n") == 2  # its card, and the tree


QUICK = ("weight_bits",)  # seconds; the others run with -m slow


@pytest.mark.parametrize(
    "script", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS]
)
def test_a_script_runs_from_a_clean_folder_and_writes_what_its_page_reads(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / f"{script}.py"), "--quick", "--out", "made"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)
    made = json.loads((tmp_path / "made" / f"{script}.json").read_text("utf-8"))
    kept = json.loads((GALLERY / f"{script}.json").read_text("utf-8"))
    wanted = {re.sub(r"width_\d+", "width", key) for key in keys(kept["numbers"])}
    assert {re.sub(r"width_\d+", "width", key) for key in keys(made["numbers"])} == wanted
    assert (tmp_path / "made" / f"{script}.png").stat().st_size > 10_000
