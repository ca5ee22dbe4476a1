"""A probe of another package, as docs/extending.md writes it down: installed, asked, stored, read back, described and drawn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.data import load_data
from landscape.models import build_model
from landscape.objective.objective import Objective
from landscape.registry import GROUP
from landscape.results import describe, load_checkpoint, load_into, load_result

DOCUMENT = (Path(__file__).parent.parent / "docs" / "extending.md").read_text("utf-8")
COMMANDS = """
import sys
from landscape_cli.main import main
for words in sys.argv[1:]:
    try:
        main(words.split())
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the document's package in it, with the metadata that pip makes of its pyproject.toml."""
    folder = tmp_path_factory.mktemp("site")
    files = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    installed(folder, project["name"], project["entry-points"][GROUP])
    return folder


def installed(folder: Path, name: str, points: dict[str, str]) -> None:
    metadata = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"[{GROUP}]", *(f"{point} = {path}" for point, path in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")


def python(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-c", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_probe_of_another_package_is_asked_stored_described_and_drawn(site: Path, tmp_path: Path) -> None:
    probe = "probe ablation run --images 20 --keep 0.5 --device cpu --out a.h5"
    finished = python(
        site,
        tmp_path,
        COMMANDS,
        "train --model mlp --model-option hidden=4 --train-images 100 --epochs 1 --device cpu --out run",
        "probe --list",
        "probe ablation --help",
        probe,
        probe,
        "info a.h5",
        "plot a.h5 --out a.png --out a.html",
    )
    assert finished.returncode == 0, finished.stderr
    for said in (
        "How much of the loss hangs on each tensor?",
        "What is left of a tensor, as a part of it.",
        "the loss hangs most on",
        "nothing was measured",
        "a.h5: ",
    ):
        assert said in finished.stdout, said
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "Rise of the loss where 0.5 of a tensor is left" in (tmp_path / "a.html").read_text("utf-8")
    found = load_result(tmp_path / "a.h5")
    assert found.attrs["kind"] == "ablation" and found.attrs["complete"] == 1
    assert "ablation" in describe(tmp_path / "a.h5")  # where the package is not installed too
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pt")
    module = build_model(checkpoint.model["name"], **checkpoint.model["options"])
    load_into(module, checkpoint)
    data = load_data("fashion-mnist-10k").split("train")
    before = Objective(module, "cross_entropy", data, samples=20, device="cpu").evaluate().loss
    with torch.no_grad():
        next(module.parameters()).mul_(0.5)
    after = Objective(module, "cross_entropy", data, samples=20, device="cpu").evaluate().loss
    np.testing.assert_allclose(float(found["rise"][0]), after - before, rtol=1e-4)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "landscape.probes.plane:PLANE",
            "expected a landscape.registry.Probe of a name of its own, got another 'plane'",
        ),
        ("landscape.registry:GROUP", "got 'landscape.probes'"),
    ],
)
def test_an_entry_point_that_leads_to_no_new_record_is_named(path: str, says: str, tmp_path: Path) -> None:
    installed(tmp_path, "landscape-twice", {"mine": path})
    refused = python(tmp_path, tmp_path, "from landscape.registry import probes; probes()")
    assert f"entry point 'mine' of {GROUP}: " in refused.stderr and says in refused.stderr
