"""What docs/loops.md shows runs as it stands; what needs another package's trainer is run in tests/scenarios."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

GUIDE = Path(__file__).parents[1] / "docs" / "loops.md"


def blocks() -> list[str]:
    found = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in found if "LandscapeCallback" not in block]


def test_every_block_runs_after_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for number, block in enumerate(blocks()):
            exec(compile(block, f"block {number} of {GUIDE.name}", "exec"), known)
    assert len(blocks()) >= 7
    assert known["told"]
    assert all(Path(name).stat().st_size > 1000 for name in ("critical.png", "plane.html", "difference.png"))
