"""Names in a study are file names, each another one, in the study's folder."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from commands import fails, run

from landscape.errors import InputError
from landscape.places import Places
from landscape.results.names import LONGEST, check_file_name, file_part, part_names, shortened
from landscape.studies.parts import ComparisonSettings, PictureSettings, TableSettings
from landscape.studies.run_settings import run_settings
from landscape.studies.runs import run_folder
from landscape.studies.settings import (
    BUNDLED_STUDIES,
    StudySettings,
    load_study,
    picture_names,
)

NO_NAMES = [
    "", " ", ".", "..", "../x", "a/b", "/x", "a\\b", "C:x", "a:b", "-x", "~x", ".x", " x", "x.", "x ", "a\nb", "a\x00b", "a\x7f",
    "\u202egnp", "con", "NUL.txt", "Com1", "lpt9.x", "a*", "a?", 'a"', "a|b", "<a>", "x" * 201, "é" * 101,
]  # fmt: skip
NAMES = [
    "x",
    "fig-1a",
    "v1.2",
    "β over η",
    "été",
    "console",
    "a, b (c)",
    "x" * LONGEST,
    "0",
    "comparison",
    "a_b",
    "日本",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_of_a_file_everywhere_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected the name of a file"):
        check_file_name(name, "name")
    for part in (
        {"name": name},
        {"tables": (TableSettings.model_construct(name=name),)},
        {"comparisons": (ComparisonSettings.model_construct(name=name),)},
        {"pictures": (PictureSettings.model_construct(name=name),)},
    ):
        with pytest.raises(ValueError, match="expected the name of a file"):
            StudySettings(**{"name": "s", "runs": (run_settings({}),), **part})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_file_is_taken_and_a_file_of_it_can_be_made(name: str, tmp_path: Path) -> None:
    check_file_name(name, "name")
    (tmp_path / f"{name}.html").touch()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.html"]


def study(*parts: str) -> str:
    return "\n".join(['name = "s"\n[[runs]]\nmodel = "mlp"\nepochs = 1\nbatch_size = [20, 30]', *parts])


def part(key: str, name: str) -> str:
    more = {
        "tables": 'over = "batch_size"\nquantities = ["train_loss"]',
        "comparisons": 'by = "batch_size"',
        "pictures": 'kind = "curves"',
        "probes": 'kind = "line"',
    }
    escaped = name.encode("unicode_escape").decode().replace("\\x", "\\u00")
    return f'[[{key}]]\nname = "{escaped}"\n{more[key]}'


KEYS = ("probes", "pictures", "tables", "comparisons")


PAIRS = [(first, second, ("part", "part")) for first in KEYS for second in KEYS]
PAIRS += [("tables", "comparisons", names) for names in (("Part", "pART"), ("é", "e\u0301"), ("ﬁg", "fig"))]


@pytest.mark.parametrize(("first", "second", "names"), PAIRS)
def test_two_parts_of_one_name_are_refused(
    first: str, second: str, names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(study(part(first, names[0]), part(second, names[1])), "utf-8")
    with pytest.raises(InputError, match="is the name of"):
        load_study("s.toml")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["table", "TABLE"])
def test_the_table_of_every_study_keeps_its_name(
    key: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(study(part(key, name)))
    with pytest.raises(InputError, match="the study's table of runs"):
        load_study("s.toml")


def test_a_refusal_names_the_file_the_part_and_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(study(part("tables", "a"), part("tables", "../../b")))
    for command in (["study", "s.toml"], ["study", "s.toml", "--plan"]):
        fails(capsys, *command, status=2, says="s.toml: tables[1]: name: expected the name of a file")
    Path("s.toml").write_text('name = "../x"\n[[runs]]\nmodel = "mlp"\n')
    fails(capsys, "study", "s.toml", status=2, says="s.toml: name: expected the name of a file")
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_a_list_in_a_table_of_probes_is_several_probes_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(study('[[probes]]\nname = "p"\nkind = "line"\nbatch_norm = ["frozen", "batch"]'))
    assert part_names(load_study(str(path)).probes) == ["p", "p-2"]


def test_parts_without_a_name_are_called_by_their_kind_and_dodge_the_names_of_others(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    unnamed = '[[pictures]]\nkind = "curves"'
    path.write_text(study(unnamed, unnamed, part("pictures", "Curves-2"), part("tables", "curves"), unnamed))
    assert picture_names(load_study(str(path))) == ["curves-3", "curves-4", "Curves-2", "curves-5"]
    path.write_text(study(unnamed, unnamed))
    assert picture_names(load_study(str(path))) == ["curves", "curves-2"]


@pytest.mark.parametrize("name", BUNDLED_STUDIES)
def test_our_own_studies_have_names_that_hold(name: str) -> None:
    assert len(set(picture_names(load_study(name)))) == len(load_study(name).pictures)


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "../../../evil"},
        {"norm": "/etc/x"},
        {"norm": "a\\..\\b"},
        {"model": "a/" * 200 + "task.py:net"},
        {"model": "../../task.py:net", "norm": "x\n\x1b"},
        {"model": "é" * 300 + ":net"},
    ],
)
def test_a_runs_folder_is_a_name_among_the_checkpoints(settings: dict[str, str]) -> None:
    folder = run_folder(run_settings(settings), Places(checkpoints=Path("c")))
    assert folder.parent == Path("c")
    assert folder.name.isprintable() and not set(folder.name) & set("/\\:") and len(os.fsencode(folder.name)) <= 220


def test_long_names_are_shortened_to_distinct_ones_and_others_stay() -> None:
    assert shortened("é" * 100, LONGEST) == "é" * 100
    made = {shortened("é" * 150 + str(number), LONGEST) for number in range(50)}
    assert len(made) == 50 and all(len(os.fsencode(name)) <= LONGEST for name in made)
    assert file_part("dir/task.py:net") == "dir-task.py-net"
    assert unicodedata.is_normalized("NFC", file_part("été"))


TASK = """
import torch
from torch import nn
def net(): return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
def data():
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()
"""


def test_every_part_of_a_study_is_a_file_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("task.py").write_text(TASK)
    runs = '[[runs]]\nmodel = "task.py:net"\ndata = "task.py:data"\nepochs = 1\nbatch_size = [20, 30]'
    parts = [part("tables", "t.md"), part("comparisons", "v1.2"), part("pictures", "p.h5")]
    Path("s.toml").write_text("\n".join(['name = "s"', runs, *parts]))
    finished = run(capsys, "study", "s.toml", "--device", "cpu")
    assert finished.status == 0, finished.err
    made = {path.name for path in Path("outputs/s").iterdir() if not path.name.startswith(".")}
    forms = {f"v1.2.{suffix}" for suffix in ("csv", "md", "tex", "html", "h5", "png")}
    captions = {"p.h5.txt", "p.h5.tex", "v1.2.txt", "v1.2.caption.tex"}
    assert made == {"table.md", "report.html", "t.md.md", "p.h5.png", *forms, *captions}
