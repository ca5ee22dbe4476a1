"""The page of a study in a real browser: nothing is asked for, nothing goes wrong, all can be read, by whatever means."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from browsing import until

import landscape as ls
from landscape.printable import printable

pytestmark = pytest.mark.browser

TESTS = Path(__file__).parents[1]
CAMERAS = "[...document.querySelectorAll('.picture.solid')].map((n) => n.plot.box._fullLayout.scene.camera.eye)"
COMMAND = [sys.executable, "-c", "from landscape_cli.main import main; main()"]


def surfaces(page: Any) -> Any:
    """All surfaces, drawn; a small screen shows one after the other. The first one is on the screen."""
    solids = "[...document.querySelectorAll('.picture.solid')].filter((n) => n.clientWidth)"
    for number in [*range(page.evaluate(f"{solids}.length")), 0]:
        page.evaluate(f"{solids}[{number}].scrollIntoView({{behavior: 'instant'}})")
        until(page, f"{solids}[{number}].plot.live")
    return page.locator(".picture.solid")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_page_asks_for_nothing_and_draws_all_of_itself_within_its_width(
    opened: Any, report: Path, width: int, colours: str
) -> None:
    shown = opened(report, width, colours)
    shown.page.evaluate(
        "document.querySelector('.picture').scrollIntoView({behavior: 'instant'})"
    )  # below a small screen
    until(shown.page, "document.documentElement.dataset.drawn")
    shown.through()
    surfaces(shown.page)
    assert shown.faults == []
    assert [url for url in shown.requests if not url.startswith(("data:", "blob:"))] == [report.absolute().as_uri()]
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert 0 < shown.page.evaluate("window.mostContexts") <= 8
    paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[colours]


def test_the_reader_switches_the_colours_and_they_stay_when_the_page_is_read_anew(opened: Any, report: Path) -> None:
    shown = opened(report)
    shown.page.get_by_label("colours").select_option("dark")
    shown.page.reload()
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_on_paper_every_plot_is_a_picture_within_the_page_and_no_control_is_there(opened: Any, report: Path) -> None:
    shown = opened(report, colours="dark")
    until(shown.page, "document.documentElement.dataset.printable === 'yes'", 60)
    shown.page.emulate_media(media="print", color_scheme="dark")
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.page.evaluate(
        "[...document.querySelectorAll('.screen, nav')].every((node) => !node.getClientRects().length)"
    )
    pictures = shown.page.evaluate(
        """[...document.querySelectorAll('.picture')].filter((node) => node.clientWidth).map((node) => {
             const image = node.querySelector('img'), box = image.getBoundingClientRect();
             return image.naturalWidth > 0 && box.height > 50 && box.right <= innerWidth + 1; })"""
    )
    assert len(pictures) >= 8 and all(pictures)
    printed = shown.page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 3


def test_surfaces_turn_together_by_pointer_and_by_keys(opened: Any, report: Path) -> None:
    page = opened(report).page
    first = surfaces(page).first
    before = page.evaluate(CAMERAS)
    first.focus()
    page.keyboard.press("ArrowRight")
    until(page, f"JSON.stringify({CAMERAS}[1]) !== JSON.stringify({_json(before[1])})")
    turned = page.evaluate(CAMERAS)
    assert all(camera == pytest.approx(turned[0], abs=1e-6) for camera in turned)
    assert turned[0] != pytest.approx(before[0], abs=1e-3)
    box = first.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 220, box["y"] + 170, steps=5)
    page.mouse.up()
    until(page, f"JSON.stringify({CAMERAS}[1]) !== JSON.stringify({_json(turned[1])})")
    page.wait_for_timeout(300)
    dragged = page.evaluate(CAMERAS)
    assert all(camera == pytest.approx(dragged[0], abs=1e-6) for camera in dragged)


def test_a_point_is_marked_and_read_out_in_every_plane(opened: Any, report: Path) -> None:
    page = opened(report).page
    surfaces(page)
    page.locator(".planes .picture.flat").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    said = page.locator(".planes .readout").all_text_contents()
    assert len(said) == 4 and len({text.split("loss")[0] for text in said}) == 1
    assert said[0].startswith("x 0.333, y 0.333 loss") and " ± " in said[0]


def test_arrow_keys_read_the_points_of_a_curve(opened: Any, report: Path) -> None:
    page = opened(report).page
    page.locator("#training-history .picture").first.focus()
    page.keyboard.press("ArrowRight")
    assert "epoch 1: " in page.locator("#training-history .readout").first.text_content()


def test_a_dead_network_is_a_strip_beside_living_ones_and_its_surface_lies_behind_a_fold(
    opened: Any, tmp_path: Path
) -> None:
    import render_samples as samples

    path = tmp_path / "dead.html"
    path.write_text(ls.interactive([samples.dead_plane(5, 5), samples.plane(5, 5)]), encoding="utf-8")
    shown = opened(path)
    page = shown.page
    until(page, "document.querySelector('.panel:not(.strip) .solid').plot.live")
    strip = page.locator(".strip")
    assert strip.count() == 1 and "dead network, not a smooth one" in strip.text_content()
    assert page.locator(".picture:visible").count() == 2
    strip.locator("summary").click()
    until(page, "document.querySelector('.strip .solid').plot.live")
    assert shown.faults == []


def test_a_run_that_is_hidden_leaves_every_figure(opened: Any, report: Path) -> None:
    page = opened(report).page
    surfaces(page)
    assert page.locator(".planes > .panel:visible").count() == 4
    for box in page.locator("#runs tr:has-text('without BN') input").all():
        box.uncheck()
    until(page, "document.querySelectorAll('.planes > .panel[hidden]').length === 2")
    groups = "document.querySelector('#training-history .picture').plot.spec(LOOK, 500).data.length".replace(
        "LOOK", "{}"
    )
    hidden = page.evaluate(groups)
    page.get_by_role("button", name="Show all in all figures").click()
    assert page.evaluate(groups) > hidden
    assert page.locator(".planes > .panel[hidden]").count() == 0


def test_the_table_of_runs_is_sorted_and_filtered(opened: Any, report: Path) -> None:
    page = opened(report).page
    page.get_by_role("button", name="train loss").click()
    assert page.locator("#runs th[aria-sort=ascending]").text_content() == "train loss"
    column = page.evaluate(
        "[...document.querySelectorAll('#runs th')].findIndex((th) => th.textContent === 'train loss')"
    )
    losses = [float(row.locator("td").nth(column).text_content()) for row in page.locator("#runs tbody tr").all()]
    assert losses == sorted(losses)
    page.get_by_role("searchbox").fill("with BN, seed 1")
    assert page.locator("#runs tbody tr:visible").count() == 1
    assert page.locator("#runs-controls output").text_content() == "1 of 4 runs"


def test_the_numbers_come_as_csv_and_the_picture_as_png(opened: Any, report: Path) -> None:
    page = opened(report).page
    surfaces(page)
    figure = page.locator(".figure:has(.planes)")
    with page.expect_download() as csv:
        figure.get_by_role("button", name="CSV").click()
    lines = Path(csv.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("plane,direction seed,x,y,loss (nat),standard error,status")
    assert len(lines) == 1 + 4 * 3 * 49  # planes, the mean and two seeds, points
    with page.expect_download(timeout=180000) as png:
        figure.get_by_role("button", name="PNG").click()
    assert Path(png.value.path()).read_bytes().startswith(b"\x89PNG")
    figure.locator("details.data summary").click()
    assert figure.locator("details.data tbody tr").count() == 4 * 3 * 49


def test_scrolling_is_smooth_only_for_those_who_may_see_it_move(opened: Any, report: Path) -> None:
    way = "getComputedStyle(document.documentElement).scrollBehavior"
    assert opened(report, motion="reduce").page.evaluate(way) == "auto"
    assert opened(report).page.evaluate(way) == "smooth"


def test_the_tab_key_goes_down_the_page_and_every_stop_has_a_name_and_is_seen(opened: Any, report: Path) -> None:
    page = opened(report).page
    until(page, "document.documentElement.dataset.drawn")
    page.evaluate("window.stops = []")
    for _ in range(60):
        page.keyboard.press("Tab")
        page.evaluate("window.stops.push(document.activeElement)")
    assert page.evaluate("stops[0].className") == "skip"
    ordered = """stops.every((node, i) => i === 0 || node === document.body || stops[i - 1] === document.body
                   || stops[i - 1].compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING)"""
    assert page.evaluate(ordered)
    named = """stops.filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length
                 || node.placeholder)).map((node) => node.outerHTML.slice(0, 200))"""
    assert page.evaluate(named) == []
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Any, report: Path, colours: str) -> None:
    """LANDSCAPE_AXE: the file axe.min.js of axe-core."""
    axe = os.environ.get("LANDSCAPE_AXE", "")
    if not Path(axe).is_file():
        pytest.skip("axe-core is not there: make browser fetches it")
    shown = opened(report, colours=colours)
    until(shown.page, "document.documentElement.dataset.drawn")
    shown.through()
    shown.page.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = shown.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = {
        one["id"]: [node["html"][:200] for node in one["nodes"][:3]]
        for one in found
        if one["impact"] in ("serious", "critical")
    }
    assert serious == {}


def test_hostile_names_stay_text(opened: Any, hostile: tuple[Path, str]) -> None:
    path, text = hostile
    for width in (1440, 390):
        shown = opened(path, width)
        shown.through()
        assert shown.faults == []
        assert shown.page.locator("h1").text_content() == printable(text)
        assert shown.page.evaluate("document.querySelectorAll('main b:not(.readout b), img[src=x]').length") == 0
        assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_of_many_figures_only_those_near_the_screen_are_drawn(opened: Any, tmp_path: Path) -> None:
    import render_samples as samples

    planes = [samples.plane(25, 25, settings=f'{{"images": {images}}}') for images in range(30)]
    path = tmp_path / "many.html"
    path.write_text(ls.report(planes, title="many"), encoding="utf-8")
    assert path.stat().st_size < 8e6
    begun = time.monotonic()
    shown = opened(path)
    until(shown.page, "document.documentElement.dataset.drawn")
    print(f"first figure after {time.monotonic() - begun:.1f} s")
    assert shown.page.locator("figure").count() == 30
    assert (
        shown.page.evaluate("[...document.querySelectorAll('.picture')].filter((node) => node.plot.live).length") < 10
    )
    for top in range(0, 9000, 900):
        shown.page.evaluate(f"scrollTo({{top: {top}, behavior: 'instant'}})")
        until(shown.page, "stageRests()")
    assert shown.page.evaluate("window.mostContexts") <= 8
    assert shown.faults == []


def test_a_page_follows_a_study_that_is_killed_and_resumed(opened: Any, study: Path, tmp_path: Path) -> None:
    name = "watched"
    text = (
        (study / "browser.toml")
        .read_text()
        .replace('name = "browser"', f'name = "{name}"')
        .replace("epochs = 2", "epochs = 8")
    )
    (tmp_path / "watched.toml").write_text(text.split("[[comparisons]]")[0])
    made = {
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
        "stderr": subprocess.DEVNULL,
    }
    first = subprocess.Popen([*COMMAND, "study", "watched.toml", "--device", "cpu"], stdout=subprocess.DEVNULL, **made)
    watcher = subprocess.Popen(
        [*COMMAND, "report", "watched.toml", "--watch", "--plotly", "link"], stdout=subprocess.DEVNULL, **made
    )
    page_path = tmp_path / "outputs" / name / "report.html"
    try:
        _until(lambda: page_path.exists() and list((tmp_path / "checkpoints").glob("*/history.h5")), 240)
        first.send_signal(signal.SIGKILL)
        first.wait()
        shown = opened(page_path)
        shown.page.wait_for_selector("text=Not there yet")
        assert watcher.poll() is None
        second = subprocess.Popen(
            [*COMMAND, "study", "watched.toml", "--device", "cpu"], stdout=subprocess.DEVNULL, **made
        )
        assert second.wait(400) == 0
        assert watcher.wait(240) == 0
        until(shown.page, "!document.body.textContent.includes('Not there yet')")
        until(shown.page, "document.documentElement.dataset.drawn")
        assert shown.page.locator("#runs tbody tr").count() == 4
        assert shown.faults == []
        assert all(
            url.startswith(tmp_path.as_uri()) for url in shown.requests if not url.startswith(("data:", "blob:"))
        )
    finally:
        for process in (first, watcher):
            process.kill()


def _until(there: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)


def _json(camera: dict[str, float]) -> str:
    import json

    return json.dumps(camera, separators=(",", ":"))
