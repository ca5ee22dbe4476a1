"""Text from files says what it says and does nothing: in a terminal, in Markdown, CSV, HTML, LaTeX and in pictures."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import comparison_samples
import numpy as np
import pytest
import render_samples
import render_step_samples
import torch
import xarray as xr
from commands import fails, run
from hypothesis import given, settings
from hypothesis import strategies as st
from landscape_cli.main import main
from landscape_cli.terminal import Terminal, show_table

from landscape.comparison import compare
from landscape.printable import csv_cell, html, markdown, printable, printable_json, printable_lines
from landscape.probes.interactive import interactive
from landscape.probes.plot import plot
from landscape.results import load_result, save_result
from landscape.studies.sweep import attempt
from landscape.studies.tables import Row
from landscape.studies.tables import markdown as markdown_table

# A terminal's colour and title, a null, a direction that is turned, a new line, and markup of every kind.
HOSTILE = (
    'a$b$ $\\frac{ \x1b[31mred\x1b]0;t\x07 \x00 \u202e [bold] :smile: | `c` *d* <a href="javascript:x">e</a> & é\n# f'
)
IN_FILES = HOSTILE.replace("\x00", "")  # which HDF5 has no place for
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@given(st.text(st.characters(exclude_categories=())))
@settings(max_examples=100, deadline=None)
def test_no_character_that_acts_is_left_and_those_that_show_stay(text: str) -> None:
    shown = printable(text)
    assert not ACTS.search(shown) and "\n" not in shown
    assert all(unicodedata.category(c)[0] not in "CZ" or c in " \u00a0\u202f" for c in shown)
    assert not text.isprintable() or shown == text
    assert printable(shown) == shown
    shown.encode()  # lone surrogates, as in names of files that are no UTF-8, are gone


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff.h5", r"\udcff.h5"),
        ("λ_max ± 1 %", "λ_max ± 1 %"),
        ("0.1\u00a0%", "0.1\u00a0%"),
    ],
)
def test_what_acts_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_of_a_message_cannot_pass_for_one_of_ours() -> None:
    assert printable_lines("loss 'x\nError: y\r\nz'") == "loss 'x\n  Error: y\n  z'"


def test_json_stays_json_and_its_texts_become_printable() -> None:
    notes = json.dumps(["plain", {HOSTILE: [HOSTILE, 1.5, None]}])
    assert json.loads(printable_json(notes)) == ["plain", {printable(HOSTILE): [printable(HOSTILE), 1.5, None]}]
    assert printable_json('["é", 1]') == '["é", 1]'
    assert printable_json("{not\x1bjson") == r"{not\x1bjson"


@pytest.mark.parametrize(
    "text", ["=2+5", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "\n=1", "\r-x", "＝1", "-cmd|' /C x'!A0"]
)
def test_a_cell_that_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert csv_cell(text) == "'" + printable(text)


@pytest.mark.parametrize("value", [-0.5, "-0.5", "+1e-3", "-inf", "batch", "a = b", 7, "1e-4", "C-3"])
def test_numbers_and_words_stay_what_they_are_in_a_spreadsheet(value: object) -> None:
    assert csv_cell(value) == value


@pytest.mark.parametrize("text", ["p < 0.05", "[0.1, 0.2]", "train_loss", "0.479(4)", "R&D", "‖θ‖₂ ± 3 %", "a − b"])
def test_what_is_no_markup_reads_the_same_in_markdown(text: str) -> None:
    assert markdown(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("![x](http://y)", r"![x\](http://y)"),
        ("[x]: http://y", r"[x\]: http://y"),
        ("<img src=x>", "&lt;img src=x>"),
        ("&lt;", "&amp;lt;"),
        ("_a_ *b*", r"\_a\_ \*b\*"),
        ("a\n\n# b", r"a\\n\\n# b"),
        ("$x$", r"\$x\$"),
    ],
)
def test_markup_is_shown_in_markdown(text: str, shown: str) -> None:
    assert markdown(text) == shown


def test_html_shows_markup() -> None:
    assert html('<a b="\x00">') == "&lt;a b=&quot;\\x00&quot;&gt;"


def test_info_and_errors_print_no_control_character(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"format": "landscape-checkpoint", "version": 1, "training": {"optimizer": HOSTILE}, "loss": HOSTILE}
    spec = {"name": HOSTILE, "options": {HOSTILE: HOSTILE}}
    state = {"model": {"w": torch.zeros(2)}, "epoch": 1, "history": [{HOSTILE: 1.0}]}
    torch.save({**own, "model": spec, "data": spec, "state": state}, tmp_path / "c.pt")
    torch.save({**own, "version": HOSTILE, "state": state}, tmp_path / "newer.pt")
    torch.save({HOSTILE: 1}, tmp_path / "foreign.pt")
    attributes = {"checkpoint": IN_FILES, "model": IN_FILES, "norm": IN_FILES, "dead": 1, "dead_reason": IN_FILES}
    save_result(render_samples.plane(3, 3, **attributes), tmp_path / "plane.h5")
    save_result(render_samples.history(2, status=IN_FILES, data=IN_FILES), tmp_path / "history.h5")
    save_result(xr.Dataset({IN_FILES.replace("/", ""): 1.0}, attrs={"kind": IN_FILES}), tmp_path / "other.h5")
    for name in ("c.pt", "newer.pt", "foreign.pt", "plane.h5", "history.h5", "other.h5"):
        made = run(capsys, "info", str(tmp_path / name))
        assert not ACTS.search(made.out + made.err), name
        assert r"\x1b" in made.out + made.err, name
        assert all(line.startswith((" ", str(tmp_path), "Error")) for line in (made.out + made.err).splitlines()), name


def test_a_usage_error_prints_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, "convert", "a", "b", "\x1b[31m\u202e\x07", status=2, says="unexpected extra argument").err
    assert r"\u202e\x07" in said and not ACTS.search(said)


def test_tables_and_messages_show_markup_of_the_terminal_library(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("[red]t", ["[bold]c"], [["[/x] :smile: \x1b"]])
    with Terminal() as terminal:
        terminal.message("[/nothing] :smile: \x1b[31m")
        terminal.progress("[/x] \x1b", 1, 1)
    seen = capsys.readouterr()
    for words in ("[red]t", "[bold]c", r"[/x] :smile: \x1b"):
        assert words in seen.out
    assert r"[/nothing] :smile: \x1b[31m" in seen.err and r"[/x] \x1b: 1 of 1" in seen.err


def test_a_row_of_a_study_stays_one_row_of_its_columns() -> None:
    failures: dict[str, str] = {}
    attempt(failures, "x", lambda: (_ for _ in ()).throw(ValueError("a\n| b")))
    table = markdown_table([Row({"run": HOSTILE, "state": "a|b"})]).splitlines()
    assert len(table) == 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3}


@pytest.fixture(scope="module")
def hostile_comparison(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    names = ["=2+5|<b>x</b>\n\x1b[31m$y$", "plain"]
    for name in names:
        for seed in range(3):
            made = comparison_samples.history(1.0 + 0.1 * seed + (name == "plain"), model=name, seed=seed)
            save_result(made, folder / f"{names.index(name)}{seed}.h5")
    return compare(sorted(folder.glob("*.h5")), by="model")


def _numbers(made: Any, which: str) -> list[float]:
    pairs = list(made.each_pair())
    return [{"a": row.cells[pair.a].mean, "d": pair.difference, "l": pair.low}[which] for row, pair in pairs]


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)


def test_every_form_of_a_comparison_shows_a_setting_and_runs_nothing(hostile_comparison: Any) -> None:
    made = hostile_comparison
    rows = list(csv.reader(io.StringIO(made.csv())))
    assert not [cell for row in rows for cell in row if cell.strip().startswith(("=", "@"))]
    assert {len(row) for row in rows} == {len(rows[0])} and len(rows) == 1 + len(list(made.each_pair()))
    numbers = [float(row[rows[0].index(name)]) for name in ("mean_a", "difference", "low") for row in rows[1:]]
    wanted = [value for name in ("a", "d", "l") for value in _numbers(made, name)]
    np.testing.assert_array_equal(numbers, wanted)  # no apostrophe before them
    assert not {"b"} & set(_Tags(made.html()).seen)
    tables = [line for line in made.markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {10}
    for text in (made.csv(), made.html(), made.markdown(), made.latex()):
        assert not ACTS.search(text)
        assert "2+5" in text
    plot(made.dataset()).savefig(io.BytesIO(), format="svg")


def _hostile(dataset: xr.Dataset) -> xr.Dataset:
    """All that a picture shows of a file, each text another hostile one."""
    keep = ("kind", "settings", "status", "directions", "operator")
    texts = {k: HOSTILE for k, v in dataset.attrs.items() if isinstance(v, str) and k not in keep}
    lists = {k: json.dumps([HOSTILE]) for k, v in dataset.attrs.items() if isinstance(v, str) and v.startswith("[")}
    made = dataset.assign_attrs(texts | lists)
    for name in made.variables:
        attributes = made[name].attrs | {k: HOSTILE for k in ("units", "long_name") if k in made[name].attrs}
        made[name].attrs = attributes
        if name in ("setting", "sentence", "tensor", "long_name", "measure_units"):
            values = np.array([f"{HOSTILE}{n}" for n in range(made[name].size)], dtype=object).reshape(made[name].shape)
            new = {name: (made[name].dims, values, attributes)}
            made = made.assign_coords(new) if name in made.coords else made.assign(new)
    return made


PICTURES = {
    "contour": lambda: render_samples.plane(3, 3),
    "line": lambda: render_samples.line(5),
    "flow": lambda: render_step_samples.flow(3, 2),
    "run-range": lambda: render_step_samples.run_range(6),
    "comparison": lambda: render_step_samples.comparison(),
    "noise-scale": lambda: render_step_samples.noise_scale(),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_and_pages_show_hostile_texts_as_they_are_written(kind: str) -> None:
    dataset = _hostile(PICTURES[kind]())
    before = dataset.copy(deep=True)
    stream = io.StringIO()
    plot(dataset, kind=kind).savefig(stream, format="svg")
    words = " ".join(ElementTree.fromstring(stream.getvalue().encode()).itertext())
    assert r"\x1b[31mred" in words and "$" in words and not ACTS.search(words)
    content = json.loads(re.search(r'class="figure-data">(.*?)</script>', interactive(dataset), re.S)[1])  # type: ignore[index]
    for place, text in _leaves(content):
        assert not ACTS.search(text)
        assert "texts" not in place or "<a" not in text  # plotly reads these as markup
    xr.testing.assert_identical(dataset, before)


def _leaves(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    own = [(place, content)] if isinstance(content, str) else []
    return own + [leaf for key, value in items for leaf in _leaves(value, (*place, key))]


def test_a_file_whose_name_is_no_text_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "a\udcffb.h5")
    save_result(render_samples.plane(3, 3), path)
    assert load_result(path).sizes["x"] == 3
    assert r"a\udcffb.h5: loss surface" in run(capsys, "info", path).out


def test_a_file_named_like_a_message_is_shown_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x\nError: forged\x1b[2J.h5"
    with pytest.raises(SystemExit):
        main(["info", str(path)])
    shown = capsys.readouterr().err
    assert not [line for line in shown.splitlines()[1:] if not line.startswith(" ")]
    assert "\x1b" not in shown
