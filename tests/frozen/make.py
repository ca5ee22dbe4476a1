"""Write the frozen files of the version that is checked out, by its own commands: ``cd tests && python -m frozen.make``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from landscape_cli.main import main

import landscape as ls
from landscape._version import __version__
from landscape.registry import probes
from landscape.results import load_result, save_result

HERE = Path(__file__).parent
TRAIN = (
    "train", "--model", "mlp", "--norm", "batch", "--model-option", "hidden=8", "--model-option", "inputs=5",
    "--model-option", "classes=3", "--data", "frozen.points:data",
    "--epochs", "2", "--batch-size", "40", "--learning-rate", "1e-2", "--no-augment", "--device", "cpu",
)  # fmt: skip
ALONG = ("--probe-every", "2", "--probe-eta", "0.5:2:3")
RUN = (*TRAIN, *ALONG, "--stability-every", "3", "--checkpoint-every", "1", "--seed", "0", "--out", "run")
ON = ("--checkpoint", "run/last.pt", "--trust", "--device", "cpu", "--images", "60")
SQUARE, SMALL = ("--x=-1:1:17", "--y=-1:1:15"), ("--x=-1:1:5", "--y=-1:1:4")
PROBES = {
    "plane_adaptive": ("plane", *ON, *SQUARE, "--seeds", "0,1", "--adaptive", "--tolerance", "0.1"),
    "plane_full": ("plane", *ON, *SMALL, "--full"),
    "line": ("line", *ON, "--x=-1:1:9", "--seeds", "0,1,2"),
    "trajectory": ("trajectory", *ON, "--to", "run/epoch-0001.pt", "--to", "other/last.pt", "--x=auto:5", "--y=auto:4"),
    "curvature": ("curvature", *ON, "--top", "3", "--trace-probes", "4", "--density-probes", "2", "--density-steps", "8"),
    "curvature_per_layer": (
        "curvature", *ON, "--per-layer", "--top", "1", "--bottom", "1", "--trace-probes", "4", "--density-probes", "0",
    ),
    "curvature_map": ("curvature-map", *ON, "--x=-1:1:3", "--y=-1:1:3"),
    "sharpness": ("sharpness", *ON, "--draws", "3", "--m", "20"),
    "noise_scale": ("noise-scale", *ON, "--images", "150"),
    "path": (
        "path", *ON, "--to", "other/last.pt", "--paths", "linear,aligned,bezier", "--points", "7", "--curve-steps", "10",
    ),
    "steps": ("steps", "--checkpoint", "run/last.pt", "--trust", "--device", "cpu", "--steps", "4", *ALONG),
}  # fmt: skip


def probe(name: str) -> tuple[str, ...]:
    """The command that measured the file ``name.h5``, seen from the folder of its version."""
    return ("probe", *PROBES[name], "--out", f"{name}.h5")


def make() -> None:
    """Every kind of file, in the working folder."""
    _landscape(*RUN)
    _landscape(*TRAIN, *ALONG, "--seed", "1", "--out", "other")
    for name in PROBES:
        _landscape(*probe(name))
    _landscape("topology", "plane_adaptive.h5", "--out", "topology.h5")
    _landscape(*TRAIN, "--learning-rate", "1e-2,1e-3", "--seed", "0,1")
    runs = map(str, sorted(Path("checkpoints").iterdir()))
    _landscape("compare", *runs, "--by", "learning_rate", "--out", "comparison.h5")
    steps = [load_result(f"{run}/steps.h5") for run in ("run", "other")]
    save_result(ls.run_range(steps, ["0", "1"]), "run_range.h5")
    plane = load_result("plane_full.h5")
    save_result(ls.plane_smoothness(plane), "plane_smoothness.h5")
    save_result(ls.plane_curvature(plane), "plane_curvature.h5")
    shutil.rmtree("checkpoints")
    for file in (*Path("other").glob("*.h5"), *Path().glob("*/best.pt"), Path("run/epoch-0002.pt")):
        file.unlink()
    for lock in Path().rglob(".*.lock"):
        lock.unlink()
    kinds = {load_result(file).attrs["kind"] for file in Path().rglob("*.h5")}
    lacking = sorted({record.of_file for record in probes().values()} - kinds)
    if lacking:
        sys.exit(f"No file is made of {', '.join(lacking)}: add a command above.")


def _landscape(*arguments: str) -> None:
    try:
        main(list(arguments))
    except SystemExit as ended:
        if ended.code:
            raise


if __name__ == "__main__":
    target = HERE / __version__
    if target.exists():
        sys.exit(f"{target}: is there already, and stays as it was written.")
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        make()
        shutil.copytree(scratch, target)
