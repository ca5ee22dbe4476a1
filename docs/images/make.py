"""Makes the pictures of README and docs/pictures.md: ``python docs/images/make.py``, twenty minutes on two cores.

Those of README are the study quick's own; docs/report.md's, of its page, is made by ``report.py`` beside this file.

Runs and results go to ``outputs/pictures`` and stay there, so that a second run only draws.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WORK = Path("outputs/pictures")
LANDSCAPE = str(Path(sys.executable).parent / "landscape")
TRAIN = ("train", "--model", "vgg08", "--learning-rate", "1e-3")
SIZE = 256  # colours of a picture's palette, which keeps the files small


def landscape(*words: str) -> None:
    subprocess.run([LANDSCAPE, "--quiet", *words], cwd=WORK, check=True)


def run(norm: str) -> str:
    """The folder of the longer training with a norm."""
    return next(
        str(path.relative_to(WORK))
        for path in sorted((WORK / "checkpoints").glob(f"vgg08-{norm}-*"))
        if (path / "epoch-0006.pt").exists()
    )


def measure() -> None:
    for norm in ("batch", "none"):
        landscape(
            *TRAIN, "--norm", norm, "--train-images", "600", "--epochs", "6", "--checkpoint-every", "1", "--seed", "0"
        )
        landscape(*TRAIN, "--norm", norm, "--train-images", "300", "--epochs", "3", "--seed", "1,2")
        if not (WORK / f"plane-{norm}.h5").exists():
            landscape(
                "probe", run(norm), "--kind", "plane", "--x", "auto:25", "--y", "auto:25", "--images", "100", "--seeds", "0",
                "--out", f"plane-{norm}.h5",
            )  # fmt: skip
    trained = [str(path.relative_to(WORK)) for path in sorted((WORK / "checkpoints").glob("vgg08-*"))]
    short = [path for path in trained if path not in (run("batch"), run("none"))]
    landscape("compare", *short, "--by", "norm", "--out", "comparison.h5")
    landscape("plot", *short, "--out", "curves.png", "--width", "column")


def draw() -> None:
    """The pictures of docs/pictures.md."""
    planes = ("plane-batch.h5", "plane-none.h5")
    landscape("plot", *planes, "--width", "page", "--out", "contour.png")
    landscape("plot", *planes, "--width", "page", "--kind", "surface", "--out", "surface.png")
    landscape("plot", "comparison.h5", "--out", "forest.png")
    for name in ("contour", "surface", "curves", "forest"):
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
