"""docs/doors.md: every block of Python runs as it stands, after the first, and is short."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path

import pytest
import torch

DOCUMENT = (Path(__file__).parent.parent / "docs" / "doors.md").read_text("utf-8")
START, *DOORS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
OTHERS = ("transformers", "timm", "peft", "torchmetrics", "pandas")
MOST_LINES = 13  # of code; two of them may be an import and a picture


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.strip().splitlines()[-1][:40])
def test_a_door_of_the_document_opens(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in OTHERS:
        if re.search(rf"^(import|from) {package}\b", door, re.MULTILINE) and not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed; make scenarios runs this")
    monkeypatch.chdir(tmp_path)
    assert len([line for line in door.splitlines() if line.strip()]) <= MOST_LINES
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(START + door, "docs/doors.md", "exec"), {"__name__": "doors"})
