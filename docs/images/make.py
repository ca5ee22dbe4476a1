"""Makes the pictures of README, docs/pictures.md and the end of docs/gallery.md: ``python docs/images/make.py``, half an hour.

Those of README are the study quick's own; docs/report.md's, of its page, is made by ``report.py`` beside this file.

Runs and results go to ``outputs/pictures`` and stay there, so that a second run only draws.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import landscape as ls

HERE = Path(__file__).parent
GALLERY = HERE.parent / "gallery.md"
WORK = Path("outputs/pictures")
LANDSCAPE = str(Path(sys.executable).parent / "landscape")
SIZE = 256  # colours of a picture's palette, which keeps the files small


def landscape(*words: str) -> None:
    subprocess.run([LANDSCAPE, "--quiet", *words], cwd=WORK, check=True)


def commands() -> list[str]:
    """The commands of the gallery's last section, in order."""
    section = GALLERY.read_text("utf-8").partition("## More pictures")[2]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def folders() -> dict[tuple[str, int], str]:
    """The runs by norm and seed."""
    listed = subprocess.run([LANDSCAPE, "list", "checkpoints", "--json"], cwd=WORK, check=True, capture_output=True)
    return {(one["norm"], one["seed"]): one["path"] for one in json.loads(listed.stdout)["entries"]}


def measure() -> None:
    path = os.pathsep.join((str(Path(LANDSCAPE).parent), os.environ["PATH"]))
    train, *others = commands()
    subprocess.run(train, shell=True, cwd=WORK, check=True, env={**os.environ, "PATH": path})
    runs = folders()
    called = {"A": runs["batch", 0], "B": runs["batch", 1], "P": runs["none", 0]}
    for command in others:
        subprocess.run(command, shell=True, cwd=WORK, check=True, env={**os.environ, "PATH": path, **called})
    keep(numbers())
    for norm in ("batch", "none"):
        axes = ("--x=-1:1:25", "--y=-1:1:25", "--images", "100", "--seeds", "0")
        landscape("probe", runs[norm, 0], "--kind", "plane", *axes, "--out", f"plane-{norm}.h5")
    landscape("compare", *sorted(runs.values()), "--by", "norm", "--out", "comparison.h5")


def numbers() -> dict[str, Any]:
    """What the section says of its results."""
    trajectory, path = ls.load(WORK / "trajectory.h5"), ls.load(WORK / "path.h5")
    off = abs(trajectory["path_plane_loss"] - trajectory["path_loss"]).values
    made: dict[str, Any] = {
        "explained": float(trajectory["explained_variance"][:2].sum()),
        "off": {"largest": float(off.max()), "at": int(off.argmax()) + 1},
        "moved_units": int(path["moved_units"]),
    }
    for name in path["path"].values:
        one = path.sel(path=name)
        values = (float(one[key]) for key in ("barrier", "barrier_standard_error", "end_distance"))
        made[str(name)] = dict(zip(("barrier", "error", "distance"), values, strict=True))
    for norm in ("batch", "none"):
        spectrum, around = ls.load(WORK / f"curvature-{norm}.h5"), ls.load(WORK / f"map-{norm}.h5")
        largest, smallest = (float(end) for end in (spectrum["eigenvalues"].max(), spectrum["eigenvalues"].min()))
        ratios = around["curvature_ratio"].values.ravel()
        made[norm] = {
            "largest": largest,
            "smallest": smallest,
            "trace": float(spectrum["trace"]),
            "trace_error": float(spectrum["trace_standard_error"]),
            "norm": float(spectrum["parameter_norm"]),
            "ratio_least": float(ratios.min()),
            "ratio_here": float(around["checkpoint_curvature_ratio"]),
            "ratio_most": float(ratios.max()),
        }
    return made


def keep(made: dict[str, Any]) -> None:
    """Write the numbers where the pages read them."""
    measured = datetime.now(UTC).date().isoformat()
    text = json.dumps({"script": "docs/images/make.py", "measured": measured, "numbers": made}, indent=1)
    (HERE.parent / "gallery" / "pictures.json").write_text(text + "\n", encoding="utf-8")


def draw() -> None:
    """The pictures of docs/pictures.md, and those of the gallery's last section smaller."""
    planes = ("plane-batch.h5", "plane-none.h5")
    landscape("plot", *planes, "--width", "page", "--out", "contour.png")
    landscape("plot", *planes, "--width", "page", "--kind", "surface", "--out", "surface.png")
    landscape("plot", *sorted(folders().values()), "--out", "curves.png", "--width", "column")
    landscape("plot", "comparison.h5", "--out", "forest.png")
    for name in ("contour", "surface", "curves", "forest", "trajectory", "path", "spectrum", "curvature-map"):
        shrink(WORK / f"{name}.png", HERE / "pictures" / f"{name}.png")


def study() -> None:
    """The pictures of README."""
    landscape("study", "quick")
    for name in ("planes-with-batch-norm", "surfaces-on-one-range", "flow", "line"):
        shrink(WORK / "outputs" / "quick" / f"{name}.png", HERE / f"{name}.png")


def shrink(picture: Path, target: Path) -> None:
    """The same picture with a palette, a third of the size."""
    from PIL import Image

    Image.open(picture).convert("RGB").quantize(SIZE, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    WORK.mkdir(parents=True, exist_ok=True)
    if "--clean" in sys.argv[1:]:
        shutil.rmtree(WORK)
        WORK.mkdir(parents=True)
    study()
    measure()
    draw()
