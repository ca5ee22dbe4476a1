"""What docs/coursework says, its tables say: every number of its results stands in the row that the text points to."""

from __future__ import annotations

import csv
import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.references import resolve_reference
from landscape.studies.settings import load_study

FOLDER = Path(__file__).parents[1] / "docs" / "coursework"
STUDY = FOLDER / "batch-size.toml"
DOCUMENTS = {"README.md": "## The answer", "batch-size.md": "## What came out"}  # and where the results begin
# [words](table "a cell; another"): the rows that what stands before it is taken from.
POINTER = re.compile(r'\[[^\]]*\]\((\S+?\.(?:csv|md)) "([^"]*)"\)')
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
NAMES = re.compile(r"(?:Fig\.|Table) \d")
NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w-])")
KNOWN = {
    "95",
    "2.3026",
    "1",
    "0.84",
}  # a confidence in %, ln 10, no change, and the fall that the plan says would matter


def numbers(text: str) -> list[str]:
    return [found.replace(",", "").replace("−", "-") for found in NUMBER.findall(NAMES.sub("", text))]


def settings_numbers() -> set[str]:
    """Numbers that the study's file gives, as they may be written."""
    study = load_study(str(STUDY))
    updates = {run.training.updates or 1600 // run.training.batch_size * run.training.epochs for run in study.runs}
    text = STUDY.read_text(encoding="utf-8")
    counts = {len(study.runs), len({run.training.seed for run in study.runs})}
    return {*map(str, updates | counts), *numbers(text.replace('"', " "))}


def table(name: str) -> list[list[str]]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    if name.endswith(".csv"):
        return list(csv.reader(text.splitlines()))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def pointed(name: str, keys: str) -> list[list[str]]:
    """The rows of a table that have every key: as a whole cell where the table has such a cell, else as a part of one."""
    rows = table(name)
    for key in (key.strip() for key in keys.split(";")):
        rows = [row for row in rows if key in row] or [row for row in rows if any(key in cell for cell in row)]
    assert rows, f"{name}: no row has {keys!r}"
    return rows


def says(rows: list[list[str]], number: str) -> bool:
    """Whether a cell has the number, rounded as it is written."""
    decimals = len(number.partition("e")[0].partition(".")[2])
    unit = 10.0 ** (int(number.partition("e")[2] or 0) - decimals)
    cells = [float(found) for row in rows for cell in row for found in numbers(re.sub(r"\(\d+\)", "", cell))]
    return any(math.isfinite(v) and abs(abs(v) - abs(float(number))) <= 0.5000001 * unit for v in cells)


def paragraphs(document: str) -> Iterator[str]:
    text = (FOLDER / document).read_text(encoding="utf-8")
    results = text[text.index(DOCUMENTS[document]) :]
    for block in re.split(r"\n\s*\n|\n(?=- )", re.sub(r"```.*?```", "", results, flags=re.DOTALL)):
        yield " ".join(block.split())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_number_of_the_results_stands_in_the_row_that_the_text_points_to(document: str) -> None:
    known, pointers = KNOWN | settings_numbers(), 0
    for paragraph in paragraphs(document):
        parts = POINTER.split(paragraph)  # text, table, keys, text, table, keys, …, text
        for text, name, keys in zip(parts[0::3], parts[1::3], parts[2::3], strict=False):
            rows, pointers = pointed(name, keys), pointers + 1
            wrong = [n for n in numbers(LINK.sub(r"\1", text)) if n not in known and not says(rows, n)]
            assert not wrong, f"{wrong} are not in {name}, {keys!r}: {text}"
        assert not set(numbers(LINK.sub(r"\1", parts[-1]))) - known, f"without a row: {parts[-1]}"
    assert pointers > 5


def test_a_wrong_number_is_noticed() -> None:
    rows = pointed("depth.csv", "input;37")
    right = next(cell for row in rows for cell in row if "e-" in cell)
    assert says(rows, f"{float(right):.2e}")
    assert not says(rows, f"{1.02 * float(right):.2e}")


def test_the_tables_have_as_many_training_seeds_as_the_text_says() -> None:
    text = (FOLDER / "batch-size.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| (answer-[\w-]+|with-and-without-batch-norm) \| (\d+) \|", text, flags=re.MULTILINE))
    assert len(said) == 3
    for name, seeds in said.items():
        with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert {row["n_a"] for row in csv.DictReader(file) if row["n_a"]} == {seeds}, name


def test_the_plan_of_the_study_is_what_its_file_does() -> None:
    study = load_study(str(STUDY))
    assert len(study.runs) == 102
    assert {run.training.seed for run in study.runs} == set(range(6))
    text = STUDY.read_text(encoding="utf-8")
    chosen = [made["measures"] for made in tomllib.loads(text)["comparisons"] if made["name"].startswith("answer")]
    assert chosen == [["adaptive_steps:*", "loss_variation:relative", "relative_predictiveness:relative"]] * 2


def test_every_small_pixel_is_the_mean_of_the_large_ones_that_it_touches() -> None:
    small = resolve_reference("data", f"{FOLDER}/small_images.py:fashion_mnist")().train
    large = ls.load_data("fashion-mnist-10k").train
    assert small.images.shape == (len(large), 1, 12, 12)
    assert torch.equal(small.labels, large.labels)
    inner = large.images[:50, 0, 2:30, 2:30].double().numpy()
    touched = [slice(math.floor(i * 28 / 12), math.ceil((i + 1) * 28 / 12)) for i in range(12)]
    means = np.stack([np.stack([inner[:, y, x].mean((1, 2)) for x in touched], 1) for y in touched], 1)
    np.testing.assert_allclose(small.images[:50, 0], means, atol=0.5001)


def test_signal_and_gradient_through_depth_are_what_the_table_says() -> None:
    profile = resolve_reference("profile", f"{FOLDER}/depth.py:profile")
    signal, gradient = profile("input", 0, images=20)
    rows = [row for row in table("depth.csv") if row[0] == "input"]
    assert len(rows) == len(signal) == 37
    # One seed and fewer images beside the geometric mean of six.
    means = np.array([[float(value) for value in row[2:]] for row in rows])
    assert np.abs(np.log(np.stack([signal, gradient], 1) / means)).max() < np.log(10)
