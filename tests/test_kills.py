"""Killed at any instant and started again: the files end as those of a run that was never interrupted, value for value."""

from __future__ import annotations

from pathlib import Path

import pytest
from kills import BASE, KINDS, Campaign, probe


def test_a_killed_command_ends_with_the_same_values(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    train = [*BASE, "--epochs", "2", "--stability-every", "3", "--out", "OUT"]
    plane = probe("plane", "--x=-1:1:9", "--y=-1:1:9", "--full", "--images", "60", of=["train-whole/last.pt"])
    for kind, command in (("train", train), ("plane", plane)):
        record = campaign.kill(kind, 2, command)
        assert record.total >= 2
        assert record.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kills_of_every_kind(tmp_path: Path, kind: str) -> None:
    campaign = Campaign(tmp_path, seed=1)
    campaign.set_up()
    assert campaign.kill(kind, 5).wrong == []
