"""The picture of docs/report.md: ``python docs/images/report.py [REPORT.html]``, after ``landscape study quick``.

Needs playwright and Chromium (``pip install -e '.[browser]'``).
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
HALVES = (("light", "#page-title"), ("dark", ".figure:has(.planes)"))  # colours, and what stands at the top
COLOURS = 256  # of the picture


def main(report: Path) -> None:
    halves = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for colours, top in HALVES:
            page = browser.new_page(viewport={"width": 1100, "height": 1000}, color_scheme=colours)
            page.goto(report.absolute().as_uri())
            page.locator(top).first.evaluate("(node) => node.scrollIntoView({behavior: 'instant'})")
            page.wait_for_timeout(8000)
            halves.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    whole = Image.new("RGB", (sum(half.width for half in halves), halves[0].height))
    for number, half in enumerate(halves):
        whole.paste(half, (number * half.width, 0))
    small = whole.resize((1400, round(1400 * whole.height / whole.width)), Image.Resampling.LANCZOS)
    few = small.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/quick/report.html"))
