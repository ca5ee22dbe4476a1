"""A report shows every result, says what came out, and can be followed, served and printed without anything from elsewhere."""

from __future__ import annotations

import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import render_samples as samples
import render_step_samples as steps
import xarray as xr
from commands import run
from figure_cases import KINDS
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from test_forest import made
from test_render_page import HOSTILE, Page

import landscape as ls
from landscape.errors import InputError
from landscape.pictures import plain
from landscape.pictures.page_parts import dash
from landscape.pictures.report_page import Stamp
from landscape.printable import printable
from landscape.probes.comparison.forest import MOST_TRENDS
from landscape.probes.interactive import interactive, page_content
from landscape.probes.plot import plot
from landscape.probes.terminal_picture import terminal_picture
from landscape.registry import of_file
from landscape.reporting.gathering import gather
from landscape.reporting.keeping import serve, state_of, watch
from landscape.reporting.story import SENTENCES, comparisons_of, what_came_out
from landscape.results import load_result, save_result
from landscape.studies.reporting import StudyReport
from landscape.studies.settings import load_study

FROZEN = Path(__file__).parent / "frozen" / "0.1.0"
DRAWN = [
    path
    for path in sorted(FROZEN.rglob("*.h5"))
    if (record := of_file(load_result(path).attrs["kind"])) and record.drawn
]


@pytest.fixture(scope="module")
def frozen() -> Page:
    return Page(ls.report(FROZEN, title="frozen"))


def figures(page: Page) -> list[Any]:
    """The data of every figure."""
    return [json.loads(text) for text in page.raw["script"] if text.startswith("{")]


def commands(page: Page) -> list[list[str]]:
    return [shlex.split(line) for line in page.words.splitlines() if line.startswith("landscape plot ")]


def test_every_result_is_in_a_figure_whose_command_draws_it(
    frozen: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = commands(frozen)
    assert {word for line in lines for word in line if word.endswith(".h5")} == {str(path) for path in DRAWN}
    assert len(lines) == len(figures(frozen)) == len([1 for tag, _ in frozen.tags if tag == "figure"])
    assert len({line[-1] for line in lines}) == len(lines)
    for name in ("a", "b"):
        save_result(samples.plane(3, 3, model=f"{name} $(model)"), tmp_path / f"{name} ' 1.h5")
    several = commands(Page(ls.report(tmp_path, plotly="none")))
    assert len(several) == 1 and len([word for word in several[0] if word.endswith(".h5")]) == 2
    assert several[0][-1] == "loss-surface.png" and several[0].count("--label") == 2
    out = tmp_path / "again.png"
    assert run(capsys, *several[0][1:-1], str(out)).status == 0
    assert out.exists()


def test_a_report_asks_for_nothing_and_is_small(frozen: Page) -> None:
    for _, attributes in frozen.tags:
        assert not {"src", "srcset", "action"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    targets = {attributes.get("id") for _, attributes in frozen.tags}
    assert all((a.get("href") or "#")[1:] in {*targets, ""} for _, a in frozen.tags)


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_page_has_every_line_and_value_that_the_picture_has(path: Path) -> None:
    dataset = load_result(path)
    content = page_content(dataset)
    drawn = _page_values(content)
    missing = [values for values in _picture_values(plot(dataset)) if not _is_among(values, drawn)]
    assert missing == []


def _picture_values(figure: Figure) -> list[np.ndarray]:
    """The values of the lines of at least three points; what is marked at the edges of panels is no value."""
    found = []
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for line in axes.lines:
            if line.get_transform() == axes.transData:
                values = np.asarray(line.get_ydata(), dtype=float)
                found.append(values[np.isfinite(values) & (values > low) & (values < high)])
    return [values for values in found if len(set(values)) >= 3]


def _page_values(content: dict[str, Any]) -> list[np.ndarray]:
    charts = [*content.get("overview", []), *content.get("charts", [])]
    lines = [line for chart in charts for line in chart["lines"]]
    found = [line["y"] for line in lines]
    found += [band[end] for line in lines for band in line["bands"] for end in ("lower", "upper")]
    found += [panel["y"] for panel in content.get("panels", [])]  # where marks stand
    found += [panel["path"]["y"] for panel in content.get("panels", []) if panel["path"]]
    arrays = [np.array([np.nan if v is None else v for v in values], dtype=float) for values in found]
    return [values[np.isfinite(values)] for values in arrays]


def _is_among(values: np.ndarray, drawn: list[np.ndarray]) -> bool:
    everything = np.concatenate(drawn) if drawn else np.zeros(0)
    return all(np.isclose(everything, value, rtol=1e-6, atol=1e-12).any() for value in values)


LINED = [
    "line",
    "curves",
    "sweep",
    "steps",
    "normalized steps",
    "run range",
    "stability",
    "path",
    "sharpness",
    "spectrum",
]


@pytest.mark.parametrize("kind", LINED)
def test_a_line_looks_alike_on_the_page_and_in_the_picture(kind: str) -> None:
    """Colours and dashes, which follow a study's settings; of two norms at two rates one is the hue, one the dash."""
    make, options = KINDS[kind]
    sets = make(2) if kind == "sweep" else _at_two_rates(make(2))
    study = [steps.history(4, norm=norm) for norm in ("other", "norm 1", "batch")]
    figure = plot(*sets, study=study, **options)
    page = page_content(sets, study=study, **options)
    lines = [line for chart in page["charts"] for line in chart["lines"]]
    shown = {(line["colour"].lower(), line["dash"]) for line in lines if "lines" in line["mode"] and len(line["x"]) > 2}
    drawn = {
        (to_hex(line.get_color()), dash(_pattern(line)))
        for axes in figure.axes
        for line in axes.lines
        if line.get_linestyle() != "None" and len(set(line.get_xdata())) > 2 and line.get_linewidth() > 0.3
    }
    assert drawn and drawn == shown


def _at_two_rates(sets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    return [one.assign_attrs(learning_rate=rate) for rate in (1e-2, 1e-3) for one in sets]


def _pattern(line: Line2D) -> Any:
    """The dashes that the line was given, which matplotlib keeps in points."""
    offset, parts = line._unscaled_dash_pattern
    return "-" if parts is None else (offset, parts)


def test_a_kind_of_picture_is_honoured_or_refused() -> None:
    plane = samples.plane(5, 5)
    assert Page(interactive(plane, kind="contour")).data["show"] == ["contour"]
    assert Page(interactive(plane, kind="surface")).data["show"] == ["surface"]
    assert Page(interactive(plane)).data["show"] == ["surface", "contour"]
    compared = made(4)
    parts = {kind: Page(interactive(compared, kind=kind)).data for kind in ("auto", "forest", "comparison", "trend")}
    counts = {kind: (len(page["overview"]), len(page["charts"])) for kind, page in parts.items()}
    whole = counts["auto"]
    assert min(whole) > 0 and counts["forest"] == (whole[0], 0) and counts["comparison"] == (0, whole[1])
    assert counts["trend"][0] == 0 < counts["trend"][1] <= MOST_TRENDS
    with pytest.raises(InputError, match="kind: 'curves' draws a training history, and this is a 2-D plane"):
        interactive(plane, kind="curves")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_file_says_stays_text_in_every_part_of_a_report(text: str) -> None:
    def report(words: str) -> Page:
        plane = samples.plane(3, 3, model=words, data=words, checkpoint=words, note=words)
        return Page(ls.report([plane, samples.history(3, model=words)], title=words))

    page, usual = report(text), report("usual")
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in usual.tags]
    assert page.raw["title"] == [printable(text)]
    assert printable(text) in page.words


def test_a_page_without_plotly_has_pictures_and_all_its_numbers() -> None:
    plane = samples.plane(5, 5)
    page = Page(ls.report(plane, plotly="none"))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [str(image["src"])[:22] for image in images] == ["data:image/png;base64,"] and images[0]["alt"]
    assert np.array(figures(page)[0]["panels"][0]["layers"][0]["values"]).shape == (5, 5)
    assert len(ls.report(plane, plotly="none")) < 1e6
    with pytest.raises(InputError, match="plotly: unknown value 'cdn'"):
        ls.report(plane, plotly="cdn")  # type: ignore[arg-type]


def test_trainings_are_compared_by_what_tells_them_apart_and_the_dead_come_first() -> None:
    histories = steps.sweep(values=(1e-2, 1e-4), seeds=(0, 1, 2), epochs=6)
    found = gather(histories)
    said = what_came_out(found, comparisons_of(found))
    assert [str(made.attrs["by"]) for made in comparisons_of(found)] == ["learning_rate"]
    assert 1 <= len(said) <= SENTENCES and all("learning_rate" in sentence for sentence in said)
    dead = samples.history(6, norm="none", dead=1, dead_reason="its outputs do not depend on the input")
    said = what_came_out(gathered := gather([*histories, dead]), comparisons_of(gathered))
    assert "is a dead network: its outputs do not depend on the input" in said[0] and len(said) <= SENTENCES


def test_measures_that_were_chosen_answer_first_and_two_comparisons_by_one_setting_keep_their_names(
    tmp_path: Path,
) -> None:
    histories = steps.sweep(values=(1e-2, 1e-4), seeds=(0, 1, 2), epochs=6)
    for name, measures in (("all-of-them", None), ("the-answer", "validation_accuracy")):
        made = ls.compare(histories, by="learning_rate", measures=measures).dataset()
        save_result(made, tmp_path / f"{name}.h5")
    found = gather([tmp_path])
    sizes = [made.sizes["measure"] for made in comparisons_of(found)]
    assert sizes[0] == 1 < sizes[1]
    said = what_came_out(found, comparisons_of(found))
    assert "validation accuracy" in said[0] and sum("validation accuracy" in sentence for sentence in said) == 1
    words = Page(ls.report(tmp_path)).words
    assert "Compared by learning rate: the answer" in words and "Compared by learning rate: all of them" in words


def test_of_one_run_each_nothing_is_compared_and_what_came_out_is_where_they_came_to() -> None:
    found = gather([samples.history(6, norm=norm, seed=0) for norm in ("batch", "none")])
    assert comparisons_of(found) == []
    said = what_came_out(found, [])
    assert len(said) == 2 and all("after 6 epochs: train loss" in sentence for sentence in said)


def test_a_setting_has_one_colour_in_every_figure_of_a_report_and_in_the_picture_of_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for norm in ("a", "b", "c"):
        save_result(samples.history(6, norm=norm), tmp_path / f"{norm}.h5")
    save_result(steps.steps(30, norm="c"), tmp_path / "steps.h5")
    page = Page(ls.report(tmp_path))
    curves, along = (figure["groups"] for figure in figures(page))
    assert len({group["colour"] for group in curves}) == 3
    assert [group["colour"] for group in along] == [curves[2]["colour"]]
    (command,) = [line for line in commands(page) if str(tmp_path / "steps.h5") in line]
    assert command.count("--study") == 3
    again = tmp_path / "again.html"
    assert run(capsys, *command[1:-1], str(again)).status == 0
    assert Page(again.read_text("utf-8")).data["groups"] == along


def test_a_plane_of_one_axis_is_called_a_line() -> None:
    line, plane = gather([samples.line(9), samples.plane(3, 3)]).pieces
    assert (line.words, plane.words) == ("line", "plane") and line.title == "Loss along a direction"


def test_a_single_result_says_its_first_words_and_nothing_is_compared() -> None:
    found = gather([samples.plane(3, 3)])
    assert comparisons_of(found) == []
    assert what_came_out(found, [])


def test_what_cannot_be_read_is_named_and_what_is_not_there_is_refused(tmp_path: Path) -> None:
    save_result(samples.plane(3, 3), tmp_path / "plane.h5")
    (tmp_path / "broken.h5").write_bytes(b"no result")
    page = Page(ls.report(tmp_path))
    assert "Could not be read" in page.words and "broken.h5" in page.words and len(figures(page)) == 1
    with pytest.raises(InputError, match=r"nowhere: no such file or folder"):
        ls.report(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no result"):
        ls.report(tmp_path / "empty")


def test_the_report_of_a_study_that_was_never_run_says_what_is_missing(tmp_path: Path) -> None:
    from landscape.places import Places

    text, complete = StudyReport(load_study("quick"), Places(tmp_path / "checkpoints", tmp_path / "outputs")).page(
        "none"
    )
    words = Page(text).words
    assert not complete and "Not there yet" in words
    assert "VGG38 without BN: not begun" in words and "plane of VGG38 with BN: not begun" in words


def test_a_watched_page_is_written_when_its_sources_change_and_at_the_end_looks_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landscape.reporting.keeping.LOOK", 0.01)
    source, page = tmp_path / "plane.h5", tmp_path / "page.html"
    stamps: list[str | None] = []

    def make(stamp: Stamp | None) -> tuple[str, bool]:
        stamps.append(None if stamp is None else stamp.value)
        if len(stamps) < 3:
            source.write_bytes(b"x" * len(stamps))
        return f"page {len(stamps)}", len(stamps) >= 3

    watch(page, "inline", make, lambda: [source], lambda _: None)
    assert page.read_text() == "page 4" and stamps[-1] is None and len(set(stamps)) == 4
    assert stamps[2] == state_of([source])
    assert (tmp_path / "page.stamp.js").read_text() == f'landscapeStamp("{stamps[2]}");\n'


def test_a_served_page_is_all_that_is_served_and_to_this_machine_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("the page")
    (tmp_path / "secret.txt").write_text("secret")
    server = serve(page, 0)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert server.server_address[0] == "127.0.0.1"
        for name in ("", "page.html", "page.html?1"):
            assert urllib.request.urlopen(f"{address}/{name}").read() == b"the page"
        for request in ("/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/page.stamp.js"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(address + request)
        other = urllib.request.Request(address, headers={"Host": "example.org:80"})
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(other)
    finally:
        server.shutdown()
        server.server_close()


def test_the_command_writes_the_page_and_what_it_links_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_result(samples.plane(3, 3), tmp_path / "plane.h5")
    said = run(capsys, "report", str(tmp_path / "plane.h5"), "--plotly", "link", "--title", "mine")
    page = tmp_path / "report.html"
    assert said.out == f"{page}\n" and page.stat().st_size < 2e5
    source = next(a["src"] for tag, a in Page(page.read_text()).tags if tag == "script" and "src" in a)
    assert (tmp_path / str(source)).stat().st_size > 1e6
    failed = run(capsys, "report", str(tmp_path / "plane.h5"), "--scale", "0.1")
    assert failed.status == 2 and "belong to a study" in failed.err


def test_curves_in_plain_text_fit_their_columns_and_go_the_way_the_values_go() -> None:
    x = np.arange(10.0)
    for columns in (30, 50, 72, 200):
        lines = plain.curves(x, {"train": 10 - x, "validation": x * np.nan}, columns, what="loss", over="epoch")
        assert max(map(len, lines)) <= min(columns, plain.WIDEST)
        assert all(ord(letter) < 128 for line in lines for letter in line)
        drawn = [line.partition("|")[2] for line in lines if "|" in line]
        assert drawn[0].startswith("*") and drawn[-1].rstrip().endswith("*")
        assert [line.index("*") for line in drawn] == sorted(line.index("*") for line in drawn)
    assert plain.curves(x, {"train": x}, plain.NARROWEST - 1, what="loss", over="epoch") == []
    assert plain.curves(x, {"train": x * np.nan}, 80, what="loss", over="epoch") == []


def test_a_contour_in_plain_text_goes_up_with_y_and_marks_what_is_no_number() -> None:
    values = np.add.outer(np.arange(5.0), np.zeros(5)) + 1
    values[0, 0] = np.nan
    measured = np.ones((5, 5), dtype=bool)
    measured[0, 4] = False
    key, *rows = plain.contour(values, measured, 80, what="loss")
    cells = [row.split() for row in rows]
    assert cells[0] == [plain.RAMP[-1]] * 5 and cells[-1] == ["!", *[plain.RAMP[0]] * 3, "?"]
    assert key == "loss: . 1 to # 5; ! no number; ? not measured"
    assert "and all above 3" in plain.contour(values, measured, 80, what="loss", top=3.0)[0]


def test_a_terminal_shows_a_picture_of_what_has_one_and_of_no_dead_plane() -> None:
    assert terminal_picture(samples.plane(9, 9, seeds=(0, 1)), 80)[0].startswith("mean loss over direction seeds: .")
    assert terminal_picture(samples.history(5), 80)[0] == "loss (* train, o validation)"
    assert terminal_picture(samples.line(9), 80)
    assert terminal_picture(samples.dead_plane(9, 9), 80) == []
    assert terminal_picture(xr.Dataset({"sharpness": ("rho", [1.0])}), 80) == []


def test_a_picture_is_left_out_where_it_is_not_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "plane.h5")
    save_result(samples.plane(9, 9), path)
    assert "loss: . " in run(capsys, "info", path).out or "mean loss" in run(capsys, "info", path).out
    assert ": . " not in run(capsys, "info", "--no-picture", path).out
    assert ": . " not in run(capsys, "info", "--json", path).out
    assert ": . " not in run(capsys, "info", "-q", path).out
    monkeypatch.setenv("COLUMNS", "24")
    assert ": . " not in run(capsys, "info", path).out
