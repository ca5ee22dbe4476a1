"""A real browser, and pages for it to open; without one these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import until

import landscape as ls
from landscape.places import Places
from landscape.studies.settings import load_study
from landscape.studies.study import run_study

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

STUDY = """
name = "browser"
description = "Does <b>BatchNorm</b> matter for a network of two layers?"

[[runs]]
model = "mlp"
model_options = {hidden = 8, inputs = 5, classes = 3}
norm = ["none", "batch"]
seed = [0, 1]
data = "frozen.points:data"
epochs = 2
batch_size = 40
learning_rate = 1e-2
augment = false

[[probes]]
kind = "plane"
x = "-1:1:7"
y = "-1:1:7"
seeds = [0, 1]
images = 40

[[pictures]]
kind = "curves"

[[pictures]]
kind = "contour"
probe = "plane"

[[comparisons]]
name = "by-norm"
by = "norm"
"""
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
# How many contexts of WebGL a page has, the most at a time; those that it gave back do not count.
COUNTER = """
const made = [];
const before = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  const context = before.call(this, kind, ...rest);
  if (context && String(kind).includes("webgl") && !made.includes(context)) made.push(context);
  window.mostContexts = Math.max(window.mostContexts || 0, made.filter((one) => !one.isContextLost()).length);
  return context;
};
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of the system, or what playwright has itself."""
    path = os.environ.get("LANDSCAPE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with playwright.sync_playwright() as started:
        try:
            found = started.chromium.launch(executable_path=path, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f"no chromium: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a small study was run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "browser.toml").write_text(STUDY)
    settings = load_study(str(folder / "browser.toml"))
    outcome = run_study(settings, Places(folder / "checkpoints", folder / "outputs", device="cpu"))
    assert not outcome.failures
    return folder


@pytest.fixture(scope="session")
def report(study: Path) -> Path:
    return study / "outputs" / "browser" / "report.html"


class Opened:
    """A page with all that went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind == "error":
            self.faults.append(text)

    def through(self) -> None:
        """Scrolls from the top to the end, so that everything is drawn once."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for top in range(0, height, 700):
            self.page.evaluate(f"scrollTo({{top: {top}, behavior: 'instant'}})")
            until(self.page, "stageRests()")


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a file as a page of some size, colours and preferences."""
    contexts = []

    def show(path: Path, width: int = 1440, colours: str = "light", motion: str = "no-preference") -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=colours, reduced_motion=motion
        )
        contexts.append(context)
        context.add_init_script(COUNTER)
        # Whether all that is near the screen is drawn, or stands still for want of a context.
        context.add_init_script(
            """window.stageRests = () => [...document.querySelectorAll('.picture')].filter((node) => node.plot && node.plot.near
                 && node.clientWidth && !node.plot.live && !node.classList.contains('snapped')).length === 0"""
        )
        found = Opened(context.new_page())
        found.page.goto(path.absolute().as_uri())
        return found

    yield show
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A page whose every text is one that a browser would run."""
    import render_samples as samples

    text = "</script><img src=x onerror=alert(1)><b>bold</b> {{ 7 * 7 }} \u202eflipped 🚀 " + "long" * 20
    plane = samples.plane(5, 5, model=text, data=text, checkpoint=text, note=text, norm="")
    other = samples.plane(5, 5, model=f"{text}2", data=text, checkpoint=text, note=text, norm="")
    path = tmp_path_factory.mktemp("hostile") / "hostile.html"
    path.write_text(ls.report([plane, other, samples.history(4, model=text)], title=text), encoding="utf-8")
    return path, text
